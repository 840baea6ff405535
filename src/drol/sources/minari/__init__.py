"""Minari: its data sets, and the environments they were recorded in."""
