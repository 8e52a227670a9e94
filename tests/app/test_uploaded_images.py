"""Headers of uploaded images: what GDAL would decode as a whole is bounded, wherever in the file it is."""

import struct

import numpy as np
import pytest
import rasterio
from rasterio import Affine
from rasterio.enums import Resampling

from euromine.app.job_records import JobImage
from euromine.app.uploaded_images import check_header, in_visitors_words
from euromine.support.errors import SceneError

MOST = 10**6
HUGE = 60_000


@pytest.fixture
def image(tmp_path):
    """An image of 256 x 256 pixels with a mask and an overview, all tiled."""
    path = tmp_path / "image.tif"
    profile = {
        "driver": "GTiff", "count": 2, "height": 256, "width": 256, "dtype": "int16", "tiled": True,
        "blockxsize": 128, "blockysize": 128, "crs": "EPSG:32633", "transform": Affine(10, 0, 0, 0, -10, 0),
    }  # fmt: skip
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as file:
        file.write(np.ones((2, 256, 256), np.int16))
        file.write_mask(np.ones((256, 256), bool))
        file.build_overviews([2], Resampling.average)
    return path


def directories(data):
    """The entries (place, tag, type) of each directory of a TIFF."""
    found, place = [], struct.unpack("<I", data[4:8])[0]
    while place:
        (count,) = struct.unpack("<H", data[place : place + 2])
        entries = range(place + 2, place + 2 + 12 * count, 12)
        found.append([(entry, *struct.unpack("<HH", data[entry : entry + 4])) for entry in entries])
        (place,) = struct.unpack("<I", data[place + 2 + 12 * count : place + 6 + 12 * count])
    return found


def with_huge_tiles(path, number):
    """Let the tiles of a directory claim 60,000 pixels a side."""
    data = bytearray(path.read_bytes())
    for entry, tag, kind in directories(data)[number]:
        if tag in (322, 323):  # TIFF 6.0: TileWidth, TileLength
            data[entry + 8 : entry + 12] = struct.pack("<I" if kind == 4 else "<H2x", HUGE)
    path.write_bytes(data)


def test_a_sound_image_passes(image):
    check_header(image, MOST)


def test_large_blocks_are_refused_in_masks_and_overviews_too(image):
    whole = image.read_bytes()
    count = len(directories(whole))
    assert count >= 3
    for number in range(count):
        image.write_bytes(whole)
        with_huge_tiles(image, number)
        with pytest.raises(SceneError, match=rf"image.tif: found blocks of {HUGE} x {HUGE}"):
            check_header(image, MOST)


def test_images_with_too_many_numbers_are_refused(image):
    with pytest.raises(SceneError, match="found 256 x 256 pixels in 2 bands, 0 million numbers"):
        check_header(image, 2 * 256 * 256 - 1)


def test_metadata_without_end_are_refused(image):
    with rasterio.open(image, "r+") as file:
        file.update_tags(2, NOTE="x" * 2**21)
    with pytest.raises(SceneError, match=r"found 2 MB of metadata; expected at most 1 MB"):
        check_header(image, MOST)


def test_a_second_image_in_a_file_is_refused(image):
    with rasterio.open(image) as first:
        profile = {**first.profile, "APPEND_SUBDATASET": "YES"}
    with rasterio.open(image, "w", **profile) as file:
        file.write(np.ones((2, 256, 256), np.int16))
    with pytest.raises(SceneError, match=r"images in one file; expected one"):
        check_header(image, MOST)


@pytest.mark.parametrize("content", [b"<VRTDataset/>", b"\x89HDF\r\n\x1a\n", b"II*\0", b""])
def test_other_formats_are_refused(image, content):
    image.write_bytes(content)
    with pytest.raises(SceneError, match=r"image.tif: found a file that is damaged or not a GeoTIFF"):
        check_header(image, MOST)


def test_sentences_name_the_visitors_files_and_options(tmp_path):
    image = JobImage(file="bcd_2019.tif", year=2019, name="mine.tif", size=3)
    sentence = (
        f"{tmp_path}/result/image/bcd_2019.tif: found no processing baseline; expected one. Give "
        "--offset 0 if not, or put a STAC item bcd_2019.json beside the file."
    )
    assert in_visitors_words(sentence, [image], tmp_path) == (
        "mine.tif: found no processing baseline; expected one. Give the option offset 0 if not."
    )
