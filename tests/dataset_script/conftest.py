"""A small archive in the published layout, written with rasterio directly."""

import json
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine

from euromine.dataset_script.shards import build_dataset

from .sound_site import IMAGE, LABEL, PLACE

# One site for each split of the published lists: name, height, width, years. The first is larger than a
# patch and no multiple of it, the second smaller than a patch, the third lacks a year.
SITES = (
    ("Austria_1", 215, 330, (2015, 2016, 2017)),
    ("Bulgaria_1", 97, 61, (2015, 2016, 2017)),
    ("Czechia_2", 170, 120, (2015, 2017)),
)
SPLITS = {"train": ["Austria_1", "Czechia_2"], "validation": [], "test": ["Bulgaria_1"]}
TRANSFORM = Affine(9.0e-5, 0.0, 14.0, 0.0, -9.0e-5, 47.0)


def write_tiff(path: Path, bands: NDArray[Any], **options: Any) -> Path:
    """Write `(bands, height, width)` as a GeoTIFF; without `crs` and `transform` it has none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = bands.shape
    profile = {"count": count, "height": height, "width": width, "dtype": bands.dtype, "driver": "GTiff"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **(profile | options)) as dataset:
            dataset.write(bands)
    return path


def image_of(height: int, width: int, seed: int) -> NDArray[np.int16]:
    """Ten bands of plausible DN: a smooth landscape with noise, differing by band and seed."""
    noise = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    waves = 900 * np.sin(rows / 23 + seed) * np.cos(columns / 31)
    levels = np.linspace(600, 2600, 10)[:, None, None]
    return (levels + waves + noise.normal(0, 120, (10, height, width))).clip(1, 12000).astype(np.int16)


def label_of(height: int, width: int, year: int) -> NDArray[np.uint8]:
    """A round mine, 1 inside, whose radius and place change with the year."""
    rows, columns = np.mgrid[:height, :width]
    radius = min(height, width) * (0.25 + 0.02 * (year - 2015))
    distance = np.hypot(rows - height * 0.5, columns - width * 0.45 - 2 * (year - 2015))
    return (distance < radius).astype(np.uint8)


@pytest.fixture(scope="session")
def tiff_writer() -> Callable[..., Path]:
    return write_tiff


@pytest.fixture(scope="session")
def small_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds `EuroMineNet/`: three sites of up to three years; not to be written to."""
    root = tmp_path_factory.mktemp("archive")
    for number, (site, height, width, years) in enumerate(SITES):
        for year in years:
            folder = root / "EuroMineNet" / site
            image = image_of(height, width, seed=100 * number + year)
            write_tiff(folder / "image" / f"Year{year}.tif", image, crs="EPSG:4326", transform=TRANSFORM)
            label = label_of(height, width, year)[None] * np.uint8(255)
            write_tiff(folder / "label" / f"Year{year}.tif", label)
    return root


@pytest.fixture(scope="session")
def small_archive_zip(small_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same archive as one compressed zip."""
    path = tmp_path_factory.mktemp("zip") / "EuroMineNet.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(small_archive.rglob("*")):
            archive.write(file, file.relative_to(small_archive))
    return path


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of `datasets` for the tests of a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        yield


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of `SPLITS`."""
    path = tmp_path_factory.mktemp("splits") / "splits.json"
    path.write_text(json.dumps(SPLITS))
    return path


@pytest.fixture(scope="module")
def built(small_archive: Path, splits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of `small_archive`; not to be written to."""
    folder = tmp_path_factory.mktemp("built") / "euromine"
    return build_dataset(small_archive, folder, splits=splits, workers=1, progress=False)


@pytest.fixture
def site(tmp_path: Path, tiff_writer: Callable[..., Path]) -> Path:
    """The folder of a sound site of two years, for a test to spoil."""
    folder = tmp_path / "EuroMineNet" / "Austria_1"
    for year in (2015, 2016):
        tiff_writer(folder / "image" / f"Year{year}.tif", IMAGE, **PLACE)
        tiff_writer(folder / "label" / f"Year{year}.tif", LABEL)
    return folder


@pytest.fixture
def plainly() -> Iterator[Callable[[Path], Any]]:
    """Plain rasterio, which warns that a label has no georeferencing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield rasterio.open
