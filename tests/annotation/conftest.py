"""An archive of one small site without labels, and annotation files made beforehand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

ANNOTATIONS = Path("fixtures") / "annotations"
TRANSFORM = rasterio.Affine(10, 0, 540_000, 0, -10, 5_260_000)


def write_images(
    root: Path,
    site: str = "Testmine",
    years: tuple[int, ...] = (2020, 2021),
    size: tuple[int, int] = (12, 16),
) -> Path:
    """Images of a site on the grid of the annotation files: `root/EuroMineNet/{site}/image`."""
    folder = root / "EuroMineNet" / site / "image"
    folder.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "count": 10, "dtype": "int16", "height": size[0], "width": size[1]}
    for year in years:
        image = np.random.default_rng(year).integers(200, 3000, (10, *size)).astype(np.int16)
        path = folder / f"Year{year}.tif"
        with rasterio.open(path, "w", crs="EPSG:32633", transform=TRANSFORM, **profile) as dataset:
            dataset.write(image)
    return root / "EuroMineNet"


def read_label(archive: Path, year: int, site: str = "Testmine", kind: str = "label") -> NDArray[Any]:
    """A label by plain rasterio."""
    with rasterio.open(archive / site / kind / f"Year{year}.tif") as dataset:
        return dataset.read(1)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """`EuroMineNet/` with Testmine: 2020 and 2021, 12 x 16 pixels of 10 m."""
    return write_images(tmp_path / "archive")


@pytest.fixture(scope="session")
def files(real_data: Path) -> Path:
    """Annotation files that were checked against other tools, of the masks in `expected_masks.json`."""
    folder = real_data / ANNOTATIONS
    if not folder.is_dir():
        pytest.skip(f"needs the annotation files in {folder}")
    return folder


@pytest.fixture
def expected(files: Path) -> dict[str, NDArray[np.bool_]]:
    """Each class of Testmine_2021, drawn by hand: bool (12, 16)."""
    drawn = json.loads((files / "expected_masks.json").read_text())["classes"]
    return {name: np.array([[sign == "#" for sign in row] for row in rows]) for name, rows in drawn.items()}


@pytest.fixture
def cvat(tmp_path: Path) -> Callable[..., Path]:
    """Writes a CVAT export of one picture with the given elements."""

    def write(elements: str, name: str = "Testmine_2021.png", size: tuple[int, int] = (12, 16)) -> Path:
        path = tmp_path / "annotations.xml"
        path.write_text(
            f'<annotations><version>1.1</version><image id="0" name="{name}" width="{size[1]}" '
            f'height="{size[0]}">{elements}</image></annotations>'
        )
        return path

    return write


def box(label: str, left: int, top: int, right: int, bottom: int, z_order: int = 0) -> str:
    """A box in CVAT's XML."""
    edges = f'xtl="{left}" ytl="{top}" xbr="{right}" ybr="{bottom}"'
    return f'<box label="{label}" {edges} z_order="{z_order}"></box>'
