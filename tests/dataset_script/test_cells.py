"""Cells are encoded for any reader and decoded without copies."""

import io

import datasets
import numpy as np
import pytest
from PIL import Image

from euromine.dataset_script.archive_bands import NO_BACKSCATTER
from euromine.dataset_script.cells import (
    decode_components,
    decode_image,
    decode_label,
    decode_radar,
    encode_components,
    encode_label,
    encode_quicklook,
)
from euromine.support.errors import DatasetError

# As in the published archive, labels have no georeferencing.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def test_a_label_is_a_png_that_others_read() -> None:
    label = np.random.default_rng(0).choice(np.array([0, 1, 255], np.uint8), (160, 160))
    with Image.open(io.BytesIO(encode_label(label))) as picture:
        assert (picture.format, picture.mode) == ("PNG", "L")
        picture.verify()  # checks the checksums
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_label(label)))), label)


def test_a_quicklook_shows_reflectance_alike_in_every_year() -> None:
    image = np.zeros((10, 160, 160), np.int16)
    image[2], image[1], image[0] = 3000, 1500, -5  # red, green, blue
    pixels = np.asarray(Image.open(io.BytesIO(encode_quicklook(image)))).astype(int)
    assert np.abs(pixels - [255, 128, 0]).max() <= 2  # JPEG rounds
    image[2] = 9000  # brighter than white
    assert encode_quicklook(image) == encode_quicklook(image)
    np.testing.assert_allclose(np.asarray(Image.open(io.BytesIO(encode_quicklook(image)))), pixels, atol=1)


def test_labels_of_other_writers_are_decoded() -> None:
    label = np.random.default_rng(0).choice(np.array([0, 1, 255], np.uint8), (160, 160))
    np.testing.assert_array_equal(decode_label(encode_label(label)), label)
    for options in ({}, {"optimize": True}, {"compress_level": 0}):
        buffer = io.BytesIO()
        Image.fromarray(label).save(buffer, "PNG", **options)
        np.testing.assert_array_equal(decode_label(buffer.getvalue()), label)


def test_images_and_labels_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="found a cell of 4 bytes; expected 512000"):
        decode_image(b"1234")
    with pytest.raises(ValueError, match=r"found a cell of .* bytes that is not a picture; expected a PNG"):
        decode_label(b"1234")
    buffer = io.BytesIO()
    Image.new("L", (10, 10)).save(buffer, "PNG")
    with pytest.raises(ValueError, match=r"label: found 10 x 10 pixels; expected \(160, 160\)"):
        decode_label(buffer.getvalue())


def test_a_label_in_another_format_than_png_is_never_decoded() -> None:
    with pytest.raises(
        DatasetError, match=r"^label: found a cell of \d+ bytes that is not a picture; expected a PNG"
    ):
        decode_label(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 160 160\nshowpage\n%%EOF\n")


def test_a_picture_of_another_size_is_refused_before_it_is_decoded() -> None:
    data = io.BytesIO()
    Image.new("L", (6000, 6000)).save(data, "PNG")
    with pytest.raises(DatasetError, match=r"^label: found 6000 x 6000 pixels; expected \(160, 160\)\.$"):
        decode_label(data.getvalue())


def test_component_cells_are_exact_in_any_reader_of_png():
    bits = np.random.default_rng(0).integers(0, 1 << 16, (160, 160)).astype(np.uint16)
    cell = encode_components(bits)
    np.testing.assert_array_equal(decode_components(cell), bits)
    picture = datasets.Image().decode_example({"bytes": cell, "path": None})
    assert picture.mode == "I;16"
    np.testing.assert_array_equal(np.asarray(picture), bits)
    compressed = io.BytesIO()
    picture.save(compressed, "PNG")
    np.testing.assert_array_equal(decode_components(compressed.getvalue()), bits)


@pytest.mark.parametrize("cell", [b"", b"no picture", encode_label(np.zeros((160, 160), np.uint8))])
def test_cells_that_hold_no_components_are_refused(cell):
    with pytest.raises(DatasetError, match="components: found"):
        decode_components(cell)


def test_radar_cells_are_views_and_a_missing_one_has_no_backscatter():
    radar = np.random.default_rng(0).integers(-3000, 0, (2, 160, 160)).astype("<i2")
    np.testing.assert_array_equal(decode_radar(radar.tobytes()), radar)
    assert (decode_radar(None) == NO_BACKSCATTER).all()
    assert decode_radar(None).shape == (2, 160, 160)
    with pytest.raises(DatasetError, match="radar: found a cell of 3 bytes; expected 102400"):
        decode_radar(b"123")
