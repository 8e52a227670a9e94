"""The ring around a mask, against distances to all of its pixels."""

import numpy as np
import pytest
from scipy import ndimage

from euromine.monitoring.history.surroundings import Surroundings


def blobs(seed: int, share: float) -> np.ndarray:
    """Patches of all sizes, which cross blocks of rows."""
    noise = np.random.default_rng(seed).standard_normal((60, 47))
    return ndimage.gaussian_filter(noise, 2) > share


def ring(mask: np.ndarray, distance: float, sides: tuple[float, float], rows: int) -> np.ndarray:
    blocks = [mask[top : top + rows] for top in range(0, len(mask), rows)]
    surroundings = Surroundings(iter(blocks), distance, sides)
    return np.concatenate([surroundings.next(block) for block in blocks])


@pytest.mark.parametrize("rows", [1, 7, 60])
@pytest.mark.parametrize(
    ("distance", "sides"), [(35, (10, 10)), (50, (10, 7.3)), (1, (10, 10)), (400, (9, 11))]
)
def test_a_ring_in_blocks_is_that_of_the_distances_in_the_whole_map(rows, distance, sides):
    for seed, share in ((0, 0.1), (1, 0.25), (2, 0.4)):
        mask = blobs(seed, share)
        assert mask.any()
        distances = ndimage.distance_transform_edt(~mask, sampling=sides)
        expected = (distances <= distance) & ~mask
        np.testing.assert_array_equal(ring(mask, distance, sides, rows), expected)


def test_pixels_at_the_very_distance_are_in_the_ring():
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = True
    found = ring(mask, 50, (10, 10), 2)
    assert found[0, 1]  # four rows and three columns apart
    assert not found[0, 0]


def test_without_a_mask_there_is_no_ring():
    assert not ring(np.zeros((5, 6), bool), 1e5, (10, 10), 2).any()
