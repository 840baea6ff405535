"""D4RL: its tasks, its data sets, its environments behind gymnasium's interface, and their installation."""
