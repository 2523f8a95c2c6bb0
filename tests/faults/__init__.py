"""Faults done to real runs, which must end as if nothing had been done to them."""
