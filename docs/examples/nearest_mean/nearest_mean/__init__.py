"""A task for moco-harness: the nearest class mean."""
