"""A pool of gloo processes."""

from gloo import gloo

__all__ = ["gloo"]
