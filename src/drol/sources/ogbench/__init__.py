"""OGBench: its tasks, its data sets, and its scripted experts for collecting such data locally."""
