"""Measurements behind `drol bench`."""
