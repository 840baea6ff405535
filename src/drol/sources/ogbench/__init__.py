"""OGBench: its tasks, its data sets, and its scripted experts, which make such data here."""
