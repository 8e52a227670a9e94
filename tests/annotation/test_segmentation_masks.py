"""Segmentation masks: colours, sizes and formats of pictures from unknown sources."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from euromine.annotation import import_labels, read_annotations
from euromine.support.errors import AnnotationError

from .conftest import read_label

MAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\npit:176,0,32::\nwaste:dump:1,2,3::\n"


def png(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, format=kind)
    return data.getvalue()


def export(folder: Path, picture: bytes, label_map: str = MAP, name: str = "Testmine_2021.png") -> Path:
    (folder / "masks" / "SegmentationClass").mkdir(parents=True, exist_ok=True)
    (folder / "masks" / "labelmap.txt").write_text(label_map)
    (folder / "masks" / "SegmentationClass" / name).write_bytes(picture)
    return folder / "masks"


def header_of(width: int, height: int) -> bytes:
    """A PNG that promises a size and holds nothing."""
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


def coloured() -> np.ndarray:
    pixels = np.zeros((12, 16, 3), np.uint8)
    pixels[2:6, 3:9] = (176, 0, 32)
    pixels[8:10, 3:9] = (1, 2, 3)
    return pixels


@pytest.mark.parametrize("palette", [False, True])
def test_each_class_has_its_colour(palette, archive, tmp_path):
    data = png(coloured())
    if palette:
        picture = io.BytesIO()
        Image.fromarray(coloured()).quantize(4).save(picture, format="PNG")
        data = picture.getvalue()
    report = import_labels(export(tmp_path, data), archive)
    np.testing.assert_array_equal(read_label(archive, 2021), coloured().any(axis=-1))
    assert report.mine_labels == ("pit", "waste:dump")
    assert any("what lay under another shape is lost" in note for note in report.notes)


def test_a_mask_without_a_mine_is_left_out_unless_it_may_be_empty(archive, tmp_path):
    path = export(tmp_path, png(np.zeros((12, 16, 3), np.uint8)))
    with pytest.raises(AnnotationError, match="use --empty"):
        import_labels(path, archive)
    assert import_labels(path, archive, empty=True).years[0].mine_pixels == 0


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (header_of(100_000, 100_000), "far too many pixels|100000 x 100000 pixels"),
        (header_of(12_000, 12_000), "found 12000 x 12000 pixels"),
        (png(coloured())[:60], "found a damaged PNG"),
        (png(coloured(), "TIFF"), "found a file that is no PNG; expected a mask as PNG"),
        (png(coloured(), "GIF"), "found a file that is no PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "found a file that is no PNG"),
        (png(coloured() + 5), "found 156 pixels of the colour 5,5,5; expected colours of labelmap.txt"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("truncated_images", [False, True])
def test_other_pictures_are_refused(picture, words, truncated_images, tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", truncated_images)
    with pytest.raises(AnnotationError, match=words) as caught:
        read_annotations(export(tmp_path, picture))
    assert "SegmentationClass/Testmine_2021.png: " in str(caught.value)


@pytest.mark.parametrize(
    ("label_map", "words"),
    [
        ("", "found no class"),
        ("pit\n", "found 'pit' in line 1; expected one such as excavation:176,0,32::"),
        ("pit:1,2::\n", "found 'pit:1,2::' in line 1"),
        ("pit:1,2,3::\ndump:1,2,3::\n", "found the colour 1,2,3 of pit again for dump"),
    ],
)
def test_damaged_label_maps_are_named(label_map, words, tmp_path):
    with pytest.raises(AnnotationError, match=words):
        read_annotations(export(tmp_path, png(coloured()), label_map))


def test_an_export_without_masks_is_told(tmp_path):
    path = export(tmp_path, b"", name="empty.png")
    with pytest.raises(AnnotationError, match="found no picture in SegmentationClass"):
        read_annotations(path)
