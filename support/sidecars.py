"""The STAC item beside an image: scale, offset, nodata, band names and year; and the source of an offset."""

from __future__ import annotations

import json
import logging
import math
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .image_headers import sentinel2_band
from .processing_levels import Level, item_level
from .sentinel2_products import (
    baseline_name,
    baseline_offset,
    item_offset,
    parse_baseline,
    product_baseline,
    year_of_timestamp,
)
from .stac_assets import as_list, as_mapping, described_bands, raster_bands

logger = logging.getLogger(__name__)

_LARGEST_ITEM = 8 * 2**20
_ADVICE = "Give --offset -1000 if 1000 was added to the numbers, --offset 0 if not."


@dataclass(frozen=True)
class Sidecar:
    """Scene metadata in a STAC item; None or empty where it has none.

    Attributes:
        source: The item's name in messages; "" without an item.
        scale: Reflectance per number.
        offset: To add to the file's numbers.
        nodata: The number of pixels without data.
        bands: Names or descriptions of the file's bands, "" for none.
        year: Of the acquisition.
        level: The processing level.
    """

    source: str = ""
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None
    bands: tuple[str, ...] = ()
    year: int | None = None
    level: Level | None = None


def sidecar_paths(scene: Path) -> tuple[Path, ...]:
    """Possible paths of a scene's STAC item: scene.json and scene.tif.json."""
    return scene.with_suffix(".json"), scene.with_name(f"{scene.name}.json")


def read_sidecar(scene: Path, advice: str = _ADVICE) -> Sidecar:
    """The metadata in the STAC item beside a scene; empty without one.

    JSON files that hold something else are ignored. One that cannot be read is logged as a warning.

    Args:
        scene: The image.
        advice: A sentence for the end of an error message.

    Raises:
        SceneError: The item contradicts itself.
    """
    for path in sidecar_paths(scene):
        item = _read_json(path)
        if (
            isinstance(item, dict)
            and item.get("type") == "Feature"
            and isinstance(item.get("properties"), dict)
        ):
            return _parse_item(item, path, scene, advice)
    return Sidecar()


def told_offset(item: Sidecar, tags: Mapping[str, str], name: str, folders: str) -> tuple[float, str] | None:
    """The offset to an image's numbers, and its source for messages; None without a source.

    Args:
        item: The STAC item beside the image.
        tags: The image's metadata by upper-case key.
        name: The image's name.
        folders: The names of the folders above it.
    """
    if item.offset is not None:
        return item.offset, item.source
    for baseline, source in (
        (parse_baseline(tags.get("PROCESSING_BASELINE")), "in the file's metadata"),
        (product_baseline(tags.get("PRODUCT_URI", "")), "in the file's metadata"),
        (product_baseline(name), "in its name"),
        (product_baseline(folders), "in its folder's name"),
    ):
        if baseline:
            return baseline_offset(baseline), f"processing baseline {baseline_name(baseline)} {source}"
    return None


def number_or_none(value: Any) -> float | None:
    """A finite number, also from text; None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _read_json(path: Path) -> Any:
    try:
        status = path.stat()
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            reason = "no ordinary file"
        elif status.st_size > _LARGEST_ITEM:
            reason = f"larger than {_LARGEST_ITEM // 2**20} MB"
        else:
            return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        reason = "not valid JSON"
    logger.warning("%s: ignored as a STAC item of the scene (%s).", path, reason)
    return None


def _parse_item(item: Mapping[str, Any], path: Path, scene: Path, advice: str) -> Sidecar:
    properties = item["properties"]
    assets = [
        asset
        for key, asset in as_mapping(item.get("assets")).items()
        if isinstance(asset, dict) and _holds_reflectance(key, asset)
    ]
    own = [asset for asset in assets if Path(str(asset.get("href", ""))).name == scene.name]
    rasters = [raster for asset in own or assets for raster in raster_bands(asset)]
    scale, added, nodata = (_only_number(rasters, key) for key in ("scale", "offset", "nodata"))
    names: tuple[str, ...] = ()
    if len(own) == 1:
        names = tuple(str(band.get("name", "")) for band in described_bands(own[0]))
    return Sidecar(
        source=f"STAC item {path.name}",
        scale=scale,
        offset=item_offset(item, str(path), scale=scale, added=added, advice=advice),
        nodata=nodata,
        bands=names,
        year=year_of_timestamp(str(properties.get("datetime") or "")),
        level=item_level(item),
    )


def _only_number(rasters: list[dict[str, Any]], key: str) -> float | None:
    """The number that all bands agree on."""
    found = {number for raster in rasters if (number := number_or_none(raster.get(key))) is not None}
    return found.pop() if len(found) == 1 else None


def _holds_reflectance(key: str, asset: Mapping[str, Any]) -> bool:
    """Whether an asset holds reflectance bands, not water vapour, classes or a preview."""
    described = [str(band.get("name", "")) for band in described_bands(asset)]
    roles = [role for role in as_list(asset.get("roles")) if isinstance(role, str)]
    return {"visual", "overview", "thumbnail"}.isdisjoint(roles) and any(
        sentinel2_band(name) is not None for name in (key.removesuffix("-jp2"), *described)
    )
