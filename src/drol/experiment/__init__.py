"""Experiments: a run as one typed configuration, and training one or many of them as `drol train` does."""
