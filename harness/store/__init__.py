"""What is on disk: run folders, journals, attempts, provenance. Uses the standard library only."""
