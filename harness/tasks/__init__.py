"""The declarations of the tasks, one folder for each."""
