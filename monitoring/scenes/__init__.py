"""A user's images: bands, reflectance, STAC sidecars, grids, alignment."""
