"""The `evaluate` module that the three metrics have in common: it counts each example and keeps the counts.

The file is edited as `metrics/series_metric.py`; `python -m euromine.metrics.synchronise` copies it into the
folder of each metric, because such a folder is published alone.
"""

from __future__ import annotations

import abc
import itertools
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import datasets
import evaluate
import numpy as np
from numpy.typing import NDArray

from .counts import Averaging, Counts, CountTable, Scores, SiteCounts, average_scores

FEATURES = datasets.Features(
    {
        "predictions": datasets.Sequence(datasets.Sequence(datasets.Sequence(datasets.Value("uint8")))),
        "references": datasets.Sequence(datasets.Sequence(datasets.Sequence(datasets.Value("uint8")))),
        "sites": datasets.Value("string"),
        "years": datasets.Sequence(datasets.Value("int32")),
    }
)
"""What one example is made of."""

CITATION = """\
@article{yu2026eurominenet,
  title = {{EuroMineNet}: A multitemporal {Sentinel-2} benchmark for spatiotemporal mining footprint analysis
    in the {European Union} (2015-2024)},
  author = {Yu, Weikang and Nwazelibe, Vincent and Ma, Xianping and Zhang, Xiaokang and Gloaguen, Richard
    and Zhu, Xiao Xiang and Ghamisi, Pedram},
  journal = {ISPRS Journal of Photogrammetry and Remote Sensing},
  year = {2026},
  doi = {10.1016/j.isprsjprs.2026.04.046},
}
"""
"""The paper that the three metrics come from."""


