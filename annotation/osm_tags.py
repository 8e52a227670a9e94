"""OpenStreetMap's tags of mined ground."""

from __future__ import annotations

from collections.abc import Mapping

# Tag and value -> class: that of a component, where OpenStreetMap has one.
_MINING = {
    ("landuse", "quarry"): "quarry",
    ("man_made", "spoil_heap"): "dumping_ground",
    ("man_made", "tailings_pond"): "tailings_storage_facility",
    ("industrial", "mine"): "mine",
    ("landuse", "mine"): "mine",
    ("resource", "tailings"): "tailings_storage_facility",
}
_KEYS = {"landuse", "man_made", "industrial", "osm_id", "osm_type", "@id"}


def mining_label(tags: Mapping[str, str]) -> str | None:
    """The class of an object's ground: "quarry" for landuse=quarry; None where it is no mine."""
    return next((label for (key, value), label in _MINING.items() if tags.get(key) == value), None)


def is_from_osm(keys: set[str]) -> bool:
    """Whether attributes of such names come from OpenStreetMap."""
    return bool(keys & _KEYS)
