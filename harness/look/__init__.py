"""Look: what a finished stage shows of its network. Nothing here decides a number."""