# Abstract also because evaluate.load takes the first class of a module that is not for the metric itself.
class SeriesMetric(evaluate.Metric, abc.ABC):
    """A metric over series of class maps that counts pixels as they come and keeps nothing but the counts.

    `evaluate` would write every map to an Arrow file and read all of them back: this class replaces `add`,
    `add_batch` and `compute`, so no file and no lock is ever made, and memory is bounded by one example.

    Args:
        config_name: One of `config_names`; the first one when it is left out.
        num_process: 1. Metrics of several processes are brought together with `merge`.
        **options: What else `evaluate.Metric` takes; of no effect here.

    Raises:
        ValueError: There is no such configuration, or `num_process` is not 1.
    """

    metric_name: ClassVar[str]
    config_names: ClassVar[tuple[str, ...]] = ("default",)

    def __init__(self, config_name: str | None = None, num_process: int = 1, **options: Any) -> None:
        if config_name is not None and config_name not in self.config_names:
            raise ValueError(
                f"{self.metric_name} has no configuration {config_name!r}, expected "
                f"{' or '.join(repr(name) for name in self.config_names)}."
            )
        if num_process != 1:
            raise ValueError(
                f"num_process is {num_process}, expected 1: count in each process and bring the metrics "
                "together with merge()."
            )
        super().__init__(config_name=config_name or self.config_names[0], **options)
        # evaluate derives the name from the class: CATIoU would become "cat_io_u".
        self.info.module_name = self.metric_name
        self._counts = SiteCounts()

    def __len__(self) -> int:
        return self._counts.examples

    def __bool__(self) -> bool:
        # Without this an empty metric, having the length 0, would be false.
        return True

    def __getstate__(self) -> dict[str, Any]:
        # evaluate binds copies of these methods to each instance; the class has them anyway.
        return {
            name: value for name, value in vars(self).items() if name not in ("add", "add_batch", "compute")
        }

    def _build_data_dir(self) -> str:
        """The folder where evaluate would keep its Arrow files: named as it asks, never made."""
        return str(Path(self._data_dir_root) / self.name / self.config_name)

    @abc.abstractmethod
    def _info(self) -> evaluate.MetricInfo:
        """What the metric is, what it takes and whom to cite."""

    @abc.abstractmethod
    def _count(self, prediction: NDArray[Any], reference: NDArray[Any], name: str) -> tuple[Counts, Counts]:
        """Counts one example: by year (years, fields) and by pair of years (pairs, fields)."""

    @abc.abstractmethod
    def _pixels(self, table: CountTable) -> Counts:
        """The pixels of each site's reference that are not ignored, all years together: (sites,)."""

    @abc.abstractmethod
    def _scores(self, years: Sequence[int], by_year: Counts, by_pair: Counts, zero_division: float) -> Scores:
        """Counts (..., years, fields) and (..., years, years, fields) -> scores (...) and (..., *)."""

    def _axes(self, years: Sequence[int]) -> dict[str, list[int]]:
        """What the entries of the listed scores stand for."""
        return {"years": list(years)}

    def add(
        self,
        *,
        prediction: Any = None,
        reference: Any = None,
        site: str | None = None,
        years: Sequence[int] | None = None,
        **plural: Any,
    ) -> None:
        """Counts one example.

        Args:
            prediction: The predicted maps, (years, height, width).
            reference: The reference maps, (years, height, width); 255 is ignored.
            site: The name of the site.
            years: The calendar years, ascending; numbered from 0 when they are left out.
            **plural: `predictions`, `references` and `sites` are taken for `prediction`, `reference` and
                `site`, as `evaluate.combine` calls them.

        Raises:
            ValueError: As `add_batch`.
            TypeError: There is no such argument.
        """
        one = {
            "predictions": plural.pop("predictions", prediction),
            "references": plural.pop("references", reference),
            "sites": plural.pop("sites", site),
        }
        if plural:
            raise TypeError(f"add() has no argument {next(iter(plural))!r}.")
        for name in ("predictions", "references"):
            if one[name] is None:
                raise ValueError(f"The {name.removesuffix('s')} is missing, expected (years, height, width).")
        batch = {name: None if value is None else [value] for name, value in one.items()}
        self._add_to(self._counts, **batch, years=None if years is None else [years])

    def add_batch(
        self, *, predictions: Any = None, references: Any = None, sites: Any = None, years: Any = None
    ) -> None:
        """Counts a batch of examples; a batch that is refused leaves nothing behind.

        Args:
            predictions: (batch, years, height, width), or one (years, height, width) an example; 0, 1 and
                255 as integers or booleans, in NumPy arrays, torch tensors or nested lists.
            references: The same; 255 is ignored.
            sites: One name an example, or one name for all of them.
            years: The calendar years, ascending: one list for all examples or one an example; numbered
                from 0 when they are left out.

        Raises:
            ValueError: Something is missing, of another shape or number than the rest, or holds something
                else than classes.
        """
        for name, values in (("predictions", predictions), ("references", references)):
            if values is None:
                raise ValueError(f"The {name} are missing, expected one (years, height, width) an example.")
        self._add_to(self._counts, predictions, references, sites, years)

    def merge(self, other: SeriesMetric) -> None:
        """Adds what another metric of the same kind has counted, in this process or (pickled) in another.

        Args:
            other: A metric of the same name and configuration; it keeps its counts.

        Raises:
            ValueError: It counts something else.
        """
        if (other.metric_name, other.config_name) != (self.metric_name, self.config_name):
            raise ValueError(
                f"Cannot merge {other.metric_name} ({other.config_name}) into {self.metric_name} "
                f"({self.config_name}), expected the same metric and configuration."
            )
        counts = self._copy_of_counts()
        counts.update(other._counts)
        self._counts = counts

    def table(self) -> CountTable:
        """The counts of all that was added, by site, year and pair of years.

        Raises:
            ValueError: Nothing was added.
        """
        return self._counts.table()

    def compute(
        self,
        *,
        predictions: Any = None,
        references: Any = None,
        sites: Any = None,
        years: Any = None,
        average: str = "site",
        zero_division: float = float("nan"),
        bootstrap: int = 0,
        confidence: float = 0.95,
        seed: int = 0,
    ) -> dict[str, Any]:
        """Scores all that was added, and forgets it.

        Args:
            predictions: A last batch, as in `add_batch`.
            references: Its references.
            sites: Its sites.
            years: Its years.
            average: "site": every score is the mean of the sites' scores, weighted by their pixels (the
                references that are not 255, all years together). "pooled": the counts of all sites are
                summed as if they were one.
            zero_division: The score where there are pixels but nothing to divide by; nan leaves it out of
                the means.
            bootstrap: How many times the sites are resampled for intervals of confidence; 0 for none.
            confidence: The share of the resampled scores that an interval covers.
            seed: The seed of the resampling.

        Returns:
            The scores, in floats and lists of floats; nan where nothing defines one. After an error
            everything added before is still there.

        Raises:
            ValueError: As `add_batch`; or nothing was added, an argument is none of those above, or sites
                are missing.
        """
        averaging = Averaging(average, zero_division, bootstrap, confidence, seed)
        counts = self._copy_of_counts()
        if predictions is not None or references is not None:
            for name, values in (("predictions", predictions), ("references", references)):
                if values is None:
                    raise ValueError(f"The {name} are missing, expected as many as there are of the other.")
            self._add_to(counts, predictions, references, sites, years)
        elif sites is not None or years is not None:
            raise ValueError("Sites and years came without predictions, expected them in add_batch.")
        table = counts.table()

        def score(by_year: Counts, by_pair: Counts) -> Scores:
            return self._scores(table.years, by_year, by_pair, averaging.zero_division)

        result = average_scores(table, self._pixels(table), score, averaging)
        self._counts = SiteCounts()
        return {**result, **self._axes(table.years)}

    def _copy_of_counts(self) -> SiteCounts:
        copy = SiteCounts()
        copy.update(self._counts)
        return copy

    def _add_to(self, counts: SiteCounts, predictions: Any, references: Any, sites: Any, years: Any) -> None:
        """Counts a batch into `counts`, once all of its examples are found right."""
        prediction_list = _examples(predictions, "predictions")
        reference_list = _examples(references, "references")
        if len(prediction_list) != len(reference_list):
            raise ValueError(
                f"There are {len(prediction_list)} predictions and {len(reference_list)} references, "
                "expected as many of each."
            )
        site_list = _sites(sites, len(prediction_list))
        years_list = _years(years, len(prediction_list))
        batch = SiteCounts()
        for index, (prediction, reference) in enumerate(zip(prediction_list, reference_list, strict=True)):
            name = f"example {index}"
            by_year, by_pair = self._count(prediction, reference, name)
            if not len(by_year):
                raise ValueError(f"There is no map in {name}, expected at least one year.")
            series = years_list[index]
            if series is not None and len(series) != len(by_year):
                raise ValueError(f"There are {len(series)} years for the {len(by_year)} maps of {name}.")
            batch.add(site_list[index], series, by_year, by_pair)
        counts.update(batch)


