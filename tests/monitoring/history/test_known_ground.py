"""Shares of the ground with data against pixels counted one by one."""

import numpy as np
import pytest

from euromine.monitoring.history.known_ground import KnownGroundSums

from .drawn_footprints import DEGREES, GRIDS

YEARS = (2015, 2016, 2019)
PAIRS = ((2015, 2016), (2015, 2019), (2016, 2019))


@GRIDS
def test_shares_are_those_of_pixels_weighted_by_their_areas(grid):
    known = np.random.default_rng(0).random((3, *grid.shape)) < 0.7
    known[0, :10] = known[1] = True  # rows without gaps, and a year
    sums = KnownGroundSums(YEARS, PAIRS, grid)
    for top in range(0, grid.height, 7):
        sums.add(known[:, top : top + 7])
    shares = sums.shares()
    area = sums._ground.pixels(0, grid.height)
    for place, year in enumerate(YEARS):
        assert shares.pixels[year] == pytest.approx(known[place].mean())
        assert shares.years[year] == pytest.approx(area[known[place]].sum() / area.sum())
    for first, second in PAIRS:
        both = known[YEARS.index(first)] & known[YEARS.index(second)]
        assert shares.pairs[first, second] == pytest.approx(area[both].sum() / area.sum())


def test_images_without_gaps_show_all_of_the_ground():
    sums = KnownGroundSums(YEARS, PAIRS, DEGREES)
    sums.add(np.ones((3, *DEGREES.shape), bool))
    shares = sums.shares()
    assert {*shares.pixels.values(), *shares.years.values(), *shares.pairs.values()} == {1}
