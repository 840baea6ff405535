"""Learning while acting in an environment: exploration, the log of its steps, and the loop."""
