"""Declarations of tasks, methods, metrics etc., and the registry that finds them."""
