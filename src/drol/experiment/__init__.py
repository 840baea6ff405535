"""Experiments: a run as one typed configuration, and one or many of them trained as `drol train` does."""
