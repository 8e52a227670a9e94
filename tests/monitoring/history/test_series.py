"""A series: all years on one grid, changes between any two, resumed where it stopped."""

import json
import shutil
from dataclasses import asdict
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image
from rasterio import Affine
from rasterio.warp import transform

from euromine.modeling import CHANGE_DETECTION, SEGMENTATION, EuroMineImageProcessor, create_model
from euromine.monitoring.history import series as module
from euromine.monitoring.history.markov import change_probability
from euromine.monitoring.history.series import SeriesSettings, find_scenes, first_and_last_years, make_series
from euromine.monitoring.history.switch_rates import SwitchRates
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.monitoring.monitor import MineMonitor
from euromine.monitoring.pipeline import ArrayScene
from euromine.monitoring.result import SeriesResult
from euromine.monitoring.scenes.quicklooks import Quicklook, write_quicklook
from euromine.monitoring.scenes.scene import SceneOptions
from euromine.support.errors import SceneError

YEARS = (2015, 2016, 2018)
HEIGHT, WIDTH = 64, 96
CRS, ORIGIN = "EPSG:32633", (500_000.0, 5_100_000.0)
TINY = {
    "hidden_sizes": [8, 8, 8, 8],
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 1, 1, 1],
    "decoder_hidden_size": 8,
}
# One window over the whole scene, not mirrored beyond it: what a plain call of the network sees.
PLAIN = {"window": 96, "overlap": 0}
RATES = SwitchRates(0.05, 0.02, 0.4)


