"""A trained network and scenes of a mine -> maps, areas, polygons, changes, a report."""
