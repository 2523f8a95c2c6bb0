"""Images, how a view is drawn from one, and batches as a function of the step."""
