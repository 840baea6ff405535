"""What trained runs amount to: comparisons of methods and their table. Nothing here needs JAX."""
