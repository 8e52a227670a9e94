"""Interval F1: F1 of the change between two years."""
