"""What a run amounts to."""
