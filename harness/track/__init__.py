"""Tracking: trackers as mirrors that follow the journal."""
