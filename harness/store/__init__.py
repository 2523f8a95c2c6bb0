"""What is on disk: run folders, journals, attempts, provenance. Reads need no more than Python."""
