"""The effect of a defect on the scores: differences over seeds, intervals over sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from euromine.benchmark.results import percentiles, resampled_scores, scores_of
from euromine.metrics.counts import CountTable
from euromine.support.markdown import table

# The scores that are compared: metric, score, and its name in the table.
SCORES = (
    ("annual_f1", "of1", "OF1"),
    ("ca_tiou", "gca_tiou", "GCA-TIoU"),
    ("interval_f1", "of1_pooled", "change OF1"),
)

Counts = Mapping[str, CountTable]


@dataclass(frozen=True)
class Effect:
    """The effect of a defect on one score.

    Attributes:
        defect: Its name.
        what: The two trainings or scorings that are compared.
        score: Name of the score.
        without: The score without the defect, one per seed.
        with_it: The score with it, one per seed.
        interval: 95 % of resamples of the sites give a mean difference within it; None where there are
            too few sites.
    """

    defect: str
    what: str
    score: str
    without: tuple[float, ...]
    with_it: tuple[float, ...]
    interval: tuple[float, float] | None

    @property
    def differences(self) -> NDArray[np.float64]:
        """With the defect minus without it, one per seed."""
        return np.subtract(self.with_it, self.without)


def compared(
    defect: str, what: str, without: Sequence[Counts], with_it: Sequence[Counts], average: str = "site"
) -> list[Effect]:
    """The effect of a defect on each score.

    Args:
        defect: Its name.
        what: The two trainings or scorings that are compared.
        without: The counts of networks without it, one per seed.
        with_it: Those with it, of the same seeds and sites.
        average: How sites are averaged with the defect; without it each is scored by itself.
    """
    effects = []
    for metric, score, called in SCORES:
        tables = [[each[metric] for each in counts] for counts in (without, with_it)]
        averages = ("site", average)
        found = [
            tuple(float(scores_of(each, metric, how)[score]) for each in group)
            for group, how in zip(tables, averages, strict=True)
        ]
        draws = [resampled_scores(group, metric, how) for group, how in zip(tables, averages, strict=True)]
        interval = percentiles(draws[1][score] - draws[0][score]) if all(draws) else None
        effects.append(Effect(defect, what, called, found[0], found[1], interval))
    return effects


def markdown(effects: Sequence[Effect]) -> str:
    """The table, one line per defect and score."""
    lines = []
    before = ""
    for effect in effects:
        differences = effect.differences
        spread = f" ± {np.std(differences, ddof=1):.4f}" if len(differences) > 1 else ""
        interval = (
            "-" if effect.interval is None else f"{effect.interval[0]:+.4f} to {effect.interval[1]:+.4f}"
        )
        name = f"{effect.defect}: {effect.what}" if effect.defect != before else ""
        lines.append(
            (
                name,
                effect.score,
                f"{np.mean(effect.without):.4f}",
                f"{np.mean(effect.with_it):.4f}",
                f"{np.mean(differences):+.4f}{spread}",
                interval,
            )
        )
        before = effect.defect
    header = ("defect: what is compared", "score", "without", "with", "difference", "95 % over sites")
    return table(header, lines)
