"""Read outlines on the ground as labels: GeoPackage, shapefile and GeoJSON."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from euromine.support.errors import AnnotationError
from euromine.support.geopackages import check_is_geopackage, require_geopandas
from euromine.support.vector_features import reading_errors

from .annotated_shapes import Annotations, Layer, Shape, as_points, valid_area
from .annotation_sources import Source
from .json_reading import value_of
from .osm_tags import is_from_osm, mining_label

CLASS_ATTRIBUTES = ("class", "label", "class_name", "category", "component")
"""The attributes that hold a feature's class, the first that is there."""

MINE_LABEL = "mine"
"""The class of outlines without one."""

# The companions of a .shp that hold attributes, the index, the coordinate system and the encoding.
_COMPANIONS = (".shp", ".shx", ".dbf", ".prj", ".cpg")
_LARGEST_PART = 2 * 2**30
_MOST_FEATURES = 1_000_000
_GEOJSON_CRS = re.compile(r"(?:urn:ogc:def:crs:)?(EPSG|OGC):(?:[\d.]*:)?(\w+)", re.IGNORECASE)
_GEOJSON_KINDS = {"Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon"} | {
    "GeometryCollection"
}

Feature = tuple[Any, Mapping[str, Any]]


def read_geopackage(path: Path, annotations: Annotations, class_attribute: str | None) -> None:
    """Add the outlines of all layers of a GeoPackage.

    Raises:
        AnnotationError: It is none, has no outlines or no coordinate system, or an outline cannot be read.
        MissingExtraError: geopandas is not installed.
    """
    require_geopandas("annotate")
    check_is_geopackage(path, "Save the layer once more in a GIS.", AnnotationError)
    if path.suffix.lower() == ".gpkg":
        _add_layers(path, "GPKG", str(path), annotations, class_attribute)
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"{path.stem}.gpkg"
        shutil.copyfile(path, copy)
        _add_layers(copy, "GPKG", str(path), annotations, class_attribute)


def read_shapefile(source: Source, name: str, annotations: Annotations, class_attribute: str | None) -> None:
    """Add the outlines of a shapefile, with the files of its name beside it.

    Raises:
        AnnotationError: As for `read_geopackage`.
        MissingExtraError: geopandas is not installed.
    """
    require_geopandas("annotate")
    plain = PurePosixPath(name)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / f"{plain.stem or 'labels'}.shp"
        for suffix, data in _companions(source, plain).items():
            target.with_suffix(suffix).write_bytes(data)
        if not target.with_suffix(".shx").exists():
            raise AnnotationError(
                f"{source.named(name)}: found no {plain.stem}.shx beside it; expected a whole shapefile "
                "(.shp, .shx, .dbf, .prj). A GeoPackage is one file."
            )
        _add_layers(target, "ESRI Shapefile", source.named(name), annotations, class_attribute)


def _companions(source: Source, name: PurePosixPath) -> dict[str, bytes]:
    """The files of a shapefile by suffix."""
    if source.kind == "file":
        return {
            suffix: each.read_bytes()
            for each in sorted(source.path.parent.iterdir())
            if each.stem == name.stem and (suffix := each.suffix.lower()) in _COMPANIONS and each.is_file()
        } | {".shp": source.path.read_bytes()}
    return {
        PurePosixPath(each).suffix.lower(): source.read(each, _LARGEST_PART)
        for each in source.sizes
        if PurePosixPath(each).with_suffix("") == name.with_suffix("")
        and PurePosixPath(each).suffix.lower() in _COMPANIONS
    }


def _add_layers(
    path: Path, driver: str, shown: str, annotations: Annotations, class_attribute: str | None
) -> None:
    import pyogrio

    try:
        layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
        if not layers:
            raise AnnotationError(f"{shown}: found a table without geometries; expected outlines (polygons).")
        for layer in layers:
            where = shown if len(layers) == 1 else f"{shown}, layer {layer}"
            frame = _read_layer(path, layer, driver, where)
            columns = frame.drop(columns=frame.geometry.name).to_dict("records")
            features = zip(frame.geometry.array, columns, strict=True)
            add_layer(layer, frame.crs, features, where, annotations, class_attribute)
    except reading_errors() as error:
        reason = " ".join(str(error).replace(str(path), "").split()).strip(" .:'")
        raise AnnotationError(
            f"{shown}: found outlines that cannot be read ({reason}); expected whole ones."
        ) from error


def _read_layer(path: Path, layer: str, driver: str, where: str) -> Any:
    import pyogrio

    info = pyogrio.read_info(path, layer=layer)
    if info["driver"] != driver:
        raise AnnotationError(f"{where}: found the format {info['driver']}; expected {driver}.")
    if not 0 <= info["features"] <= _MOST_FEATURES:
        raise AnnotationError(
            f"{where}: found {info['features']} features; expected at most {_MOST_FEATURES}."
        )
    frame = pyogrio.read_dataframe(path, layer=layer, on_invalid="ignore", force_2d=True)
    if frame.crs is None:
        raise AnnotationError(
            f"{where}: found no coordinate system; expected one in the file. Write it with `ogr2ogr "
            "-a_srs EPSG:...`."
        )
    if frame.geometry.isna().any():
        encoded = pyogrio.raw.read(path, layer=layer, columns=[], force_2d=True)[2]
        _check_all_read(frame, encoded, where)
    return frame


