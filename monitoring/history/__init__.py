"""All years of a place: smoothing, footprints, changes, areas, polygons, permits."""
