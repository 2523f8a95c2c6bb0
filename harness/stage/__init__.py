"""Stages: the loops of each task, which join data, model, method and evaluation."""
