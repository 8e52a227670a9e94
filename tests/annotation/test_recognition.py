"""Every format gives the masks drawn by hand, under any name; hostile files give a sentence."""

from __future__ import annotations

import copy
import json
import math
import shutil
import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from euromine.annotation.label_painting import Drawing, shape_mask
from euromine.annotation.layer_placing import place_layers
from euromine.annotation.recognition import read_annotations
from euromine.annotation.task_record import SiteGrid
from euromine.support.errors import AnnotationError

from .conftest import TRANSFORM, box

pytest.importorskip("geopandas")

ALL = {"excavation", "dumping_ground", "settling_pond", "infrastructure"}
# File -> the classes that it holds, and the format that it has to be recognised as.
FORMATS = {
    "cvat_for_images_1.1.xml": (ALL | {"ignore"}, "CVAT for images 1.1"),
    "coco_1.0.json": (ALL, "COCO 1.0"),
    "datumaro_1.0.json": (ALL, "Datumaro 1.0"),
    "segmentation_mask_1.1": (ALL, "Segmentation mask 1.1"),
    "label_studio.json": ({"excavation", "infrastructure"}, "Label Studio JSON"),
    "labels.gpkg": (ALL - {"settling_pond"}, "GeoPackage"),
    "labels.geojson": (ALL - {"settling_pond"}, "GeoJSON"),
}
GRID = SiteGrid(crs="EPSG:32633", transform=TRANSFORM[:6], height=12, width=16)


def masks(path: Path, year: int = 2021) -> dict[str, NDArray[np.bool_]]:
    """The pixels of each class of a year, also under other shapes."""
    annotations = read_annotations(path)
    whole = (0, 0, 12, 16)
    drawings = place_layers(annotations, {"Testmine": GRID}, None).drawings.get(("Testmine", year), [])
    drawings += [
        Drawing(each.name, each.shapes, whole, whole)
        for each in annotations.pictures
        if each.name.startswith(f"Testmine_{year}")
    ]
    found: dict[str, NDArray[np.bool_]] = {}
    for drawing in drawings:
        for shape in drawing.shapes:
            rows, columns, mask = shape_mask(shape.area, drawing)
            found.setdefault(shape.label, np.zeros((12, 16), bool))[rows, columns] |= mask
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_masks_drawn_by_hand(name, files, expected):
    classes, kind = FORMATS[name]
    expected = {label: expected[label].copy() for label in classes}
    if name == "segmentation_mask_1.1":  # pixels under other shapes are lost there
        expected["excavation"] &= ~(expected["dumping_ground"] | expected["settling_pond"])
    if name.startswith("labels."):  # polygons alone: the second part of the dumping ground was a mask
        expected["dumping_ground"][8:] = False
    found = masks(files / name)
    assert read_annotations(files / name).format == kind
    assert set(found) == classes
    for label, mask in expected.items():
        np.testing.assert_array_equal(found[label], mask, err_msg=label)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "segmentation_mask_1.1"])
def test_a_file_is_recognised_by_its_bytes_under_any_name(name, files, tmp_path):
    renamed = tmp_path / "drawings.tif"
    shutil.copyfile(files / name, renamed)
    expected = masks(files / name)
    found = masks(renamed)
    assert {label: mask.tolist() for label, mask in found.items()} == {
        label: mask.tolist() for label, mask in expected.items()
    }


@pytest.mark.parametrize("name", FORMATS)
def test_a_zip_of_a_file_reads_like_the_file(name, files, tmp_path):
    source = files / name
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(source.rglob("*")) if source.is_dir() else [source]:
            if file.is_file():
                archive.write(file, file.relative_to(source if source.is_dir() else source.parent))
        archive.writestr("images/Testmine_2021.png", b"\x89PNG not looked at")
    found, expected = masks(path), masks(source)
    assert set(found) == set(expected)
    assert all((found[label] == expected[label]).all() for label in expected)


def test_lines_and_tags_are_no_shapes(files):
    annotations = read_annotations(files / "cvat_for_images_1.1.xml")
    assert dict(annotations.lost) == {"lines": 1}
    first = annotations.pictures[0]
    assert first.tags == ("mine",)
    assert first.attributes == {"mine_type": "opencast", "material": "coal & lignite"}
    assert first.shapes[0].attributes == {"certain": "true"}


