"""Change counts against counting pixel by pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from euromine.dataset_script.label_changes import change_between, change_counts

# As in the published archive, labels have no georeferencing.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
@settings(max_examples=15, deadline=None)
def test_change_counts_are_those_of_counting_pixel_by_pixel(seed: int, years: int) -> None:
    noise = np.random.default_rng(seed)
    labels = noise.choice(np.array([0, 1, 255], np.uint8), (years, 160, 160))
    own = [int(noise.integers(0, 80)), int(noise.integers(0, 80)), 155, 160]
    gained, lost, known = change_counts(labels, own)
    owned = labels[:, own[0] : own[2], own[1] : own[3]]
    for first in range(years):
        for second in range(years):
            a, b = owned[first], owned[second]
            assert gained[first, second] == np.sum((a == 0) & (b == 1))
            assert lost[first, second] == np.sum((a == 1) & (b == 0))
            assert known[first, second] == np.sum((a != 255) & (b != 255))


def test_a_change_from_or_to_the_unknown_is_unknown() -> None:
    label_1 = np.array([0, 0, 0, 1, 1, 1, 255, 255, 255], np.uint8)
    label_2 = np.array([0, 1, 255, 0, 1, 255, 0, 1, 255], np.uint8)
    np.testing.assert_array_equal(change_between(label_1, label_2), [0, 1, 255, 1, 0, 255, 255, 255, 255])
