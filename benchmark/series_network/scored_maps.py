"""A competitor's maps of sites, and the counted pixels that its scores come from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from euromine.metrics.annual_f1.annual_f1 import AnnualF1
from euromine.metrics.ca_tiou.ca_tiou import CATIoU
from euromine.metrics.counts import CountTable
from euromine.metrics.interval_f1.interval_f1 import IntervalF1
from euromine.modeling.change_detection import ChangeDetector, year_pairs
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.modeling.series_model import Evidence, SeriesModel
from euromine.modeling.temporal_chain import ChainPosterior, most_likely_path
from euromine.monitoring.history.calibration_counts import series_probability
from euromine.monitoring.history.markov import fit_emission_prior
from euromine.monitoring.history.smoothing import smooth
from euromine.monitoring.history.switch_rates import SwitchRates, estimate_switch_rates

from .competitors import CHANGES, MARGINALS, MEDIAN, PATH, VITERBI, YEARLY, Competitor
from .site_series import SiteSeries

Maps = NDArray[np.uint8]
Float = NDArray[np.float32]
Counts = dict[str, CountTable]
# Every so many pixels of a row and column are enough to fit one number.
_STRIDE = 2
_SMOOTHING = {YEARLY: "none", MEDIAN: "median", VITERBI: "viterbi"}


@dataclass(frozen=True)
class SeriesMaps:
    """Maps of a series.

    Attributes:
        footprints: (years, height, width), 0 or 1; None of a change detector.
        changes: (pairs, height, width), 0 or 1, of all pairs; None if they are the footprints' differences.
        seconds: Processor time in seconds.
    """

    footprints: Maps | None
    changes: Maps | None
    seconds: float


@torch.no_grad()
def maps_of_series(
    competitor: Competitor,
    network: PreTrainedModel,
    processor: EuroMineImageProcessor,
    images: NDArray[np.int16],
    years: Sequence[int],
    rates: SwitchRates | None,
    kinds: Sequence[str] | None = None,
) -> dict[str, SeriesMaps]:
    """All kinds of maps of a series.

    Args:
        competitor: The competitor.
        network: Its network, in evaluation mode.
        processor: Its image processor.
        images: (years, 10, height, width), digital numbers.
        years: The calendar years.
        rates: Switch rates of the hidden Markov model; without them, each year stands by itself.
        kinds: The kinds of maps; default those of the competitor.
    """
    kinds = competitor.maps if kinds is None else kinds
    if competitor.maps_changes_only:
        return {CHANGES: _detected(network, processor, images)}
    if kinds[0] in (MARGINALS, PATH):
        return _chained(network, processor, images, years, kinds)
    started = time.process_time()
    probability = probabilities(network, processor, images, years)
    mapped = time.process_time() - started
    found = {}
    for kind in kinds:
        if kind == VITERBI and rates is None:
            continue
        started = time.process_time()
        footprints = smooth(probability, _SMOOTHING[kind], rates, years=list(years), threads=1)  # type: ignore[arg-type]
        found[kind] = SeriesMaps(footprints, None, mapped + time.process_time() - started)
    return found


@torch.no_grad()
def probabilities(
    network: PreTrainedModel,
    processor: EuroMineImageProcessor,
    images: NDArray[np.int16],
    years: Sequence[int],
) -> Float:
    """A network's probability of a mine in each year, float32 (years, height, width)."""
    if not isinstance(network, SeriesModel):
        return series_probability(network, processor, images)
    pixel_values = processor(torch.from_numpy(images)).pixel_values
    logits = network(pixel_values=pixel_values[None], years=torch.tensor([list(years)])).logits
    found: Float = logits[0, :, 1].exp().numpy()
    return found


def _detected(
    network: PreTrainedModel, processor: EuroMineImageProcessor, images: NDArray[np.int16]
) -> SeriesMaps:
    started = time.process_time()
    assert isinstance(network, ChangeDetector)
    pixel_values = processor(torch.from_numpy(images)).pixel_values[None]
    changes = network.predict_series(pixel_values, transform=lambda logits: logits.argmax(2).to(torch.uint8))
    return SeriesMaps(None, changes[0].numpy(), time.process_time() - started)


