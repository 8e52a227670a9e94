"""Rasters of components in both encodings are the same bits; others are refused in a sentence."""

from __future__ import annotations

import json
import zipfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from euromine.dataset_script.archive_writing import write_components
from euromine.dataset_script.component_files import read_components
from euromine.dataset_script.label_groups import COMPONENT_CLASSES, NOT_ANNOTATED
from euromine.dataset_script.site_facts import SiteFacts, read_site_facts
from euromine.support.errors import ArchiveError, DataError

PLACE = {"crs": "EPSG:32633", "transform": (10, 0, 500_000, 0, -10, 5_000_000)}
VALUES = {"Dumping ground": 1, "dam": 3, "excavation": 2}


def written(path: Path, array: np.ndarray, values: dict[str, int]) -> Path:
    with ExitStack() as files:
        write_components(files, path, array, values=values, colours=dict.fromkeys(values, "#ff0000"), **PLACE)
    return path


def test_both_encodings_are_the_same_bits(tmp_path):
    values = np.array([[0, 1, 2, 3, 255]], np.uint8)
    bits = np.array([[0, 0b001, 0b010, 0b100, 1 << 15]], np.uint16)
    bit_of = {name: 1 << COMPONENT_CLASSES.index(name) for name in COMPONENT_CLASSES}
    expected = [[0, bit_of["dumping_ground"], bit_of["excavation"], bit_of["dam"], 1 << NOT_ANNOTATED]]
    for number, array in enumerate((values, bits)):
        read, classes = read_components(written(tmp_path / f"{number}.tif", array, VALUES))
        assert (read.dtype, read.tolist()) == (np.uint16, expected)
        assert classes == ("dumping_ground", "dam", "excavation")


def test_a_pixel_keeps_all_of_its_classes(tmp_path):
    random = np.random.default_rng(0)
    truth = random.integers(0, 1 << 12, (30, 40)).astype(np.uint16)
    order = dict(zip(random.permutation(COMPONENT_CLASSES).tolist(), range(1, 13), strict=True))
    stored = sum(
        ((truth >> place & 1) << (order[name] - 1)).astype(np.uint16)
        for place, name in enumerate(COMPONENT_CLASSES)
    )
    np.testing.assert_array_equal(read_components(written(tmp_path / "a.tif", stored, order))[0], truth)


def plain(path: Path, array: np.ndarray, **tags: str) -> Path:
    bands = array if array.ndim == 3 else array[None]
    profile = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2], "dtype": bands.dtype}
    with rasterio.open(
        path, "w", driver="GTiff", transform=Affine(10, 0, 0, 0, -10, 0), **profile
    ) as dataset:
        dataset.update_tags(**tags)
        dataset.write(bands)
    return path


def test_bits_without_tags_are_those_of_the_contract(tmp_path):
    bits = np.uint16([[0, 1 << 11, 1 << 15]])
    read, classes = read_components(plain(tmp_path / "a.tif", bits))
    assert (read.tolist(), classes) == (bits.tolist(), COMPONENT_CLASSES)


@pytest.mark.parametrize(
    ("array", "tags", "words"),
    [
        (np.uint8([[1]]), {}, "found uint8 without the tag CLASSES; expected one band, of uint16"),
        (np.float32([[1]]), {}, "found 1 x float32; expected components in one band"),
        (np.zeros((2, 1, 1), np.uint16), {}, "found 2 x uint16"),
        (np.uint16([[1]]), {"ENCODING": "values"}, "found 1 x uint16 and the tag ENCODING=values"),
        (
            np.uint16([[1 << 13]]),
            {},
            r"found bit 13; expected those of its classes \(0 preparatory_.*, 11 ",
        ),
        (
            np.uint16([[1 << 3 | 1 << 4]]),
            {"CLASSES": '{"dam": 3}'},
            r"found bits 3 and 4; expected those of its classes \(2 dam\)",
        ),
        (
            np.uint8([[7]]),
            {"CLASSES": '{"dam": 1}'},
            r"found the value 7; expected those of its classes \(1 d",
        ),
        (
            np.uint8([[1]]),
            {"CLASSES": '{"damm": 1}'},
            "found the class 'damm'; expected .* dam is the nearest",
        ),
        (np.uint8([[1]]), {"CLASSES": '{"dam": 1, "Dam": 2}'}, "found dam or the value 2 twice"),
        (np.uint8([[1]]), {"CLASSES": '{"dam": 1, "outcrop": 1}'}, "found outcrop or the value 1 twice"),
        (np.uint8([[1]]), {"CLASSES": '{"dam": 255}'}, "no JSON of names and values of 1 to 254"),
        (np.uint8([[1]]), {"CLASSES": "["}, "no JSON of names and values"),
    ],
)
def test_other_rasters_are_refused_in_a_sentence(array, tags, words, tmp_path):
    path = plain(tmp_path / "a.tif", array, **tags)
    with pytest.raises(ArchiveError, match=words) as error:
        read_components(path)
    assert str(error.value).startswith(f"{path}: found ")


def test_facts_of_a_site_are_read_from_a_folder_and_a_zip(tmp_path):
    text = json.dumps({"mine_type": "open-pit", "material": "coal", "annotated": ["Dam", "outcrop"]})
    (tmp_path / "site.json").write_text(text)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        opened.writestr("EuroMineNet/A_1/site.json", text)
    expected = SiteFacts(mine_type="open-pit", material="coal", annotated=("dam", "outcrop"))
    assert read_site_facts(tmp_path, "site.json") == expected
    assert read_site_facts(tmp_path / "a.zip", "EuroMineNet/A_1/site.json") == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"mine_type": "openpit"}', "mine_type: found 'openpit'; expected .* open-pit is the nearest"),
        ('{"material": "coals"}', "material: found 'coals'; expected coal, rock, metal or null"),
        ('{"annotated": ["damm"]}', "annotated: found the class 'damm'; expected .* dam is the nearest"),
        ('{"annotated": ["dam", "Dam"]}', "annotated: found no class or one twice"),
        ('{"annotated": "dam"}', 'found "dam" in annotated; expected a list'),
        ("{", "site.json: found"),
    ],
)
def test_facts_that_cannot_be_used_are_refused_in_a_sentence(text, words, tmp_path):
    (tmp_path / "site.json").write_text(text)
    with pytest.raises(DataError, match=words):
        read_site_facts(tmp_path, "site.json")
