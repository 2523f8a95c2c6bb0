"""What features are worth: kNN and linear classification, with their protocol explicit."""
