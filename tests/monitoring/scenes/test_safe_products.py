"""Sentinel-2 products: folders and zips, both levels, both ways of naming."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from rasterio.windows import Window

from euromine.modeling import BANDS
from euromine.monitoring.scenes import product_files
from euromine.monitoring.scenes.scene import open_scene
from euromine.monitoring.scenes.scene_options import SceneOptions
from euromine.support.errors import SceneError

from .drawn_products import SIDE, expected_numbers, product_numbers, write_l1c, write_l2a, zipped
from .scene_files import read

NUMBERS = product_numbers()
EXPECTED = expected_numbers(NUMBERS, tuple(BANDS)).astype(np.float32)


@pytest.fixture(scope="module")
def l2a(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Level-2A product of baseline 04.00 with a class for each row of 20 m."""
    classes = np.repeat(np.arange(SIDE // 2, dtype=np.uint8), SIDE // 2).reshape(SIDE // 2, SIDE // 2)
    return write_l2a(tmp_path_factory.mktemp("l2a"), NUMBERS, classes=classes)


def test_a_level_2a_product_is_read_at_10_m_with_its_offsets(l2a: Path) -> None:
    for path in (l2a, zipped(l2a), l2a / "MTD_MSIL2A.xml", next((l2a / "GRANULE").iterdir())):
        with open_scene(path) as scene:
            assert scene.grid.shape == (SIDE, SIDE)
            assert (scene.year, scene.level) == (2022, "L2A")
            assert "offset -1000 (scale: MTD_MSIL2A.xml" in str(scene.reflectance(BANDS))
        values, _ = read(path)
        np.testing.assert_array_equal(values, EXPECTED - 1000)


def test_windows_of_a_product_are_parts_of_the_whole(l2a: Path) -> None:
    with open_scene(l2a) as scene:
        for left, top, width, height in ((0, 0, 1, 1), (3, 5, 8, 7), (23, 1, 1, 22), (7, 7, 6, 1)):
            values, _ = scene.read(Window(left, top, width, height), BANDS)
            part = EXPECTED[:, top : top + height, left : left + width] - 1000
            np.testing.assert_array_equal(values, part)


def test_clouds_and_their_shadows_count_as_no_data_unless_they_are_kept(l2a: Path) -> None:
    # Sen2Cor: 0 no data, 1 defective, 3 shadow, 8 and 9 cloud, 10 cirrus; 2 dark, 4 to 7 and 11 ground.
    ground = {2, 4, 5, 6, 7, 11}
    _, valid = read(l2a)
    for row in range(SIDE // 2):
        assert valid[2 * row : 2 * row + 2].all() == (row in ground)
    with open_scene(l2a) as scene:
        scene.read(Window(0, 0, SIDE, SIDE), BANDS)
        assert (
            "50.0% of the pixels are clouds or their shadows by the product's scene classification (SCL)"
            in str(scene.doubt())
        )
    kept = SceneOptions(keep_clouds=True)
    assert read(l2a, kept)[1].all()
    with open_scene(l2a) as masked, open_scene(l2a, kept) as whole:
        assert masked.fingerprint() != whole.fingerprint()


def test_a_product_of_a_users_own_sen2cor_has_the_offsets_that_it_lists(tmp_path: Path) -> None:
    for offset in (None, -1000):
        name = f"S2B_MSIL2A_20190226T095029_N9999_R079_T33TWN_2024010{len(str(offset))}T000000.SAFE"
        path = write_l2a(tmp_path, NUMBERS, name=name, baseline="99.99", offset=offset, year=2019)
        np.testing.assert_array_equal(read(path)[0], EXPECTED + (offset or 0))
    path = write_l2a(tmp_path / "later", NUMBERS, baseline="04.00", offset=None)
    with pytest.raises(SceneError, match=r"found processing baseline 04.00 without offsets of the bands"):
        open_scene(path)


def test_zeros_of_one_band_are_no_data(tmp_path: Path) -> None:
    numbers = {band: values.copy() for band, values in NUMBERS.items()}
    numbers["B11"][0, 0] = 0
    path = write_l2a(tmp_path, numbers)
    _, valid = read(path)
    assert not valid[:2, :2].any()
    assert valid.sum() == SIDE**2 - 4
    with open_scene(path) as scene:
        assert "has no mask of clouds that is read, so clouds count as ground" in str(scene.doubt())


def test_level_1c_products_of_both_names_are_read(tmp_path: Path) -> None:
    clouds = np.zeros((3, SIDE // 6, SIDE // 6), np.uint8)
    clouds[0, 0, 0] = clouds[1, 1, 1] = clouds[2, 2, 2] = 1  # opaque, cirrus, snow
    new = write_l1c(tmp_path, NUMBERS, clouds=clouds)
    old = write_l1c(tmp_path, NUMBERS, is_old=True)
    for path, offset, year, masked in ((new, -1000, 2023, 72), (old, 0, 2015, 0)):
        values, valid = read(path)
        np.testing.assert_array_equal(values, EXPECTED + offset)
        assert (~valid).sum() == masked
        with open_scene(path) as scene:
            assert (scene.year, scene.level) == (year, "L1C")


def test_an_option_that_contradicts_the_metadata_is_refused(l2a: Path) -> None:
    with pytest.raises(SceneError, match=r"found the offset -1000 \(MTD_MSIL2A.xml\), against --offset 0"):
        read(l2a, SceneOptions(offset=0))
    values, _ = read(l2a, SceneOptions(offset=0, override=True))
    np.testing.assert_array_equal(values, EXPECTED)


def test_a_product_with_several_tiles_asks_for_one(l2a: Path, tmp_path: Path) -> None:
    path = shutil.copytree(l2a, tmp_path / "two.SAFE")
    tile = next((path / "GRANULE").iterdir())
    shutil.copytree(tile, path / "GRANULE" / "L2A_T33TVN")
    with pytest.raises(
        SceneError, match=r"found 2 tiles; expected one. Give the folder of one of them: GRANULE/"
    ):
        open_scene(path)
    with open_scene(path / "GRANULE" / "L2A_T33TVN") as scene:
        assert scene.location.stem == "L2A_T33TVN"


@pytest.mark.parametrize(
    ("text", "replacement", "message"),
    [
        (
            "<?xml",
            '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><?xml',
            "MTD_MSIL2A.xml: found a document type in XML",
        ),
        (
            "<n1:Level",
            '<!DOCTYPE a [<!ENTITY b "c">]><n1:Level',
            "MTD_MSIL2A.xml: found a document type in XML, which can exhaust the memory",
        ),
        (
            "Level-2A_User_Product",
            "Level-3A_User_Product",
            "found the metadata Level-3A_User_Product; expected",
        ),
        ("<PROCESSING_BASELINE>04.00", "<PROCESSING_BASELINE>none", "found no PROCESSING_BASELINE; expected"),
        ('band_id="3"', 'band_id="33"', "found BOA_ADD_OFFSET '-1000' of band_id '33'; expected a number"),
        ("BOA_QUANTIFICATION_VALUE", "OTHER", "found no quantification value; expected one"),
        ("BOA_ADD_OFFSET band_id", "OTHER band_id", "damaged XML"),
        ("<PROCESSING_LEVEL>", "<PROCESSING_LEVEL", "damaged XML"),
    ],
)
def test_metadata_that_cannot_be_trusted_are_refused(
    l2a: Path, tmp_path: Path, text: str, replacement: str, message: str
) -> None:
    path = tmp_path / "product.SAFE"
    path.mkdir()
    (path / "GRANULE").symlink_to(l2a / "GRANULE")
    metadata = (l2a / "MTD_MSIL2A.xml").read_text()
    assert text in metadata
    (path / "MTD_MSIL2A.xml").write_text(metadata.replace(text, replacement))
    with pytest.raises(SceneError, match=message):
        open_scene(path)


def test_an_image_outside_the_product_is_not_read(l2a: Path, tmp_path: Path) -> None:
    path = shutil.copytree(l2a, tmp_path / "linked.SAFE")
    image = next(path.rglob("*_B02_10m.jp2"))
    other = tmp_path / "secret.jp2"
    image.rename(other)
    image.symlink_to(other)
    with pytest.raises(SceneError, match="found a link to a file outside the product"):
        open_scene(path)


def test_a_product_without_images_is_refused(l2a: Path, tmp_path: Path) -> None:
    path = shutil.copytree(l2a, tmp_path / "empty.SAFE", ignore=shutil.ignore_patterns("*.jp2"))
    with pytest.raises(SceneError, match=r"found no images of bands .*; expected a whole product"):
        open_scene(path)
    next(path.glob("GRANULE/*/IMG_DATA/R10m")).joinpath("T33TWN_20220226T095029_B02_10m.jp2").write_text(
        "no image"
    )
    with pytest.raises(SceneError, match="found a file that is damaged or not a JPEG 2000 image"):
        open_scene(path)


def write_zip(path: Path, source: Path, members: dict[str, bytes]) -> Path:
    shutil.copy(source, path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_zips_that_lead_out_of_their_folder_are_refused(l2a: Path, tmp_path: Path) -> None:
    whole = zipped(l2a)
    for name in ("../out.jp2", "/etc/passwd", "a/../../b", "c\\..\\d"):
        path = write_zip(tmp_path / "bad.zip", whole, {name: b""})
        with pytest.raises(
            SceneError, match="which leads out of its folder; expected the zip of one product"
        ):
            open_scene(path)


def test_a_member_that_unpacks_to_far_more_than_it_is_packed_to_is_refused(
    l2a: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(zipped(l2a)) as whole, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for member in whole.infolist():
            content = whole.read(member)
            is_image = member.filename.endswith("_B8A_20m.jp2")
            bomb.writestr(member.filename, content + b"\0" * 5_000_000 if is_image else content)
    with pytest.raises(
        SceneError, match=r"found .*_B8A_20m.jp2 with 50\d+ bytes, packed to .*; expected at most"
    ):
        open_scene(path)
    monkeypatch.setattr(product_files, "_MOST_FILES", 5)
    with pytest.raises(SceneError, match=r"found \d+ files; expected the zip of one product"):
        open_scene(zipped(l2a))
    with pytest.raises(SceneError, match="found more than 5 files; expected the folder of one product"):
        open_scene(l2a)


def test_a_zip_that_is_damaged_or_no_product_is_refused(l2a: Path, tmp_path: Path) -> None:
    whole = zipped(l2a).read_bytes()
    (tmp_path / "short.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SceneError, match="found a zip that is damaged or has a password"):
        open_scene(tmp_path / "short.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("permits.shp", b"")
    with pytest.raises(
        SceneError, match=r"found no MTD_MSIL1C.xml or MTD_MSIL2A.xml; expected the folder or zip"
    ):
        open_scene(tmp_path / "other.zip")
