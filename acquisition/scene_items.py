"""Items of a catalogue as typed records: Sentinel scenes without duplicates, grouped by satellite pass."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from euromine.dataset_script.archive_bands import BANDS, RADAR_BANDS
from euromine.support.errors import SceneError
from euromine.support.image_headers import sentinel2_band
from euromine.support.processing_levels import Level
from euromine.support.sentinel2_products import baseline_name, item_baseline, item_offset
from euromine.support.stac_assets import as_list, as_mapping, described_bands, raster_bands

from .catalogues import Catalogue, check_link

CLASSES = "SCL"
"""The name of the scene classification among a scene's files."""

POLARISATIONS = RADAR_BANDS

_DATASTRIP_START = re.compile(r"_S(\d{8}T\d{6})(?:_|$)")
_PRODUCT_START = re.compile(r"MSIL[12][AC]_(\d{8}T\d{6})_")
_TILE = re.compile(r"(?<![0-9A-Z])T?(\d{2}[C-X][A-Z]{2})(?![A-Z0-9])")
# Tiles of one pass are seconds apart; the next pass of the same satellite is 100 minutes later.
_PASS = timedelta(minutes=10)
_LARGEST_ITEM_LINKS = 200


class RefusedItemError(SceneError):
    """A scene that must stay out of composites, for a reason found in its files.

    Attributes:
        item: Its name.
        is_unread: Whether its files could not be read, as they may be later.
    """

    def __init__(self, message: str, *, item: str = "", is_unread: bool = True) -> None:
        super().__init__(message)
        self.item = item
        self.is_unread = is_unread


@dataclass(frozen=True, kw_only=True)
class CatalogueItem:
    """A scene on a tile, or a frame of radar. Records and digests hold these fields by their names.

    Attributes:
        id: The item's name in its catalogue.
        catalogue: The catalogue's name.
        collection: Its collection there.
        time: Of the acquisition, ISO 8601 in UTC.
        platform: The satellite: "sentinel-2a".
        tile: Such as "33TWN"; "" for radar.
        sensing: The sensing start of its datastrip, or else its time. Reprocessing does not change it.
        baseline: The processing baseline, "" for radar.
        version: The time of processing; of two items of the same data, the later counts.
        offset: To add to its numbers.
        orbit: The relative orbit, 0 if unknown.
    """

    id: str
    catalogue: str
    collection: str
    time: str
    platform: str
    tile: str
    sensing: str
    baseline: str
    version: str
    offset: int
    orbit: int

    @property
    def data(self) -> tuple[str, str, str]:
        """Tile, platform and sensing start, the same however often the data are processed."""
        return self.tile, self.platform, self.sensing


@dataclass(frozen=True, kw_only=True)
class SceneItem(CatalogueItem):
    """An item with the fields that are needed to choose and read it.

    Attributes:
        epsg: The code of its coordinate system.
        cloud_cover: Of the whole tile, in per cent; NaN if unknown.
        footprint: A shapely geometry in degrees.
        links: The links of its files, by band.
        needs_signature: Whether links have to be signed before they are opened.
    """

    epsg: int
    cloud_cover: float
    footprint: Any
    links: Mapping[str, str]
    needs_signature: bool

    @property
    def moment(self) -> datetime:
        """The time of the acquisition."""
        return _moment(self.time)


def optical_item(item: Mapping[str, Any], catalogue: Catalogue, level: Level) -> SceneItem:
    """A Sentinel-2 item, checked.

    Args:
        item: Parsed JSON with properties.
        catalogue: Where it was found.
        level: The requested level. L2A needs a scene classification.

    Raises:
        SceneError: A field or file is missing, fields contradict each other, or a link may not be followed.
    """
    name, properties = _name(item), item["properties"]
    wanted = (*BANDS, CLASSES) if level == "L2A" else BANDS
    assets = _assets(item, name)
    links = {}
    for band in wanted:
        if band not in assets:
            raise SceneError(f"{name}: found no file of {band} as GeoTIFF; expected {', '.join(wanted)}.")
        links[band] = check_link(assets[band].get("href"), name, catalogue)
    offset = _offset(item, name, [assets[band] for band in BANDS])
    baseline = item_baseline(item)
    product = str(properties.get("s2:product_uri") or "")
    plain = _plain_item(item, name, catalogue, links, assets[BANDS[0]])
    starts = (
        _DATASTRIP_START.search(str(properties.get("s2:datastrip_id") or "")),
        _PRODUCT_START.search(product),
    )
    return replace(
        plain,
        tile=_tile(properties, name, product),
        sensing=next((start[1] for start in starts if start), plain.time),
        baseline=baseline_name(baseline) if baseline else "",
        offset=offset,
        cloud_cover=_number(properties.get("eo:cloud_cover")),
    )


