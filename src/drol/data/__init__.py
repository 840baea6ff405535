"""Data sets: logs, checks, transitions, replay, and readers of file formats. Independent of any data source."""
