"""Environments: specifications, wrappers, groups in worker processes, and rollouts of policies.

Independent of algorithms and data sources; only `rollout` and `episodes` import JAX.
"""
