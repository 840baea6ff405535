"""D4RL: its tasks, its data sets, its environments with gymnasium's interface, and their installation."""