def image_of(year: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Ten bands: a bright rectangle that grows over the years, on a slope of noise."""
    noise = np.random.default_rng(year)
    rows, columns = np.mgrid[:height, :width]
    mine = (abs(rows - height / 2) < height / 4) & (columns < width / 4 + 8 * (year - 2014))
    levels = np.linspace(600, 1500, 10)[:, None, None] + 4 * columns
    return (levels + 1800 * mine + noise.normal(0, 60, (10, height, width))).astype(np.int16)


def write_image(path: Path, image: np.ndarray, left: int = 0, top: int = 0, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {
        "driver": "GTiff",
        "count": len(image),
        "height": image.shape[1],
        "width": image.shape[2],
        "dtype": image.dtype,
        "crs": CRS,
        "transform": Affine(10, 0, ORIGIN[0] + 10 * left, 0, -10, ORIGIN[1] - 10 * top),
    }
    with rasterio.open(path, "w", **{**profile, **options}) as file:
        file.write(image)
    return path


def write_place(folder: Path, years=YEARS) -> Path:
    for year in years:
        write_image(folder / "image" / f"Year{year}.tif", image_of(year))
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return write_place(tmp_path_factory.mktemp("place") / "Mine_7")


@pytest.fixture(scope="module")
def mapper() -> LoadedModel:
    """A tiny network whose answers are far from one half in both directions."""
    torch.manual_seed(3)
    model = create_model("segformer-b0", **TINY).eval()
    processor = EuroMineImageProcessor()
    with torch.no_grad():
        pixel_values = processor(image_of(2016), return_tensors="pt").pixel_values
        logits = model(pixel_values=pixel_values).logits
        margin = logits[:, 1] - logits[:, 0]
        model.decode_head.classifier.weight.mul_(4 / margin.std())
        model.decode_head.classifier.bias[1] -= 4 / margin.std() * margin.median()
    return LoadedModel("runs/tiny-mapper", SEGMENTATION, model, processor)


@pytest.fixture(scope="module")
def detector() -> LoadedModel:
    torch.manual_seed(5)
    model = create_model("siamunet-diff", widths=(4, 4, 4, 4)).eval()
    processor = EuroMineImageProcessor()
    with torch.no_grad():
        series = processor(
            np.stack([image_of(year) for year in YEARS])[None], return_tensors="pt"
        ).pixel_values
        logits = model.predict_series(series)
        margin = (logits[:, :, 1] - logits[:, :, 0]).flatten()
        last = [layer for layer in model.modules() if getattr(layer, "out_channels", None) == 2][-1]
        last.bias[1] -= margin.quantile(0.7)
    return LoadedModel("runs/tiny-detector", CHANGE_DETECTION, model, processor)


def plain_probability(mapper: LoadedModel, image: np.ndarray) -> np.ndarray:
    """What the network says of a whole image, by transformers' own way."""
    with torch.no_grad():
        outputs = mapper.model(**mapper.image_processor(image, return_tensors="pt"))
    maps = mapper.image_processor.post_process_semantic_segmentation(
        outputs, [image.shape[-2:]], probabilities=True
    )
    return maps[0][1].numpy()


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(1)


@pytest.fixture(scope="module")
def made(place, mapper, tmp_path_factory) -> SeriesResult:
    out = tmp_path_factory.mktemp("series") / "out"
    return make_series([mapper], find_scenes(place), out, SeriesSettings(smoothing="none", **PLAIN))


def test_each_year_is_mapped_as_the_network_maps_it(made, mapper):
    assert made.years == list(YEARS)
    for year in YEARS:
        expected = plain_probability(mapper, image_of(year))
        np.testing.assert_allclose(made.probability(year), expected, atol=1e-5)
        is_clear = abs(expected - 0.5) > 1e-4
        np.testing.assert_array_equal(made.footprint(year)[is_clear], (expected > 0.5)[is_clear])
    shares = [float((made.footprint(year) == 1).mean()) for year in YEARS]
    assert all(0.05 < share < 0.95 for share in shares), "the network of the test maps something and not all"


def test_changes_are_the_differences_of_footprints_gain_and_loss_apart(made):
    assert made.pairs == list(combinations(YEARS, 2))
    for first, second in made.pairs:
        before, after = made.footprint(first), made.footprint(second)
        expected = np.zeros_like(before)
        expected[(before == 0) & (after == 1)] = 1
        expected[(before == 1) & (after == 0)] = 2
        np.testing.assert_array_equal(made.change(first, second), expected)
        assert (made.path / f"change_{first}_{second}.tif").exists()


def test_first_and_last_years_are_those_of_each_pixel(made):
    stack = [made.footprint(year) for year in YEARS]
    for row, column in np.random.default_rng(0).integers(0, (HEIGHT, WIDTH), (200, 2)):
        mined = [year for year, footprint in zip(YEARS, stack, strict=True) if footprint[row, column]]
        assert made.first_year[row, column] == (mined[0] if mined else 0)
        assert made.last_year[row, column] == (mined[-1] if mined else 0)


def test_years_without_data_are_unknown_and_never_the_first():
    footprints = np.array([[[255, 255, 0, 1]], [[1, 255, 0, 255]], [[0, 255, 255, 0]]], np.uint8)
    first, last = first_and_last_years(footprints, (2015, 2016, 2018))
    np.testing.assert_array_equal(first, [[2016, 65535, 0, 2015]])
    np.testing.assert_array_equal(last, [[2016, 65535, 0, 2015]])


def test_tables_hold_the_ground_areas_of_the_maps(made):
    areas, changes = made.areas, made.changes
    assert areas["site"].unique().tolist() == ["Mine_7"]
    for row in areas.itertuples():
        assert row.pixels == (made.footprint(row.year) == 1).sum()
        assert row.area_ha == pytest.approx(row.pixels / 100)
        assert row.known_share == 1
    for row in changes.itertuples():
        assert row.gain_ha == pytest.approx((made.change(row.year_1, row.year_2) == 1).sum() / 100)
        assert row.loss_ha == pytest.approx((made.change(row.year_1, row.year_2) == 2).sum() / 100)


def test_polygons_cover_what_the_maps_show(made):
    pytest.importorskip("geopandas")
    by_year = made.polygons().groupby("year")["area_ha"].sum()
    for row in made.areas.itertuples():
        assert by_year.get(row.year, 0) == pytest.approx(row.area_ha, rel=2e-3)
    assert set(made.polygons("changes")["kind"]) <= {"gain", "loss"}
    assert (made.path / "footprints.parquet").exists()


def test_pictures_show_the_same_ground_alike_whatever_the_processing(tmp_path):
    image = image_of(2016, 70, 90).astype(np.float32)
    pictures = []
    for name, values in (("plain", image), ("other", 1.3 * image + 400)):
        write_quicklook(
            Quicklook.of(ArrayScene(values, EuroMineImageProcessor().bands), ("B04", "B03", "B02")),
            tmp_path / f"{name}.png",
        )
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert (picture.size, picture.mode) == ((90, 70), "RGB")
            pictures.append(np.asarray(picture).astype(int))
    assert abs(pictures[0] - pictures[1]).max() <= 1
    assert pictures[0].min() == 0
    assert pictures[0].max() == 255


def test_pictures_of_large_scenes_are_means_of_what_is_known():
    image = np.random.default_rng(0).random((1, 700, 2500)).astype(np.float32)
    image[:, 300:310, 600:606] = np.nan
    look = Quicklook.of(ArrayScene(image, ["B04"]), ("B04",)).values[..., 0]
    assert look.shape == (234, 834)  # every third pixel
    for row, column in ((0, 0), (99, 199), (100, 200), (101, 201), (233, 833)):
        block = image[0, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3]
        known = block[~np.isnan(block)]
        if known.size:
            assert look[row, column] == pytest.approx(known.mean(), abs=1e-5)
        else:
            assert np.isnan(look[row, column])


def test_the_manifest_tells_what_made_it(made, place):
    manifest = made.manifest
    assert (manifest.site, manifest.crs, manifest.width, manifest.height) == ("Mine_7", CRS, WIDTH, HEIGHT)
    assert [scene.path for scene in manifest.scenes] == [f"Year{year}.tif" for year in YEARS]
    assert all("layout of the published archive" in scene.decisions[0] for scene in manifest.scenes)
    assert manifest.models[0].source == "runs/tiny-mapper"
    assert manifest.settings["smoothing"] == "none"
    assert not manifest.simulated
    assert str(place.parent) not in json.dumps(json.loads((made.path / "series.json").read_text()))


def test_smoothing_over_the_years_is_that_of_the_whole_stack(place, mapper, made, tmp_path, monkeypatch):
    """In rows of a few pixels at a time, too."""
    from euromine.monitoring.history.smoothing import smooth

    monkeypatch.setattr(module, "_ROWS_MEMORY", 5 * len(YEARS) * WIDTH * 7)
    result = make_series(
        [mapper],
        find_scenes(place),
        tmp_path,
        SeriesSettings(smoothing="viterbi", rates=RATES, threshold=0.4, **PLAIN),
    )
    probability = np.stack([made.probability(year) for year in YEARS])
    expected = smooth(probability, "viterbi", RATES, years=YEARS)
    np.testing.assert_array_equal(np.stack([result.footprint(year) for year in YEARS]), expected)
    assert result.manifest.settings["rates"] == asdict(RATES)


def test_change_may_be_what_is_likelier_than_not_given_all_years(place, mapper, made, tmp_path):
    settings = SeriesSettings(
        smoothing="median", rates=RATES, change_by="posterior", pairs="first-last", **PLAIN
    )
    result = make_series([mapper], find_scenes(place), tmp_path, settings)
    assert result.pairs == [(2015, 2018)]
    probability = np.stack([made.probability(year) for year in YEARS])
    gain, loss = change_probability(probability, RATES, [(0, 2)], years=YEARS)[0]
    np.testing.assert_array_equal(
        result.change(2015, 2018), np.where(gain > 0.5, 1, np.where(loss > 0.5, 2, 0))
    )


def expected_changes(detector: LoadedModel) -> dict[tuple[int, int], np.ndarray]:
    """Each pair by a call of its own: the probability of change of the whole image."""
    found = {}
    for first, second in combinations(YEARS, 2):
        images = np.stack([image_of(first), image_of(second)])
        with torch.no_grad():
            pixel_values = detector.image_processor(images[None], return_tensors="pt").pixel_values
            logits = detector.model(pixel_values=pixel_values).logits
        found[first, second] = logits.softmax(1)[0, 1].numpy()
    return found


@pytest.mark.parametrize("at_once", [None, 2])
def test_a_change_detector_alone_finds_change_without_direction(
    place, detector, tmp_path, monkeypatch, at_once
):
    if at_once is not None:  # in two passes over the windows
        strip = 5 * HEIGHT * (WIDTH * 1 + 0)
        monkeypatch.setattr(module, "_BLENDING_MEMORY", at_once * strip)
    result = make_series([detector], find_scenes(place), tmp_path, SeriesSettings(**PLAIN))
    for pair, probability in expected_changes(detector).items():
        is_clear = abs(probability - 0.5) > 1e-4
        expected = np.where(probability > 0.5, 3, 0)
        np.testing.assert_array_equal(result.change(*pair)[is_clear], expected[is_clear])
        assert 0 < (expected == 3).mean() < 1
    assert set(result.changes.columns) >= {"gain_ha", "loss_ha", "undirected_ha"}
    assert result.changes["gain_ha"].sum() == 0
    with pytest.raises(ValueError, match=r"holds no areas.csv, which a series with a footprint mapper has"):
        result.areas  # noqa: B018
    assert "A change detector alone cannot distinguish the two." in result.report().read_text(
        encoding="utf-8"
    )


def test_footprints_tell_the_direction_of_what_a_detector_found(place, mapper, detector, made, tmp_path):
    settings = SeriesSettings(smoothing="none", pairs="consecutive", **PLAIN)
    # In either order.
    result = make_series([detector, mapper], find_scenes(place), tmp_path, settings)
    assert result.pairs == [(2015, 2016), (2016, 2018)]
    for pair in result.pairs:
        probability = expected_changes(detector)[pair]
        found = probability > 0.5
        before, after = (made.footprint(year) for year in pair)
        expected = np.where(found, 3, 0)
        expected[found & (before < after)] = 1
        expected[found & (before > after)] = 2
        is_clear = abs(probability - 0.5) > 1e-4
        np.testing.assert_array_equal(result.change(*pair)[is_clear], expected[is_clear])


# Grids


def test_years_of_other_extents_meet_where_all_reach(mapper, tmp_path):
    folder = tmp_path / "Mine_1" / "image"
    write_image(folder / "Year2015.tif", image_of(2015, 90, 120))
    write_image(folder / "Year2016.tif", image_of(2016, 90, 120)[:, 5:, 9:], left=9, top=5)
    write_image(folder / "Year2018.tif", image_of(2018, 90, 120)[:, :80, :110])
    settings = SeriesSettings(smoothing="none", window=128, overlap=0)
    result = make_series([mapper], find_scenes(tmp_path / "Mine_1"), tmp_path / "out", settings)
    assert (result.manifest.height, result.manifest.width) == (75, 101)
    assert result.manifest.transform == (10, 0, ORIGIN[0] + 90, 0, -10, ORIGIN[1] - 50)
    assert all(scene.resampled == "" for scene in result.manifest.scenes)
    # Each year shows the same ground: cut by hand, it is mapped alike.
    alone = tmp_path / "Mine_2" / "image"
    write_image(alone / "Year2016.tif", image_of(2016, 90, 120)[:, 5:80, 9:110], left=9, top=5)
    other = make_series([mapper], find_scenes(tmp_path / "Mine_2"), tmp_path / "other", settings)
    np.testing.assert_array_equal(other.probability(2016), result.probability(2016))


def smooth_field(crs: str, affine: Affine, height: int, width: int) -> np.ndarray:
    """Digital numbers that follow longitude and latitude, in any coordinate system."""
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    a, b, c, d, e, f = affine[:6]
    longitudes, latitudes = transform(
        crs,
        "EPSG:4326",
        (a * columns + b * rows + c).ravel().tolist(),
        (d * columns + e * rows + f).ravel().tolist(),
    )
    waves = np.sin(np.asarray(longitudes) * 900) * 700 + np.cos(np.asarray(latitudes) * 1100) * 500
    return np.repeat((2000 + waves).reshape(1, height, width), 10, axis=0).round().astype(np.int16)


def test_a_year_in_another_coordinate_system_comes_to_the_first_ones_grid(mapper, tmp_path):
    folder = tmp_path / "Mine_1" / "image"
    affine = Affine(10, 0, ORIGIN[0], 0, -10, ORIGIN[1])
    write_image(folder / "Year2015.tif", smooth_field(CRS, affine, 70, 90))
    (x,), (y,) = transform(CRS, "EPSG:32632", [ORIGIN[0] - 300], [ORIGIN[1] + 300])
    other = Affine(10, 0, x, 0, -10, y)
    write_image(
        folder / "Year2016.tif",
        smooth_field("EPSG:32632", other, 160, 190),
        crs="EPSG:32632",
        transform=other,
    )
    result = make_series(
        [mapper], find_scenes(tmp_path / "Mine_1"), tmp_path / "out", SeriesSettings(window=96, overlap=0)
    )
    assert result.manifest.crs == CRS
    assert [scene.resampled for scene in result.manifest.scenes] == [
        "",
        "resampled bilinearly from EPSG:32632",
    ]
    # The same ground gives nearly the same image, so nearly the same answer.
    apart = abs(result.probability(2015) - result.probability(2016))
    assert np.nanmean(apart) < 0.02
    assert "The image of 2016 lies on a different grid and was resampled" in result.report().read_text(
        encoding="utf-8"
    )


def test_a_year_without_data_in_places_is_unknown_there(mapper, tmp_path):
    folder = tmp_path / "Mine_1" / "image"
    image = image_of(2016)
    image[:, :, :20] = -999
    write_image(folder / "Year2015.tif", image_of(2015))
    write_image(folder / "Year2016.tif", image, nodata=-999)
    result = make_series(
        [mapper],
        find_scenes(tmp_path / "Mine_1"),
        tmp_path / "out",
        SeriesSettings(smoothing="none", **PLAIN),
    )
    assert (result.footprint(2016)[:, :20] == 255).all()
    assert (result.footprint(2016)[:, 20:] != 255).all()
    assert (result.change(2015, 2016)[:, :20] == 255).all()
    assert (result.first_year[:, :20] != 65535).all()
    assert result.manifest.scenes[1].known_share == pytest.approx(76 / 96)
    assert "2016 (79.2% has data)" in result.report().read_text(encoding="utf-8")


def test_a_year_that_is_all_clouds_is_named(mapper, tmp_path):
    folder = tmp_path / "Mine_1" / "image"
    write_image(folder / "Year2015.tif", image_of(2015))
    write_image(folder / "Year2016.tif", np.full((10, HEIGHT, WIDTH), -999, np.int16), nodata=-999)
    with pytest.raises(SceneError, match=r"Year2016\.tif: has no pixel with data where all years meet"):
        make_series([mapper], find_scenes(tmp_path / "Mine_1"), tmp_path / "out", SeriesSettings(**PLAIN))


def test_years_that_share_no_ground_are_named(mapper, tmp_path):
    folder = tmp_path / "Mine_1" / "image"
    write_image(folder / "Year2015.tif", image_of(2015))
    write_image(folder / "Year2016.tif", image_of(2016), left=5000)
    with pytest.raises(SceneError, match=r"Year2016\.tif: has no ground in common with .*Year2015\.tif"):
        make_series([mapper], find_scenes(tmp_path / "Mine_1"), tmp_path / "out")


# Stopped and resumed


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix == ".tif"}


