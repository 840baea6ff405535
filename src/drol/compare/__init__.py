"""A comparison: a grid of methods and tasks, trained cell by cell, and its table."""
