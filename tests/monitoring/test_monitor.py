"""`MineMonitor`: scenes and series by a few lines of Python."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from rasterio.transform import Affine

from euromine.monitoring import MineMonitor
from euromine.support.errors import ModelError

from .history.site_images import CRS, HEIGHT, ORIGIN, PLAIN, WIDTH, image_of


def test_a_year_without_an_image_is_recorded(place, mapper, tmp_path):
    monitor = MineMonitor([mapper])
    result = monitor.series(place, tmp_path, years=range(2015, 2019), smoothing="none", **PLAIN)
    assert result.years == [2015, 2016, 2018]
    assert result.manifest.missing_years == [2017]


def test_paths_do_as_well_as_a_folder(place, mapper, tmp_path):
    paths = [place / "image" / "Year2018.tif", place / "image" / "Year2015.tif"]
    result = MineMonitor([mapper]).series(paths, tmp_path, smoothing="none", **PLAIN)
    assert result.years == [2015, 2018]


def test_a_series_of_several_formats_is_that_of_geotiffs_and_recognised_on_a_rerun(
    place, mapper, products, server, tmp_path
):
    monitor, settings = MineMonitor([mapper]), {"smoothing": "none", "offset": 0, **PLAIN}
    shutil.copy(place / "image" / "Year2015.tif", tmp_path / "mine_2015.tif")
    products.write_jp2(
        tmp_path / "mine_2018.jp2", image_of(2018), transform=Affine(10, 0, ORIGIN[0], 0, -10, ORIGIN[1])
    )
    scenes = {
        2015: f"{server.address}/mine_2015.tif?sig=a",
        2016: place / "image" / "Year2016.tif",
        2018: tmp_path / "mine_2018.jp2",
    }
    bands = mapper.image_processor.bands
    result = monitor.series(scenes, tmp_path / "out", bands=bands, **settings)
    plain = monitor.series(place, tmp_path / "plain", bands=bands, **settings)
    for year in result.years:
        np.testing.assert_array_equal(result.footprint(year), plain.footprint(year))
    (remote, *_) = result.manifest.scenes
    assert (remote.path, remote.size) == ("mine_2015.tif", (tmp_path / "mine_2015.tif").stat().st_size)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    scenes[2015] = f"{server.address}/mine_2015.tif?sig=b"
    monitor.series(scenes, tmp_path / "out", bands=bands, **settings)
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
    # Another version of the file makes its maps anew.
    server.handler.etag = '"second"'
    monitor.series(scenes, tmp_path / "out", bands=bands, **settings)
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert after["probability_2015.tif"] != before["probability_2015.tif"]
    assert after["probability_2016.tif"] == before["probability_2016.tif"]
    assert "sig=" not in (tmp_path / "out" / "series.json").read_text()


def test_each_argument_reaches_the_series(place, mapper, tmp_path):
    geopandas = pytest.importorskip("geopandas")
    from shapely.geometry import box

    everything = box(ORIGIN[0], ORIGIN[1] - 10 * HEIGHT, ORIGIN[0] + 10 * WIDTH, ORIGIN[1])
    permits = tmp_path / "permits.geojson"
    geopandas.GeoDataFrame(geometry=[everything], crs=CRS).to_crs("EPSG:4326").to_file(permits)
    result = MineMonitor([mapper]).series(
        place,
        tmp_path / "out",
        smoothing="median",
        pairs="consecutive",
        threshold=0.25,
        minimum_mapping_unit=0.5,
        permits=str(permits),
        site="A mine",
        simulated=True,
        offset=0,
        window=64,
        overlap=32,
    )
    manifest = result.manifest
    assert (manifest.site, manifest.simulated) == ("A mine", True)
    assert manifest.pairs == [(2015, 2016), (2016, 2018)]
    expected = {
        "smoothing": "median",
        "rates": None,
        "change_by": "footprints",
        "joins_years": False,
        "threshold": 0.25,
        "smallest_mapping_unit": 0.5,
        "permits": "permits.geojson",
        "window": 64,
        "overlap": 32,
    }
    assert {name: manifest.settings[name] for name in expected} == expected
    assert all("offset: option" in scene.decisions[0] for scene in manifest.scenes)


def test_python_gives_the_probability_of_one_scene(place, mapper, plain_probability):
    path = place / "image" / "Year2016.tif"
    probability = MineMonitor([mapper]).predict(path, **PLAIN)
    np.testing.assert_allclose(probability, plain_probability(image_of(2016)), atol=1e-5)


def test_python_warns_of_a_scene_of_another_level(place, mapper, monkeypatch, caplog):
    monkeypatch.setattr(mapper.image_processor, "level", "L2A")
    MineMonitor([mapper]).predict(place / "image" / "Year2015.tif", level="l1c", **PLAIN)
    assert "Year2015.tif: The image is L1C (top-of-atmosphere reflectance), but the model" in caplog.text


def test_the_users_level_reaches_the_series(place, mapper, tmp_path):
    monitor = MineMonitor([mapper])
    result = monitor.series(place, tmp_path, years=[2015], smoothing="none", level="l2a", **PLAIN)
    assert [scene.level for scene in result.manifest.scenes] == ["L2A"]


def test_a_change_detector_alone_maps_no_scene(place, detector):
    with pytest.raises(ModelError, match=r"found no footprint mapper; expected one to predict a scene\."):
        MineMonitor([detector]).predict(place / "image" / "Year2016.tif")


def test_an_unknown_argument_is_refused(place, mapper, tmp_path):
    with pytest.raises(TypeError, match="smallest_mapping_unit"):
        MineMonitor([mapper]).series(place, tmp_path, smallest_mapping_unit=1)


def test_importing_the_subpackage_loads_no_large_library():
    large = ("torch", "rasterio", "transformers", "datasets", "pandas")
    program = (
        "import sys, euromine.monitoring as package\n"
        "assert set(package.__all__) <= set(dir(package))\n"
        f"print([name for name in {large} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
