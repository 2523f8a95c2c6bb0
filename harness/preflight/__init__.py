"""Warnings before anything runs: what a recipe says that cannot mean what it says. Only recipes and
the numbers of images are read."""
