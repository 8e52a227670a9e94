"""Annotations become labels of an archive: all of them or none, on the grid of the image."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from euromine.annotation import import_labels
from euromine.dataset_script import Archive
from euromine.support.errors import AnnotationError, ArchiveError, ArgumentError

from .conftest import TRANSFORM, box, read_label, write_images

pytest.importorskip("geopandas")

Cvat = Callable[..., Path]
MINE = box("mine", 2, 2, 8, 6)


def names(archive: Path) -> list[str]:
    return sorted(str(path.relative_to(archive)) for path in archive.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "name",
    [
        "cvat_for_images_1.1.xml",
        "coco_1.0.json",
        "datumaro_1.0.json",
        "segmentation_mask_1.1",
        "label_studio.json",
        "labels.gpkg",
        "labels.geojson",
    ],
)
def test_labels_are_the_union_of_the_classes_drawn_by_hand(name, files, expected, archive):
    classes = set(expected) - {"ignore"}
    if name.startswith("labels."):
        expected["dumping_ground"] = expected["dumping_ground"] & (np.arange(12) < 8)[:, None]
        classes.remove("settling_pond")
    if name == "label_studio.json":
        classes = {"excavation", "infrastructure"}
    label = np.any([expected[label] for label in classes], axis=0).astype(np.uint8)
    if name.startswith("cvat"):
        label[expected["ignore"]] = 255
    report = import_labels(files / name, archive)
    np.testing.assert_array_equal(read_label(archive, 2021), label)
    year = next(each for each in report.years if each.year == 2021)
    assert (year.mine_pixels, year.ignored_pixels) == ((label == 1).sum(), (label == 255).sum())
    # 100 m2 a pixel in the projection, whose scale is .9996 on the middle meridian, some 40 km away.
    assert year.mine_ha == pytest.approx(year.mine_pixels / 100 / 0.9996**2, rel=1e-4)


def test_a_label_makes_a_site_a_labelled_one(cvat: Cvat, archive):
    assert Archive(archive).sites["Testmine"].labelled_years == ()
    import_labels(cvat(MINE + box("ignore", 10, 0, 16, 12)), archive)
    site = Archive(archive).sites["Testmine"]
    assert site.labelled_years == (2021,)
    with site.open() as scene:
        label = scene.read_label(2021)
    assert label[3, 3] == 1
    assert label[0, 0] == 0
    assert (label[:, 10:] == 255).all()


def test_a_label_has_the_georeferencing_of_its_image(cvat: Cvat, archive):
    import_labels(cvat(MINE), archive)
    with rasterio.open(archive / "Testmine" / "label" / "Year2021.tif") as dataset:
        assert (dataset.crs, dataset.transform) == ("EPSG:32633", TRANSFORM)
        assert (dataset.dtypes, dataset.nodata) == (("uint8",), 255)


def without_data(archive: Path, year: int, rows: slice, columns: slice) -> None:
    """Clear a part of an image, as at the edge of a swath."""
    with rasterio.open(archive / "Testmine" / "image" / f"Year{year}.tif", "r+") as dataset:
        image = dataset.read()
        image[:, rows, columns] = 0
        dataset.write(image)
        dataset.nodata = 0


def test_ground_without_an_image_is_255(cvat: Cvat, archive, tmp_path):
    without_data(archive, 2021, slice(None), slice(5, 16))
    report = import_labels(cvat(MINE), archive)  # MINE is on rows 2 to 5 and columns 2 to 7
    label = read_label(archive, 2021)
    expected = np.zeros((12, 16), np.uint8)
    expected[2:6, 2:5] = 1
    expected[:, 5:] = 255
    np.testing.assert_array_equal(label, expected)
    (year,) = report.years
    assert (year.mine_pixels, year.ignored_pixels) == (12, 12 * 11)
    assert report.notes == (
        "The image of Testmine in 2021 has no data on 68.8% of the site: 255 in the label, even where mines "
        "were drawn (12 pixels).",
    )
    (tmp_path / "classes.json").write_text('{"mine": 3}')
    for overlap, kind, value, ignored in (("last", np.uint8, 3, 255), ("keep", np.uint16, 4, 2**15)):
        import_labels(cvat(MINE), archive, classes=tmp_path / "classes.json", overlap=overlap, replace=True)
        components = read_label(archive, 2021, kind="components")
        assert components.dtype == kind
        marked = np.where(expected == 255, ignored, np.where(expected == 1, value, 0))
        np.testing.assert_array_equal(components, marked)


def test_ground_to_ignore_alone_is_read_back_as_such(cvat: Cvat, archive):
    import_labels(cvat(box("ignore", 0, 0, 4, 4)), archive)
    with Archive(archive).sites["Testmine"].open() as scene:
        assert np.unique(scene.read_label(2021)).tolist() == [0, 255]


def test_labels_that_are_there_are_replaced_only_when_asked(cvat: Cvat, archive):
    import_labels(cvat(MINE), archive)
    path = archive / "Testmine" / "label" / "Year2021.tif"
    before = path.read_bytes()
    other = cvat(box("mine", 0, 0, 2, 2))
    with pytest.raises(AnnotationError, match=r"Year2021\.tif: found a label there already; .* --replace"):
        import_labels(other, archive)
    assert path.read_bytes() == before
    import_labels(other, archive, replace=True)
    assert read_label(archive, 2021).sum() == 4


def test_all_labels_appear_or_none(files, archive):
    """The label of 2021 exists, so that of 2020, which comes first, is not written either."""
    import_labels(files / "datumaro_1.0.json", archive)
    before = names(archive)
    with pytest.raises(AnnotationError, match="Year2021"):
        import_labels(files / "cvat_for_images_1.1.xml", archive)
    assert names(archive) == before


def test_a_full_disk_leaves_the_old_labels(files, archive):
    import_labels(files / "coco_1.0.json", archive)
    folder = archive / "Testmine" / "label"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
    try:
        with pytest.raises(OSError, match="could not be written in full"):
            import_labels(files / "cvat_for_images_1.1.xml", archive, replace=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_labels_of_other_names_keep_them(cvat: Cvat, archive):
    import_labels(cvat(MINE), archive)
    folder = archive / "Testmine"
    (folder / "label").rename(folder / "Labels")
    (folder / "Labels" / "Year2021.tif").rename(folder / "Labels" / "label_2021.tif")
    import_labels(cvat(box("mine", 0, 0, 2, 2)), archive, replace=True)
    import_labels(cvat(MINE, name="Testmine_2020.png"), archive)
    assert sorted(path.name for path in (folder / "Labels").iterdir()) == ["Year2020.tif", "label_2021.tif"]
    assert Archive(archive).sites["Testmine"].labelled_years == (2020, 2021)


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        (
            "Testmine_2021.png",
            (13, 16),
            "of 13 x 16 pixels; expected 12 x 16 as its site, or a whole multiple",
        ),
        ("Testmine_2021.png", (48, 16), "of 48 x 16 pixels"),
        ("Testmine_2021.png", (6, 8), "of 6 x 8 pixels"),
        (
            "Tetsmine_2021.png",
            (12, 16),
            "1 picture left out: the archive has no site 'Tetsmine'. The nearest is Testmine",
        ),
        ("Testmine_2019.png", (12, 16), "Testmine has no image of 2019"),
        ("Testmine.png", (12, 16), "its name holds no year. Name it SITE_YEAR.png, or use --year"),
    ],
)
def test_pictures_that_fit_no_image_are_refused(name, size, words, cvat: Cvat, archive):
    with pytest.raises(AnnotationError) as caught:
        import_labels(cvat(MINE, name=name, size=size), archive)
    assert words in str(caught.value)
    assert not (archive / "Testmine" / "label").exists()


def test_enlarged_pictures_are_brought_to_the_pixels_of_their_site(cvat: Cvat, archive):
    shape = '<polygon label="pit" points="8,8;32,8;32,24;8,24"/>'
    import_labels(cvat(shape, size=(48, 64)), archive)
    expected = np.zeros((12, 16), np.uint8)
    expected[2:6, 2:8] = 1
    np.testing.assert_array_equal(read_label(archive, 2021), expected)


@pytest.mark.parametrize("folder", ["", "images/", "C:\\pictures\\"])
def test_the_folders_of_a_picture_do_not_count(folder, cvat: Cvat, archive):
    assert import_labels(cvat(MINE, name=f"{folder}Testmine_2021.png"), archive).years[0].year == 2021


def test_a_year_can_be_given_or_come_from_an_attribute(cvat: Cvat, archive):
    attribute = '<attribute name="since">2020-05-01</attribute>'
    tagged = MINE + f'<tag label="date">{attribute}</tag>'
    assert import_labels(cvat(MINE, name="Testmine.png"), archive, year="2021").years[0].year == 2021
    report = import_labels(cvat(tagged, name="Testmine.png"), archive, year="attribute:since")
    assert [each.year for each in report.years] == [2020]
    own = box("mine", 0, 0, 2, 2).replace("></box>", f">{attribute}</box>") + box("mine", 4, 4, 6, 6)
    report = import_labels(cvat(own, name="Testmine.png"), archive, year="attribute:since", replace=True)
    assert report.lost == {"shapes without a year in their attribute since": 1}
    assert read_label(archive, 2020).sum() == 4


def test_pictures_of_two_years_never_become_one_label(cvat: Cvat, archive):
    export = cvat(MINE)
    text = export.read_text()
    picture = text[text.index("<image") : text.index("</annotations>")]
    export.write_text(text.replace(picture, picture + picture.replace("_2021", "_2020")))
    with pytest.raises(
        AnnotationError, match=r"found Testmine_2021\.png and Testmine_2020\.png, both of Testmine in 2021"
    ):
        import_labels(export, archive, year="2021")
    assert not (archive / "Testmine" / "label").exists()
    assert [each.year for each in import_labels(export, archive).years] == [2020, 2021]


def test_parts_of_a_site_ask_for_their_record(cvat: Cvat, archive):
    with pytest.raises(AnnotationError, match=r"Testmine_2021_r1c2 shows a part of a site\. .* --tasks"):
        import_labels(cvat(MINE, name="Testmine_2021_r1c2.png"), archive)


def test_pictures_without_shapes_are_left_out_unless_they_are_empty(cvat: Cvat, archive):
    with pytest.raises(AnnotationError, match=r"Left out without shapes: Testmine 2021. .* use --empty"):
        import_labels(cvat(""), archive)
    report = import_labels(cvat(""), archive, empty=True)
    assert report.years[0].mine_pixels == 0
    assert not read_label(archive, 2021).any()


def test_shapes_that_cover_nothing_make_no_label(cvat: Cvat, archive):
    with pytest.raises(
        AnnotationError, match="Testmine 2021 is left out: no shape covers a pixel of its image"
    ):
        import_labels(cvat(box("mine", 20, 20, 30, 30)), archive)
    assert not (archive / "Testmine" / "label" / "Year2021.tif").exists()


def test_outlines_that_cross_themselves_are_repaired_and_told(cvat: Cvat, archive):
    bow = '<polygon label="pit" points="1,1;9,9;9,1;1,9"/>'
    report = import_labels(cvat(bow), archive)
    assert report.repaired == 1
    label = read_label(archive, 2021)
    assert label[4, 1] == label[4, 8] == 1  # the triangles at both sides
    assert not label[1, 4]
    assert not label[8, 4]


def classes_file(folder: Path, text: str = '{"excavation": 3, "dumping_ground": 1}') -> Path:
    path = folder / "classes.json"
    path.write_text(text)
    return path


ALL = '["excavation", "dumping ground", "settling-pond", "infrastructure"]'


def test_classes_are_written_beside_labels(files, expected, archive, tmp_path):
    classes = classes_file(tmp_path, ALL)
    with pytest.raises(AnnotationError, match=r"found excavation under .* on \d+ pixels .* --overlap last"):
        import_labels(files / "cvat_for_images_1.1.xml", archive, classes=classes)
    assert names(archive) == ["Testmine/image/Year2020.tif", "Testmine/image/Year2021.tif"]
    report = import_labels(files / "cvat_for_images_1.1.xml", archive, classes=classes, overlap="last")
    components = np.zeros((12, 16), np.uint8)
    order = ["excavation", "dumping_ground", "settling_pond", "infrastructure"]
    for value, name in enumerate(order, 1):
        components[expected[name]] = value
    components[expected["ignore"]] = 255
    np.testing.assert_array_equal(read_label(archive, 2021, kind="components"), components)
    assert set(report.years[1].classes) == {"excavation", "dumping ground", "settling-pond", "infrastructure"}
    with rasterio.open(archive / "Testmine" / "components" / "Year2021.tif") as dataset:
        assert json.loads(dataset.tags()["CLASSES"])["settling-pond"] == 3
        assert dataset.colormap(1)[3] != dataset.colormap(1)[2]
    assert (read_label(archive, 2021) == 1).sum() == 60


def test_an_expert_label_is_kept_when_classes_are_imported(cvat: Cvat, archive, tmp_path):
    import_labels(cvat(MINE), archive)
    before = (archive / "Testmine" / "label" / "Year2021.tif").read_bytes()
    shapes = cvat(box("excavation", 0, 0, 12, 12))
    report = import_labels(shapes, archive, classes=classes_file(tmp_path), replace=True)
    assert (archive / "Testmine" / "label" / "Year2021.tif").read_bytes() == before
    assert any("Labels that are kept: Testmine 2021" in note for note in report.notes)
    with pytest.raises(AnnotationError, match="found components there already"):
        import_labels(shapes, archive, classes=classes_file(tmp_path))


def test_an_unknown_class_is_named_with_the_nearest(cvat: Cvat, archive, tmp_path):
    with pytest.raises(
        AnnotationError, match=r"found no class 'excavatoin'.*rename it if it is 'excavation'"
    ):
        import_labels(cvat(box("excavatoin", 0, 0, 4, 4)), archive, classes=classes_file(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"year": "21"}, "--year: found '21'; expected name, attribute:NAME or a year"),
        ({"year": "attribute:"}, "--year: found 'attribute:'"),
        ({"overlap": "last"}, "--overlap: found a rule without --classes"),
        (
            {"sites": ["Tastmine"]},
            "--site: found 'Tastmine'; expected a site of the archive, such as Testmine",
        ),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, words, cvat: Cvat, archive):
    with pytest.raises(ArgumentError, match=words):
        import_labels(cvat(MINE), archive, **arguments)


def test_bits_hold_fifteen_classes(cvat: Cvat, archive, tmp_path):
    classes = classes_file(tmp_path, '{"mine": 16}')
    with pytest.raises(ArgumentError, match="found keep with the value 16"):
        import_labels(cvat(MINE), archive, classes=classes, overlap="keep")


def test_a_zip_takes_no_labels(cvat: Cvat, archive, tmp_path):
    zipped = shutil.make_archive(str(tmp_path / "archive"), "zip", archive.parent)
    with pytest.raises(ArchiveError, match="found a zip; expected a folder"):
        import_labels(cvat(MINE), zipped)


def test_sites_can_be_chosen(cvat: Cvat, archive):
    write_images(archive.parent, "Othermine")
    file = cvat(MINE)
    text = file.read_text()
    second = text[text.index("<image") : text.index("</annotations>")].replace("Testmine", "Othermine")
    file.write_text(text.replace("</annotations>", second + "</annotations>"))
    report = import_labels(file, archive, sites=["Othermine"])
    assert [each.site for each in report.years] == ["Othermine"]
    assert report.lost == {"shapes of sites that were not chosen": 1}


def test_overlapping_classes_can_be_kept_as_bits(cvat: Cvat, archive, tmp_path):
    shapes = box("excavation", 0, 0, 6, 6) + box("dumping_ground", 4, 4, 10, 10) + box("void", 12, 0, 16, 4)
    classes = classes_file(tmp_path)
    report = import_labels(cvat(shapes), archive, classes=classes, overlap="keep")
    with rasterio.open(archive / "Testmine" / "components" / "Year2021.tif") as dataset:
        bits = dataset.read(1)
        tags = dataset.tags()
    assert (bits.dtype, tags["ENCODING"], tags["IGNORED_VALUE"]) == (np.uint16, "bits", "32768")
    # excavation is 3, so bit 2; dumping_ground is 1, so bit 0
    assert [int(bits[place, place]) for place in (2, 5, 8, 11)] == [4, 5, 1, 0]
    assert bits[1, 13] == 1 << 15
    hectares = report.years[0].classes
    assert hectares["excavation"] == pytest.approx(0.36, rel=1e-2)
    assert hectares["dumping_ground"] == pytest.approx(0.36, rel=1e-2)
