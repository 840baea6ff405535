"""Minari: its data sets and the environments in which they were recorded."""
