"""Benchmarks: a training step's time compared with its floor."""