@pytest.mark.parametrize("stopped_in", ["predict_probability", "smooth", "change_map", "footprint_polygons"])
def test_a_stopped_run_continues_and_ends_alike(place, mapper, made, tmp_path, monkeypatch, stopped_in):
    settings = SeriesSettings(smoothing="none", **PLAIN)
    original, calls = getattr(module, stopped_in), []

    def interrupt(*args, **kwargs):
        calls.append(1)
        if len(calls) == (2 if stopped_in == "predict_probability" else 1):
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr(module, stopped_in, interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_series([mapper], find_scenes(place), tmp_path / "out", settings)
    there = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.tif")}
    assert "probability_2015.tif" in there
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
    with pytest.raises(ValueError, match="holds a series that was stopped"):
        SeriesResult(tmp_path / "out")
    monkeypatch.setattr(module, stopped_in, original)
    result = make_series([mapper], find_scenes(place), tmp_path / "out", settings)
    assert contents(result.path) == contents(made.path)
    for name, modified in there.items():
        assert (result.path / name).stat().st_mtime_ns == modified, name


def test_a_finished_series_is_not_made_again(place, mapper, tmp_path, monkeypatch):
    settings = SeriesSettings(smoothing="none", pairs="first-last", **PLAIN)
    make_series([mapper], find_scenes(place), tmp_path, settings)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    monkeypatch.setattr(module, "predict_probability", None)
    make_series([mapper], find_scenes(place), tmp_path, settings)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_another_threshold_maps_anew_but_asks_the_network_nothing(place, mapper, tmp_path, monkeypatch):
    make_series([mapper], find_scenes(place), tmp_path, SeriesSettings(smoothing="none", **PLAIN))
    before = (read(tmp_path / "footprint_2016.tif") == 1).sum()
    monkeypatch.setattr(module, "predict_probability", None)
    make_series(
        [mapper], find_scenes(place), tmp_path, SeriesSettings(smoothing="none", threshold=0.9, **PLAIN)
    )
    assert (read(tmp_path / "footprint_2016.tif") == 1).sum() < before


def test_what_an_earlier_series_left_in_the_folder_goes(place, mapper, tmp_path):
    settings = SeriesSettings(smoothing="none", **PLAIN)
    make_series([mapper], find_scenes(place), tmp_path, settings)
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    make_series([mapper], find_scenes(place, [2015, 2018]), tmp_path, settings)
    names = {path.name for path in tmp_path.iterdir()}
    assert "notes.txt" in names
    assert not [name for name in names if "2016" in name]


# What people do


def test_a_year_is_found_in_a_files_name(tmp_path):
    names = {
        2015: "Year2015.tif",
        2016: "2016.tif",
        2017: "S2A1C_20170703_022_Barbellino_TOA_10.tif",
        2018: "mine_2018-08-01.TIF",
        2019: "year_2019.tiff",
    }
    for name in names.values():
        write_image(tmp_path / name, image_of(2015))
    assert {year: path.name for year, path in find_scenes(tmp_path).items()} == names


def test_a_year_that_was_asked_for_and_is_not_there_is_told(place, mapper, tmp_path):
    monitor = MineMonitor([mapper])
    result = monitor.series(place, tmp_path, years=range(2015, 2019), smoothing="none", **PLAIN)
    assert result.years == [2015, 2016, 2018]
    assert result.manifest.missing_years == [2017]


def test_paths_do_as_well_as_a_folder(place, mapper, tmp_path):
    paths = [place / "image" / "Year2018.tif", place / "image" / "Year2015.tif"]
    result = MineMonitor([mapper]).series(paths, tmp_path, smoothing="none", **PLAIN)
    assert result.years == [2015, 2018]


def test_one_year_alone_has_footprints_and_no_change(place, mapper, tmp_path):
    result = make_series([mapper], find_scenes(place, [2016]), tmp_path, SeriesSettings(**PLAIN))
    assert result.pairs == []
    assert result.changes.empty
    assert "2016" in result.report().read_text(encoding="utf-8")


def test_maps_of_ours_among_the_images_are_passed_over(place, mapper, tmp_path):
    folder = shutil.copytree(place / "image", tmp_path / "image")
    settings = SeriesSettings(smoothing="none", pairs="first-last", **PLAIN)
    make_series([mapper], find_scenes(folder), folder, settings)
    assert list(find_scenes(folder)) == list(YEARS)


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (lambda folder: None, "holds no image, a GeoTIFF"),
        (
            lambda folder: write_image(folder / "mine.tif", image_of(2015)),
            "tells no year, one in its name was",
        ),
        (
            lambda folder: [
                write_image(folder / name, image_of(2015)) for name in ("2015.tif", "Year2015.tif")
            ],
            "are both of 2015, one image a year was expected",
        ),
        (lambda folder: (folder / "2015.tif").write_bytes(b"no image"), "2015.tif: is no GeoTIFF"),
        (lambda folder: folder.rmdir(), "is no folder, one with a GeoTIFF for each year was expected"),
    ],
)
def test_a_folder_that_is_no_series_is_told_in_a_sentence(tmp_path, prepare, sentence):
    folder = tmp_path / "mine"
    folder.mkdir()
    prepare(folder)
    with pytest.raises(ValueError, match=sentence):
        find_scenes(folder)


