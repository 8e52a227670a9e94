"""Read an annotation file of any supported format, recognised by its bytes; its name does not count."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any

from euromine.support.errors import AnnotationError
from euromine.support.xml_documents import parse_xml

from . import coco_json, cvat_xml, datumaro_json, label_studio_json, osm_outlines, segmentation_masks
from .annotated_shapes import Annotations
from .annotation_sources import Source, open_source
from .json_reading import parse_json
from .vector_labels import read_geojson, read_geopackage, read_shapefile

EXPECTED = (
    "CVAT for images, COCO, Segmentation mask, Datumaro, Label Studio, GeoPackage, GeoJSON, a shapefile or "
    "OpenStreetMap"
)

_GEOPACKAGE_HEAD, _SHAPE_HEAD = b"SQLite format 3\0", b"\x00\x00\x27\x0a"
_LARGEST_GEOPACKAGE = 2 * 2**30
# Files that people pick by mistake, by their first bytes.
_OTHERS = {
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x03": "the table of a shapefile",
}
_ADVICE = {
    "a TIFF": " A label that is a GeoTIFF already belongs into the archive's label/ folder.",
    "a Parquet file": " Save it as GeoPackage.",
    "the table of a shapefile": " Name its .shp.",
    "a picture": " Name the folder or zip of the export.",
}


def read_annotations(path: str | os.PathLike[str], *, class_attribute: str | None = None) -> Annotations:
    """Read the shapes of an annotation file.

    Args:
        path: An export of CVAT (for images 1.1, COCO 1.0, Segmentation mask 1.1, Datumaro 1.0) or Label
            Studio (JSON), a GeoPackage, shapefile or GeoJSON, or OpenStreetMap data: a file, its zip or its
            folder, of any name.
        class_attribute: The attribute of outlines that holds their class; None for the first of "class",
            "label", "class_name", "category" and "component", else OpenStreetMap's tags.

    Returns:
        Pictures with their shapes, or outlines on the ground, and the number of shapes left out by reason.

    Raises:
        AnnotationError: It is none of these, damaged or hostile.
        FileNotFoundError: There is no such file.
        MissingExtraError: The extra `annotate` is not installed.
    """
    with ExitStack() as files:
        source = open_source(Path(path), files)
        annotations = Annotations(str(path), "")
        label_map = _label_map(source)
        if label_map is not None:
            annotations.format = segmentation_masks.FORMAT
            segmentation_masks.read_segmentation_masks(source, label_map, annotations)
            return annotations
        found = []
        for name in source.sizes:
            kind = _kind(source.head(name), source.sizes[name])
            if kind:
                before = annotations.format
                _read(source, name, kind, annotations, class_attribute)
                found.append(name)
                if before and before != annotations.format:
                    raise AnnotationError(
                        f"{path}: found {before} in {found[0]} and {annotations.format} in {name}; expected "
                        "one format at a time."
                    )
        if not found:
            raise _unknown(source)
    return annotations


def _label_map(source: Source) -> str | None:
    names = [name for name in source.sizes if PurePosixPath(name).name == segmentation_masks.LABEL_MAP]
    if len(names) > 1:
        raise AnnotationError(
            f"{source.path}: found {len(names)} files {segmentation_masks.LABEL_MAP}; expected one export."
        )
    return names[0] if names else None


def _kind(head: bytes, size: int) -> str | None:
    """The kind of a file by its first bytes: "geopackage", "shapefile", "xml", "json" or None."""
    if head.startswith(_GEOPACKAGE_HEAD):
        return "geopackage"
    if head.startswith(_SHAPE_HEAD):
        # A .shx begins alike; its first record is an offset, that of a .shp the number 1.
        return "shapefile" if size == 100 or head[100:104] == b"\0\0\0\1" else None
    text = head.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")
    if text.startswith(b"<"):
        return "xml"
    return "json" if text.startswith((b"{", b"[")) else None


def _read(
    source: Source, name: str, kind: str, annotations: Annotations, class_attribute: str | None
) -> None:
    where = source.named(name)
    if kind == "geopackage":
        annotations.format = "GeoPackage"
        _geopackage(source, name, annotations, class_attribute)
    elif kind == "shapefile":
        annotations.format = "shapefile"
        read_shapefile(source, name, annotations, class_attribute)
    elif kind == "xml":
        root = parse_xml(source.read(name), where, AnnotationError)
        if root.tag == "annotations":
            annotations.format = cvat_xml.FORMAT
            cvat_xml.read_cvat(root, where, annotations)
        elif root.tag == "osm":
            annotations.format = osm_outlines.FORMAT
            osm_outlines.read_osm_xml(root, where, annotations, class_attribute)
        else:
            raise AnnotationError(
                f"{where}: found XML that begins with <{root.tag[:40]}>; expected {EXPECTED}."
            )
    else:
        _read_json(parse_json(source.read(name), where), where, annotations, class_attribute)


def _geopackage(source: Source, name: str, annotations: Annotations, class_attribute: str | None) -> None:
    if source.kind != "zip":
        path = source.path if source.kind == "file" else source.path / name
        read_geopackage(path, annotations, class_attribute)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{PurePosixPath(name).stem or 'labels'}.gpkg"
        path.write_bytes(source.read(name, _LARGEST_GEOPACKAGE))
        read_geopackage(path, annotations, class_attribute)


def _read_json(document: Any, where: str, annotations: Annotations, class_attribute: str | None) -> None:
    keys = set(document) if isinstance(document, dict) else set()
    tasks = document if isinstance(document, list) else [document]
    first = tasks[0] if tasks and isinstance(tasks[0], dict) else {}
    if {"images", "annotations", "categories"} <= keys:
        annotations.format = coco_json.FORMAT
        coco_json.read_coco(document, where, annotations)
    elif {"categories", "items"} <= keys:
        annotations.format = datumaro_json.FORMAT
        datumaro_json.read_datumaro(document, where, annotations)
    elif {"data", "annotations"} <= set(first):
        annotations.format = label_studio_json.FORMAT
        label_studio_json.read_label_studio(tasks, where, annotations)
    elif "elements" in keys:
        annotations.format = osm_outlines.FORMAT
        osm_outlines.read_overpass(document, where, annotations, class_attribute)
    elif isinstance(document, dict) and isinstance(document.get("type"), str):
        annotations.format = "GeoJSON"
        read_geojson(document, where, annotations, class_attribute)
    elif "annotator" in first:
        raise AnnotationError(
            f"{where}: found Label Studio's JSON-MIN, which lacks the pictures' sizes; expected JSON. Export "
            "it as JSON."
        )
    else:
        named = ", ".join(sorted(map(str, keys))[:6]) or f"a list of {len(tasks)}"
        raise AnnotationError(f"{where}: found JSON with {named}; expected {EXPECTED}.")


def _unknown(source: Source) -> AnnotationError:
    if source.kind != "file":
        return AnnotationError(f"{source.path}: found no annotations in it; expected {EXPECTED}.")
    head = source.head(source.path.name)
    kind = next((words for sign, words in _OTHERS.items() if head.startswith(sign)), "a file of another kind")
    return AnnotationError(f"{source.path}: found {kind}; expected {EXPECTED}.{_ADVICE.get(kind, '')}")
