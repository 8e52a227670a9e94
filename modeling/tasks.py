"""The names of the tasks, for code that needs no network: `auto` loads all of them."""

SEGMENTATION = "segmentation"
CHANGE_DETECTION = "change-detection"
SERIES = "series"
