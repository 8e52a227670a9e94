"""Errors of a component model, against scikit-learn's counts over the owned pixels."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from euromine.dataset_script.label_groups import COMPONENT_CLASSES
from euromine.modeling import BANDS, EuroMineImageProcessor
from euromine.monitoring.history import component_errors
from euromine.monitoring.history.component_errors import count_component_errors

GROUPS = {"ground": ["excavation"], "deposits": ["dumping_ground", "stockpile"], "total": ["any component"]}
BIT = {name: 1 << place for place, name in enumerate(COMPONENT_CLASSES)}
OWN = (2, 3, 30, 29)


@pytest.fixture
def rows():
    """Patches of two sites: the network sees the drawing with errors; one site drew no stockpiles."""
    found = []
    for seed, site in enumerate(("Pit_a", "Pit_a", "Pit_b")):
        random = np.random.default_rng(seed)
        bits = np.zeros((32, 32), np.uint16)
        for name in ("excavation", "dumping_ground"):
            bits[random.random(bits.shape) < 0.4] |= BIT[name]
        image = random.integers(1, 1000, (10, 32, 32)).astype(np.int16)
        annotated = ["excavation", "dumping_ground"] + ["stockpile"] * (site == "Pit_a")
        radar = np.full((2, 32, 32), -1200, np.int16)
        found.append(
            {
                "image": image,
                "radar": radar,
                "components": bits,
                "annotated": annotated,
                "site": site,
                "own": OWN,
            }
        )
    return found


def test_counts_are_those_of_the_owned_pixels_of_each_site(
    rows, band_components, tmp_path, monkeypatch
) -> None:
    (tmp_path / "data" / "components").mkdir(parents=True)
    monkeypatch.setattr(component_errors, "read_dataset", lambda *_, **__: rows)
    processor = EuroMineImageProcessor(bands=BANDS, do_normalize=False)
    found = count_component_errors(band_components(GROUPS, BANDS), processor, tmp_path, "validation")
    assert {name: (each.classes, each.sites) for name, each in found.items()} == {
        "ground": (("none", "excavation"), ("Pit_a", "Pit_b")),
        "deposits": (("none", "dumping_ground", "stockpile"), ("Pit_a", "Pit_b")),
    }
    top, left, bottom, right = OWN
    expected = np.zeros((2, 2, 2), int)
    for row in rows:
        mapped = (row["image"][0] > 500)[top:bottom, left:right]
        drawn = (row["components"] & BIT["excavation"] > 0)[top:bottom, left:right]
        expected[int(row["site"] == "Pit_b")] += confusion_matrix(mapped.ravel(), drawn.ravel())
    # A network of rounded weights may decide otherwise where a band is at the limit of 500.
    assert abs(found["ground"].counts - expected).sum() <= 4
    assert found["deposits"].counts[1].sum() == 0  # unknown, as stockpiles were not drawn there
    assert found["deposits"].counts[0].sum() == 2 * 28 * 26


def test_other_models_and_datasets_have_no_component_errors(
    band_components, mapper, tmp_path, caplog
) -> None:
    assert count_component_errors(mapper.model, mapper.image_processor, tmp_path, "validation") == {}
    processor = EuroMineImageProcessor(bands=BANDS, do_normalize=False)
    assert count_component_errors(band_components(GROUPS, BANDS), processor, tmp_path, "validation") == {}
    assert "has no components" in caplog.text