def radar_item(item: Mapping[str, Any], catalogue: Catalogue) -> SceneItem:
    """A Sentinel-1 item with its terrain corrected, checked.

    Raises:
        SceneError: It is in radar geometry, lacks a polarisation or its orbit, or a link may not be followed.
    """
    name, properties = _name(item), item["properties"]
    assets = {
        key.upper(): asset for key, asset in as_mapping(item.get("assets")).items() if isinstance(asset, dict)
    }
    links = {}
    for polarisation in POLARISATIONS:
        if polarisation not in assets:
            raise SceneError(f"{name}: found no file of {polarisation}; expected VV and VH.")
        links[polarisation] = check_link(assets[polarisation].get("href"), name, catalogue)
    if _epsg_or_none(properties, assets["VV"]) is None:
        raise SceneError(
            f"{name}: found radar geometry; expected backscatter on a map, such as Planetary Computer's "
            "sentinel-1-rtc."
        )
    if not _orbit(properties):
        raise SceneError(f"{name}: found no relative orbit; expected sat:relative_orbit.")
    return _plain_item(item, name, catalogue, links, assets["VV"])


def without_duplicates(items: Iterable[SceneItem]) -> list[SceneItem]:
    """One item for the same data, the highest baseline and then the latest version, ordered by time."""
    best: dict[tuple[str, str, str], SceneItem] = {}
    for item in items:
        other = best.get(item.data)
        if other is None or _rank(item) > _rank(other):
            best[item.data] = item
    return sorted(best.values(), key=lambda item: (item.time, item.tile, item.id))


def passes(items: Iterable[SceneItem]) -> list[tuple[SceneItem, ...]]:
    """Group items by satellite pass: the tiles of a place that were seen at once."""
    groups: list[list[SceneItem]] = []
    for item in sorted(items, key=lambda item: (item.platform, item.moment, item.tile, item.id)):
        last = groups[-1][-1] if groups else None
        if last and last.platform == item.platform and item.moment - last.moment <= _PASS:
            groups[-1].append(item)
        else:
            groups.append([item])
    return sorted((tuple(group) for group in groups), key=lambda group: (group[0].time, group[0].id))


def latest_time(items: Iterable[SceneItem]) -> str:
    """The time of the latest item, ISO 8601; "" without any."""
    return max((item.moment.isoformat() for item in items), default="")


def _rank(item: SceneItem) -> tuple[str, str, str, str]:
    return item.baseline, item.version, item.collection, item.id


def _plain_item(
    item: Mapping[str, Any],
    name: str,
    catalogue: Catalogue,
    links: Mapping[str, str],
    asset: Mapping[str, Any],
) -> SceneItem:
    """An item without the fields of Sentinel-2 alone. `asset` describes the coordinate system."""
    properties = item["properties"]
    time = _time(properties, name)
    return SceneItem(
        id=name,
        catalogue=catalogue.name,
        collection=str(item.get("collection") or ""),
        time=time,
        platform=_platform(properties, name),
        tile="",
        sensing=time,
        baseline="",
        version=_version(properties),
        offset=0,
        orbit=_orbit(properties),
        epsg=_epsg(properties, asset, name),
        cloud_cover=math.nan,
        footprint=_footprint(item, name),
        links=links,
        needs_signature=catalogue.needs_signature,
    )


def _name(item: Mapping[str, Any]) -> str:
    name = item.get("id")
    if not isinstance(name, str) or not name or not name.isprintable() or len(name) > 200:
        raise SceneError(f"item: found the id {str(name)[:60]!r}; expected a name.")
    return name


