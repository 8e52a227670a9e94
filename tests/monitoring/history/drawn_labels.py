"""Labels drawn from a chain with known switch rates."""

import numpy as np


def simulated_labels(rates, years, pixels, seed):
    """Labels drawn year by year, of which only `years` are kept."""
    generator = np.random.default_rng(seed)
    state = generator.random(pixels) < rates.prior
    kept = []
    for year in range(years[0], years[-1] + 1):
        if year > years[0]:
            draw = generator.random(pixels)
            state = np.where(state, draw >= rates.reclamation, draw < rates.expansion)
        if year in years:
            kept.append(state.astype(np.uint8))
    return np.stack(kept).reshape(len(years), 100, -1)
