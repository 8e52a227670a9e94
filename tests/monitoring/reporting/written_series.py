"""The folder of a small series, written by hand with other libraries than the code under test."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas
import rasterio
from PIL import Image

from euromine.monitoring.history.manifest import Manifest, ModelRecord, SceneRecord

YEARS = [2015, 2016, 2018]
HEIGHT, WIDTH = 40, 60
TRANSFORM = (10.0, 0.0, 356040.0, 0.0, -10.0, 4835680.0)
CRS = "EPSG:32631"
AREA_COLUMNS = ["site", "year", "pixels", "area_ha", "adjusted_ha", "low_ha", "high_ha", "known_share"]
CHANGE_COLUMNS = ["site", "year_1", "year_2", "gain_ha", "loss_ha", "undirected_ha", "known_share"]
DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"


def footprint_of(year: int) -> np.ndarray:
    """A rectangle that wins 4 columns a year and from 2016 on leaves 2 rows; a pixel is 0.01 ha."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10 + 2 * (year > 2015) : 30, 10 : 30 + 4 * (year - 2015)] = 1
    return mask


def areas_of(year: int) -> float:
    rows, columns = 20 - 2 * (year > 2015), 20 + 4 * (year - 2015)
    return rows * columns / 100


def write_map(path: Path, values: np.ndarray, nodata: float) -> None:
    profile = {"driver": "GTiff", "count": 1, "height": HEIGHT, "width": WIDTH, "dtype": values.dtype}
    with rasterio.open(
        path, "w", crs=CRS, transform=rasterio.Affine(*TRANSFORM), nodata=nodata, **profile
    ) as file:
        file.write(values, 1)


def write_series(
    folder: Path, *, site: str = "Mine <A> & Söhne", mapper: bool = True, interval: bool = True, **fields
) -> Path:
    """A series' folder, written by hand with other libraries than the code under test."""
    folder.mkdir()
    maps = {year: footprint_of(year) for year in YEARS}
    areas, changes = [], []
    for year in YEARS:
        shade = np.random.default_rng(year).integers(60, 190, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        Image.fromarray(shade).save(folder / f"quicklook_{year}.png")
        area = areas_of(year)
        low, high = (0.9 * area, 1.3 * area) if interval else (None, None)
        areas.append((site, year, int(area * 100), area, 1.1 * area if interval else None, low, high, 1.0))
        if mapper:
            write_map(folder / f"footprint_{year}.tif", maps[year], 255)
    for first, second in combinations(YEARS, 2):
        gain = (maps[second] > maps[first]).astype(np.uint8)
        loss = (maps[second] < maps[first]).astype(np.uint8)
        codes = gain + 2 * loss if mapper else 3 * (gain | loss)
        write_map(folder / f"change_{first}_{second}.tif", codes.astype(np.uint8), 255)
        sums = [(codes == code).sum() / 100 for code in (1, 2, 3)]
        changes.append((site, first, second, *sums, 1.0))
    if mapper:
        pandas.DataFrame(
            areas,
            columns=AREA_COLUMNS,
        ).to_csv(folder / "areas.csv", index=False)
        stack = np.stack([maps[year] for year in YEARS])
        calendar = np.asarray(YEARS, np.uint16)[:, None, None]
        write_map(
            folder / "first_year.tif",
            np.where(stack.any(0), np.where(stack, calendar, 9999).min(0), 0).astype(np.uint16),
            65535,
        )
        write_map(folder / "last_year.tif", np.where(stack, calendar, 0).max(0).astype(np.uint16), 65535)
    pandas.DataFrame(changes, columns=CHANGE_COLUMNS).to_csv(folder / "changes.csv", index=False)
    model = ModelRecord(
        "footprints" if mapper else "changes",
        "runs/segformer-b0",
        "segformer",
        3_725_634,
        ["B04", "B03"],
        "0123abcd",
        scores={"of1": 0.781},
        scored_split="test",
        scored_sites=3,
    )
    scenes = [
        SceneRecord(
            year, f"Year{year}.tif", 1, 1, ["B04", "B03"], ["Offset 0."], CRS, "", 1.0, ["B04", "B03", "B02"]
        )
        for year in YEARS
    ]
    values = {
        "missing_years": [2017],
        "complete": True,
        "created": "2026-11-21T10:00:00+00:00",
        "settings": {"smoothing": "none", "threshold": 0.5},
        **fields,
    }
    Manifest(
        site, YEARS, list(combinations(YEARS, 2)), CRS, TRANSFORM, WIDTH, HEIGHT, [model], scenes, **values
    ).write(folder)
    return folder
