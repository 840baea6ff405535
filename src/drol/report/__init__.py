"""The figure that summarises a run."""