def _assets(item: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """The GeoTIFFs of an item by band."""
    found: dict[str, dict[str, Any]] = {}
    assets = as_mapping(item.get("assets"))
    if len(assets) > _LARGEST_ITEM_LINKS:
        raise SceneError(f"{name}: found {len(assets)} files; expected those of a scene.")
    for key, asset in assets.items():
        if not isinstance(asset, dict) or not _is_geotiff(asset):
            continue
        band = CLASSES if key.upper() == CLASSES else _band(key, asset)
        if band is not None:
            found.setdefault(band, asset)
    return found


def _band(key: str, asset: Mapping[str, Any]) -> str | None:
    """The only band of a file of reflectance; None for true-colour pictures and the like."""
    if {"visual", "overview", "thumbnail"} & {str(role) for role in as_list(asset.get("roles"))}:
        return None
    if band := sentinel2_band(key):
        return band
    described = described_bands(asset)
    return sentinel2_band(str(described[0].get("name"))) if len(described) == 1 else None


def _is_geotiff(asset: Mapping[str, Any]) -> bool:
    kind = str(asset.get("type") or "").lower()
    return (
        "tiff" in kind
        if kind
        else str(asset.get("href", "")).lower().split("?")[0].endswith((".tif", ".tiff"))
    )


def _offset(item: Mapping[str, Any], name: str, assets: Sequence[Mapping[str, Any]]) -> int:
    """The offset to a scene's numbers, by the rule for STAC items.

    Raises:
        SceneError: It is unknown, or the item's fields contradict each other.
    """
    rasters = [band for asset in assets for band in raster_bands(asset)]
    scale, added = (_only(rasters, key) for key in ("scale", "offset"))
    offset = item_offset(item, name, scale=scale, added=added)
    if offset is None:
        raise SceneError(f"{name}: found no processing baseline; expected one, as it decides on the offset.")
    if offset not in (0, -1000):
        raise SceneError(f"{name}: found an offset of {offset:g}; expected 0 or -1000.")
    return int(offset)


def _only(rasters: Iterable[Mapping[str, Any]], key: str) -> float | None:
    found = {_number(raster.get(key)) for raster in rasters if raster.get(key) is not None}
    return found.pop() if len(found) == 1 else None


def _time(properties: Mapping[str, Any], name: str) -> str:
    text = str(properties.get("datetime") or properties.get("start_datetime") or "")
    try:
        has_zone = _moment(text).tzinfo is not None
    except ValueError:
        has_zone = False
    if not has_zone:
        raise SceneError(f"{name}: found the time {text[:60]!r}; expected one such as 2021-06-29T10:07:35Z.")
    return text


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _platform(properties: Mapping[str, Any], name: str) -> str:
    platform = str(properties.get("platform") or "").lower()
    if not re.fullmatch(r"sentinel-[12][a-d]", platform):
        raise SceneError(f"{name}: found the platform {platform[:60]!r}; expected sentinel-2a or the like.")
    return platform


def _tile(properties: Mapping[str, Any], name: str, product: str) -> str:
    texts = (properties.get("grid:code"), properties.get("s2:mgrs_tile"), product, name)
    for text in texts:
        found = _TILE.search(str(text or "").upper().replace("MGRS-", "").replace("_", " "))
        if found:
            return found[1]
    raise SceneError(f"{name}: found no tile; expected one such as 33TWN.")


def _epsg(properties: Mapping[str, Any], asset: Mapping[str, Any], name: str) -> int:
    epsg = _epsg_or_none(properties, asset)
    if epsg is None or not (32601 <= epsg <= 32660 or 32701 <= epsg <= 32760):
        raise SceneError(
            f"{name}: found {'no EPSG code' if epsg is None else epsg}; expected that of a UTM zone."
        )
    return epsg


def _epsg_or_none(properties: Mapping[str, Any], asset: Mapping[str, Any]) -> int | None:
    for fields in (asset, properties):  # newer versions of the extension have the first name
        code = str(fields.get("proj:code") or fields.get("proj:epsg") or "").upper().removeprefix("EPSG:")
        if code.isdecimal():
            return int(code)
    return None


def _version(properties: Mapping[str, Any]) -> str:
    for key in ("s2:generation_time", "updated", "created"):
        if properties.get(key):
            return str(properties[key])[:40]
    return ""


def _footprint(item: Mapping[str, Any], name: str) -> Any:
    import shapely

    try:
        shape = shapely.geometry.shape(item["geometry"])
        found = shapely.make_valid(shape)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, shapely.errors.ShapelyError):
        raise SceneError(f"{name}: found no readable footprint; expected a polygon.") from None
    if not found.area > 0:
        raise SceneError(f"{name}: found a footprint without area; expected a polygon.")
    return found


def _orbit(properties: Mapping[str, Any]) -> int:
    number = _number(properties.get("sat:relative_orbit"))
    return int(number) if math.isfinite(number) else 0


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
