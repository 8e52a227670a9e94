"""Maps of spectral indices: from reflectance, in any windows, and written once."""

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window
from typer.testing import CliRunner

from euromine.commands import app
from euromine.monitoring.mapping.index_maps import (
    IndexedScene,
    decode_indices,
    encode_indices,
    index_writer,
    map_indices,
    write_indices,
)
from euromine.monitoring.mapping.tiling import Tiling
from euromine.monitoring.scenes.scene import open_scene
from euromine.monitoring.scenes.scene_options import SceneOptions
from euromine.monitoring.scenes.spectral_indices import INDICES
from euromine.support.errors import ArgumentError, SceneError


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(2).integers(1100, 6000, (10, 70, 90)).astype(np.uint16)


def ndvi_of(path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(file.descriptions.index("ndvi") + 1)


def test_indices_are_those_of_reflectance_not_of_digital_numbers(write_scene, image, tmp_path):
    image[:, 3, 4] = 0  # no data
    path = write_scene("scene.tif", image, nodata=0)
    options = SceneOptions(scale=0.0001, offset=-1000)
    made = map_indices(path, tmp_path / "out", "ndvi,bsi", options=options)
    assert made.name == "scene_indices.tif"
    reflectance = np.maximum((image.astype(np.float64) - 1000) * 0.0001, 0)
    red, near = reflectance[2], reflectance[6]
    with np.errstate(invalid="ignore"):
        expected = ((near - red) / (near + red) * 10_000).round()
    expected[3, 4] = -32768
    with rasterio.open(made) as file:
        assert (file.descriptions, file.dtypes) == (("ndvi", "bsi"), ("int16", "int16"))
        assert (file.nodata, file.scales) == (-32768, (0.0001, 0.0001))
        assert file.profile["tiled"]
        assert abs(file.read(1) - expected).max() <= 1
        assert (file.read(2)[3, 4], file.crs) == (-32768, "EPSG:32633")


def test_reflectance_as_floats_gives_the_same_map(write_scene, image, tmp_path):
    whole = write_scene("whole.tif", image)
    floats = write_scene("floats.tif", (image * 1e-4).astype(np.float32))
    maps = [
        ndvi_of(map_indices(path, tmp_path / "out", ["ndvi"], options=SceneOptions(scale=scale, offset=0)))
        for path, scale in ((whole, 1e-4), (floats, 1))
    ]
    assert abs(maps[0].astype(int) - maps[1]).max() <= 1


def test_windows_of_a_network_give_the_map_of_whole_rows(write_scene, image, tmp_path):
    image[:, 40:50, 20:60] = 0
    path = write_scene("scene.tif", image, nodata=0)
    names = ["ndvi", "mndwi"]
    with open_scene(path, SceneOptions(scale=1e-4, offset=0)) as scene:
        with index_writer(tmp_path / "rows.tif", scene.grid, names, {}) as writer:
            write_indices(scene, writer, names, ["B02"])
        with index_writer(tmp_path / "windows.tif", scene.grid, names, {}) as writer:
            indexed = IndexedScene(scene, writer, names)
            tiling = Tiling.of(70, 90, 32, 8)
            for row, column in tiling:
                rows, columns = tiling.rows.inside(row), tiling.columns.inside(column)
                top, left = int(rows.min()), int(columns.min())
                window = Window(left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top)
                # The bands of a network: without B11, which the water index needs.
                read, valid = indexed.read(window, ["B02", "B08", "B04"])
                plain, known = scene.read(window, ["B02", "B08", "B04"])
                np.testing.assert_array_equal(read, plain)
                np.testing.assert_array_equal(valid, known)
            indexed.finish()
    with rasterio.open(tmp_path / "rows.tif") as rows, rasterio.open(tmp_path / "windows.tif") as windows:
        np.testing.assert_array_equal(rows.read(), windows.read())
        assert (rows.read()[:, 40:50, 20:60] == -32768).all()


def test_numbers_come_back_and_ratios_end_at_the_largest(recwarn):
    values = np.array([-1, -0.12344, 0, 0.5, 3.2767, 9, np.inf, np.nan], np.float32)
    numbers = encode_indices(values)
    assert numbers.tolist() == [-10000, -1234, 0, 5000, 32767, 32767, 32767, -32768]
    back = decode_indices(numbers)
    assert np.isnan(back[-1])
    np.testing.assert_allclose(back[:5], values[:5], atol=6e-5)
    assert not recwarn.list


def test_a_finished_map_is_kept_and_other_indices_replace_it(write_scene, image, tmp_path):
    path = write_scene("scene.tif", image)
    options = SceneOptions(scale=1e-4, offset=0)
    made = map_indices(path, tmp_path / "out", "ndvi", options=options)
    before = made.stat().st_mtime_ns
    map_indices(path, tmp_path / "out", "ndvi", options=options)
    assert made.stat().st_mtime_ns == before
    map_indices(path, tmp_path / "out", "ndvi,nbr", options=options)
    with rasterio.open(made) as file:
        assert file.descriptions == ("ndvi", "nbr")


def test_a_missing_band_is_named_with_the_indices_that_need_it(write_scene, image, tmp_path):
    path = write_scene("scene.tif", image[:8])
    with pytest.raises(SceneError, match=r"found no band B11, B12; expected them for mndwi, nbr\. .*ndvi"):
        map_indices(path, tmp_path / "out", "ndvi,mndwi,nbr", options=SceneOptions(scale=1e-4, offset=0))
    assert not (tmp_path / "out").exists()


def test_nobody_elses_file_and_no_map_is_taken(write_scene, image, tmp_path):
    path = write_scene("scene.tif", image)
    options = SceneOptions(scale=1e-4, offset=0)
    foreign = write_scene("out/scene_indices.tif", image)
    with pytest.raises(ArgumentError, match="found something that euromine did not write"):
        map_indices(path, foreign.parent, "ndvi", options=options)
    made = map_indices(path, tmp_path / "other", "ndvi", options=options)
    with pytest.raises(SceneError, match="found a map that EuroMine made"):
        map_indices(made, tmp_path / "more", "ndvi", options=options)


def test_the_command_maps_scenes_and_goes_on_after_a_bad_one(write_scene, image, tmp_path, caplog):
    good, bad = write_scene("good.tif", image), write_scene("bad.tif", image[:3])
    options = ["--scale", "0.0001", "--offset", "0", "--out", str(tmp_path / "maps")]
    result = CliRunner().invoke(app, ["indices", str(bad), str(good), *options])
    assert result.exit_code == 1
    assert "found no band" in caplog.text
    assert "1 of 2 scenes failed" in result.output
    with rasterio.open(tmp_path / "maps" / "good_indices.tif") as file:
        assert file.descriptions == tuple(INDICES)
    result = CliRunner().invoke(app, ["indices", str(good), "--indices", "ndwu", *options])
    assert "of which ndwi is the nearest" in str(result.exception)
