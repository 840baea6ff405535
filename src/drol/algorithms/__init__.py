"""Algorithms, one final class in one file each."""
