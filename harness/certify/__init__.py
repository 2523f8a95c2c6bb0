"""What only a user's own nodes can show: that this edition computes on them what it should."""
