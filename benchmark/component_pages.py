"""The tables of the studies of components: scores over seeds and sites, differences, and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.dataset_script.label_groups import LabelGroups
from euromine.metrics.averaging import Averaging, binary_scores, mean_of_defined, resample_scores
from euromine.metrics.component_iou.component_iou import CLASSES, component_scores
from euromine.metrics.counts import Counts, CountTable
from euromine.support.markdown import table
from euromine.training.own_files import COUNTS_FILE

from .component_costs import RunCosts
from .component_jobs import BAND_SETS, BASE, FACT_OF_STUDY, ComponentJob, SiteFactsOfSplits
from .results import RESAMPLES, SITES_FOR_INTERVAL, percentiles, read_counts

# The classes and any component, which `ComponentIoU` counts as one more.
_MAPS = len(CLASSES) + 1
SCORES = ("macro_iou", "pooled_iou", "total_iou")
_TITLES = {"macro_iou": "mean IoU of classes", "pooled_iou": "pooled IoU", "total_iou": "IoU of the total"}

PUBLISHED = {
    "bands": "MineCam: IoU 0.65 to 0.75; radar gave no significant gain, and more channels were worse.",
    "types": "MineCam: training on one type of mine gave no gain.",
    "materials": "MineCam: training on one material gave no gain.",
    "heads": "MineCam: one network for each of four groups and one for the total; no comparison.",
}
"""The published statements; there are no results by class or grouping (doi:10.3390/rs16060955)."""

_TITLES_OF_STUDIES = {
    "bands": "Bands",
    "types": "Training on one type of mine",
    "materials": "Training on one material",
    "heads": "One network with heads, or one network a group",
}


@dataclass(frozen=True)
class Counted:
    """The counted pixels of one seed.

    Attributes:
        classes: Of the classes; None where no map has any.
        total: Of the map of any component; None without one.
    """

    classes: CountTable | None
    total: CountTable | None

    def of_sites(self, sites: Sequence[str]) -> Counted:
        """The same of some sites."""
        return Counted(_of_sites(self.classes, sites), _of_sites(self.total, sites))


@dataclass(frozen=True)
class StudyRow:
    """A row of a study.

    Attributes:
        name: What was trained.
        counted: Counts of the same test sites, one a seed.
        costs: Of all of its networks together.
    """

    name: str
    counted: tuple[Counted, ...]
    costs: RunCosts


def read_counted(folder: Path) -> Counted:
    """The counts of a finished run."""
    found = read_counts(folder / COUNTS_FILE)
    return Counted(found.get("component_iou"), found.get("total"))


def joined(parts: Sequence[Counted]) -> Counted:
    """The counts of several networks, each of its own classes, as those of one."""
    classes = [part.classes for part in parts if part.classes is not None]
    total = next((part.total for part in parts if part.total is not None), None)
    whole = (
        replace(classes[0], by_year=np.sum([each.by_year for each in classes], axis=0)) if classes else None
    )
    return Counted(whole, total)


def _of_sites(counts: CountTable | None, sites: Sequence[str]) -> CountTable | None:
    if counts is None:
        return None
    rows = [place for place, site in enumerate(counts.sites) if site in set(sites)]
    return CountTable(
        tuple(counts.sites[row] for row in rows), counts.years, counts.by_year[rows], counts.by_pair[rows]
    )


def site_scores(counted: Counted, groups: LabelGroups) -> tuple[dict[str, NDArray[np.float64]], Counts]:
    """`SCORES` of each site, and the sites' pixels.

    Scores of all sites are their means weighted by pixels (`mean_of_defined`), as in the metric.

    Args:
        counted: The counts of a seed.
        groups: The groups of the maps.
    """
    scores: dict[str, NDArray[np.float64]] = {}
    pixels = np.zeros(0, np.int64)
    if counted.classes is not None:
        by_year = counted.classes.by_year.reshape(*counted.classes.by_year.shape[:2], _MAPS, 4)
        places = {name: [CLASSES.index(each) for each in members] for name, members in groups.groups.items()}
        found = component_scores(by_year, places, float("nan"))
        scores |= {name: found[name] for name in ("macro_iou", "pooled_iou")}
        pixels = by_year[..., 3].max(axis=-1).sum(axis=-1)
    if counted.total is not None:
        of_total = counted.total.by_year.sum(axis=1)
        scores["total_iou"] = binary_scores(of_total, float("nan"))["iou"]
        pixels = pixels if len(pixels) else of_total[:, 3]
    return scores, pixels


def mean_scores(row: StudyRow, groups: LabelGroups) -> dict[str, list[float]]:
    """`SCORES` over all sites, one a seed."""
    found: dict[str, list[float]] = {}
    for counted in row.counted:
        scores, pixels = site_scores(counted, groups)
        for name, values in scores.items():
            found.setdefault(name, []).append(float(mean_of_defined(values, pixels)))
    return found


def resampled(row: StudyRow, groups: LabelGroups) -> dict[str, NDArray[np.float64]]:
    """Means over the seeds in resamples of the sites, the same for all rows; none with too few sites."""
    averaging = Averaging("site", bootstrap=RESAMPLES)
    draws: list[Mapping[str, NDArray[np.float64]]] = []
    for counted in row.counted:
        scores, pixels = site_scores(counted, groups)
        if np.count_nonzero(pixels) < SITES_FOR_INTERVAL:
            return {}
        some = counted.classes or counted.total
        assert some is not None
        draws.append(resample_scores(some, pixels, _unused, averaging, scores))
    return {name: np.mean([each[name] for each in draws], axis=0) for name in draws[0]}


def _unused(by_year: Counts, by_pair: Counts) -> dict[str, Any]:
    """`resample_scores` scores resampled counts only for pooled averages."""
    raise AssertionError("averages are over sites")


def study_page(
    study: str,
    rows: Sequence[tuple[StudyRow, StudyRow | None]],
    groups: LabelGroups,
    simulated: bool,
    note: str,
) -> str:
    """A study as Markdown: a table of scores, one of differences, and one of cost.

    Args:
        study: Its name.
        rows: Each row, and the row that it is compared with on the same sites.
        groups: The label groups.
        simulated: Whether the data are simulated.
        note: The trainings in a sentence.
    """
    marked = " (simulated)" if simulated else ""
    parts = [f"## {_TITLES_OF_STUDIES[study]}{marked}", PUBLISHED[study], note]
    if simulated:
        parts.append(
            "**Simulated data.** The simulator assumes the backscatter of mine surfaces and the spectra of "
            "all classes, so these numbers say nothing about real mines."
        )
    draws = {row.name: resampled(row, groups) for row, _ in rows}
    body = []
    for row, _ in rows:
        means = mean_scores(row, groups)
        cells = [_with_spread(means.get(name, []), draws[row.name].get(name)) for name in SCORES]
        body.append([row.name, str(_sites(row)), *cells])
    parts.append(table(("training", "test sites", *(_TITLES[name] for name in SCORES)), body))
    if pairs := [(row, other) for row, other in rows if other is not None]:
        parts.append(_differences(pairs, groups))
    cost = [[row.name, *row.costs.cells] for row, _ in rows]
    parts.append(table(("training", *RunCosts.HEADER), cost))
    return "\n\n".join(parts) + "\n"


def _differences(pairs: Sequence[tuple[StudyRow, StudyRow]], groups: LabelGroups) -> str:
    """A table of differences, with intervals by resampling the sites of both alike."""
    body = []
    for row, other in pairs:
        ours, theirs = mean_scores(row, groups), mean_scores(other, groups)
        our_draws, their_draws = resampled(row, groups), resampled(other, groups)
        cells = []
        for name in SCORES:
            if name not in ours or name not in theirs:
                cells.append("-")
                continue
            text = f"{np.nanmean(ours[name]) - np.nanmean(theirs[name]):+.3f}"
            if name in our_draws and name in their_draws:
                low, high = percentiles(our_draws[name] - their_draws[name])
                text += f" [{low:+.3f}, {high:+.3f}]"
            cells.append(text)
        body.append([f"{row.name} - {other.name}", *cells])
    return table(("difference", *(_TITLES[name] for name in SCORES)), body)


def _with_spread(values: Sequence[float], draws: NDArray[np.float64] | None) -> str:
    """Mean over the seeds, their standard deviation, and the interval over sites."""
    if not values or np.isnan(values).all():
        return "-"
    text = f"{np.mean(values):.3f}"
    if len(values) > 1:
        text += f" ± {np.std(values, ddof=1):.3f}"
    if draws is not None:
        low, high = percentiles(draws)
        text += f" [{low:.3f}, {high:.3f}]"
    return text


def _sites(row: StudyRow) -> int:
    some = row.counted[0].classes or row.counted[0].total
    return 0 if some is None else len(some.sites)


def rows_of_study(
    study: str,
    finished: Mapping[ComponentJob, tuple[Counted, RunCosts]],
    groups: LabelGroups,
    facts: SiteFactsOfSplits,
) -> list[tuple[StudyRow, StudyRow | None]]:
    """The rows of a study that some seed has finished, each with the row that it is compared with.

    Args:
        study: Its name.
        finished: Counts and costs of finished jobs.
        groups: The label groups.
        facts: Of the dataset's sites.
    """
    whole = _row("all groups by one network", _seeds(finished, BASE), finished)
    if study == "bands":
        rows = [_row(name, _seeds(finished, name), finished) for name in BAND_SETS]
        first = next((row for row in rows if row is not None), None)
        return [(row, None if row is first else first) for row in rows if row is not None]
    if study == "heads":
        separate = _separate_row(finished, groups)
        return [(row, other) for row, other in ((whole, None), (separate, whole)) if row is not None]
    fact = FACT_OF_STUDY[study]
    found: list[tuple[StudyRow, StudyRow | None]] = []
    for value in facts.values(fact):
        sites = facts.sites("test", (fact, value))
        alone = _row(f"{value} only", _seeds(finished, BASE, (fact, value)), finished, sites)
        everything = _row(f"all sites, on {value}", _seeds(finished, BASE), finished, sites)
        found += [(row, None) for row in (everything,) if row is not None]
        found += [(row, everything) for row in (alone,) if row is not None]
    return found


def _seeds(
    finished: Mapping[ComponentJob, Any],
    bands: str,
    where: tuple[str, str] | None = None,
    group: str | None = None,
) -> list[ComponentJob]:
    return [job for job in finished if (job.bands, job.where, job.group) == (bands, where, group)]


def _row(
    name: str,
    jobs: Sequence[ComponentJob],
    finished: Mapping[ComponentJob, tuple[Counted, RunCosts]],
    sites: Sequence[str] | None = None,
) -> StudyRow | None:
    if not jobs:
        return None
    counted = [finished[job][0] for job in jobs]
    chosen = [each if sites is None else each.of_sites(sites) for each in counted]
    return StudyRow(name, tuple(chosen), RunCosts.mean([finished[job][1] for job in jobs]))


def _separate_row(
    finished: Mapping[ComponentJob, tuple[Counted, RunCosts]], groups: LabelGroups
) -> StudyRow | None:
    """The networks of single groups together, of the seeds for which all of them are finished."""
    by_group = {name: {job.seed: job for job in _seeds(finished, BASE, None, name)} for name in groups.names}
    seeds = sorted(set.intersection(*(set(each) for each in by_group.values())))
    if not seeds:
        return None
    together = [[finished[by_group[name][seed]] for name in groups.names] for seed in seeds]
    return StudyRow(
        "a network a group",
        tuple(joined([counted for counted, _ in each]) for each in together),
        RunCosts.mean([RunCosts.sum([costs for _, costs in each]) for each in together]),
    )
