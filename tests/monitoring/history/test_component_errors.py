"""Errors of a component model, against scikit-learn's counts over the owned pixels."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from euromine.dataset_script.label_groups import COMPONENT_CLASSES
from euromine.modeling import BANDS, EuroMineImageProcessor
from euromine.monitoring.history import calibration_counts, component_errors, patch_components
from euromine.monitoring.history.calibration_counts import calibrate
from euromine.monitoring.history.component_errors import count_component_errors
from euromine.monitoring.history.component_transitions import VISIBLE
from euromine.support.errors import DatasetError

GROUPS = {"ground": ["excavation"], "deposits": ["dumping_ground", "stockpile"], "total": ["any component"]}
BIT = {name: 1 << place for place, name in enumerate(COMPONENT_CLASSES)}
OWN = (2, 3, 30, 29)
INSIDE = (slice(2, 30), slice(3, 29))
YEARS = [2019, 2020, 2022]
PATCHES = {"Pit_a_0": "Pit_a", "Pit_a_1": "Pit_a", "Pit_b_0": "Pit_b"}
UNDRAWN = ("Pit_a_1", 2020)
NO_RADAR = ("Pit_b_0", 2022)


class Rows(list):
    """Decoded rows, with their small columns as a dataset gives them."""

    def with_format(self, _: None) -> dict[str, list]:
        return {name: [row[name] for row in self] for name in ("patch_id", "year")}


class Drawn:
    """Patches of random ground: series of images, and components drawn at most of them."""

    def __init__(self) -> None:
        self.series, self.components = Rows(), Rows()
        for seed, (patch, site) in enumerate(PATCHES.items()):
            random = np.random.default_rng(seed)
            images = random.integers(1, 1000, (3, 10, 32, 32)).astype(np.int16)
            labels = random.integers(0, 2, (3, 32, 32)).astype(np.uint8)
            self.series.append(
                {
                    "patch_id": patch,
                    "site": site,
                    "years": YEARS,
                    "own": OWN,
                    "images": images,
                    "labels": labels,
                }
            )
            # One site drew no stockpiles.
            annotated = ["excavation", "dumping_ground"] + ["stockpile"] * (site == "Pit_a")
            for year in YEARS:
                bits = np.zeros((32, 32), np.uint16)
                for name in ("excavation", "dumping_ground"):
                    bits[random.random(bits.shape) < 0.4] |= BIT[name]
                radar = random.integers(1, 1000, (2, 32, 32)).astype(np.int16)
                if (patch, year) == NO_RADAR:
                    radar[:] = -32768
                row = {"components": bits, "annotated": annotated, "radar": radar}
                if (patch, year) != UNDRAWN:
                    self.components.append({"patch_id": patch, "year": year, **row})

    def read_dataset(self, source, config, split, **_) -> Rows:
        return {"series": self.series, "components": self.components}[config]

    def row(self, patch: str, year: int):
        found = [row for row in self.components if (row["patch_id"], row["year"]) == (patch, year)]
        return found[0] if found else None

    def drawn(self, name: str) -> dict[str, np.ndarray]:
        """Where a class is drawn (years, height, width) in the owned boxes; 255 unknown."""
        found = {}
        for patch in PATCHES:
            rows = [self.row(patch, year) for year in YEARS]
            found[patch] = np.stack(
                [
                    np.full((28, 26), 255) if row is None else (row["components"] & BIT[name] > 0)[INSIDE] * 1
                    for row in rows
                ]
            )
        return found


@pytest.fixture
def drawn(monkeypatch, tmp_path: Path) -> Drawn:
    (tmp_path / "data" / "components").mkdir(parents=True)
    made = Drawn()
    for module in (calibration_counts, component_errors, patch_components):
        monkeypatch.setattr(module, "read_dataset", made.read_dataset)
    return made


@pytest.fixture
def processor() -> EuroMineImageProcessor:
    return EuroMineImageProcessor(bands=BANDS, do_normalize=False)


def test_counts_are_those_of_the_owned_pixels_of_each_site(
    drawn, processor, band_components, tmp_path
) -> None:
    found = count_component_errors(band_components(GROUPS, BANDS), processor, tmp_path, "validation")
    assert {name: (each.classes, each.sites) for name, each in found[False].areas.items()} == {
        "ground": (("none", "excavation"), ("Pit_a", "Pit_b")),
        "deposits": (("none", "dumping_ground", "stockpile"), ("Pit_a", "Pit_b")),
    }
    pits = drawn.drawn("excavation")
    for is_smoothed in (False, True):
        areas = np.zeros((2, 2, 2), int)
        transitions = {interval: np.zeros((2, 4, 4), int) for interval in (1, 2, 3)}
        for row in drawn.series:
            site = int(row["site"] == "Pit_b")
            mapped = (row["images"][:, 0] > 500)[:, *INSIDE] * 1
            if is_smoothed:
                # The median of three years, the first and the last twice.
                around = np.concatenate([mapped[:1], mapped, mapped[-1:]])
                mapped = np.median(np.stack([around[:-2], mapped, around[2:]]), axis=0).astype(int)
            labels = pits[row["patch_id"]]
            known = labels != 255
            areas[site] += confusion_matrix(mapped[known], labels[known], labels=[0, 1])
            for first, second in combinations(range(3), 2):
                both = known[first] & known[second]
                codes = [(maps[first] * 2 + maps[second])[both] for maps in (mapped, labels)]
                if both.any():
                    matrix = confusion_matrix(*codes, labels=range(4))
                    transitions[YEARS[second] - YEARS[first]][site] += matrix
        # A network of rounded weights may decide otherwise where a band is at the limit of 500.
        errors = found[is_smoothed]
        assert abs(errors.areas["ground"].counts - areas).sum() <= 20
        assert set(errors.transitions["ground"]) == {1, 2, 3}
        for interval, counts in errors.transitions["ground"].items():
            table = np.zeros((2, 4, 4), int)
            table[tuple(counts.entries[:, :3].T)] = counts.entries[:, 3]
            assert counts.sites == ("Pit_a", "Pit_b")
            assert abs(table - transitions[interval]).sum() <= 40
    deposits = found[False].areas["deposits"].counts
    assert deposits[1].sum() == 0  # unknown, as stockpiles were not drawn there
    assert deposits[0].sum() == 5 * 28 * 26
    # So the visible component is unknown there, too.
    assert found[False].transitions[VISIBLE][1].sites == ("Pit_a",)
    assert found[False].transitions[VISIBLE][1].classes == (
        "none",
        "excavation",
        "dumping_ground",
        "stockpile",
    )


def test_other_models_and_datasets_have_no_component_errors(
    band_components, processor, mapper, tmp_path, caplog
) -> None:
    assert count_component_errors(mapper.model, mapper.image_processor, tmp_path, "validation") == {}
    assert count_component_errors(band_components(GROUPS, BANDS), processor, tmp_path, "validation") == {}
    assert "has no components" in caplog.text


def test_a_model_that_reads_radar_is_calibrated_on_the_radar_of_each_year(
    drawn, band_components, tmp_path, caplog
) -> None:
    bands = ("B02", "VV")
    model = band_components({"ground": ["excavation"], "total": ["any component"]}, bands)
    found = calibrate(model, EuroMineImageProcessor(bands=bands, do_normalize=False), tmp_path)
    expected = np.zeros((2, 2, 2), int)
    for series in drawn.series:
        for place, year in enumerate(YEARS):
            row = drawn.row(series["patch_id"], year)
            # Without backscatter VV is 0 to the network, which finds nothing there.
            mapped = np.zeros((28, 26), int) if row is None else (row["radar"][0] > 500)[INSIDE] * 1
            labels = series["labels"][place][INSIDE]
            expected[int(series["site"] == "Pit_b")] += confusion_matrix(mapped.ravel(), labels.ravel())
    assert abs(found.footprints["none"].counts - expected).sum() <= 20
    assert found.components["ground"].counts.sum() == 8 * 28 * 26
    assert "2 of 9 images without radar; VV and VH take their means there." in caplog.text


def test_a_dataset_without_radar_does_not_calibrate_a_model_that_reads_it(
    drawn, band_components, tmp_path
) -> None:
    processor = EuroMineImageProcessor(bands=("B02", "VV"), do_normalize=False)
    model = band_components({"ground": ["excavation"], "total": ["any component"]}, ("B02", "VV"))
    for row in drawn.components:
        row["radar"] = np.full((2, 32, 32), -32768, np.int16)
    with pytest.raises(DatasetError, match="found no radar image; expected some, as the model reads radar"):
        calibrate(model, processor, tmp_path)
    (tmp_path / "data" / "components").rmdir()
    with pytest.raises(DatasetError, match=r"found no data/components, which would hold radar; .* reads VV"):
        calibrate(model, processor, tmp_path)


def test_the_footprint_of_a_few_components_is_calibrated_on_these(
    drawn, processor, band_components, tmp_path
) -> None:
    found = calibrate(band_components({"ground": ["excavation"]}, BANDS), processor, tmp_path)
    expected = np.zeros((2, 2, 2), int)
    pits = drawn.drawn("excavation")
    for row in drawn.series:
        labels = pits[row["patch_id"]]
        mapped = (row["images"][:, 0] > 500)[:, *INSIDE] * 1
        known = labels != 255
        expected[int(row["site"] == "Pit_b")] += confusion_matrix(mapped[known], labels[known])
    assert abs(found.footprints["none"].counts - expected).sum() <= 20
    share = np.mean(np.concatenate([pits[patch][pits[patch] != 255] for patch in PATCHES]))
    assert found.rates.prior == pytest.approx(share, abs=1e-3)  # of pits, not of mines
