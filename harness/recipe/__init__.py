"""Recipes: one YAML file, one training run described whole. The science; it names no machine."""
