"""Data sets, view pipelines, and batches as a function of the step."""