def _examples(batch: Any, name: str) -> list[NDArray[Any]]:
    """A batch in one array, or a list of examples -> one array an example."""
    if hasattr(batch, "__array__"):
        array = _as_array(batch, f"The batch of {name}")
        if array.ndim != 4:
            raise ValueError(
                f"The batch of {name} has the shape {array.shape}, expected (batch, years, height, width)."
            )
        return list(array)
    if not isinstance(batch, Sequence) or isinstance(batch, str):
        raise ValueError(f"The {name} are a {type(batch).__name__}, expected an array or a list of arrays.")
    return [_as_array(example, f"Example {index} of the {name}") for index, example in enumerate(batch)]


def _as_array(values: Any, name: str) -> NDArray[Any]:
    """An array, a torch tensor on any device or nested lists -> an array."""
    if hasattr(values, "cpu"):
        values = values.cpu()
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{name} cannot be made an array, expected maps of one size: {error}.") from error


def _sites(sites: Any, examples: int) -> list[str | None]:
    """One name for all, one an example, or none -> one an example."""
    if sites is None:
        return [None] * examples
    names = [sites] * examples if np.ndim(sites) == 0 else list(sites)
    if len(names) != examples:
        raise ValueError(f"There are {len(names)} sites for {examples} examples, expected one an example.")
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"The sites hold {name!r}, expected the name of a site.")
    return [str(name) for name in names]


def _years(years: Any, examples: int) -> list[tuple[int, ...] | None]:
    """One series for all, one an example, or none -> one an example."""
    if years is None:
        return [None] * examples
    try:
        series_list = list(years)
    except TypeError:
        raise ValueError(f"The years are {years!r}, expected a list of years.") from None
    if all(np.ndim(entry) == 0 for entry in series_list):
        return [_ascending(series_list)] * examples
    if len(series_list) != examples:
        raise ValueError(
            f"There are {len(series_list)} series of years for {examples} examples, expected one an example."
        )
    return [_ascending(series) for series in series_list]


def _ascending(series: Any) -> tuple[int, ...]:
    try:
        years = tuple(operator.index(year) for year in series)
    except TypeError:
        raise ValueError(f"The years are {series!r}, expected whole numbers.") from None
    if any(year >= following for year, following in itertools.pairwise(years)):
        raise ValueError(f"The years are {list(years)}, expected them ascending, each once.")
    return years
