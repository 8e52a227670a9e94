"""Probabilities that all smoothing is tested on."""

import numpy as np
import pytest


@pytest.fixture
def probability():
    """Random probabilities of five years; extremes, doubts and gaps among them."""
    generator = np.random.default_rng(5)
    values = generator.beta(0.4, 0.6, (5, 6, 9)).astype(np.float32)
    values[generator.random(values.shape) < 0.2] = np.nan
    values[:, 0, 0] = (0, 1, 0, 1, 1)
    values[:, 0, 1] = (1, np.nan, np.nan, np.nan, 0)
    values[:, 0, 2] = 0.5
    values[:, 0, 3] = np.nan
    return values
