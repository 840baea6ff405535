"""A comparison: a grid of methods and tasks that is trained cell by cell, and its table."""
