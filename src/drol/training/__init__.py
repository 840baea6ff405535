"""The training loop and what surrounds it: runs, records, checkpoints."""
