"""Validation sites with simulated errors."""

import numpy as np


def drawn_sites(generator, sites, pixels=2000):
    """Sites whose precision and share of missed mines differ, as a confusion matrix each."""
    counts = np.zeros((sites, 2, 2), np.int64)
    right = generator.beta(16, 4, sites)
    missed = generator.beta(2, 58, sites)
    mapped = generator.integers(pixels // 8, pixels // 4, sites)
    counts[:, 1, 1] = generator.binomial(mapped, right)
    counts[:, 1, 0] = mapped - counts[:, 1, 1]
    counts[:, 0, 1] = generator.binomial(pixels - mapped, missed)
    counts[:, 0, 0] = pixels - mapped - counts[:, 0, 1]
    return counts


def site_names(counts):
    """A name for each site."""
    return tuple(f"site {number}" for number in range(len(counts)))
