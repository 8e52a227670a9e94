"""Values in the maps of a series."""

NODATA = 255
# Change maps. The direction is unknown where a change detector found a change and no footprints show which.
NO_CHANGE, GAIN, LOSS, UNDIRECTED = 0, 1, 2, 3
# Maps of the first and the last mined year.
NEVER, UNKNOWN_YEAR = 0, 65535
