"""The calibration file: what is written, what is read again and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest

from euromine.monitoring.history.area_estimation import CHANGE_CLASSES, FOOTPRINT_CLASSES, Confusion
from euromine.monitoring.history.calibration import CALIBRATION_NAME, Calibration
from euromine.monitoring.history.switch_rates import SwitchRates
from euromine.monitoring.history.transition_errors import TransitionCounts
from euromine.support.errors import RecordError

COUNTS = [[[5, 1], [2, 7]], [[0, 3], [4, 9]]]
CHANGES = [[[9, 1, 0], [0, 2, 0], [3, 0, 4]], [[8, 0, 0], [1, 2, 0], [0, 0, 0]]]
DOCUMENT = {
    "format": "euromine-calibration",
    "version": 1,
    "dataset": "EuroMineNet",
    "simulated": True,
    "digest": "0123abcd",
    "split": "validation",
    "threshold": 0.5,
    "rates": {"expansion": 0.01, "reclamation": 0.04, "prior": 0.2, "emission_prior": 0.4},
    "footprints": {"median": {"sites": ["Austria_1", "Poland_1"], "counts": COUNTS}},
    "changes": {
        "median": {
            "1": {"sites": ["Austria_1", "Poland_1"], "counts": CHANGES},
            "12": {"sites": ["Austria_1", "Poland_1"], "counts": CHANGES},
        }
    },
    "components": {
        "ground": {"sites": ["Austria_1", "Poland_1"], "counts": COUNTS, "classes": ["none", "excavation"]}
    },
    "component_transitions": {},
    "smoothed_components": {},
    "smoothed_transitions": {
        "ground": {
            "3": {
                "classes": ["none", "excavation"],
                "sites": ["Austria_1", "Poland_1"],
                "entries": [[0, 1, 1, 40], [1, 3, 2, 7]],
            }
        }
    },
}


@pytest.fixture
def calibration():
    sites = ("Austria_1", "Poland_1")
    changes = Confusion(CHANGE_CLASSES, sites, np.array(CHANGES))
    return Calibration(
        rates=SwitchRates(0.01, 0.04, 0.2, 0.4),
        footprints={"median": Confusion(FOOTPRINT_CLASSES, sites, np.array(COUNTS))},
        changes={"median": {1: changes, 12: changes}},
        components={"ground": Confusion(("none", "excavation"), sites, np.array(COUNTS))},
        smoothed_transitions={
            "ground": {
                3: TransitionCounts(("none", "excavation"), sites, np.array([[0, 1, 1, 40], [1, 3, 2, 7]]))
            }
        },
        threshold=0.5,
        dataset="EuroMineNet",
        split="validation",
        simulated=True,
        digest="0123abcd",
    )


def test_the_file_is_this_json(calibration, tmp_path):
    path = calibration.save(tmp_path)
    assert path == tmp_path / CALIBRATION_NAME
    assert path.read_text() == json.dumps(DOCUMENT, indent=2) + "\n"


def test_a_calibration_survives_a_file(calibration, tmp_path):
    path = calibration.save(tmp_path / "other.json")
    assert path == tmp_path / "other.json"
    again = Calibration.load(path)
    plain = {"footprints": {}, "changes": {}, "components": {}, "smoothed_transitions": {}}
    assert vars(replace(again, **plain)) == vars(replace(calibration, **plain))
    assert again.footprints["median"].sites == ("Austria_1", "Poland_1")
    np.testing.assert_array_equal(again.footprints["median"].counts, COUNTS)
    assert again.components["ground"].classes == ("none", "excavation")
    np.testing.assert_array_equal(again.components["ground"].counts, COUNTS)
    transitions = again.smoothed_transitions["ground"][3]
    assert (transitions.classes, transitions.sites) == (("none", "excavation"), ("Austria_1", "Poland_1"))
    assert transitions.entries.tolist() == [[0, 1, 1, 40], [1, 3, 2, 7]]
    assert list(again.changes["median"]) == [1, 12]
    for found in again.changes["median"].values():
        assert (found.classes, found.sites) == (CHANGE_CLASSES, ("Austria_1", "Poland_1"))
        np.testing.assert_array_equal(found.counts, CHANGES)


def test_a_calibration_is_found_in_its_folder(calibration, tmp_path):
    calibration.save(tmp_path)
    assert Calibration.load(tmp_path).rates == calibration.rates


def test_rates_of_a_file_without_a_fitted_prior_have_none(tmp_path):
    rates = {"expansion": 0.01, "reclamation": 0.04, "prior": 0.2}
    (tmp_path / CALIBRATION_NAME).write_text(json.dumps(DOCUMENT | {"rates": rates}))
    assert Calibration.load(tmp_path).rates == SwitchRates(0.01, 0.04, 0.2)


def of_transitions(*entries):
    found = DOCUMENT["smoothed_transitions"]["ground"]["3"] | {"entries": list(entries)}
    return DOCUMENT | {"component_transitions": {"ground": {"1": found}}}


def of_median(counts):
    return {"median": {"sites": ["Austria_1", "Poland_1"], "counts": counts}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "found text that is not JSON .*; expected a JSON object"),
        ("[]", "found a list; expected an object"),
        (json.dumps(DOCUMENT | {"format": "x"}), 'found "x" in format; expected "euromine-calibration"'),
        (json.dumps(DOCUMENT | {"version": 9}), "found 9 in version; expected 1"),
        (json.dumps(DOCUMENT | {"rates": {}}), "found no rates.expansion; expected a number"),
        (
            json.dumps(DOCUMENT | {"rates": DOCUMENT["rates"] | {"expansion": 2}}),
            "expansion: found 2; expected a probability",
        ),
        (
            json.dumps({key: value for key, value in DOCUMENT.items() if key != "changes"}),
            "found no changes; expected an object",
        ),
        (
            json.dumps(DOCUMENT | {"footprints": of_median([[[5, 1], [2]]])}),
            "counts: found rows of several lengths, or too large numbers; expected 2 x 2 pixel counts",
        ),
        (
            json.dumps(DOCUMENT | {"footprints": of_median([[[2**63, 1], [2, 1]], [[1, 1], [1, 1]]])}),
            "counts: found rows of several lengths, or too large numbers; expected 2 x 2 pixel counts",
        ),
        (json.dumps(DOCUMENT | {"footprints": of_median(COUNTS[:1])}), r"counts: found int64 \(1, 2, 2\)"),
        (
            json.dumps(DOCUMENT | {"changes": {"median": {"one": of_median(CHANGES)["median"]}}}),
            "changes: found the interval 'one'; expected a number of years",
        ),
        (
            json.dumps(of_transitions([0, 1, 4, 5])),
            "transitions: found numbers out of range; expected 2 sites and 4 transitions",
        ),
        (json.dumps(of_transitions()), r"transitions: found the shape \(0,\); expected rows of site"),
        (json.dumps(of_transitions([0, 1, 1, 5], [0])), "transitions: found rows of several lengths"),
    ],
)
def test_a_file_that_is_no_calibration_is_refused(tmp_path, text, message):
    (tmp_path / CALIBRATION_NAME).write_text(text)
    with pytest.raises(RecordError, match=message) as caught:
        Calibration.load(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / CALIBRATION_NAME}: ")
    assert str(caught.value).endswith(". Run `euromine calibrate` again.")


def test_a_model_without_a_calibration_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="euromine calibrate"):
        Calibration.load(tmp_path)
