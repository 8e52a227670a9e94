"""A user's image: bands, reflectance, STAC sidecar, grids, alignment."""
