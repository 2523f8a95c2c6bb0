"""`doctor`: whether a site file fits this machine and its cluster, and what to change if not."""
