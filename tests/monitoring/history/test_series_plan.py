"""What is refused before the first map, and what a calibration decides."""

import json

import numpy as np
import pytest
from rasterio import Affine

from euromine.modeling import SEGMENTATION
from euromine.monitoring.history.area_estimation import CHANGE_CLASSES, FOOTPRINT_CLASSES, Confusion
from euromine.monitoring.history.calibration import Calibration
from euromine.monitoring.history.series import make_series
from euromine.monitoring.history.series_settings import SeriesSettings
from euromine.monitoring.mapping.loading import LoadedModel, model_digest
from euromine.support.errors import ArgumentError, ModelError, SceneError

from .site_images import PLAIN, RATES, image_of, series_of, write_image, write_site


def test_years_that_share_no_ground_are_named(mapper, tmp_path):
    folder = tmp_path / "Mine_1" / "image"
    write_image(folder / "Year2015.tif", image_of(2015))
    write_image(folder / "Year2016.tif", image_of(2016), left=5000)
    with pytest.raises(
        SceneError, match=r"Year2016\.tif: found no overlap with .*Year2015\.tif .*; expected scenes"
    ):
        series_of([mapper], tmp_path / "Mine_1", tmp_path / "out")


def test_a_map_of_ours_is_no_image(made, mapper, tmp_path):
    path = made.path / "footprint_2016.tif"
    with pytest.raises(SceneError, match=r"footprint_2016\.tif: found a map that EuroMine made; expected im"):
        make_series([mapper], {2016: path}, tmp_path)


def test_a_change_detector_with_one_year_is_refused(place, detector, tmp_path):
    with pytest.raises(
        ArgumentError, match=r"years: found 2016 alone; expected two or more, between which .*tiny-detector"
    ):
        series_of([detector], place, tmp_path, [2016])


def test_two_models_of_one_task_are_named(place, mapper, tmp_path):
    with pytest.raises(
        ModelError, match="models: found 2 footprint mappers, runs/tiny-mapper and runs/tiny-mapper; expected"
    ):
        series_of([mapper, mapper], place, tmp_path)
    with pytest.raises(
        ModelError, match="models: found none; expected a footprint mapper, a change detector"
    ):
        series_of([], place, tmp_path)


def test_permits_need_a_footprint_mapper(place, detector, tmp_path):
    with pytest.raises(ArgumentError, match="permits: found a change detector alone; expected a footprint"):
        series_of([detector], place, tmp_path, permits=tmp_path / "permits.geojson")


def test_viterbi_without_rates_says_where_they_come_from(place, mapper, tmp_path):
    with pytest.raises(
        ArgumentError, match=r"smoothing: found 'viterbi' without switch rates beside runs/tiny-mapper; expec"
    ):
        series_of([mapper], place, tmp_path, smoothing="viterbi")


def test_a_posterior_without_rates_says_where_they_come_from(place, mapper, tmp_path):
    with pytest.raises(
        ArgumentError, match="change_by: found 'posterior' without switch rates; expected a c"
    ):
        series_of([mapper], place, tmp_path, change_by="posterior")


def test_nothing_is_written_before_everything_is_checked(place, mapper, tmp_path):
    with pytest.raises(ArgumentError):
        series_of([mapper], place, tmp_path / "out", smoothing="viterbi")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def calibrated(mapper, tmp_path) -> LoadedModel:
    """The mapper in a folder with a calibration for each method but "none"."""

    def confusion(classes):
        sizes = len(classes)
        counts = np.full((3, sizes, sizes), 30, np.int64) + np.arange(3)[:, None, None]
        counts += 700 * np.eye(sizes, dtype=np.int64)
        return Confusion(classes, ("A", "B", "C"), counts)

    folder = tmp_path / "model"
    folder.mkdir()
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
    return LoadedModel(str(folder), SEGMENTATION, mapper.model, mapper.image_processor)


