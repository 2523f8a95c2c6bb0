"""The tasks: what is done on a run, a folder each."""
