"""Data sets: logs, checks, transitions, replay, and readers of file formats. Knows no source of data."""
