"""The effect of a defect or a smoothing on the scores."""
