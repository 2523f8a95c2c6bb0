"""Where stages run: here, and (later) on SLURM."""
