"""A small place seen by Sentinel-2: cloud-optimised files with the real data types, and their STAC items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.warp import transform_bounds

from euromine.modeling import BANDS

NAMES = dict(
    zip(
        BANDS,
        ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22"),
        strict=True,
    )
)
"""Earth Search's name of each band."""

SIDES = {band: 10 if band in ("B02", "B03", "B04", "B08") else 20 for band in BANDS} | {"SCL": 20}
LEFT, TOP, PIXELS = 540_000, 5_260_020, 240
REFLECTANCE = dict(zip(BANDS, (600, 900, 1100, 1500, 2200, 2500, 2700, 2800, 2600, 1800), strict=True))
# Metres: boxes in degrees are turned against those in UTM, and grids go outwards to 20 m.
_INSIDE = 15
PIT = (slice(100, 140), slice(110, 150))
"""Rows and columns at 10 m of ground that is bright at all times."""


@dataclass
class Seen:
    """The pixels of a scene.

    Attributes:
        numbers: Digital numbers in the files, by band, each at its own pixel size.
        classes: The scene classification at 20 m.
    """

    numbers: dict[str, NDArray[np.uint16]]
    classes: NDArray[np.uint8]


@dataclass
class SmallWorld:
    """A folder of scenes on a server.

    Attributes:
        folder: The files' folder.
        address: The server's address.
        items: STAC items.
        seen: The pixels of each item.
    """

    folder: Path
    address: str
    items: list[dict[str, Any]] = field(default_factory=list)
    seen: dict[str, Seen] = field(default_factory=dict)

    def add(
        self,
        day: str,
        *,
        baseline: str = "03.01",
        is_added: bool | None = None,
        applied: bool | None = False,
        clouds: tuple[slice, slice] | None = None,
        swath: int = 0,
        tile: str = "33TWN",
        platform: str = "a",
        epsg: int = 32633,
        corner: tuple[int, int] = (LEFT, TOP),
        pit_class: int = 5,
        level: str = "l2a",
        kind: str = "0",
    ) -> dict[str, Any]:
        """Write a scene and its item.

        Args:
            day: "20210629".
            baseline: The processing baseline.
            is_added: Whether 1000 is in the numbers; by default, it follows from baseline and flag.
            applied: `earthsearch:boa_offset_applied`; None for none.
            clouds: Rows and columns at 10 m that are cloudy, and classified as cloud.
            swath: Columns at 10 m on the left without data.
            tile: Name of the tile.
            platform: Last letter of the satellite.
            epsg: Of the files.
            corner: Left and top of the files.
            pit_class: The class of the pit.
            level: "l2a" or "l1c".
            kind: The number in the item's name.
        """
        name = f"S2{platform.upper()}_{tile}_{day}_{kind}_{level.upper()}"
        generator = np.random.default_rng(int(day) + ord(platform))
        offset = tuple(map(int, baseline.split("."))) >= (4, 0) and applied is not True
        added = offset if is_added is None else is_added
        classes = np.where(np.indices((PIXELS // 2,) * 2).sum(0) % 5 == 0, 4, 5).astype(np.uint8)
        classes[tuple(slice(each.start // 2, each.stop // 2) for each in PIT)] = pit_class
        numbers = {}
        for band in BANDS:
            ground = np.random.default_rng(BANDS.index(band)).normal(REFLECTANCE[band], 60, (PIXELS, PIXELS))
            ground[PIT] += 2600
            ground += generator.normal(0, 15, ground.shape)
            if clouds is not None:
                ground[clouds] = 7000
            ground = ground + 1000 * added
            ground[:, :swath] = 0
            step = SIDES[band] // 10
            numbers[band] = np.rint(ground[::step, ::step]).astype(np.uint16)
        if clouds is not None:
            classes[tuple(slice(each.start // 2, each.stop // 2) for each in clouds)] = 9
        classes[:, : swath // 2] = 0
        self.seen[name] = Seen(numbers, classes)
        files = {NAMES[band]: (numbers[band], SIDES[band]) for band in BANDS}
        if level == "l2a":
            files["scl"] = (classes, 20)
        for key, (pixels, side) in files.items():
            write_band(self.folder / name / f"{key}.tif", pixels, side, epsg, corner)
        item = self._item(name, day, baseline, applied, tile, platform, epsg, corner, level, files)
        self.items.append(item)
        return item

    def _item(
        self,
        name: str,
        day: str,
        baseline: str,
        applied: bool | None,
        tile: str,
        platform: str,
        epsg: int,
        corner: tuple[int, int],
        level: str,
        files: Mapping[str, Any],
    ) -> dict[str, Any]:
        satellite, product, digits = f"S2{platform.upper()}", level.upper(), baseline.replace(".", "")
        start = f"{day}T100031"
        properties = {
            "datetime": f"{day[:4]}-{day[4:6]}-{day[6:]}T10:07:35.757000Z",
            "platform": f"sentinel-2{platform}",
            "proj:epsg": epsg,
            "grid:code": f"MGRS-{tile}",
            "eo:cloud_cover": 10.0,
            "s2:processing_baseline": baseline,
            "s2:product_uri": f"{satellite}_MSI{product}_{start}_N{digits}_R122_T{tile}_{day}T130000.SAFE",
            "s2:datastrip_id": f"{satellite}_OPER_MSI_{product}_DS_VGS4_{start}_S{day}T100408_N{baseline}",
            "s2:generation_time": f"{day[:4]}-{day[4:6]}-{day[6:]}T12:20:56Z",
            "created": "2022-11-06T05:52:36Z",
            "updated": "2022-11-06T05:52:36Z",
        }
        if applied is not None:
            properties["earthsearch:boa_offset_applied"] = applied
        assets = {
            key: {
                "href": f"{self.address}/{name}/{key}.tif",
                "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                "roles": ["data", "reflectance"],
                "proj:shape": list(pixels.shape),
                "proj:transform": [side, 0, corner[0], 0, -side, corner[1]],
            }
            for key, (pixels, side) in files.items()
        }
        return stac_item(name, f"sentinel-2-{level}", properties, assets, epsg, corner, 10 * PIXELS)


def write_band(path: Path, pixels: NDArray[Any], side: int, epsg: int, corner: tuple[int, int]) -> None:
    """Write a band as a tiled GeoTIFF without a nodata value for floats, with 0 otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=pixels.shape[0],
        width=pixels.shape[1],
        count=1,
        dtype=pixels.dtype,
        crs=f"EPSG:{epsg}",
        transform=Affine(side, 0, corner[0], 0, -side, corner[1]),
        nodata=None if pixels.dtype.kind == "f" else 0,
        tiled=True,
        blockxsize=64,
        blockysize=64,
        compress="deflate",
    ) as dataset:
        dataset.write(pixels, 1)


def stac_item(
    name: str,
    collection: str,
    properties: dict[str, Any],
    assets: dict[str, Any],
    epsg: int,
    corner: tuple[int, int],
    metres: int,
) -> dict[str, Any]:
    """An item over a square."""
    bounds = (corner[0], corner[1] - metres, corner[0] + metres, corner[1])
    west, south, east, north = transform_bounds(f"EPSG:{epsg}", "EPSG:4326", *bounds)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [],
        "id": name,
        "collection": collection,
        "bbox": [west, south, east, north],
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": properties,
        "links": [],
        "assets": assets,
    }


def box_of(left: int, top: int, columns: int, rows: int, epsg: int = 32633) -> tuple[float, ...]:
    """A box in degrees strictly inside pixels of the world, so that a grid without margin is these alone."""
    bounds = (
        LEFT + 10 * left + _INSIDE,
        TOP - 10 * (top + rows) + _INSIDE,
        LEFT + 10 * (left + columns) - _INSIDE,
        TOP - 10 * top - _INSIDE,
    )
    west, south, east, north = transform_bounds(f"EPSG:{epsg}", "EPSG:4326", *bounds)
    return west, south, east, north
