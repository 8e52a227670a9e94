"""Annual F1: how well is the footprint of each year mapped?"""
