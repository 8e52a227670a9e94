"""The ground floor: errors, files, workers and rasters, for every folder but `modeling/` and `metrics/`."""
