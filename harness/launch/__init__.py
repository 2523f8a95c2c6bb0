"""Where stages run: here, in the background of this machine, or on SLURM."""
