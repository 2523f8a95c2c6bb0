"""Tracking: the declared metrics, and Weights & Biases as a mirror that follows the journal."""
