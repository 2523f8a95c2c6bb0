"""How near a training step comes to its floor, measured by the harness itself."""
