"""A simulated archive of any size, with known truth."""
