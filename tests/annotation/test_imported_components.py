"""Drawings of components become rows of a dataset, overlaps included."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from euromine.annotation import import_labels
from euromine.dataset_script.archive import Archive
from euromine.dataset_script.component_layers import ComponentLayers
from euromine.dataset_script.label_groups import COMPONENT_CLASSES, NOT_ANNOTATED, LabelGroups
from euromine.dataset_script.patch_rows import component_table
from euromine.dataset_script.scene_windows import patch_windows, read_windows
from euromine.dataset_script.shards import build_dataset
from euromine.support.errors import ArchiveError

from .conftest import box

pytest.importorskip("geopandas")

DRAWN = (
    box("Excavation", 2, 2, 12, 10)
    + box("dumping ground", 8, 4, 14, 8, z_order=1)
    + box("ignore", 0, 0, 2, 2, z_order=2)
)


@pytest.mark.parametrize("overlap", ["keep", "last"])
def test_drawings_are_read_back_as_bits(cvat: Callable[..., Path], archive, overlap, tmp_path):
    classes = tmp_path / "classes.json"
    classes.write_text('{"dumping_ground": 1, "excavation": 2, "dam": 3}')
    import_labels(cvat(DRAWN), archive, classes=classes, overlap=overlap)
    excavation, dump = (1 << COMPONENT_CLASSES.index(name) for name in ("excavation", "dumping_ground"))
    expected = np.zeros((12, 16), np.uint16)
    expected[2:10, 2:12] = excavation
    if overlap == "keep":
        expected[4:8, 8:14] |= dump
    else:
        expected[4:8, 8:14] = dump
    expected[:2, :2] = 1 << NOT_ANNOTATED
    site = Archive(archive).sites["Testmine"].labelled()
    with site.open() as scene, ComponentLayers(site, scene) as layers:
        np.testing.assert_array_equal(layers.read_components(2021), expected)
        assert layers.annotated(2021) == ("excavation", "dumping_ground", "dam")
        window = next(patch_windows(scene))
        (bits,) = read_windows(scene, (2021,), layers.read_components, pixel_bytes=2)
        (radar,) = read_windows(scene, (2021,), layers.read_radar, pixel_bytes=4)
        (row,) = component_table(scene, layers, window, bits, radar, 7).to_pylist()
    assert (row["row"], row["year"], row["radar"], row["mine_type"]) == (7, 2021, None, None)
    # Without drawings of preparatory works, a group with them is unknown.
    maps = LabelGroups.preset().maps(expected, row["annotated"])
    assert (maps[0] == 255).all()
    np.testing.assert_array_equal(maps[-1] == 1, (expected & 0xFFF) > 0)


def test_classes_of_other_names_are_built_without_components(cvat: Callable[..., Path], archive, tmp_path):
    classes = tmp_path / "classes.json"
    classes.write_text('{"pit": 1}')
    import_labels(cvat(box("pit", 2, 2, 8, 6)), archive, classes=classes)
    splits = tmp_path / "splits.json"
    splits.write_text(json.dumps({"train": ["Testmine"], "validation": [], "test": []}))
    options = {"splits": splits, "skip_unlabelled": True, "workers": 1, "progress": False}
    with pytest.raises(
        ArchiveError, match=r"found the class 'pit'; .* `euromine build --skip-components` lea"
    ):
        build_dataset(archive, tmp_path / "a", **options)
    folder = build_dataset(archive, tmp_path / "b", skip_components=True, **options)
    assert sorted(path.name for path in (folder / "data").iterdir()) == ["annual", "series"]
