"""`check`: whether finished runs of the present code still reach their recipes' targets, and
whether they still agree with a baseline of earlier runs."""
