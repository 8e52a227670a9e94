"""PNG files that are damaged, whatever Pillow was told about truncated ones; and encoded pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageFile

from euromine.support.png_files import encode_png, open_png

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 30), np.uint8)


def png() -> bytes:
    data = io.BytesIO()
    Image.fromarray(PIXELS).save(data, "PNG")
    return data.getvalue()


@pytest.fixture(params=[False, True], autouse=True)
def truncated_images(request, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", request.param)


def test_a_whole_file_is_read():
    with open_png(io.BytesIO(png())) as picture:
        np.testing.assert_array_equal(np.asarray(picture), PIXELS)


@pytest.mark.parametrize("length", [30, 60, 200, 800])
def test_a_truncated_file_is_an_error(length):
    with pytest.raises((OSError, SyntaxError)), open_png(io.BytesIO(png()[:length])) as picture:
        picture.load()


def test_damaged_pixels_are_an_error():
    data = bytearray(png())
    data[700] ^= 255
    with pytest.raises((OSError, SyntaxError)), open_png(io.BytesIO(data)) as picture:
        picture.load()


def test_another_format_is_an_error():
    data = io.BytesIO()
    Image.fromarray(PIXELS).save(data, "TIFF")
    data.seek(0)
    with pytest.raises(OSError, match="cannot identify"), open_png(data) as picture:
        picture.load()


@pytest.mark.parametrize("shape", [(40, 30), (40, 30, 3), (1, 1), (1, 5, 3), (7, 1, 3)])
def test_an_encoded_picture_is_decoded_by_pillow_to_its_pixels(shape):
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    with open_png(io.BytesIO(encode_png(pixels))) as picture:
        assert picture.mode == ("L" if len(shape) == 2 else "RGB")
        np.testing.assert_array_equal(np.asarray(picture), pixels)


def test_a_smooth_picture_is_no_larger_than_pillows():
    rows, columns = np.mgrid[:300, :200]
    noise = np.random.default_rng(2).normal(0, 2, (300, 200))
    pixels = np.clip(120 + 90 * np.sin(rows / 30) * np.cos(columns / 40) + noise, 0, 255).astype(np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG", compress_level=1)
    assert len(encode_png(pixels)) < data.tell()