def _chained(
    network: PreTrainedModel,
    processor: EuroMineImageProcessor,
    images: NDArray[np.int16],
    years: Sequence[int],
    kinds: Sequence[str],
) -> dict[str, SeriesMaps]:
    started = time.process_time()
    assert isinstance(network, SeriesModel)
    pixel_values = processor(torch.from_numpy(images)).pixel_values[None]
    evidence = network.evidence(pixel_values, torch.tensor([list(years)]), None)
    seen = time.process_time() - started
    read: dict[str, Callable[[Evidence], tuple[Maps, Maps | None]]] = {MARGINALS: _marginals, PATH: _path}
    found = {}
    for kind in kinds:
        started = time.process_time()
        footprints, changes = read[kind](evidence)
        found[kind] = SeriesMaps(footprints, changes, seen + time.process_time() - started)
    return found


def _marginals(evidence: Evidence) -> tuple[Maps, Maps]:
    posterior = ChainPosterior.of(evidence.potentials, evidence.transitions)
    pairs = year_pairs(evidence.potentials.shape[1])
    footprints = posterior.log_marginals().argmax(2)
    changes = posterior.log_change_probabilities(pairs).argmax(2)
    return footprints[0].to(torch.uint8).numpy(), changes[0].to(torch.uint8).numpy()


def _path(evidence: Evidence) -> tuple[Maps, None]:
    path = most_likely_path(evidence.potentials, evidence.transitions)
    return path[0].to(torch.uint8).numpy(), None


@dataclass
class Tally:
    """The counted pixels of one kind of maps.

    Attributes:
        changes_only: Whether there are no footprints.
        own_changes: Whether changes are maps of their own.
        seconds: Processor time of each series.
    """

    changes_only: bool
    own_changes: bool
    seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._footprints: dict[str, AnnualF1 | CATIoU] = (
            {} if self.changes_only else {"annual_f1": AnnualF1(), "ca_tiou": CATIoU()}
        )
        self._changes = IntervalF1("change" if self.own_changes else "footprint")

    def add(self, maps: SeriesMaps, labels: Maps, site: str, years: Sequence[int]) -> None:
        """Count a series."""
        where = {"references": [labels], "sites": [site], "years": [list(years)]}
        for metric in self._footprints.values():
            metric.add_batch(predictions=[maps.footprints], **where)
        changes = maps.footprints if maps.changes is None else maps.changes
        self._changes.add_batch(predictions=[changes], **where)
        self.seconds.append(maps.seconds)

    def counts(self) -> Counts:
        """The counts by metric."""
        # Each Space has a copy of the class of tables.
        tables: dict[str, Any] = {name: metric.table() for name, metric in self._footprints.items()}
        tables["interval_f1"] = self._changes.table()
        return tables


def count_maps(
    competitor: Competitor,
    network: PreTrainedModel,
    processor: EuroMineImageProcessor,
    sites: SiteSeries,
    rates: SwitchRates | None = None,
    kinds: Sequence[str] | None = None,
) -> dict[str, Tally]:
    """Map all sites and count, by kind of maps.

    Args:
        competitor: The competitor.
        network: Its network, in evaluation mode.
        processor: Its image processor.
        sites: The sites.
        rates: As for `maps_of_series`.
        kinds: As for `maps_of_series`.
    """
    tallies: dict[str, Tally] = {}
    for name, years, images, labels in _each(sites):
        found = maps_of_series(competitor, network, processor, images, years, rates, kinds)
        for kind, maps in found.items():
            tally = tallies.setdefault(kind, Tally(maps.footprints is None, maps.changes is not None))
            tally.add(maps, labels, name, years)
    return tallies


def fitted_rates(
    network: PreTrainedModel, processor: EuroMineImageProcessor, train: SiteSeries, validation: SiteSeries
) -> SwitchRates:
    """Switch rates of the training labels, and the emission prior that fits the validation sites."""
    rates = estimate_switch_rates((labels, years) for _, years, _, labels in _each(train))
    seen = [
        (
            probabilities(network, processor, images, years)[:, ::_STRIDE, ::_STRIDE],
            labels[:, ::_STRIDE, ::_STRIDE],
            years,
        )
        for _, years, images, labels in _each(validation)
    ]
    return fit_emission_prior(seen, rates)


def counts_of_constant(sites: SiteSeries, value: int) -> Counts:
    """The counts of a map that is the same everywhere and in all years."""
    tally = Tally(changes_only=False, own_changes=False)
    for name, years, _, labels in _each(sites):
        tally.add(SeriesMaps(np.full_like(labels, value), None, 0.0), labels, name, years)
    return tally.counts()


def _each(sites: SiteSeries) -> Iterator[tuple[str, list[int], NDArray[np.int16], Maps]]:
    for place, name in enumerate(sites.names):
        yield name, sites.years[place].tolist(), sites.images[place], sites.labels[place]
