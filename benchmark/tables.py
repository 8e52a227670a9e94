"""The paper's Tables 4, 5 and 6 by one command, with the paper's numbers beside ours.

`python -m euromine.benchmark.tables --dataset euromine --tasks segmentation change-detection
post-classification --seeds 3` trains the paper's 31 networks, or those named by `--architectures`, with
`train_seg.py` and `train_cd.py`, through Accelerate where there are several GPUs, and scores them. Any other
argument goes to these scripts. Table 6, post-classification, is scored from the runs of Table 4.

The folder keeps one JSON record per run. Finished runs are not repeated, so the same command resumes where it
was interrupted. The tables are rewritten after every run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from euromine.dataset_script.reading import read_dataset
from euromine.dataset_script.splits import split_sites
from euromine.support.errors import ArgumentError, DatasetError, EuroMineError, one_line
from euromine.support.interrupts import INTERRUPTED, RESUME, say_interrupted
from euromine.support.locks import lock_folder
from euromine.training.arguments import parse_arguments
from euromine.training.data import digest_of

from .results import BenchmarkRun, read_runs, require_one_kind, run_name
from .table_jobs import RECIPES, SCRIPTS, Job, given_arguments, make_jobs, plain, read_settings
from .table_pages import write_pages
from .table_rows import LAYOUTS
from .table_training import keep, last_line, train

TASKS = tuple(LAYOUTS)
_MOST_SEEDS = 100


def main(argv: Sequence[str] | None = None) -> int:
    """Train, score and write Tables 4, 5 and 6.

    Returns:
        The exit status: 0, 1 where a run failed, 2 for a mistake in the arguments, 130 if interrupted.
    """
    options, others = _parse(argv)
    try:
        out = Path(options.out or Path("runs") / f"benchmark-{options.protocol}")
        settings = read_settings(options.settings)
        jobs = make_jobs(options, settings, given_arguments(others))
        for job in jobs:
            parse_arguments(SCRIPTS[job.task][1], job.argv(out))
        dataset = describe_dataset(options.dataset, options.dataset_revision, options.protocol)
        runs = {run_name(run.task, run.architecture, run.seed): run for run in read_runs(out / "results")}
        _check_same(out, jobs, runs, dataset, options.protocol)
    except (EuroMineError, OSError) as error:
        sys.stderr.write(f"tables: {one_line(error)}\n")
        return 2
    try:
        with lock_folder(out):
            failed = [] if options.tables_only else run_jobs(jobs, runs, out, dataset, options)
            return _finish(out, jobs, options.tasks, failed)
    except KeyboardInterrupt:
        say_interrupted("tables", RESUME)
        return INTERRUPTED
    except (EuroMineError, OSError) as error:
        sys.stderr.write(f"tables: {one_line(error)}\n")
        return 1


def _parse(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="python -m euromine.benchmark.tables",
        description=(__doc__ or "").splitlines()[0],
        epilog="Any other argument goes to train_seg.py and train_cd.py: --max_steps 1000 --bf16 false",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--dataset", required=True, help="folder that `euromine build` wrote, or Hub repository"
    )
    parser.add_argument("--dataset_revision", help="branch, tag or commit of the Hub repository")
    parser.add_argument("--architectures", nargs="+", help="networks; default the paper's 31")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument(
        "--seeds", type=_number_of_seeds, default=3, help="number of seeds, from 0; default 3"
    )
    parser.add_argument("--protocol", choices=tuple(RECIPES), default="corrected")
    parser.add_argument("--out", type=Path, help="default runs/benchmark-PROTOCOL")
    parser.add_argument(
        "--settings",
        type=Path,
        help="YAML or JSON: arguments by task or network, as in `unet: {max_steps: 2000}`",
    )
    parser.add_argument(
        "--accelerate", type=Path, help="Accelerate's configuration; default one process per GPU"
    )
    parser.add_argument(
        "--tables-only", action="store_true", help="train nothing; write the tables of finished runs"
    )
    return parser.parse_known_args(argv)


def _number_of_seeds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_SEEDS:
        raise argparse.ArgumentTypeError(f"found {text}; expected 1 to {_MOST_SEEDS} seeds.")
    return int(text)


def describe_dataset(source: str, revision: str | None, protocol: str) -> dict[str, Any]:
    """The dataset's digest and the sites of its splits.

    Raises:
        DatasetError: It has no training or test sites, or its splits are the official ones and the protocol
            is corrected.
        OSError: There is no such dataset.
    """
    rows: Any = read_dataset(
        source, "annual", revision=revision, columns=("patch_id", "site", "year", "mine_pixels")
    )
    sites = {split: sorted(set(rows[split].with_format(None)["site"])) for split in rows}
    sites = {split: sites.get(split, []) for split in ("train", "validation", "test")}
    if not sites["train"] or not sites["test"]:
        lacking = "training" if not sites["train"] else "test"
        raise DatasetError(f"{source}: found no {lacking} sites; expected training and test sites.")
    split = split_name(sites)
    if protocol == "corrected" and split == "official":
        raise DatasetError(
            f"{source}: found the official split; expected the corrected one, as the protocol is corrected. "
            "Build the dataset with --splits corrected, or give --protocol paper."
        )
    return {
        "digest": digest_of({name: rows[name] for name in sorted(rows)}),
        "sites": sites,
        # Under the paper's protocol the training rows are chosen by the official list.
        "split": "official" if protocol == "paper" and split == "corrected" else split,
    }


def split_name(sites: Mapping[str, Sequence[str]]) -> str:
    """The lists that the sites of a dataset follow: "corrected", "official", a part of them, or its own."""
    for name in ("corrected", "official"):
        lists = split_sites(name)
        if all(set(sites[split]) == set(lists[split]) for split in sites):
            return name
    lists = split_sites("corrected")
    within = all(set(sites[split]) <= set(lists[split]) for split in sites)
    return "a part of the corrected lists" if within else "its own"


def _check_same(
    out: Path,
    jobs: Sequence[Job],
    runs: Mapping[str, BenchmarkRun],
    dataset: Mapping[str, Any],
    protocol: str,
) -> None:
    """Refuse a folder whose results differ in kind from those asked for.

    Raises:
        ArgumentError: They do.
    """
    for run in runs.values():
        kind = replace(run.record.kind, protocol=protocol, dataset=dataset["digest"])
        require_one_kind(run.record.kind, kind, str(run.path), "the run asked for")
    for job in jobs:
        if job.name not in runs:
            continue
        before, now = runs[job.name].record.arguments, job.lasting_arguments
        changed = [
            f"{name} {plain(before.get(name))} instead of {plain(now.get(name))}"
            for name in sorted({*before, *now})
            if before.get(name) != now.get(name)
        ]
        if changed:
            raise ArgumentError(
                f"{runs[job.name].path}: found a run trained with {', '.join(changed)}; expected the same "
                "arguments. Give another --out to keep both, or remove the file to train again."
            )


def run_jobs(
    jobs: Sequence[Job],
    runs: Mapping[str, BenchmarkRun],
    out: Path,
    dataset: Mapping[str, Any],
    options: argparse.Namespace,
) -> list[str]:
    """Train and score the runs that are missing, rewriting the tables after each.

    Returns:
        A line for each run that failed.
    """
    failed = []
    waiting = [job for job in jobs if job.name not in runs]
    bar = tqdm(total=len(jobs), initial=len(jobs) - len(waiting), desc="runs", unit="run")
    with bar:
        for job in waiting:
            bar.set_postfix_str(job.name)
            log = job.folder(out) / "log.txt"
            if train(job, out, log, options.accelerate):
                failed.append(f"{job.name} failed: {last_line(log)} ({log})")
                tqdm.write(failed[-1], file=sys.stderr)
            else:
                keep(job, out, dataset)
                write_pages(out, read_runs(out / "results"), options.tasks)
            bar.update()
    return failed


def _finish(out: Path, jobs: Sequence[Job], tasks: Sequence[str], failed: Sequence[str]) -> int:
    tables = write_pages(out, read_runs(out / "results"), tasks)
    missing = [job.name for job in jobs if not (out / "results" / f"{job.name}.json").is_file()]
    sys.stdout.write(f"{tables}\n")
    if missing:
        sys.stderr.write(f"tables: {len(missing)} of {len(jobs)} runs are missing: {', '.join(missing)}\n")
    for line in failed:
        sys.stderr.write(f"tables: {line}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
