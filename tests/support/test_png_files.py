"""PNG files that are damaged, whatever Pillow was told about truncated ones."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageFile

from euromine.support.png_files import open_png

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
