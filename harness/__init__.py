"""moco-harness: a reproduction harness for MoCo (Momentum Contrast) v1 and v2."""

__version__ = "0.1.0"
