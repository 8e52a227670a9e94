"""Round numbers of axes."""

import numpy as np

from euromine.monitoring.reporting.ticks import nice_ticks


def test_ticks_are_round_and_cover_the_values():
    assert nice_ticks(0, 123, 4) == [0, 50, 100, 150]
    np.testing.assert_allclose(nice_ticks(-0.3, 0.9, 4), [-0.5, 0, 0.5, 1])
