"""Launchers: run stages in this process, in the background of this machine, or on SLURM."""
