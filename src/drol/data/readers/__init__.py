"""Readers of file formats: from a file to named arrays, and from named arrays to a log."""
