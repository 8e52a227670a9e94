"""Series with a component model whose answers are known: maps, tables, polygons, refusals."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from euromine.commands.series_options import series_summary
from euromine.modeling import SEGMENTATION, EuroMineImageProcessor
from euromine.monitoring.history import component_maps
from euromine.monitoring.history.area_estimation import Confusion
from euromine.monitoring.history.calibration import Calibration
from euromine.monitoring.history.folder import SeriesFolder
from euromine.monitoring.history.switch_rates import SwitchRates
from euromine.monitoring.history.transition_errors import TransitionCounts
from euromine.monitoring.mapping.geotiffs import CogWriter, read_map_record
from euromine.monitoring.mapping.loading import LoadedModel, model_digest
from euromine.support.errors import ArgumentError, DataError, RecordError, SceneError

from .site_images import read, series_of, write_image

BANDS = ("B02", "B03", "B04", "B08")
HIGH, LOW = 900, 100
YEARS = [2019, 2021]
# Rows of the site's 40: excavation, dumping ground, stockpile and any component. Ten rows of the pit are
# filled by 2021, five of them also remain a pit; the heap disappears.
ROWS = {
    2019: [slice(0, 20), slice(0, 0), slice(24, 30), slice(0, 30)],
    2021: [slice(0, 15), slice(10, 20), slice(0, 0), slice(0, 20)],
}
PIXEL_HA = 0.01


@pytest.fixture(scope="session")
def component_mapper(band_components) -> LoadedModel:
    processor = EuroMineImageProcessor(bands=BANDS, do_normalize=False)
    return LoadedModel("runs/components", SEGMENTATION, band_components(), processor)


def write_pits(folder: Path) -> Path:
    for year, rows in ROWS.items():
        image = np.full((10, 40, 64), LOW, np.int16)
        for band, where in zip((0, 1, 2, 6), rows, strict=True):  # the places of BANDS in the archive
            image[band, where] = HIGH
        write_image(folder / "image" / f"Year{year}.tif", image)
    return folder


@pytest.fixture(scope="session")
def pits(tmp_path_factory) -> Path:
    return write_pits(tmp_path_factory.mktemp("pits") / "Pit_3")


@pytest.fixture(scope="session")
def pit_series(component_mapper, pits, tmp_path_factory):
    out = tmp_path_factory.mktemp("pit-series") / "out"
    return series_of([component_mapper], pits, out, smoothing="none")


def test_each_year_has_a_map_a_group_that_is_as_painted(pit_series) -> None:
    for year, (pit, dump, heap, total) in ROWS.items():
        ground, deposits, mined = (np.zeros((40, 64), np.uint8) for _ in range(3))
        ground[pit] = 1
        deposits[dump], deposits[heap] = 1, 2
        mined[total] = 1
        np.testing.assert_array_equal(pit_series.component_map("ground", year), ground)
        np.testing.assert_array_equal(pit_series.component_map("deposits", year), deposits)
        np.testing.assert_array_equal(pit_series.footprint(year), mined)
        with rasterio.open(pit_series.path / f"components_deposits_{year}.tif") as dataset:
            assert dataset.tags(1)["CLASS_2"] == "stockpile"
        assert (pit_series.path / f"components_deposits_{year}.qml").exists()
    with pytest.raises(DataError, match="group: found 'water'; expected one of ground, "):
        pit_series.component_map("water", 2019)
    with pytest.raises(DataError, match="found no map of ground in 1999"):
        pit_series.component_map("ground", 1999)


def test_areas_and_transitions_are_those_of_the_drawing(pit_series) -> None:
    areas = {(row.component, row.year): row for row in pit_series.components.itertuples()}
    rows = {key: row.pixels / 64 for key, row in areas.items()}
    assert rows == {
        ("excavation", 2019): 20,
        ("excavation", 2021): 15,
        ("dumping_ground", 2019): 0,
        ("dumping_ground", 2021): 10,
        ("stockpile", 2019): 6,
        ("stockpile", 2021): 0,
    }  # the total is in areas.csv
    # UTM shrinks ground by up to 0.08 % near its central meridian.
    assert areas["excavation", 2019].area_ha == pytest.approx(20 * 64 * PIXEL_HA, rel=1e-3)
    assert np.isnan(areas["excavation", 2019].low_ha)  # no calibration: no interval
    with (pit_series.path / "component_transitions.csv").open(newline="") as file:
        found = {
            (row["group"], row["from_component"], row["to_component"]): int(row["pixels"]) / 64
            for row in csv.DictReader(file)
        }
    assert found == {
        ("ground", "excavation", "excavation"): 15,
        ("ground", "excavation", "none"): 5,
        ("ground", "none", "none"): 20,
        ("deposits", "none", "dumping_ground"): 10,
        ("deposits", "stockpile", "none"): 6,
        ("deposits", "none", "none"): 24,
        ("transformed_area", "any component", "any component"): 20,
        ("transformed_area", "any component", "none"): 10,
        ("transformed_area", "none", "none"): 10,
        ("visible component", "excavation", "excavation"): 10,
        ("visible component", "excavation", "dumping_ground"): 10,
        ("visible component", "stockpile", "none"): 6,
        ("visible component", "none", "none"): 14,
    }
    assert len(pit_series.component_transitions) == len(found)


def test_the_command_names_the_components_of_the_last_year(pit_series) -> None:
    assert series_summary(pit_series)[2] == "Components in 2021: excavation 9.6 ha, dumping_ground 6.4 ha."


def test_ground_is_called_mined_only_where_the_model_has_a_total(
    band_components, component_mapper, pits, tmp_path
) -> None:
    model = band_components({"ground": ["excavation"]})
    loaded = LoadedModel("runs/ground", SEGMENTATION, model, component_mapper.image_processor)
    made = series_of([loaded], pits, tmp_path / "out", smoothing="none")
    assert series_summary(made)[1] == "With a component of ground: 12.8 ha in 2019, 9.6 ha in 2021."


def test_polygons_carry_the_class_and_what_footprints_feed_is_fed(pit_series) -> None:
    polygons = pit_series.polygons("components")
    found = sorted(zip(polygons.year, polygons.component, polygons.geometry.area / 6400, strict=True))
    assert found == [
        (2019, "excavation", 20),
        (2019, "stockpile", 6),
        (2021, "dumping_ground", 10),
        (2021, "excavation", 15),
    ]
    assert (pit_series.path / "components.parquet").exists()
    assert pit_series.changes.loss_ha[0] == pytest.approx(10 * 64 * PIXEL_HA, rel=1e-3)
    assert pit_series.areas.pixels.tolist() == [30 * 64, 20 * 64]


def test_the_same_run_again_makes_nothing_and_a_lost_map_is_made_again(
    component_mapper, pits, tmp_path
) -> None:
    out = tmp_path / "out"
    series_of([component_mapper], pits, out, smoothing="none")
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    series_of([component_mapper], pits, out, smoothing="none")
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
    (out / "components_ground_2021.tif").unlink()
    again = series_of([component_mapper], pits, out, smoothing="none")
    assert (read(again.path / "components_ground_2021.tif") == 1).sum() == 15 * 64
    assert (out / "components_ground_2019.tif").stat().st_mtime_ns == before["components_ground_2019.tif"]


def test_a_model_of_other_groups_does_not_replace_a_folder(
    component_mapper, band_components, pits, pit_series
) -> None:
    other = band_components({"heaps": ["stockpile"], "total": ["any component"]})
    loaded = LoadedModel("runs/heaps", SEGMENTATION, other, component_mapper.image_processor)
    with pytest.raises(
        ArgumentError,
        match=r"found components of the groups ground \(excavation\), deposits \(dumping_ground, "
        r"stockpile\); expected heaps \(stockpile\), those of the model\. Choose another folder",
    ):
        series_of([loaded], pits, pit_series.path)


def test_a_footprint_mapper_has_no_components(made) -> None:
    assert made.component_groups is None
    for ask in (lambda: made.components, lambda: made.polygons("components")):
        with pytest.raises(DataError, match="expected a series with a component model"):
            ask()


@pytest.mark.parametrize("rates", [None, SwitchRates(0.01, 0.01, 0.1)])
def test_a_chain_of_two_states_is_refused_for_components(component_mapper, pits, tmp_path, rates) -> None:
    with pytest.raises(
        ArgumentError,
        match=r"smoothing: found 'viterbi', a chain of two states, with runs/components, which maps several "
        r"components; expected median or none\. --smooth median takes",
    ):
        series_of([component_mapper], pits, tmp_path / "out", smoothing="viterbi", rates=rates)
    assert not (tmp_path / "out").exists()


def test_groups_without_a_meaning_in_a_manifest_are_refused(pit_series, tmp_path) -> None:
    manifest = json.loads((pit_series.path / "series.json").read_text())
    manifest["component_groups"] = {"../elsewhere": ["excavation"]}
    (tmp_path / "series.json").write_text(json.dumps(manifest))
    with pytest.raises(RecordError, match="found component groups that have no meaning"):
        type(pit_series)(tmp_path)


def test_a_model_that_reads_radar_finds_it_beside_the_images(band_components, tmp_path, caplog) -> None:
    pits = write_pits(tmp_path / "Pit_3")
    processor = EuroMineImageProcessor(bands=("B02", "VV"), do_normalize=False)
    model = band_components({"ground": ["excavation"], "total": ["any component"]}, ("B02", "VV"))
    loaded = LoadedModel("runs/fusion", SEGMENTATION, model, processor)
    with pytest.raises(
        SceneError, match=r"Year2019.tif: found no radar image beside it; expected one with VV"
    ):
        series_of([loaded], pits, tmp_path / "out", smoothing="none")
    backscatter = np.full((2, 40, 64), -1200, np.int16)
    backscatter[:, :5] = HIGH  # as no ground is, so that the total of the network answers
    write_image(pits / "radar" / "Year2021.tif", backscatter, nodata=-32768)
    made = series_of([loaded], pits, tmp_path / "out", smoothing="none")
    assert "There is no radar image of 2019." in caplog.text
    assert (made.footprint(2019) == 0).all()
    assert made.footprint(2021)[:, 0].tolist() == [1] * 5 + [0] * 35
    assert made.component_map("ground", 2019)[:, 0].tolist() == [1] * 20 + [0] * 20
    assert [scene.decisions[0].split("; ")[-1] for scene in made.manifest.scenes] == [
        "no radar image).",
        "radar: radar/Year2021.tif).",
    ]
    assert [scene.radar for scene in made.manifest.scenes] == [False, True]


def calibrated(mapper: LoadedModel, folder: Path, **errors: Any) -> LoadedModel:
    """The mapper as loaded from a folder with a calibration of these errors."""
    model, processor = mapper.model, mapper.image_processor
    Calibration(
        rates=SwitchRates(0.01, 0.01, 0.1),
        footprints={},
        changes={},
        threshold=0.5,
        dataset="drawn",
        split="validation",
        simulated=False,
        digest=model_digest(model, processor),
        **errors,
    ).save(folder)
    return LoadedModel(str(folder), SEGMENTATION, model, processor)


def test_known_errors_give_components_intervals(component_mapper, pits, tmp_path, caplog) -> None:
    perfect = np.stack([np.diag([50, 50]), np.diag([30, 70])])
    # Half of the mapped stockpiles are dumps, at each site, and nothing else is wrong.
    mixed = np.stack([[[50, 0, 0], [0, 20, 0], [0, 10, 10]]] * 2)
    errors = {
        "ground": Confusion(("none", "excavation"), ("a", "b"), perfect),
        "deposits": Confusion(("none", "dumping_ground", "stockpile"), ("a", "b"), mixed),
    }
    loaded = calibrated(component_mapper, tmp_path, components=errors)
    made = series_of([loaded], pits, tmp_path / "out", smoothing="none")
    assert f"run `euromine calibrate {tmp_path} DATASET` again, with a dataset that has comp" in caplog.text
    rows = {(row.component, row.year): row for row in made.components.itertuples()}
    pit, heap, dump = (rows[name, 2019] for name in ("excavation", "stockpile", "dumping_ground"))
    assert (pit.low_ha, pit.adjusted_ha, pit.high_ha) == (pit.area_ha,) * 3
    assert heap.adjusted_ha == dump.adjusted_ha == pytest.approx(heap.area_ha / 2, abs=1e-4)
    assert np.isfinite([heap.low_ha, heap.high_ha]).all()


def write_flicker(folder: Path, *years: int) -> Path:
    """A pit that half disappears in 2020, where a dump appears for that year alone; a corner without data."""
    for year in years:
        image = np.full((10, 40, 64), LOW, np.int16)
        image[0, : 10 if year == 2020 else 20] = image[6, :20] = HIGH
        image[1, 30:35] = HIGH if year == 2020 else LOW
        if year == 2020:
            image[:, 20:, :16] = 0
        write_image(folder / "image" / f"Year{year}.tif", image, nodata=0)
    return folder


def test_components_are_smoothed_over_the_years_and_added_years_leave_the_network_alone(
    component_mapper, tmp_path, monkeypatch
) -> None:
    site = write_flicker(tmp_path / "Pit_3", 2019, 2020, 2021)
    made = series_of([component_mapper], site, tmp_path / "out", smoothing="median")
    for year in (2019, 2020, 2021):
        assert made.component_map("ground", year)[:, 20].tolist() == [1] * 20 + [0] * 20
        assert (made.component_map("deposits", year) == 0).all()
    alone = read(made.path / "unsmoothed_ground_2020.tif")
    assert alone[:, 20].tolist() == [1] * 10 + [0] * 30
    assert (read(made.path / "unsmoothed_deposits_2020.tif")[30:35, 16:] == 1).all()
    assert (alone[20:, :16] == 255).all()
    # The map is filled there, and the area does not count as observed.
    shares = {row.year: row.known_share for row in made.components.itertuples()}
    assert shares == {2019: 1, 2020: pytest.approx(1 - 20 * 16 / 2560, abs=1e-4), 2021: 1}
    moved = made.component_transitions[made.component_transitions.group == "ground"]
    assert {*zip(moved.from_component, moved.to_component, strict=True)} == {
        ("excavation", "excavation"),
        ("none", "none"),
    }
    before = {path.name: path.stat().st_mtime_ns for path in made.path.glob("unsmoothed_*.tif")}
    again = series_of([component_mapper], write_flicker(site, 2022), made.path, smoothing="median")
    assert again.years == [2019, 2020, 2021, 2022]
    after = {path.name: path.stat().st_mtime_ns for path in made.path.glob("unsmoothed_*.tif")}
    assert {name: after[name] for name in before} == before
    # Another smoothing needs no network.
    monkeypatch.setattr(component_maps, "predict_components", None)
    alone = series_of([component_mapper], site, made.path, smoothing="none")
    assert alone.component_map("ground", 2020)[:, 20].tolist() == [1] * 10 + [0] * 30
    assert not [*made.path.glob("unsmoothed_*")]
    again = series_of([component_mapper], site, made.path, smoothing="median")
    assert again.component_map("ground", 2020)[:, 20].tolist() == [1] * 20 + [0] * 20
    assert read(made.path / "unsmoothed_ground_2020.tif")[:, 20].tolist() == [1] * 10 + [0] * 30


@pytest.mark.parametrize(("first", "then"), [("none", "median"), ("median", "none")])
def test_a_smoothing_that_is_interrupted_leaves_no_mix_and_is_completed(
    component_mapper, tmp_path, monkeypatch, first, then
) -> None:
    site, out = write_flicker(tmp_path / "Pit_3", 2019, 2020, 2021), tmp_path / "out"
    series_of([component_mapper], site, out, smoothing=first)
    undisturbed = series_of([component_mapper], site, tmp_path / "undisturbed", smoothing=then).path
    finish = CogWriter.finish

    def stopped(writer: CogWriter) -> None:
        if writer.path.name == "components_deposits_2020.tif":
            raise KeyboardInterrupt
        finish(writer)

    if first == "median":  # another year, as else the smoothed maps are kept
        write_flicker(site, 2022)
    with monkeypatch.context() as patch:
        patch.setattr(CogWriter, "finish", stopped)
        with pytest.raises(KeyboardInterrupt):
            series_of([component_mapper], site, out, smoothing="median")
    left = [read_map_record(path) for path in out.glob("components_deposits_*.tif")]
    assert 0 < len(left) < 3
    assert all(record == left[0] for record in left)
    assert left[0]["smoothing"] == "majority"
    with pytest.raises(RecordError, match="found an unfinished series"):
        SeriesFolder(out)
    (site / "image" / "Year2022.tif").unlink(missing_ok=True)
    series_of([component_mapper], site, out, smoothing=then)
    maps = {path.name for path in undisturbed.glob("*.tif")}
    assert {path.name for path in out.glob("*.tif")} == maps
    for name in maps:
        assert (out / name).read_bytes() == (undisturbed / name).read_bytes(), name


def test_known_errors_give_transitions_intervals(component_mapper, pits, tmp_path) -> None:
    classes = ("none", "excavation")
    # Two sites: of ground that the map shows as excavation that disappears, half truly stays.
    entries = [(site, *cell) for site in (0, 1) for cell in ((0, 0, 80), (3, 3, 60), (2, 2, 30), (2, 3, 30))]
    errors = {"ground": {2: TransitionCounts(classes, ("a", "b"), np.array(entries))}}
    loaded = calibrated(component_mapper, tmp_path, smoothed_transitions=errors)
    found = {}
    for smoothing in ("median", "none"):
        made = series_of([loaded], pits, tmp_path / smoothing, smoothing=smoothing)
        found[smoothing] = {
            (row.from_component, row.to_component): row
            for row in made.component_transitions.itertuples()
            if row.group == "ground"
        }
    lost, kept = (found["median"]["excavation", name] for name in ("none", "excavation"))
    assert lost.adjusted_ha == pytest.approx(lost.area_ha / 2, abs=1e-4)
    assert kept.adjusted_ha == pytest.approx(kept.area_ha + lost.area_ha / 2, abs=1e-4)
    assert (lost.low_ha, lost.high_ha) == pytest.approx((lost.adjusted_ha,) * 2)  # both sites agree
    assert all(np.isnan(row.high_ha) for row in found["none"].values())  # those maps' errors are unknown
