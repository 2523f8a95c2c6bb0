"""Warnings before anything runs, of settings that cannot do what the recipe wants. Only recipes and
the numbers of images are read."""
