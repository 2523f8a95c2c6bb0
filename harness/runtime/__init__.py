"""What every training loop needs and no paper is about: randomness, checkpoints, optimisers."""
