"""Hostile and clumsy input: files that others, editors, disks and accidents have changed."""
