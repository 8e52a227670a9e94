"""netCDF by the CF conventions; HDF5 files that lead to other files."""

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio

from euromine.modeling import BANDS
from euromine.monitoring.scenes.hdf5_references import reference_elsewhere
from euromine.monitoring.scenes.scene import open_scene
from euromine.monitoring.scenes.scene_options import SceneOptions
from euromine.support.errors import SceneError
from euromine.support.rasters import gdal

from .drawn_netcdf import write_hdf5, write_hdf5_link, write_hdf5_raw, write_netcdf
from .scene_files import numbers, read

REAL = Path(__file__).parents[4] / "shared/data/real/worldcereal_belgium/worldcereal_preprocessed_inputs.nc"
IMAGE = numbers("int16")


def test_variables_are_bands_by_their_names_on_the_grid_of_their_mapping(tmp_path: Path) -> None:
    path = write_netcdf(tmp_path / "mine_2019.nc", dict(zip(BANDS, IMAGE, strict=True)))
    values, valid = read(path, SceneOptions(offset=0))
    np.testing.assert_array_equal(values, IMAGE)
    assert valid.all()
    with open_scene(path) as scene:
        assert scene.grid.crs.to_epsg() == 32633
        assert tuple(scene.grid.transform)[:6] == (10, 0, 300_000, 0, -10, 5_000_000)
        assert scene.year == 2019


def test_scale_offset_and_fill_value_are_honoured(tmp_path: Path) -> None:
    image = IMAGE.copy()
    image[3, 2, 1] = -1
    attributes = {"scale_factor": 1e-4, "add_offset": -0.1, "_FillValue": np.int16(-1)}
    path = write_netcdf(tmp_path / "s.nc", dict(zip(BANDS, image, strict=True)), attributes=attributes)
    values, valid = read(path)
    assert not valid[2, 1]
    assert valid.sum() == 41
    np.testing.assert_allclose(values[:, valid], image[:, valid] - 1000.0, atol=1e-3)


def test_other_variables_are_passed_over_and_a_single_time_gives_the_year(tmp_path: Path) -> None:
    bands = {f"S2-L2A-{band}": values[None] for band, values in zip(BANDS, IMAGE, strict=True)}
    path = write_netcdf(tmp_path / "cube.nc", {"slope": IMAGE[:1] * 1.5, **bands}, days=(1700,))
    with open_scene(path, SceneOptions(offset=0)) as scene:
        assert scene.year == 2019  # 1700 days after 1 January 2015 is 28 August 2019
    np.testing.assert_array_equal(read(path, SceneOptions(offset=0))[0], IMAGE)


def test_several_times_are_refused(tmp_path: Path) -> None:
    bands = {band: np.stack([values, values]) for band, values in zip(BANDS, IMAGE, strict=True)}
    path = write_netcdf(tmp_path / "cube.nc", bands, days=(1700, 2100))
    with pytest.raises(SceneError, match=r"cube.nc:B\w\w: found 2 times; expected one"):
        open_scene(path)


def test_a_file_without_images_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.nc"
    path.write_bytes(b"CDF\1" + b"\0" * 28)
    with pytest.raises(
        SceneError, match=r"found no variable with the dimensions y and x|damaged or not a netCDF"
    ):
        open_scene(path)
    path.write_bytes(b"CDF\1 and no more")
    with pytest.raises(SceneError, match="found a file that is damaged or not a netCDF file"):
        open_scene(path)


def test_hdf5_files_that_lead_to_other_files_are_refused_before_they_are_opened(tmp_path: Path) -> None:
    own = write_hdf5(tmp_path / "own.nc", np.arange(12, dtype=np.uint16).reshape(3, 4))
    secret = tmp_path / "secret.bin"
    secret.write_bytes(b"AB" * 12)
    linked = write_hdf5_link(tmp_path / "linked.nc", own)
    raw = write_hdf5_raw(tmp_path / "raw.nc", secret, 3, 4)
    # The library does follow them: without the check, these are the other files' numbers.
    with gdal():
        assert rasterio.open(linked, driver="netCDF").read(1).sum() == 66
        assert rasterio.open(raw, driver="netCDF").read(1)[0, 0] == int.from_bytes(b"AB", "little")
    assert reference_elsewhere(own) is None
    for path, words in ((linked, "a link to another file"), (raw, "a group or data file of plain HDF5")):
        with pytest.raises(
            SceneError, match=f"found {words}, which may lead to other files; expected a netCDF"
        ):
            open_scene(path)


def test_virtual_datasets_and_compressed_groups_are_noticed(tmp_path: Path) -> None:
    # A global heap with one object: the mapping of a virtual dataset, HDF5 specification VII.A.
    mapping = b"\0" + (1).to_bytes(8, "little") + b"/etc/passwd\0B02\0" + bytes(20)
    heap = b"GCOL\1\0\0\0" + (4096).to_bytes(8, "little")
    item = (1).to_bytes(2, "little") + bytes(6) + len(mapping).to_bytes(8, "little") + mapping
    text = b"a string attribute"
    plain = (1).to_bytes(2, "little") + bytes(6) + len(text).to_bytes(8, "little") + text
    path = tmp_path / "a.nc"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + heap + item + bytes(4096))
    assert reference_elsewhere(path) == "a virtual dataset"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + heap + plain + bytes(4096))
    assert reference_elsewhere(path) is None
    path.write_bytes(b"\x89HDF\r\n\x1a\nFRHP\0" + bytes(2) + b"\x10\0" + bytes(64))
    assert reference_elsewhere(path) == "a compressed group"


def test_bytes_without_meaning_are_rarely_taken_for_links(tmp_path: Path) -> None:
    path = tmp_path / "random.nc"
    path.write_bytes(np.random.default_rng(0).bytes(20_000_000))
    assert reference_elsewhere(path) is None


@pytest.mark.skipif(not REAL.is_file(), reason="real imagery is not here")
def test_a_real_cube_of_twelve_months_is_refused_by_its_times() -> None:
    assert reference_elsewhere(REAL) is None
    with pytest.raises(SceneError, match="found 12 times; expected one"):
        open_scene(os.fspath(REAL))