def _check_all_read(frame: Any, encoded: Sequence[Any], where: str) -> None:
    """Refuse a layer with a geometry in the file (WKB) but none in the frame."""
    for number, (geometry, wkb) in enumerate(zip(frame.geometry.array, encoded, strict=True), 1):
        if geometry is None and wkb is not None:
            raise AnnotationError(
                f"{where}: found an outline that cannot be read in feature {number}, such as a ring that is "
                "not closed; expected whole outlines. Repair it in a GIS."
            )


def read_geojson(document: Any, source: str, annotations: Annotations, class_attribute: str | None) -> None:
    """Add the outlines of a GeoJSON file, in degrees unless it names another coordinate system.

    Args:
        document: The parsed file.
        source: The file, for messages.
        annotations: Takes the outlines.
        class_attribute: The attribute that holds the class; None for the first of `CLASS_ATTRIBUTES`.

    Raises:
        AnnotationError: It holds no outlines, or one is damaged.
        MissingExtraError: geopandas is not installed.
    """
    require_geopandas("annotate")
    if document["type"] == "FeatureCollection":
        entries = value_of(document, "features", list, source)
    else:
        entries = [document]
    features = []
    for number, entry in enumerate(entries, 1):
        where = f"{source}, feature {number}"
        is_feature = isinstance(entry, dict) and entry.get("type") == "Feature"
        geometry = entry.get("geometry") if is_feature else entry
        properties = value_of(entry, "properties", dict, where, {}) if is_feature else {}
        features.append((_geometry(geometry, where), properties))
    name = str(document.get("name") or PurePosixPath(source).stem)
    add_layer(name, _crs(document, source), features, source, annotations, class_attribute)


def _geometry(geometry: Any, where: str) -> Any:
    import shapely

    if geometry is None:
        return None
    kind = geometry.get("type") if isinstance(geometry, dict) else geometry
    if not isinstance(geometry, dict) or not isinstance(kind, str) or kind not in _GEOJSON_KINDS:
        raise AnnotationError(f"{where}: found the geometry {str(kind)[:40]!r}; expected a Polygon.")
    try:
        return shapely.force_2d(shapely.from_geojson(json.dumps(geometry)))
    except shapely.errors.ShapelyError as error:
        reason = " ".join(str(error).split())
        raise AnnotationError(
            f"{where}: found an outline that cannot be read ({reason}); expected closed rings of "
            "coordinates. Repair it in a GIS."
        ) from None


def _crs(document: Any, source: str) -> Any:
    import pyproj

    given = document.get("crs")
    if given is None:
        return pyproj.CRS.from_epsg(4326)
    properties = given.get("properties") if isinstance(given, dict) else None
    name = str(properties.get("name")) if isinstance(properties, dict) else str(given)[:60]
    found = _GEOJSON_CRS.fullmatch(name)
    with suppress(pyproj.exceptions.CRSError):
        if found:
            return pyproj.CRS.from_user_input(f"{found[1].upper()}:{found[2]}")
    raise AnnotationError(
        f"{source}: found the coordinate system {name!r}; expected a code such as "
        "urn:ogc:def:crs:EPSG::32633."
    )


def add_layer(
    name: str,
    crs: Any,
    features: Iterable[Feature],
    where: str,
    annotations: Annotations,
    class_attribute: str | None,
) -> None:
    """Add features to annotations as a layer: valid polygons with their classes.

    Raises:
        AnnotationError: A coordinate is no number, or the class attribute is not there.
    """
    import shapely

    given = list(features)
    known = {key for _, properties in given for key in properties}
    attribute = _class_attribute(known, class_attribute, where)
    is_osm = attribute is None and is_from_osm(known)
    shapes = []
    for number, (geometry, properties) in enumerate(given, 1):
        attributes = {str(key): str(value) for key, value in properties.items() if not _is_missing(value)}
        label = attributes.get(attribute, "") if attribute else MINE_LABEL
        if is_osm:
            label = mining_label(attributes) or ""
        if geometry is None or geometry.is_empty:
            annotations.lost["shapes without geometry"] += 1
            continue
        as_points(shapely.get_coordinates(geometry), f"{where}, feature {number}")
        if not label:
            annotations.lost[
                "objects that OpenStreetMap does not call mines" if is_osm else "shapes without a class"
            ] += 1
            continue
        if "Polygon" not in geometry.geom_type and geometry.geom_type != "GeometryCollection":
            annotations.lost["lines" if "Line" in geometry.geom_type else "points"] += 1
            continue
        area = valid_area([geometry], annotations)
        if area is not None:
            shapes.append(Shape(label, number, area, attributes=attributes))
    annotations.layers.append(Layer(name, crs, tuple(shapes)))


def _class_attribute(known: set[str], wanted: str | None, where: str) -> str | None:
    if wanted is not None:
        if wanted not in known:
            names = ", ".join(sorted(known)) or "none"
            raise AnnotationError(f"{where}: found no attribute {wanted!r}; expected one of {names}.")
        return wanted
    by_name = {key.casefold(): key for key in known}
    return next((by_name[name] for name in CLASS_ATTRIBUTES if name in by_name), None)


def _is_missing(value: Any) -> bool:
    return value is None or value != value  # NaN and NaT differ from themselves