def test_a_calibration_beside_the_model_smooths_and_gives_intervals(place, calibrated, tmp_path):
    result = series_of([calibrated], place, tmp_path / "out", smoothing="viterbi", **PLAIN)
    assert result.manifest.settings["smoothing"] == "viterbi"
    assert result.areas["low_ha"].notna().all()
    assert result.manifest.confusion is not None
    assert result.manifest.models[0].simulated
    assert "Trained on simulated data." in result.report().read_text(encoding="utf-8")


def test_a_calibration_of_other_weights_is_not_used(place, calibrated, tmp_path, caplog):
    path = tmp_path / "model" / "calibration.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "digest": "other"}))
    result = series_of([calibrated], place, tmp_path / "out", **PLAIN)
    assert result.manifest.settings["smoothing"] == "median"
    assert result.areas["low_ha"].isna().all()
    assert "was counted with other weights" in caplog.text


@pytest.mark.parametrize(
    ("settings", "has_intervals"),
    [
        ({}, True),
        ({"threshold": 0.4}, False),  # errors were counted at another threshold
        ({"smoothing": "viterbi", "threshold": 0.4}, True),  # which a path does not use
        ({"smoothing": "none"}, False),  # not calibrated
    ],
)
def test_a_calibration_holds_for_maps_that_are_made_alike(
    place, calibrated, tmp_path, settings, has_intervals
):
    result = series_of([calibrated], place, tmp_path / "out", **settings, **PLAIN)
    assert result.areas["low_ha"].notna().all() == has_intervals
    assert (result.manifest.confusion is not None) == has_intervals
    first, second = result.changes["gain_low_ha"].notna().tolist()[:2]
    assert (first, second) == (has_intervals, False)  # an interval of one year is calibrated, others are not


@pytest.mark.parametrize(
    ("note", "archive", "simulated"),
    [
        ("simulation.json", "EuroMineNet", True),
        ("simulation.json", "mines", False),  # not where `euromine simulate` puts images beside its note
        ("EuroMineNet/Mine_1/simulation.json", "EuroMineNet", False),
    ],
)
def test_images_are_simulated_where_the_simulator_left_its_note(mapper, tmp_path, note, archive, simulated):
    site = write_site(tmp_path / archive / "Mine_1", [2016])
    (tmp_path / note).write_text("{}", encoding="utf-8")
    result = series_of([mapper], site, tmp_path / "out", **PLAIN)
    assert result.manifest.simulated is simulated
    told = make_series(
        [mapper],
        {2016: site / "image/Year2016.tif"},
        tmp_path / "other",
        SeriesSettings(simulated=not simulated, **PLAIN),
    )
    assert told.manifest.simulated is not simulated


def test_a_grid_without_areas_is_refused_before_the_first_map(mapper, tmp_path):
    write_image(
        tmp_path / "mine" / "image" / "Year2015.tif",
        image_of(2015),
        crs='LOCAL_CS["site grid",UNIT["metre",1]]',
    )
    with pytest.raises(SceneError, match=r"found the coordinate system .*; expected a geographic or"):
        series_of([mapper], tmp_path / "mine", tmp_path / "out", **PLAIN)
    assert not (tmp_path / "out").exists()


def test_a_turned_grid_in_degrees_is_refused_before_the_first_map(mapper, tmp_path):
    turned = Affine.translation(15, 45) @ Affine.rotation(-30) @ Affine.scale(1e-4, -1e-4)
    path = tmp_path / "mine" / "image" / "Year2015.tif"
    write_image(path, image_of(2015), crs="EPSG:4326", transform=turned)
    with pytest.raises(SceneError, match="found a grid in degrees that is rotated"):
        series_of([mapper], tmp_path / "mine", tmp_path / "out", **PLAIN)
    assert not (tmp_path / "out").exists()


def test_viterbi_without_a_footprint_mapper_is_refused(place, detector, tmp_path):
    with pytest.raises(
        ArgumentError, match="smoothing: found 'viterbi' without a footprint mapper; expected one"
    ):
        series_of([detector], place, tmp_path, smoothing="viterbi")
