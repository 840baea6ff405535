"""Environments by name: gymnasium's, D4RL's behind an adapter, and those Minari data sets were recorded in.

Knows nothing of learning, and imports no JAX.
"""
