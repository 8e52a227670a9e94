"""A sound site of two years, and the checks that a spoilt one is refused."""

from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import Affine

from euromine.dataset_script.archive import Archive
from euromine.dataset_script.site_scene import Scene
from euromine.support.errors import ArchiveError

PIXEL = 9.0e-5
PLACE = {"crs": "EPSG:4326", "transform": Affine(PIXEL, 0.0, 14.0, 0.0, -PIXEL, 47.0)}
IMAGE = np.arange(10 * 20 * 30, dtype=np.int16).reshape(10, 20, 30)
LABEL = np.zeros((1, 20, 30), dtype=np.uint8)
LABEL[0, 5:9, 10:20] = 255


def open_site(folder: Path) -> Scene:
    return Archive(folder.parent).sites[folder.name].open()


def read_everything(folder: Path) -> None:
    with open_site(folder) as scene:
        for year in scene.years:
            scene.read_image(year)
            scene.read_label(year)


def refuse(folder: Path, file: Path | str, *parts: str) -> None:
    """Listing, opening or reading the site is refused in one sentence that names the file."""
    with pytest.raises(ArchiveError) as caught:
        read_everything(folder)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert message.endswith(".")
    assert "expected" in message
    for part in parts:
        assert part in message
