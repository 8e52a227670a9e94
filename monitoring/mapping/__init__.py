"""A trained model applied to scenes of any size: checkpoints, windows, prediction, GeoTIFFs."""