@pytest.mark.parametrize("name", ["entity_bomb.xml", "external_entity.xml"])
def test_xml_with_entities_is_refused(name, files):
    with pytest.raises(AnnotationError, match="found a document type in XML"):
        read_annotations(files / name)


BOMB = '<!DOCTYPE a [<!ENTITY x "10"><!ENTITY y "&x;&x;">]><annotations><image name="&y;"/></annotations>'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "found an empty file; expected annotations"),
        (BOMB.encode(), "found a document type in XML"),
        (BOMB.encode("utf-16"), "found a document type in XML"),
        (b"<annotations><image", "found damaged XML"),
        (b"<kml></kml>", "found XML that begins with <kml>; expected CVAT"),
        (b'<?xml version="1.0" encoding="nothing-like-this"?><annotations/>', "found damaged XML"),
        (b"<annotations><track id='0'/></annotations>", "found the tracks of a video"),
        (b"<annotations><image width='4' height='4'/></annotations>", "found a picture without a name"),
        (b"<annotations><image name='a.png' width='4'/></annotations>", "found nothing as height of <image>"),
        (
            b"<annotations><image name='a' width='99999' height='99999'/></annotations>",
            "99999 x 99999 pixels",
        ),
        (b"{", "found text that is not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"images": 4, "annotations": [], "categories": []}', "found 4 as images; expected a list"),
        (b'{"a": 1, "b": 2}', "found JSON with a, b; expected CVAT"),
        (b"[]", "found JSON with a list of 0"),
        (b'[{"id": 1, "annotator": 2, "image": "a.png"}]', "found Label Studio's JSON-MIN"),
        (b"II*\0 and more", "found a TIFF; expected CVAT"),
        (b"PAR1", "found a Parquet file; expected .* Save it as GeoPackage"),
        (b"\x89PNG\r\n", "found a picture; expected .* Name the folder or zip of the export"),
        (b"%PDF-1.7", "found a PDF"),
        (b"SQLite format 3\0" + b"\0" * 200, "found another format than GeoPackage"),
        (b"\x00\x00\x27\x0a" + b"\0" * 96 + b"\0\0\0\1", r"found no drawings\.shx beside it"),
        (b"once upon a time", "found a file of another kind"),
        (b"PK\x03\x04 torn", "found a zip that cannot be read"),
    ],
)
def test_other_files_are_answered_in_a_sentence(content, words, tmp_path):
    path = tmp_path / "drawings.any"
    path.write_bytes(content)
    with pytest.raises(AnnotationError, match=words) as caught:
        read_annotations(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_there_and_an_empty_folder_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="found nothing there; expected annotations"):
        read_annotations(tmp_path / "missing.xml")
    with pytest.raises(AnnotationError, match="found no annotations in it"):
        read_annotations(tmp_path)


def zipped(path: Path, name: str, data: bytes = b"{}", mode: int = 0) -> Path:
    member = zipfile.ZipInfo(name)
    member.external_attr = mode << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, data)
    return path


@pytest.mark.parametrize(
    "name", ["../../evil.xml", "/etc/evil.xml", "a/../../evil.xml", "C:/evil.xml", "a\\b.xml"]
)
def test_zips_with_paths_outside_of_them_are_refused(name, tmp_path):
    with pytest.raises(AnnotationError, match="expected paths inside the zip"):
        read_annotations(zipped(tmp_path / "evil.zip", name))


def test_zips_with_links_are_refused(tmp_path):
    path = zipped(tmp_path / "evil.zip", "annotations.xml", b"/etc/passwd", stat.S_IFLNK | 0o777)
    with pytest.raises(AnnotationError, match=r"found the link 'annotations\.xml' in it"):
        read_annotations(path)


def test_folders_with_links_are_refused(tmp_path):
    (tmp_path / "annotations.xml").symlink_to("/etc/passwd")
    with pytest.raises(AnnotationError, match="found a link; expected the files themselves"):
        read_annotations(tmp_path)