def test_years_of_which_there_is_no_image_are_named(place):
    with pytest.raises(ValueError, match="there is no image of 2001, 2002, at least one was expected"):
        find_scenes(place, [2001, 2002])


def test_an_image_of_other_bands_is_named(mapper, tmp_path):
    for year in YEARS:
        write_image(tmp_path / f"{year}.tif", image_of(year)[: 10 if year < 2018 else 4])
    bands = tuple(EuroMineImageProcessor().bands)
    options = SceneOptions(bands=bands, offset=0)
    with pytest.raises(
        SceneError, match=r"2018\.tif: has 4 bands, --bands names 10; expected one name for each"
    ):
        find_scenes(tmp_path, options=options)


def test_an_image_cut_short_is_named_and_the_years_before_it_are_kept(mapper, tmp_path):
    folder = tmp_path / "mine" / "image"
    for year in YEARS:
        write_image(folder / f"Year{year}.tif", image_of(year))
    path = folder / "Year2018.tif"
    path.write_bytes(path.read_bytes()[:-40_000])
    with pytest.raises(SceneError, match=r"Year2018\.tif: cannot be read at rows .* truncated or damaged"):
        make_series([mapper], find_scenes(tmp_path / "mine"), tmp_path / "out", SeriesSettings(**PLAIN))
    names = [item.name for item in (tmp_path / "out").iterdir()]
    assert sorted(names) == ["probability_2015.tif", "probability_2016.tif", "series.json"]


