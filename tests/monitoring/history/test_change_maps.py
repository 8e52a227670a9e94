"""Gain and loss between two footprints."""

import numpy as np
import pytest

from euromine.monitoring.history.change_maps import change_map


def test_a_change_map_tells_gain_from_loss_and_keeps_what_is_unknown():
    first = np.array([0, 0, 1, 1, 255, 0, 255], np.uint8)
    second = np.array([0, 1, 0, 1, 1, 255, 255], np.uint8)
    change = change_map(first, second)
    assert change.dtype == np.uint8
    assert change.tolist() == [0, 1, 2, 0, 255, 255, 255]


def test_footprints_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match=r"second: found the shape \(3, 4\); expected \(4, 3\)"):
        change_map(np.zeros((4, 3), np.uint8), np.zeros((3, 4), np.uint8))
