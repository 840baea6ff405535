"""The training loop, and the runs, records and checkpoints around it."""
