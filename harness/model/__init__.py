"""Encoders: backbones, projection heads, and batch normalisation over groups."""
