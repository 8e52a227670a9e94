"""Component IoU: IoU and F1 of each component of a mine."""
