"""The memory that is reserved for windows of several years."""

import numpy as np
import pytest
from rasterio.env import get_gdal_config

from euromine.monitoring.history import window_passes
from euromine.monitoring.history.window_passes import cached_rows
from euromine.monitoring.mapping.tiling import Tiling
from euromine.monitoring.scenes.alignment import AlignedScene
from euromine.monitoring.scenes.scene import open_scene

from .site_images import write_image

MEGABYTE = 2**20


# Windows of 64 rows touch two rows of blocks of 64 x 64 pixels, in ten bands of two bytes.
ROWS = 128 * 16_384 * 20


@pytest.mark.parametrize(
    ("most", "reserved"),
    [(2 * ROWS, 2 * ROWS), (2 * ROWS - 2, 2 * 16 * MEGABYTE)],  # a window's blocks are below the least cache
)
def test_years_share_the_memory_for_rows_of_windows(tmp_path, monkeypatch, most, reserved):
    image = np.ones((10, 64, 16_384), np.int16)
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    paths = [write_image(tmp_path / f"{year}.tif", image, **tiles) for year in (2015, 2016)]
    monkeypatch.setattr(window_passes, "_CACHE", most)
    before = get_gdal_config("GDAL_CACHEMAX")
    with open_scene(paths[0]) as first, open_scene(paths[1]) as second:
        scenes = [AlignedScene(scene, first.grid) for scene in (first, second)]
        with cached_rows(scenes, Tiling.of(64, 16_384, 64, 0)):
            assert get_gdal_config("GDAL_CACHEMAX") == reserved
        assert get_gdal_config("GDAL_CACHEMAX") == before
