"""Tracking: trackers mirror the journal, and followers keep them up to date."""
