"""Footprints and changes of whole series: the network for series beside others at one budget."""
