"""Random series of footprints, as the tests of all three metrics use them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray


@dataclass
class Example:
    """One patch of a site over some years."""

    prediction: NDArray[np.uint8]
    reference: NDArray[np.uint8]
    site: str
    years: tuple[int, ...]


def _draw_examples(data: st.DataObject) -> list[Example]:
    """Sites of several patches: ignored pixels, missing years, empty maps, one year only, any size."""
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32), label="seed"))
    sites = data.draw(st.integers(1, 3), label="sites")
    calendar = data.draw(
        st.lists(st.integers(2015, 2024), min_size=1, max_size=4, unique=True), label="calendar"
    )
    share_of_mine = data.draw(st.sampled_from([0.0, 0.05, 0.5, 1.0]), label="share of mine")
    share_of_ignored = data.draw(st.sampled_from([0.0, 0.1, 0.9]), label="share of ignored")
    examples = []
    for site in range(sites):
        years = tuple(sorted(year for year in calendar if generator.random() < 0.8)) or (calendar[0],)
        for _ in range(generator.integers(1, 4)):
            shape = (len(years), *generator.integers(1, 13, size=2))
            reference = (generator.random(shape) < share_of_mine).astype(np.uint8)
            flips = generator.random(shape) < generator.choice([0.0, 0.1, 0.5])
            prediction = (reference ^ flips).astype(np.uint8)
            reference[generator.random(shape) < share_of_ignored] = 255
            # Now and then a year is missing, or a map shows no mine.
            reference[generator.random(len(years)) < 0.15] = 255
            prediction[generator.random(len(years)) < 0.15] = 0
            undecided = (reference == 255) & (generator.random(shape) < 0.5)
            prediction[undecided] = 255
            examples.append(Example(prediction, reference, f"Site_{site}", years))
    return examples


@pytest.fixture(scope="session")
def draw_examples() -> Callable[[st.DataObject], list[Example]]:
    """Draws a list of examples from hypothesis' `data`."""
    return _draw_examples


@pytest.fixture(scope="session")
def batch_of() -> Callable[[list[Example]], dict[str, Any]]:
    """The arguments of `add_batch` for a list of examples."""

    def batch(examples: list[Example]) -> dict[str, Any]:
        return {
            "predictions": [example.prediction for example in examples],
            "references": [example.reference for example in examples],
            "sites": [example.site for example in examples],
            "years": [example.years for example in examples],
        }

    return batch


class PixelSets:
    """The oracle: each site's maps as sets of pixels, one by one, without any array arithmetic.

    A pixel is (patch, row, column) and so stands once, however the patches come.
    """

    def __init__(self, examples: list[Example]) -> None:
        self.sites = sorted({example.site for example in examples})
        self.years = sorted({year for example in examples for year in example.years})
        self.valid: dict[tuple[str, int], set[tuple[int, int, int]]] = {}
        self.predicted: dict[tuple[str, int], set[tuple[int, int, int]]] = {}
        self.actual: dict[tuple[str, int], set[tuple[int, int, int]]] = {}
        for site in self.sites:
            for year in self.years:
                for sets in (self.valid, self.predicted, self.actual):
                    sets[site, year] = set()
        for patch, example in enumerate(examples):
            _, height, width = example.reference.shape
            for index, year in enumerate(example.years):
                for row in range(height):
                    for column in range(width):
                        pixel = (patch, row, column)
                        if example.reference[index, row, column] == 255:
                            continue
                        self.valid[example.site, year].add(pixel)
                        if example.reference[index, row, column] == 1:
                            self.actual[example.site, year].add(pixel)
                        if example.prediction[index, row, column] == 1:
                            self.predicted[example.site, year].add(pixel)

    def weight(self, site: str) -> int:
        """The site's valid pixels, all years together."""
        return sum(len(self.valid[site, year]) for year in self.years)


@pytest.fixture(scope="session")
def pixel_sets() -> type[PixelSets]:
    """The oracle's sets."""
    return PixelSets


def _mean(values: list[float], weights: list[int] | None = None) -> float:
    """The mean of what is no nan, by plain addition."""
    total, sum_of_weights = 0.0, 0
    for value, weight in zip(values, weights or [1] * len(values), strict=True):
        if value == value:
            total += value * weight
            sum_of_weights += weight
    return total / sum_of_weights if sum_of_weights else float("nan")


@pytest.fixture(scope="session")
def plain_mean() -> Callable[..., float]:
    """A mean that leaves nan out."""
    return _mean
