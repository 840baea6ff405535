"""Environments: what makes them, wrappers, groups in worker processes, and rollouts of a policy in them.

Knows no algorithm and no source of data; only `rollout` and `episodes` import JAX.
"""
