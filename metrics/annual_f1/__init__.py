"""Annual F1: F1 of each year's footprint."""
