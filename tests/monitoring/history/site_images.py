"""Yearly images of a small site, as GeoTIFFs in the layout of the published archive."""

from pathlib import Path

import numpy as np
import rasterio
from rasterio import Affine

from euromine.monitoring.history.series import make_series
from euromine.monitoring.history.series_settings import SeriesSettings
from euromine.monitoring.history.switch_rates import SwitchRates
from euromine.monitoring.history.yearly_images import find_scenes
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.monitoring.result import SeriesResult

YEARS = (2015, 2016, 2018)
HEIGHT, WIDTH = 64, 96
CRS, ORIGIN = "EPSG:32633", (500_000.0, 5_100_000.0)
# One window over the whole scene, not mirrored beyond it: what a plain call of the network sees.
PLAIN = {"window": 96, "overlap": 0}
RATES = SwitchRates(0.05, 0.02, 0.4)


def image_of(year: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Ten bands: a bright rectangle that grows over the years, on a slope of noise."""
    noise = np.random.default_rng(year)
    rows, columns = np.mgrid[:height, :width]
    mine = (abs(rows - height / 2) < height / 4) & (columns < width / 4 + 8 * (year - 2014))
    levels = np.linspace(600, 1500, 10)[:, None, None] + 4 * columns
    return (levels + 1800 * mine + noise.normal(0, 60, (10, height, width))).astype(np.int16)


def write_image(path: Path, image: np.ndarray, left: int = 0, top: int = 0, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {
        "driver": "GTiff",
        "count": len(image),
        "height": image.shape[1],
        "width": image.shape[2],
        "dtype": image.dtype,
        "crs": CRS,
        "transform": Affine(10, 0, ORIGIN[0] + 10 * left, 0, -10, ORIGIN[1] - 10 * top),
    }
    with rasterio.open(path, "w", **{**profile, **options}) as file:
        file.write(image)
    return path


def write_site(folder: Path, years=YEARS) -> Path:
    for year in years:
        write_image(folder / "image" / f"Year{year}.tif", image_of(year))
    return folder


def series_of(
    models: list[LoadedModel], images: Path, out: Path, years: list[int] | None = None, **settings
) -> SeriesResult:
    """The series of a folder of images."""
    made = make_series(models, find_scenes(images, years), out, SeriesSettings(**settings))
    return SeriesResult(made.path)


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(1)
