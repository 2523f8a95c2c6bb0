"""`certify`: checks on a user's own nodes that this edition computes correctly there."""
