"""The common grid of a series of scenes."""

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine

from euromine.monitoring.scenes.alignment import series_grid
from euromine.monitoring.scenes.grids import Grid
from euromine.monitoring.scenes.scene import Scene, open_scene
from euromine.support.errors import SceneError

from .scene_files import WriteScene


def scene(
    write_scene: WriteScene, name: str, left: float = 0, top: float = 0, height: int = 30, width: int = 40
) -> Scene:
    transform = Affine(10, 0, left, 0, -10, top)
    return open_scene(write_scene(name, np.ones((1, height, width), np.uint16), transform=transform))


def test_the_grid_of_a_series_is_the_part_that_all_scenes_cover(write_scene: WriteScene) -> None:
    scenes = [
        scene(write_scene, "2015.tif"),
        scene(write_scene, "2016.tif", 50, -20, width=60),
        scene(write_scene, "2017.tif", -100, 100, width=60, height=100),
    ]
    expected = Grid(CRS.from_epsg(32633), Affine(10, 0, 50, 0, -10, -20), width=35, height=28)
    assert series_grid(scenes) == expected


def test_scenes_without_overlap_are_refused(write_scene: WriteScene) -> None:
    scenes = [scene(write_scene, "2015.tif"), scene(write_scene, "2016.tif", 400)]
    with pytest.raises(
        SceneError, match=r"2016\.tif: found no overlap with .*2015\.tif .*; expected scenes of one"
    ):
        series_grid(scenes)
