"""Label Studio: boxes that are turned, painted masks, and tasks that were annotated twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from euromine.annotation import import_labels, read_annotations
from euromine.support.errors import AnnotationError

from .conftest import read_label

pytest.importorskip("shapely")


def region(value: dict[str, Any], **fields: Any) -> dict[str, Any]:
    size = {"original_width": 16, "original_height": 12, "image_rotation": 0}
    return {"id": "a", "type": "region", **size, "value": value, **fields}


def export(folder: Path, *results: list[dict[str, Any]], **fields: Any) -> Path:
    annotations = [{"id": n, "result": result, **fields} for n, result in enumerate(results, 1)]
    task = {
        "id": 1,
        "data": {"image": "/data/upload/1/0a1b2c3d-Testmine_2021.png"},
        "annotations": annotations,
    }
    path = folder / "export.json"
    path.write_text(json.dumps([task]))
    return path


def packed(mask: NDArray[np.bool_], rng: np.random.Generator) -> list[int]:
    """The bytes of a painted mask: pixels of RGBA, written as runs and as plain values in turns."""
    values = np.repeat(mask.ravel().astype(np.uint8) * 255, 4)
    bits = f"{values.size:032b}{7:05b}" + "".join(f"{length - 1:04b}" for length in (3, 4, 8, 16))
    place = 0
    while place < values.size:
        same = 1
        while place + same < values.size and values[place + same] == values[place]:
            same += 1
        if same > 1 and rng.random() < 0.8:
            count, head, tail = min(same, 2**16), "1", f"{values[place]:08b}"
        else:
            count, head = min(int(rng.integers(1, 9)), values.size - place), "0"
            tail = "".join(f"{value:08b}" for value in values[place : place + count])
        choice = next(n for n, length in enumerate((3, 4, 8, 16)) if count - 1 < 2**length)
        bits += f"{head}{choice:02b}{count - 1:0{(3, 4, 8, 16)[choice]}b}{tail}"
        place += count
    bits += "0" * (-len(bits) % 8)
    return [int(bits[n : n + 8], 2) for n in range(0, len(bits), 8)]


@pytest.mark.parametrize("seed", range(6))
def test_a_painted_mask_is_unpacked(seed, archive, tmp_path):
    rng = np.random.default_rng(seed)
    mask = np.add.outer(rng.normal(size=12), rng.normal(size=16)) > 0.3
    brush = region({"format": "rle", "rle": packed(mask, rng), "brushlabels": ["pit"]})
    import_labels(export(tmp_path, [brush]), archive)
    np.testing.assert_array_equal(read_label(archive, 2021), mask)


def test_a_box_turns_about_its_upper_left_corner(archive, tmp_path):
    """A box of 6 x 2 pixels at column 8, row 3, turned by a right angle, hangs down to its left."""
    value = {"x": 50, "y": 25, "width": 37.5, "height": 100 / 6, "rotation": 90, "rectanglelabels": ["pit"]}
    import_labels(export(tmp_path, [region(value)]), archive)
    expected = np.zeros((12, 16), np.uint8)
    expected[3:9, 6:8] = 1
    np.testing.assert_array_equal(read_label(archive, 2021), expected)


def test_an_ellipse_has_its_area(archive, tmp_path):
    value = {"x": 50, "y": 50, "radiusX": 31.25, "radiusY": 100 / 3, "ellipselabels": ["pit"]}
    import_labels(export(tmp_path, [region(value)]), archive)
    rows, columns = np.mgrid[:12, :16] + 0.5
    inside = ((columns - 8) / 5) ** 2 + ((rows - 6) / 4) ** 2
    label = read_label(archive, 2021)
    assert (label[inside < 0.99] == 1).all()
    assert not label[inside > 1.01].any()


def test_the_last_annotation_of_a_task_counts_and_is_told(archive, tmp_path):
    first = {"points": [[0, 0], [50, 0], [50, 50]], "polygonlabels": ["pit"]}
    last = {"points": [[0, 0], [25, 0], [25, 50], [0, 50]], "polygonlabels": ["pit"]}
    report = import_labels(export(tmp_path, [region(first)], [region(last)]), archive)
    assert read_label(archive, 2021).sum() == 24
    assert report.notes == ("Testmine_2021.png was annotated 2 times; the last one counts.",)


def test_what_was_skipped_or_has_no_class_is_told(archive, tmp_path):
    bare = region({"points": [[0, 0], [50, 0], [50, 50]]}, id="b")
    line = region({"vertices": [], "labels": ["pit"]}, id="c")
    annotations = read_annotations(export(tmp_path, [bare, line, region({"choices": ["good"]}, id="d")]))
    assert dict(annotations.lost) == {"shapes without a class": 1, "points and lines": 1}
    skipped = read_annotations(export(tmp_path, [bare], was_cancelled=True))
    assert skipped.notes == ["Testmine_2021.png has no annotation that was submitted and is left out."]


BRUSH = {"format": "rle", "brushlabels": ["pit"]}


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (region({**BRUSH, "rle": [0, 0, 3]}), "a painted mask that ends early"),
        (
            region({**BRUSH, "rle": [255] * 30}),
            "a painted mask of 4294967295 values; expected 768 bytes for 12 x 16",
        ),
        (region({**BRUSH, "rle": [256]}), "a painted mask that is no list of bytes"),
        (region({**BRUSH, "rle": [0, 0, 3, 0, 63, 255]}), "a painted mask that ends early"),
        (region({"points": [[0, 0], [1]], "polygonlabels": ["pit"]}), "found points that are no numbers"),
        (
            region({"points": [[0, 0]] * 3, "polygonlabels": ["pit"]}, image_rotation=90),
            "found a turned picture",
        ),
        (
            region({"x": 1, "width": 4, "rectanglelabels": ["pit"]}, original_width=10**9),
            "12 x 1000000000 pixels",
        ),
        ({"id": "a", "value": {"points": [], "polygonlabels": ["pit"]}}, "found no original_height"),
    ],
)
def test_a_damaged_region_is_named(result, words, tmp_path):
    with pytest.raises(AnnotationError, match=words) as caught:
        read_annotations(export(tmp_path, [result]))
    assert "task 1, region 1: " in str(caught.value)


def test_a_task_without_a_picture_is_named(tmp_path):
    path = export(tmp_path, [])
    path.write_text(path.read_text().replace(".png", ".wav"))
    with pytest.raises(AnnotationError, match="task 1: found no picture in its data"):
        read_annotations(path)
