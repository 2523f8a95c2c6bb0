"""The loops, where data, model, contrast and evaluation meet."""
