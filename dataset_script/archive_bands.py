"""The bands of the archive's images and of its radar."""

BANDS: tuple[str, ...] = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
"""The ten Sentinel-2 bands of an image, in its order."""

RADAR_BANDS: tuple[str, ...] = ("VV", "VH")
"""The polarisations of an image of radar, in its order; int16, backscatter in dB x 100."""

NO_BACKSCATTER = -32_768
"""The value of pixels of radar without data."""
