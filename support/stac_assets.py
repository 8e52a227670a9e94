"""Fields of a STAC item's assets, in both versions of the extensions that hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def described_bands(asset: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The descriptions of an asset's bands, with their names."""
    return [band for band in as_list(asset.get("eo:bands") or asset.get("bands")) if isinstance(band, dict)]


def raster_bands(asset: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The raster extension's fields of an asset's bands, without its prefix."""
    bands = [*as_list(asset.get("raster:bands")), *as_list(asset.get("bands")), asset]
    return [
        {str(key).removeprefix("raster:"): value for key, value in band.items()}
        for band in bands
        if isinstance(band, dict)
    ]


def as_list(value: Any) -> list[Any]:
    """A list of parsed JSON; empty for anything else."""
    return value if isinstance(value, list) else []


def as_mapping(value: Any) -> dict[str, Any]:
    """An object of parsed JSON; empty for anything else."""
    return value if isinstance(value, dict) else {}
