"""A trained network over scenes of any size: windows, predictions, GeoTIFFs."""
