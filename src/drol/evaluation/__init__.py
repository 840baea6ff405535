"""Policies in environments: worker processes, rollouts, scores."""
