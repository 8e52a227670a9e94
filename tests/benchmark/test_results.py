"""Scores of several runs together, beside what the metrics themselves say of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from euromine.benchmark.results import (
    BenchmarkRun,
    Score,
    joint_scores,
    parts_of,
    read_run,
    read_runs,
    require_one_kind,
    run_name,
)
from euromine.benchmark.table_records import Costs, DatasetFacts, Hardware, Kind, TableRecord
from euromine.metrics.annual_f1.annual_f1 import AnnualF1
from euromine.metrics.ca_tiou.ca_tiou import CATIoU
from euromine.metrics.interval_f1.interval_f1 import IntervalF1
from euromine.support.errors import ArgumentError, RecordError
from euromine.support.records import write_record
from euromine.support.run_records import TrainingFacts
from euromine.training.run_results import packed_counts

METRICS = {"annual_f1": AnnualF1, "ca_tiou": CATIoU, "interval_f1": IntervalF1}
SITES = [f"Spain_{number}" for number in range(1, 8)]
YEARS = [2015, 2016, 2018]
KIND = Kind(
    protocol="corrected", dataset="abc", average="site", statistics="dataset", years=YEARS, sites=SITES
)
RECORD = TableRecord(
    task="segmentation",
    architecture="unet",
    seed=0,
    kind=KIND,
    arguments={},
    given={},
    recipe="default",
    split="its own",
    sites={"train": [], "validation": [], "test": SITES},
    dataset=DatasetFacts("simulated", None, True, "abc"),
    scores={"test": {"of1": 0.5}},
    training=TrainingFacts(
        steps=1,
        epochs=1.0,
        best_step=None,
        selected_by=None,
        batch_size=1,
        precision="float32",
        arguments={},
    ),
    costs=Costs(1, 1.0, None, None, 1.0, 1.0, True, {}, 1.0),
    hardware=Hardware("a processor", 1),
    versions={},
    checkpoint="runs",
)


def counted(seed: int) -> dict[str, AnnualF1 | CATIoU | IntervalF1]:
    """The metrics after predictions that are wrong in some pixels, of seven sites of different size."""
    references = np.random.default_rng(0)
    noise = np.random.default_rng(seed)
    metrics = {name: metric() for name, metric in METRICS.items()}
    for number, site in enumerate(SITES):
        reference = (references.random((3, 6 + number, 9)) < 0.4).astype(np.uint8)
        prediction = reference ^ (noise.random(reference.shape) < 0.1 + 0.03 * number)
        for metric in metrics.values():
            metric.add(prediction=prediction, reference=reference, site=site, years=YEARS)
    return metrics


def run_of(seed: int, average: str = "site", path: Path = Path("run.json")) -> BenchmarkRun:
    record = replace(RECORD, seed=seed, kind=replace(KIND, average=average))
    return BenchmarkRun(path, record, {name: metric.table() for name, metric in counted(seed).items()})


def write(run: BenchmarkRun, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{run_name(run.task, run.architecture, run.seed)}.json"
    write_record(path, run.record)
    path.with_suffix(".npz").write_bytes(packed_counts(run.counts))
    return path


@pytest.mark.parametrize("average", ["site", "pooled"])
@pytest.mark.parametrize("name", METRICS)
def test_one_run_has_the_metrics_own_scores_and_intervals(name, average):
    expected = counted(5)[name].compute(average=average, bootstrap=1000)
    found = joint_scores([run_of(5, average)], name)
    for score, limits in expected["confidence_intervals"].items():
        assert found[score].values == (expected[score],)
        assert found[score].interval == pytest.approx(tuple(limits), rel=1e-12)
        assert found[score].spread is None
    assert [score.mean for score in found.get("f1", [])] == expected.get("f1", [])


def test_the_interval_of_several_seeds_is_that_of_their_mean_over_the_same_sites():
    # By brute force: sites drawn with replacement, and the scores of each seed averaged over what was drawn.
    runs = [run_of(seed) for seed in (1, 2, 3)]
    sites = [counted(seed)["annual_f1"].compute(average="site")["sites"] for seed in (1, 2, 3)]
    pixels = np.array([site["pixels"] for site in sites[0].values()])
    f1 = np.array([[site["of1"] for site in each.values()] for each in sites])
    draws = np.random.default_rng(9).integers(0, len(SITES), (20_000, len(SITES)))
    means = [np.average(f1.mean(axis=0)[draw], weights=pixels[draw]) for draw in draws]
    found = joint_scores(runs, "annual_f1")["of1"]
    assert found.interval == pytest.approx(np.quantile(means, (0.025, 0.975)), abs=0.004)
    assert found.mean == pytest.approx(np.average(f1.mean(axis=0), weights=pixels))
    assert found.spread == pytest.approx(np.std([np.average(each, weights=pixels) for each in f1], ddof=1))


def test_few_sites_have_no_interval():
    run = run_of(1)
    table = run.counts["annual_f1"]
    few = type(table)(table.sites[:4], table.years, table.by_year[:4], table.by_pair[:4])
    assert (
        joint_scores([BenchmarkRun(run.path, run.record, {"annual_f1": few})], "annual_f1")["of1"].interval
        is None
    )


def test_the_parts_are_years_or_the_intervals_between_them():
    assert parts_of(run_of(1), "annual_f1") == [2015, 2016, 2018]
    assert parts_of(run_of(1), "interval_f1") == [1, 2, 3]


def test_a_run_is_read_as_it_was_written(tmp_path):
    run = run_of(4)
    found = read_run(write(run, tmp_path))
    assert (found.task, found.architecture, found.seed) == ("segmentation", "unet", 4)
    assert joint_scores([found], "ca_tiou") == joint_scores([run], "ca_tiou")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (
            "protocol",
            "paper",
            r"seed2\.json: found the protocol paper; expected corrected, as in .*seed1\.json\. "
            "Results of different protocol do not belong in one table",
        ),
        ("dataset", "xyz", "Results of different dataset do not belong in one table"),
        (
            "sites",
            [*SITES[:-1], "Spain_9"],
            "the test sites Spain_1, Spain_2, Spain_3 .7 in all. and others",
        ),
    ],
)
def test_results_that_were_not_found_alike_are_refused(name, value, sentence, tmp_path):
    write(run_of(1), tmp_path)
    other = run_of(2)
    record = replace(other.record, kind=replace(KIND, **{name: value}))
    write(BenchmarkRun(other.path, record, other.counts), tmp_path)
    with pytest.raises(ArgumentError, match=sentence):
        read_runs(tmp_path)


def test_equal_kinds_are_not_refused():
    require_one_kind(KIND, replace(KIND), "one", "two")


def test_a_damaged_result_is_named(tmp_path):
    path = write(run_of(1), tmp_path)
    path.write_text(path.read_text()[:40])
    with pytest.raises(RecordError, match=r"seed1\.json: found text that is not JSON"):
        read_runs(tmp_path)
    path = write(run_of(1), tmp_path)
    path.with_suffix(".npz").write_bytes(path.with_suffix(".npz").read_bytes()[:100])
    with pytest.raises(RecordError, match=r"seed1\.npz: found counts that cannot be read"):
        read_runs(tmp_path)


def test_a_score_is_its_mean_and_the_seeds_spread():
    assert Score((0.5, 0.7)).mean == pytest.approx(0.6)
    assert Score((0.5, 0.7)).spread == pytest.approx(np.sqrt(0.02))
