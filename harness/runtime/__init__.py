"""What every training loop needs: randomness, checkpoints, optimisers, processes."""
