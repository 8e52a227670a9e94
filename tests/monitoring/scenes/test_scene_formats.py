"""Formats by content: JPEG 2000, folders with a file per band, and where scenes lie."""

from pathlib import Path

import numpy as np
import pytest

from euromine.modeling import BANDS
from euromine.monitoring.scenes.band_files import band_in_name
from euromine.monitoring.scenes.file_formats import format_of_bytes
from euromine.monitoring.scenes.locations import locate
from euromine.monitoring.scenes.scene import open_scene
from euromine.monitoring.scenes.scene_formats import is_scene_folder
from euromine.monitoring.scenes.scene_options import SceneOptions
from euromine.support.errors import SceneError

from .drawn_netcdf import write_netcdf
from .drawn_products import RESOLUTION, SIDE, expected_numbers, product_numbers, write_jp2
from .scene_files import WriteScene, numbers, read

OPTIONS = SceneOptions(offset=0)


def test_a_jpeg_2000_of_several_bands_is_read(tmp_path: Path) -> None:
    path = write_jp2(tmp_path / "mine_2019.jp2", numbers())
    values, valid = read(path, SceneOptions(offset=0, bands=tuple(BANDS)))
    np.testing.assert_array_equal(values, numbers())
    assert valid.all()
    with pytest.raises(SceneError, match=r"mine_2019.jp2: found 10 bands without names"):
        read(path, OPTIONS)


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    path = write_jp2(tmp_path / "a.jp2", numbers()).rename(tmp_path / "mine.tif")
    values, _ = read(path, SceneOptions(offset=0, bands=tuple(BANDS)))
    np.testing.assert_array_equal(values, numbers())


def test_a_folder_with_a_file_per_band_is_one_scene(tmp_path: Path, write_scene: WriteScene) -> None:
    bands = product_numbers()
    folder = tmp_path / "mine_2019"
    for band, values in bands.items():
        write_jp2(folder / f"T33TWN_20190826_{band}.jp2", values[None], RESOLUTION[band])
    write_jp2(folder / "R60m" / "T33TWN_20190826_B02_60m.jp2", np.ones((1, 4, 4), "uint16"), 60)
    assert is_scene_folder(folder)
    values, valid = read(folder, OPTIONS)
    np.testing.assert_array_equal(values, expected_numbers(bands, tuple(BANDS)))
    assert valid.all()
    with open_scene(folder, OPTIONS) as scene:
        assert (scene.year, scene.grid.shape) == (2019, (SIDE, SIDE))
    write_jp2(folder / "T33TWN_20200826_B02.jp2", bands["B02"][None])
    with pytest.raises(SceneError, match=r"found two files of B02, .*; expected the bands of one image"):
        open_scene(folder)


def test_one_band_alone_asks_for_the_folder(tmp_path: Path) -> None:
    path = write_jp2(tmp_path / "T33TWN_20190826_B02_10m.jp2", product_numbers()["B02"][None])
    with pytest.raises(
        SceneError, match=r"found no band B03, .* \(it has B02\); .* Give the folder with a file"
    ):
        read(path, OPTIONS)
    assert read(path, OPTIONS, ("B02",))[1].all()


def test_bands_on_grids_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    from rasterio.transform import Affine

    for band in ("B02", "B03", "B04"):
        write_jp2(tmp_path / f"{band}.jp2", product_numbers()[band][None])
    moved = Affine(20, 0, 300_005, 0, -20, 5_000_000)
    write_jp2(tmp_path / "B05.jp2", product_numbers()["B05"][None], transform=moved)
    with pytest.raises(SceneError, match=r"B05.jp2: found 12 x 12 pixels that do not fit those of .*B02.jp2"):
        open_scene(tmp_path)


def test_a_folder_that_is_no_scene_is_refused(tmp_path: Path, write_scene: WriteScene) -> None:
    write_scene("2019.tif", numbers())
    assert not is_scene_folder(tmp_path)
    with pytest.raises(SceneError, match="found a folder that is no scene; expected a Sentinel-2 product"):
        open_scene(tmp_path)


def test_pixels_far_from_10_m_are_told_for_all_formats(tmp_path: Path) -> None:
    path = write_jp2(tmp_path / "coarse.jp2", numbers(), 30)
    with open_scene(path, OPTIONS) as scene:
        assert "Pixels are 30 m wide on the ground" in str(scene.doubt())
    cube = write_netcdf(tmp_path / "coarse.nc", dict(zip(BANDS, numbers("int16"), strict=True)), side=60)
    with open_scene(cube, OPTIONS) as scene:
        assert "Pixels are 60 m wide on the ground" in str(scene.doubt())


@pytest.mark.parametrize(
    ("name", "band"),
    [
        ("T33TWN_20220226T095029_B8A_20m.jp2", "B8A"),
        ("B02.jp2", "B02"),
        ("b02.tif", "B02"),
        ("mine_B12.tiff", "B12"),
        ("TCI_10m.jp2", None),
        ("B2.jp2", None),
        ("scene.tif", None),
    ],
)
def test_bands_in_names(name: str, band: str | None) -> None:
    assert band_in_name(name) == band


def test_formats_are_told_by_their_first_bytes() -> None:
    for head, name in {
        b"II*\0": "GeoTIFF",
        b"MM\0+": "GeoTIFF",
        b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000",
        b"CDF\5": "netCDF",
        b"\x89HDF\r\n\x1a\n": "HDF5",
        b"PK\3\4": "zip",
        b"\xef\xbb\xbf <VRTDataset ": "VRT",
        b"<?xml version='1.0'?><n1:Level-2A_User_Product": "Sentinel-2 metadata",
        b"": "unknown",
        b"text": "unknown",
    }.items():
        assert format_of_bytes(head) == name


def test_names_of_maps_leave_out_what_belongs_to_the_format() -> None:
    for path, stem in {
        "mine.tif": "mine",
        "S2B_MSIL2A_2022.SAFE": "S2B_MSIL2A_2022",
        "S2B_MSIL2A_2022.SAFE.zip": "S2B_MSIL2A_2022",
        "a/S2B.SAFE/MTD_MSIL2A.xml": "S2B",
        "bands_2019": "bands_2019",
        "https://example.org/a/mine%20B.tif?b=c.d": "mine B",
    }.items():
        assert locate(path).stem == stem