def declare_size(path: Path, size: int) -> Path:
    """Declare another size of a zip's only file in its directory."""
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\x01\x02") + 24
    data[place : place + 4] = struct.pack("<I", size)
    path.write_bytes(data)
    return path


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = declare_size(zipped(tmp_path / "bomb.zip", "a.xml", b"<annotations>"), 300 * 2**20)
    with pytest.raises(AnnotationError, match="found 300 MB; expected at most 256 MB"):
        read_annotations(path)


def test_a_zip_that_holds_more_than_it_says_is_not_read_further(tmp_path):
    path = declare_size(zipped(tmp_path / "bomb.zip", "a.xml", b"<annotations/>" + b" " * 10_000), 14)
    with pytest.raises(AnnotationError, match="found a zip that cannot be read"):
        read_annotations(path)


def test_two_formats_in_a_folder_are_not_mixed(tmp_path, cvat):
    cvat(box("mine", 1, 1, 4, 4))
    coco = {"images": [], "annotations": [], "categories": []}
    (tmp_path / "instances.json").write_text(json.dumps(coco))
    with pytest.raises(
        AnnotationError, match=r"found CVAT for images 1\.1 in annotations\.xml and COCO 1\.0"
    ):
        read_annotations(tmp_path)


@pytest.mark.parametrize(
    ("element", "words"),
    [
        ('<polygon label="a" points="1,2;x,4;5,6"/>', "found the points '1,2;x,4;5,6'; expected x,y;x,y"),
        ('<polygon label="a" points="1,2;nan,4;5,6"/>', "found points that are no numbers"),
        ('<polygon label="a"/>', "found the points ''"),
        ('<polygon points="0,0;4,0;4,4"/>', "found <polygon> without a label"),
        ('<box label="a" xtl="1" ytl="1" xbr="4"/>', "found nothing as ybr of <box>; expected a number"),
        ('<box label="a" xtl="1" ytl="1" xbr="4" ybr="4" z_order="top"/>', "found 'top' as z_order"),
        (
            '<mask label="a" rle="1, 2" left="0" top="0" width="2" height="2"/>',
            "found runs of 3 pixels in 2 x 2",
        ),
        ('<mask label="a" rle="5, -1" left="0" top="0" width="2" height="2"/>', "found runs of 4 pixels"),
        (
            '<mask label="a" rle="" left="0" top="0" width="2" height="2"/>',
            "found a run that is no whole number",
        ),
        ('<mask label="a" rle="4" left="0" top="0" width="9999999" height="9999999"/>', "9999999 x 9999999"),
        ('<blob label="a"/>', "found <blob>; expected polygon, box, ellipse, mask or tag"),
    ],
)
def test_a_damaged_shape_is_named(element, words, cvat):
    with pytest.raises(AnnotationError, match=words) as caught:
        read_annotations(cvat(element))
    assert "Testmine_2021.png, shape 1: " in str(caught.value)


def places(document: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The keys that lead to every value of a JSON document."""
    if place:
        yield place
    if isinstance(document, dict | list):
        pairs = document.items() if isinstance(document, dict) else enumerate(document)
        for key, value in pairs:
            yield from places(value, (*place, key))


STRANGE = [None, True, -1, 1e308, 10**40, math.nan, "", "x", [], {}, [[]], {"a": 1}, [1, 2]]


@pytest.mark.parametrize(
    "name", ["coco_1.0.json", "datumaro_1.0.json", "label_studio.json", "labels.geojson"]
)
def test_any_value_in_any_place_is_read_or_refused_in_a_sentence(name, files, tmp_path):
    whole = json.loads((files / name).read_text())
    path = tmp_path / "strange.json"
    sentences = []
    for number, place in enumerate(places(whole)):
        document = copy.deepcopy(whole)
        parent = document
        for key in place[:-1]:
            parent = parent[key]
        for strange in STRANGE[number % 4 :: 4]:
            parent[place[-1]] = strange
            path.write_text(json.dumps(document))
            try:
                read_annotations(path)
            except AnnotationError as error:
                sentences.append(str(error))
    assert len(sentences) > 50
    assert all(sentence.startswith(str(path)) and len(sentence) < 600 for sentence in sentences)
