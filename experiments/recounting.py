"""Counts of a trained network on other terms than its run's: another normalisation, whole patches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

import euromine.modeling.auto  # noqa: F401 - registers the networks
from euromine.benchmark.results import read_counts
from euromine.benchmark.table_training import device
from euromine.dataset_script.patches import owned_mask
from euromine.dataset_script.reading import read_dataset
from euromine.metrics.annual_f1.annual_f1 import AnnualF1
from euromine.metrics.ca_tiou.ca_tiou import CATIoU
from euromine.metrics.counts import CountTable
from euromine.metrics.interval_f1.interval_f1 import IntervalF1
from euromine.support.files import write_bytes
from euromine.support.gap_filling import fill_gaps
from euromine.training.evaluation import predict_series
from euromine.training.run_results import packed_counts


def counted_once(
    path: Path, folder: Path, rows: Any, std_divisor: float = 1.0
) -> dict[str, dict[str, CountTable]]:
    """The result of `counted`, kept in a file.

    Args:
        path: The file.
        folder: A network.
        rows: Returns the rows.
        std_divisor: Divides the standard deviation of its image processor.

    Returns:
        The counts of owned pixels ("owned") and of whole patches ("whole"), by metric.
    """
    if not path.is_file():
        found = counted(folder, rows(), std_divisor)
        flat = {f"{way}-{name}": table for way, tables in found.items() for name, table in tables.items()}
        write_bytes(path, packed_counts(flat))
    kept: dict[str, dict[str, CountTable]] = {"owned": {}, "whole": {}}
    for name, each in read_counts(path).items():
        way, _, metric = name.partition("-")
        kept[way][metric] = each
    return kept


def counted(folder: Path, rows: Any, std_divisor: float = 1.0) -> dict[str, dict[str, Any]]:
    """Map series, and count each pixel once ("owned") and whole patches ("whole"), as `counted_once`."""
    network = AutoModelForSemanticSegmentation.from_pretrained(folder).eval().to(device())
    processor = AutoImageProcessor.from_pretrained(folder)
    processor.std = [value / std_divisor for value in processor.std]
    metrics = {way: (AnnualF1(), CATIoU(), IntervalF1()) for way in ("owned", "whole")}
    for row in _each(rows):
        maps = (
            predict_series(network, processor, fill_gaps(row["images"], row["labels"])[None])[0].cpu().numpy()
        )
        own = owned_mask(row["own"])
        for way, ignored in (("owned", ~own), ("whole", np.zeros_like(own))):
            prediction, reference = (np.where(ignored, np.uint8(255), each) for each in (maps, row["labels"]))
            for metric in metrics[way]:
                metric.add(
                    prediction=prediction, reference=reference, site=row["site"], years=list(row["years"])
                )
    return {way: {metric.metric_name: metric.table() for metric in group} for way, group in metrics.items()}


def _each(rows: Any) -> Iterator[Mapping[str, Any]]:
    for place in range(len(rows)):
        yield rows[place]


def rows_of(source: str, split: str) -> Any:
    """The series of a split."""
    return read_dataset(
        source, "series", split, columns=("images", "labels", "own", "site", "years", "patch_id")
    )
