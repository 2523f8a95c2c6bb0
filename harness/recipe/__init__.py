"""Recipes: one YAML file describes one training run. It holds the science and names no machine."""
