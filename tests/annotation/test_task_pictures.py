"""Pictures for annotation tools: the labels that they start from come back from an export unchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from euromine.annotation import import_labels, read_annotations, task_pictures, write_tasks
from euromine.annotation.label_painting import Drawing, paint_year
from euromine.annotation.prelabels import LabelledPicture, write_coco, write_cvat
from euromine.dataset_script import Archive
from euromine.support.errors import AnnotationError, ArgumentError

from .conftest import read_label, write_images

pytest.importorskip("geopandas")

LABELS = arrays.arrays(
    np.uint8,
    st.tuples(st.integers(1, 14), st.integers(1, 17)),
    elements=st.sampled_from([0, 0, 1, 1, 1, 255]),
)
WRITERS = {"annotations.xml": write_cvat, "instances.json": write_coco}


@pytest.mark.parametrize("form", ["mask", "polygon"])
@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=40, deadline=None)
@given(label=LABELS, scale=st.sampled_from([1, 2, 4]))
def test_labels_come_back_from_both_formats_as_masks_and_polygons(name, form, label, scale, tmp_path_factory):
    """Also labels full of holes, of which polygons have none."""
    path = tmp_path_factory.mktemp("labels") / name
    WRITERS[name](path, [LabelledPicture("Testmine_2021.png", label)], scale, form)
    (picture,) = read_annotations(path).pictures
    height, width = label.shape
    assert picture.size == (height * scale, width * scale)
    whole = (0, 0, height, width)
    drawing = Drawing(picture.name, picture.shapes, whole, whole, scale)
    np.testing.assert_array_equal(paint_year([drawing], height, width).label, label)


@pytest.mark.parametrize("form", ["mask", "polygon"])
def test_cocos_tools_see_the_enlarged_label(form, tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    label = np.random.default_rng(3).choice([0, 1, 1, 255], (9, 11)).astype(np.uint8)
    path = tmp_path / "instances.json"
    write_coco(path, [LabelledPicture("a.png", label)], 4, form)
    theirs = coco.COCO(str(path))
    for category, value in ((1, 1), (2, 255)):
        found = np.zeros((36, 44), bool)
        for annotation in theirs.loadAnns(theirs.getAnnIds(catIds=[category])):
            mask = theirs.annToMask(annotation) > 0
            assert annotation["area"] == mask.sum()
            rows, columns = np.nonzero(mask)
            left, top, width, height = annotation["bbox"]
            assert (left, top) == (columns.min(), rows.min())
            assert (width, height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)
            found |= mask
        np.testing.assert_array_equal(found, np.kron(label == value, np.ones((4, 4), bool)))


def test_cvat_masks_are_read_by_rows_inside_their_box(tmp_path):
    from xml.etree import ElementTree

    label = np.random.default_rng(4).choice([0, 0, 1], (8, 9)).astype(np.uint8)
    write_cvat(tmp_path / "a.xml", [LabelledPicture("a.png", label)], 2, "mask")
    found = np.zeros((16, 18), bool)
    for mask in ElementTree.parse(tmp_path / "a.xml").iter("mask"):
        left, top, width, height = (int(mask.get(key)) for key in ("left", "top", "width", "height"))
        inside, place = False, 0
        for count in map(int, mask.get("rle").split(",")):
            for pixel in range(place, place + count):
                found[top + pixel // width, left + pixel % width] |= inside
            inside, place = not inside, place + count
        assert place == width * height
    np.testing.assert_array_equal(found, np.kron(label, np.ones((2, 2))) > 0)


@given(st.integers(1, 400), st.integers(1, 400), st.integers(40, 160))
def test_the_parts_of_pictures_that_count_cover_a_site_once(height, width, side):
    owned = np.zeros((height, width), int)
    for window, own in task_pictures.tiles(height, width, side).values():
        assert window[2] - window[0] <= side
        assert window[3] - window[1] <= side
        assert window[0] <= own[0] < own[2] <= window[2]
        assert window[1] <= own[1] < own[3] <= window[3]
        owned[own[0] : own[2], own[1] : own[3]] += 1
    assert (owned == 1).all()


def footprint_of(labels: dict[int, Any]) -> Any:
    return lambda _site, year: labels.get(year)


@pytest.mark.parametrize("form", ["mask", "polygon"])
@pytest.mark.parametrize("file", ["prelabels_cvat.xml", "prelabels_coco.json"])
def test_a_site_cut_into_pictures_comes_back_whole(file, form, tmp_path, monkeypatch):
    monkeypatch.setattr(task_pictures, "LARGEST_SIDE", 160)
    archive = write_images(tmp_path, size=(70, 101))
    waves = np.add.outer(np.sin(np.arange(70) / 5), np.cos(np.arange(101) / 7))
    labels = {2021: (waves > 0.4).astype(np.uint8)}
    labels[2021][40:48, 20:90] = 255
    summary = write_tasks(
        Archive(archive), tmp_path / "tasks", scale=2, form=form, footprint=footprint_of(labels)
    )
    assert (summary.sites, summary.years, summary.pictures) == (1, 2, 12)
    report = import_labels(tmp_path / "tasks" / file, archive)
    np.testing.assert_array_equal(read_label(archive, 2021), labels[2021])
    assert [each.year for each in report.years] == [2021]


def test_a_picture_shows_its_pixels_enlarged(tmp_path):
    archive = write_images(tmp_path)
    write_tasks(Archive(archive), tmp_path / "tasks", scale=8)
    pictures = sorted((tmp_path / "tasks" / "images").rglob("*.png"))
    assert [path.name for path in pictures].count("false_colour.png") == 2
    with Image.open(tmp_path / "tasks" / "images" / "Testmine_2021.png") as picture:
        assert (picture.mode, picture.size) == ("RGB", (16 * 8, 12 * 8))
        shown = np.asarray(picture.convert("RGB")).reshape(12, 8, 16, 8, 3)[:, 3:5, :, 3:5].mean(axis=(1, 3))
    with rasterio.open(archive / "Testmine" / "image" / "Year2021.tif") as dataset:
        red_green_blue = dataset.read([3, 2, 1])
    for band in range(3):
        pairs = np.corrcoef(shown[..., band].ravel(), red_green_blue[band].ravel())
        assert pairs[0, 1] > 0.95


def test_ground_without_data_is_grey_and_changes_no_contrast(tmp_path):
    archive = write_images(tmp_path / "whole")
    write_tasks(Archive(archive), tmp_path / "of_whole", scale=1)
    path = archive / "Testmine" / "image" / "Year2021.tif"
    with rasterio.open(path, "r+") as dataset:
        image = np.concatenate([dataset.read(), np.zeros((10, 20, 16), np.int16)], axis=1)
        profile = dataset.profile
    with rasterio.open(path, "w", **{**profile, "height": 32, "nodata": 0}) as dataset:
        dataset.write(image)
    (archive / "Testmine" / "image" / "Year2020.tif").unlink()
    write_tasks(Archive(archive), tmp_path / "of_part", scale=1)
    for name in ("Testmine_2021.png", "related_images/Testmine_2021_png/false_colour.png"):
        whole, part = (
            np.asarray(Image.open(tmp_path / folder / "images" / name)) for folder in ("of_whole", "of_part")
        )
        np.testing.assert_array_equal(part[:12], whole)
        assert (part[12:] == 128).all()


def test_pictures_of_some_years(tmp_path, archive):
    summary = write_tasks(Archive(archive), tmp_path / "tasks", years=[2021])
    assert (summary.years, summary.pictures) == (1, 1)
    with pytest.raises(ArgumentError, match=r"--years: found 2030; expected some of 2020, 2021"):
        write_tasks(Archive(archive), tmp_path / "other", years=[2030])
    assert not (tmp_path / "other").exists()


def test_cvat_gets_the_classes_as_labels(tmp_path):
    archive = write_images(tmp_path)
    (tmp_path / "classes.yaml").write_text("excavation: {value: 1, color: '#112233'}\ndam: 2\n")
    write_tasks(Archive(archive), tmp_path / "tasks", classes=tmp_path / "classes.yaml")
    labels = json.loads((tmp_path / "tasks" / "labels.json").read_text())
    assert [label["name"] for label in labels] == ["excavation", "dam", "ignore"]
    assert labels[0]["color"] == "#112233"
    assert all(label["attributes"] == [] for label in labels)


@pytest.fixture
def tasks(archive, tmp_path) -> Path:
    """Pictures of Testmine with a mine in 2021."""
    label = np.zeros((12, 16), np.uint8)
    label[2:6, 3:9] = 1
    write_tasks(Archive(archive), tmp_path / "tasks", footprint=footprint_of({2021: label}))
    return tmp_path / "tasks"


def test_pictures_on_another_grid_are_refused(tasks, archive):
    path = archive / "Testmine" / "image"
    for year in (2020, 2021):
        with rasterio.open(path / f"Year{year}.tif", "r+") as dataset:
            dataset.transform = rasterio.Affine(10, 0, 540_020, 0, -10, 5_260_000)
    with pytest.raises(AnnotationError, match=r"another grid than the archive's \(its transform changed\)"):
        import_labels(tasks / "prelabels_cvat.xml", archive)
    assert not (archive / "Testmine" / "label").exists()


def test_a_changed_image_on_the_same_grid_is_told(tasks, archive):
    with rasterio.open(archive / "Testmine" / "image" / "Year2021.tif", "r+") as dataset:
        dataset.write(dataset.read() + 1)
    report = import_labels(tasks / "prelabels_cvat.xml", archive)
    assert any("The image of Testmine in 2021 has changed" in note for note in report.notes)


@pytest.mark.parametrize("year", ["2021", "attribute:since"])
def test_years_come_from_the_record_or_a_rule_but_not_both(year, tasks, archive):
    with pytest.raises(ArgumentError, match=r"found \S+ with tasks\.json, .* Leave --year out"):
        import_labels(tasks / "prelabels_cvat.xml", archive, year=year)
    assert not (archive / "Testmine" / "label").exists()


def test_the_record_is_found_beside_the_file_or_named(tasks, archive, tmp_path):
    export = (tasks / "prelabels_cvat.xml").rename(tmp_path / "annotations.xml")
    with pytest.raises(
        FileNotFoundError, match=r"expected the tasks\.json that `euromine annotate tasks` wrote"
    ):
        import_labels(export, archive, tasks=tmp_path)
    export.write_text(export.read_text().replace('height="48"', 'height="36"'))
    with pytest.raises(AnnotationError, match=r"of 36 x 64 pixels; expected 48 x 64 as in tasks\.json"):
        import_labels(export, archive, tasks=tasks)
    text = export.read_text().replace('height="36"', 'height="48"')
    export.write_text(text.replace("Testmine_2021.png", "Testmine_2022.png"))
    with pytest.raises(
        AnnotationError, match=r"1 picture left out: tasks\.json does not list Testmine_2022\.png"
    ):
        import_labels(export, archive, tasks=tasks / "tasks.json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda record: record.update(scale="4"), 'found "4" in scale; expected a whole number'),
        (lambda record: record.pop("pictures"), "found no pictures"),
        (lambda record: record["pictures"][0].update(window=[0, 0, 99, 99]), "outside of its site"),
        (lambda record: record["pictures"][0].update(site="Nowhere"), "outside of its site"),
    ],
)
def test_a_damaged_record_is_refused(change, words, tasks, archive):
    record = json.loads((tasks / "tasks.json").read_text())
    change(record)
    (tasks / "tasks.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=words):
        import_labels(tasks / "prelabels_cvat.xml", archive)


def test_a_folder_with_files_is_left_alone(archive, tmp_path):
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "mine.txt").write_text("of the user")
    with pytest.raises(FileExistsError, match="found files in it; expected a new or an empty folder"):
        write_tasks(Archive(archive), folder)
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_nothing_is_left_of_pictures_that_could_not_be_made(archive, tmp_path):
    def fails(_site: Any, year: int) -> Any:
        raise ArgumentError(f"model: found trouble in {year}; expected none.")

    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ArgumentError):
        write_tasks(Archive(archive), tmp_path / "tasks", footprint=fails)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"scale": 0}, "--scale: found 0; expected 1 to 16"),
        ({"scale": 17}, "--scale: found 17"),
        ({"form": "lines"}, "--as: found 'lines'; expected mask or polygon"),
        (
            {"sites": ["Testmien"]},
            "--site: found 'Testmien'; expected a site of the archive, such as Testmine",
        ),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, words, archive, tmp_path):
    with pytest.raises(ArgumentError, match=words):
        write_tasks(Archive(archive), tmp_path / "tasks", **arguments)
