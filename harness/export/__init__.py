"""Trained networks as files of the libraries that people work with."""
