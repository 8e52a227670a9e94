"""OpenStreetMap's own formats: .osm XML and Overpass JSON. Closed ways and multipolygons become outlines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from euromine.support.errors import AnnotationError
from euromine.support.geopackages import require_geopandas

from .annotated_shapes import Annotations
from .json_reading import value_of
from .osm_tags import mining_label
from .vector_labels import add_layer

FORMAT = "OpenStreetMap"

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class _Object:
    """A tagged way or relation.

    Attributes:
        identity: Such as "way/1".
        tags: Its tags.
        lines: Role and points of each of its lines; points are None where the file lacks some.
    """

    identity: str
    tags: Mapping[str, str]
    lines: Sequence[tuple[str, Points | None]]


def read_osm_xml(root: Any, source: str, annotations: Annotations, class_attribute: str | None) -> None:
    """Add the mines of an .osm file.

    Raises:
        AnnotationError: An element is damaged or incomplete.
        MissingExtraError: geopandas is not installed.
    """
    nodes: dict[str, tuple[float, float]] = {}
    for node in root.iterfind("node"):
        try:
            nodes[node.attrib["id"]] = float(node.attrib["lon"]), float(node.attrib["lat"])
        except (KeyError, ValueError):
            raise AnnotationError(
                f"{source}: found the node {node.get('id')} without a place; expected lat and lon."
            ) from None
    ways = {
        str(way.get("id")): _points([nodes.get(str(each.get("ref"))) for each in way.iterfind("nd")])
        for way in root.iterfind("way")
    }
    objects = []
    for way in root.iterfind("way"):
        identity = str(way.get("id"))
        objects.append(_Object(f"way/{identity}", _tags(way), [("outer", ways[identity])]))
    for relation in root.iterfind("relation"):
        lines = [
            (member.get("role") or "outer", ways.get(str(member.get("ref"))))
            for member in relation.iterfind("member")
            if member.get("type") == "way"
        ]
        objects.append(_Object(f"relation/{relation.get('id')}", _tags(relation), lines))
    _add(objects, source, annotations, class_attribute)


def read_overpass(document: Any, source: str, annotations: Annotations, class_attribute: str | None) -> None:
    """Add the mines of an answer of the Overpass API, written by `out geom` or `out body`.

    Raises:
        AnnotationError: An element is damaged or incomplete.
        MissingExtraError: geopandas is not installed.
    """
    elements = value_of(document, "elements", list, source)
    kinds = ("node", "way", "relation")
    by_kind: dict[str, list[Any]] = {kind: [] for kind in kinds}
    for place, element in enumerate(elements, 1):
        where = f"{source}, element {place}"
        kind = value_of(element, "type", str, where)
        value_of(element, "id", int, where)
        if kind in by_kind:
            by_kind[kind].append(element)
    nodes = {node["id"]: _place(node, source) for node in by_kind["node"]}
    ways = {way["id"]: _way_points(way, nodes, source) for way in by_kind["way"]}
    objects = [
        _Object(f"way/{way['id']}", _plain_tags(way), [("outer", ways[way["id"]])]) for way in by_kind["way"]
    ]
    for relation in by_kind["relation"]:
        members = value_of(relation, "members", list, source)
        lines = [
            (
                str(member.get("role") or "outer"),
                _way_points(member, nodes, source) if "geometry" in member else ways.get(member.get("ref")),
            )
            for member in members
            if isinstance(member, dict) and member.get("type") == "way"
        ]
        objects.append(_Object(f"relation/{relation['id']}", _plain_tags(relation), lines))
    _add(objects, source, annotations, class_attribute)


def _way_points(way: Any, nodes: Mapping[Any, tuple[float, float]], source: str) -> Points | None:
    if "geometry" in way:
        return _points(
            [
                None if each is None else _place(each, source)
                for each in value_of(way, "geometry", list, source)
            ]
        )
    return _points([nodes.get(each) for each in value_of(way, "nodes", list, source, [])])


def _place(node: Any, source: str) -> tuple[float, float]:
    longitude, latitude = (value_of(node, key, float, f"{source}, a node") for key in ("lon", "lat"))
    return longitude, latitude


def _points(places: Sequence[tuple[float, float] | None]) -> Points | None:
    known = [place for place in places if place is not None]
    return known if len(known) == len(places) and len(known) > 1 else None


def _tags(element: Any) -> dict[str, str]:
    return {str(tag.get("k")): str(tag.get("v")) for tag in element.iterfind("tag")}


def _plain_tags(element: Any) -> dict[str, str]:
    return {str(key): str(value) for key, value in value_of(element, "tags", dict, "tags", {}).items()}


def _add(
    objects: Iterable[_Object], source: str, annotations: Annotations, class_attribute: str | None
) -> None:
    import pyproj

    require_geopandas("annotate")
    features = []
    for each in objects:
        if mining_label(each.tags) is None:
            continue  # an extract also holds roads, houses and so on
        area = _area(each)
        if area is None:
            annotations.lost["shapes whose outline is not whole in the file"] += 1
            continue
        features.append((area, {**each.tags, "osm_id": each.identity}))
    add_layer("OpenStreetMap", pyproj.CRS.from_epsg(4326), features, source, annotations, class_attribute)


def _area(each: _Object) -> Any | None:
    """The ground inside the outer lines and outside the inner ones; None where a line is missing or open."""
    import shapely

    rings: dict[str, list[Any]] = {"outer": [], "inner": []}
    for role, points in each.lines:
        if points is None:
            return None
        rings["inner" if role == "inner" else "outer"].append(shapely.LineString(points))
    areas = {}
    for role, lines in rings.items():
        found, cuts, dangles, _ = shapely.polygonize_full(lines)
        if not (cuts.is_empty and dangles.is_empty):
            return None
        areas[role] = shapely.union_all(shapely.get_parts(found))
    whole = shapely.difference(areas["outer"], areas["inner"])
    return None if whole.is_empty else whole