def test_a_change_detector_with_one_year_is_told_so(place, detector, tmp_path):
    with pytest.raises(
        ValueError, match=r"tiny-detector finds changes between years, and there is one year alone"
    ):
        make_series([detector], find_scenes(place, [2016]), tmp_path)


def test_two_models_of_one_task_are_named(place, mapper, tmp_path):
    with pytest.raises(
        ValueError, match="both map footprints, one that maps footprints and one that finds changes"
    ):
        make_series([mapper, mapper], find_scenes(place), tmp_path)


def test_a_folder_that_cannot_be_made_is_named(place, mapper, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OSError, match=r"file/out cannot be written to \(Not a directory\)"):
        make_series([mapper], find_scenes(place), tmp_path / "file" / "out")


def test_viterbi_without_rates_says_where_they_come_from(place, mapper, tmp_path):
    with pytest.raises(ValueError, match=r"viterbi needs switch rates, and none lie beside runs/tiny-mapper"):
        make_series([mapper], find_scenes(place), tmp_path, SeriesSettings(smoothing="viterbi"))


def test_a_calibration_beside_the_model_smooths_and_gives_intervals(place, mapper, tmp_path):
    from euromine.monitoring.history.area_estimation import CHANGE_CLASSES, FOOTPRINT_CLASSES, Confusion
    from euromine.monitoring.history.calibration import Calibration
    from euromine.monitoring.mapping.loading import model_digest

    def confusion(classes):
        sizes = len(classes)
        counts = np.full((3, sizes, sizes), 30, np.int64) + np.arange(3)[:, None, None]
        counts += 700 * np.eye(sizes, dtype=np.int64)
        return Confusion(classes, ("A", "B", "C"), counts)

    folder = tmp_path / "model"
    folder.mkdir()
    loaded = LoadedModel(str(folder), SEGMENTATION, mapper.model, mapper.image_processor)
    Calibration(
        rates=RATES,
        footprints={"viterbi": confusion(FOOTPRINT_CLASSES), "median": confusion(FOOTPRINT_CLASSES)},
        changes={method: {1: confusion(CHANGE_CLASSES)} for method in ("viterbi", "median")},
        threshold=0.5,
        dataset="euromine",
        split="validation",
        simulated=True,
        digest=model_digest(mapper.model, mapper.image_processor),
    ).save(folder)
    settings = SeriesSettings(smoothing="viterbi", **PLAIN)
    result = make_series([loaded], find_scenes(place), tmp_path / "out", settings)
    assert result.manifest.settings["smoothing"] == "viterbi"
    assert result.areas["low_ha"].notna().all()
    assert result.manifest.confusion is not None
    assert result.manifest.models[0].simulated
    assert "Trained on simulated data." in result.report().read_text(encoding="utf-8")
    # Other weights: its errors are not this network's.
    calibration = Calibration.load(folder)
    values = json.loads((folder / "calibration.json").read_text())
    (folder / "calibration.json").write_text(json.dumps({**values, "digest": "other"}))
    assert calibration.digest != "other"
    result = make_series([loaded], find_scenes(place), tmp_path / "out", SeriesSettings(**PLAIN))
    assert result.manifest.settings["smoothing"] == "median"
    assert result.areas["low_ha"].isna().all()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"smoothing": "mean"}, "smoothing is 'mean', one of viterbi, median, none was expected"),
        ({"pairs": "some"}, "pairs is 'some', one of all, consecutive, first-last was expected"),
        ({"change_by": "eye"}, "change_by is 'eye', one of footprints, posterior was expected"),
        ({"threshold": 1.5}, "threshold is 1.5, a probability"),
        ({"smallest_mapping_unit": -1}, "hectares of at least 0 were expected"),
        ({"window": 100}, "window is 100, a multiple of 32 was expected"),
    ],
)
def test_settings_that_are_none_are_named(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        SeriesSettings(**settings)


def test_permits_cut_out_what_they_allow(place, mapper, made, tmp_path):
    geopandas = pytest.importorskip("geopandas")
    from shapely.geometry import box

    # The upper half of the scene is permitted.
    half = box(ORIGIN[0], ORIGIN[1] - 10 * HEIGHT / 2, ORIGIN[0] + 10 * WIDTH, ORIGIN[1])
    path = tmp_path / "permits.geojson"
    geopandas.GeoDataFrame({"name": ["A"]}, geometry=[half], crs=CRS).to_crs("EPSG:4326").to_file(path)
    result = make_series(
        [mapper],
        find_scenes(place),
        tmp_path / "out",
        SeriesSettings(smoothing="none", permits=path, **PLAIN),
    )
    found = result.permits
    mined = found[found["kind"] == "mined"].groupby("year")["area_ha"].sum()
    for year in YEARS:
        expected = (made.footprint(year)[HEIGHT // 2 :] == 1).sum() / 100
        assert mined.get(year, 0) == pytest.approx(expected, rel=0.01, abs=0.05)
    page = result.report().read_text(encoding="utf-8")
    assert "Outside the permits" in page
    assert 'class="permit"' in page
    # Without permits nothing of theirs stays.
    make_series([mapper], find_scenes(place), tmp_path / "out", SeriesSettings(smoothing="none", **PLAIN))
    assert not list((tmp_path / "out").glob("permit*"))


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(place, mapper, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "euromine.monitoring.mapping.geotiffs.shutil.disk_usage",
        lambda path: shutil._ntuple_diskusage(1, 1, 100),
    )
    with pytest.raises(OSError, match=r"no space left for .*probability_2015\.tif"):
        make_series([mapper], find_scenes(place), tmp_path / "out", SeriesSettings(**PLAIN))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["series.json"]


def test_python_gives_the_probability_of_one_scene(place, mapper):
    path = place / "image" / "Year2016.tif"
    probability = MineMonitor([mapper]).predict(path, **PLAIN)
    np.testing.assert_allclose(probability, plain_probability(mapper, image_of(2016)), atol=1e-5)


def test_a_change_detector_alone_maps_no_scene(place, detector):
    with pytest.raises(ValueError, match="maps no footprints, a footprint mapper was expected"):
        MineMonitor([detector]).predict(place / "image" / "Year2016.tif")
