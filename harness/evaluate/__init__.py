"""Evaluation of features: kNN and linear classification, with an explicit protocol."""
