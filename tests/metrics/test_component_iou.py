"""Component IoU against scikit-learn, sets of pixels and hand-computed cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, jaccard_score

from euromine.metrics.component_iou.component_iou import (
    CLASSES,
    NOT_ANNOTATED,
    UNKNOWN_CLASSES,
    ComponentIoU,
)

EXCAVATION, DUMP, POND = (
    1 << CLASSES.index(name) for name in ("excavation", "dumping_ground", "settling_pond")
)


def random_series(seed: int, years: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and references with all classes, overlapping."""
    generator = np.random.default_rng(seed)
    maps = generator.random((2, years, len(CLASSES), 9, 11)) < 0.2
    weights = (1 << np.arange(len(CLASSES)))[:, None, None]
    return tuple((each * weights).sum(axis=1).astype(np.uint16) for each in maps)


def flags(maps: np.ndarray, index: int) -> np.ndarray:
    return (maps.ravel() >> index & 1).astype(bool)


def test_it_equals_scikit_learn_class_by_class():
    prediction, reference = random_series(0)
    groups = {"ground": ["preparatory_works", "excavation"], "water": ["settling_pond"]}
    metric = ComponentIoU(label_groups=groups)
    result = metric.compute(predictions=[prediction], references=[reference], sites=["A"])
    iou = [jaccard_score(flags(reference, index), flags(prediction, index)) for index in range(12)]
    f1 = [f1_score(flags(reference, index), flags(prediction, index)) for index in range(12)]
    assert result["iou"] == pytest.approx(iou)
    assert result["f1"] == pytest.approx(f1)
    assert result["macro_iou"] == pytest.approx(np.mean(iou))
    assert result["macro_f1_ground"] == pytest.approx(np.mean(f1[:2]))
    assert result["pooled_iou_water"] == pytest.approx(iou[4])
    every = [np.concatenate([flags(maps, index) for index in range(12)]) for maps in (reference, prediction)]
    assert result["pooled_iou"] == pytest.approx(jaccard_score(*every))
    assert result["total_area_f1"] == pytest.approx(f1_score(reference.ravel() > 0, prediction.ravel() > 0))
    for year in range(2):
        expected = [
            jaccard_score(flags(reference[year], index), flags(prediction[year], index))
            for index in range(12)
        ]
        assert result["iou_by_year"][year] == pytest.approx(expected)
    assert result["classes"] == list(CLASSES)
    assert result["years"] == [0, 1]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_unknown_classes_and_pixels_are_left_out(data):
    """Against one pixel at a time."""
    classes = st.integers(0, (1 << len(CLASSES)) - 1)
    unknown = classes.map(lambda bits: bits << UNKNOWN_CLASSES)
    ignored = st.sampled_from([0, 0, 0, 1 << NOT_ANNOTATED])
    pixels = data.draw(st.lists(st.tuples(classes, classes, unknown, ignored), min_size=1, max_size=12))
    prediction = np.array([[[pixel[0] for pixel in pixels]]], dtype=np.uint32)
    reference = np.array([[[pixel[1] | pixel[2] | pixel[3] for pixel in pixels]]], dtype=np.uint32)
    result = ComponentIoU().compute(predictions=[prediction], references=[reference], average="pooled")
    for index in [*range(12), "total"]:
        hits = either = 0
        for predicted, actual, missing, nothing in pixels:
            known = [not missing >> UNKNOWN_CLASSES + each & 1 for each in range(12)]
            if nothing:
                continue
            if index == "total":
                there = any(actual >> each & 1 and known[each] for each in range(12))
                if not there and not all(known):
                    continue
                found = predicted > 0
            elif known[index]:
                there, found = actual >> index & 1, predicted >> index & 1
            else:
                continue
            hits += bool(there and found)
            either += bool(there or found)
        score = result["total_area_iou"] if index == "total" else result["iou"][index]
        assert score == pytest.approx(hits / either if either else float("nan"), nan_ok=True)


def test_a_hand_computed_series():
    reference = [[[EXCAVATION, EXCAVATION | DUMP, DUMP, 1 << NOT_ANNOTATED]]]
    prediction = [[[EXCAVATION, EXCAVATION, DUMP, POND]]]
    result = ComponentIoU().compute(predictions=[prediction], references=[reference], sites=["A"])
    by_class = dict(zip(result["classes"], result["iou"], strict=True))
    assert by_class["excavation"] == 1
    assert by_class["dumping_ground"] == 0.5
    assert np.isnan(by_class["settling_pond"])
    assert result["macro_iou"] == 0.75
    assert result["pooled_iou"] == 0.75  # 3 of 4
    assert result["total_area_iou"] == 1
    assert result["pixels"] == 3


def test_sites_are_weighted_and_bootstrapped():
    metric = ComponentIoU()
    for site, seed in (("A", 1), ("B", 2), ("C", 3)):
        prediction, reference = random_series(seed, years=1 + seed % 2)
        metric.add(prediction=prediction, reference=reference, site=site)
    result = metric.compute(bootstrap=50)
    weights = [result["sites"][site]["pixels"] for site in "ABC"]
    assert weights == [198, 99, 198]
    expected = np.average([result["sites"][site]["macro_iou"] for site in "ABC"], weights=weights)
    assert result["macro_iou"] == pytest.approx(expected)
    low, high = result["confidence_intervals"]["pooled_f1"]
    assert low < result["pooled_f1"] < high


@pytest.mark.parametrize(
    ("prediction", "reference", "message"),
    [
        ([[[1 << 12]]], [[[0]]], "prediction of example 0: found bit 12; expected bits 0 to 11"),
        ([[[1 << NOT_ANNOTATED]]], [[[0]]], "prediction of example 0: found bit 15"),
        ([[[0]]], [[[1 << 30]]], "reference of example 0: found bit 30"),
        ([[[0.5]]], [[[0]]], "prediction of example 0: found the type float64; expected integers"),
        ([[[-1]]], [[[0]]], "prediction of example 0: found -1 to -1; expected 32 bits"),
        ([[[0, 1]]], [[[0]]], "example 0: found a prediction of shape"),
    ],
)
def test_maps_that_are_none_are_refused(prediction, reference, message):
    with pytest.raises(ValueError, match=message):
        ComponentIoU().add(prediction=prediction, reference=reference, site="A")


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"ground": ["excavations"]}, "found the class 'excavations' in ground; expected some of"),
        ({"ground": ["dam", "dam"]}, "found a class twice in ground"),
        ({"ground": "dam"}, "found 'dam' for ground; expected a list of classes"),
        ({"ground": []}, r"found \[\] for ground; expected a list"),
    ],
)
def test_groups_that_are_none_are_refused(groups, message):
    with pytest.raises(ValueError, match=f"label_groups: {message}"):
        ComponentIoU(label_groups=groups)
