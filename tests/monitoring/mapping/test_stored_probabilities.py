"""Rounded probabilities against those they were made of."""

import numpy as np
import pytest

from euromine.monitoring.mapping.stored_probabilities import decode_probability, encode_probability

STEPS = {"uint16": 10_000, "uint8": 250}


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("threshold", [0.0, 0.123, 0.5, 0.998])
def test_rounded_probabilities_are_near_and_stay_on_their_side_of_the_threshold(kind, threshold):
    near = np.float32(threshold) + np.linspace(-0.01, 0.01, 4001, dtype=np.float32)
    probability = np.concatenate([np.linspace(0, 1, 5001, dtype=np.float32), near.clip(0, 1)])
    stored = encode_probability(probability, kind, threshold)
    assert stored.dtype == kind
    found = decode_probability(stored)
    np.testing.assert_array_equal(found > np.float32(threshold), probability > np.float32(threshold))
    difference = abs(found - probability)
    assert difference.max() <= 1.001 / STEPS[kind]
    is_clear = abs(probability - threshold) > 1 / STEPS[kind]
    assert difference[is_clear].max() <= 0.501 / STEPS[kind]
    assert (np.diff(found[np.argsort(probability, kind="stable")]) >= 0).all()


@pytest.mark.parametrize("kind", ["float32", *STEPS])
def test_gaps_stay_gaps(kind):
    probability = np.array([[np.nan, 0, 1]], np.float32)
    found = decode_probability(encode_probability(probability, kind))
    np.testing.assert_array_equal(found, probability)
