"""The network for series beside others, at an equal budget of images, on simulated sites.

`python -m euromine.benchmark.series_network --out runs/series_network` trains per-year networks, U-TAE, the
network for series part by part and two change detectors on the same crops, and scores footprints and changes
on the test sites, under other conditions too. It prints its plan with the expected time first, resumes where
it was interrupted, and ends with `series_network.md`; `--render` writes that page from the finished jobs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from euromine.benchmark.command_line import positive
from euromine.simulation.simulated_site import VERSION
from euromine.support.errors import EuroMineError, one_line
from euromine.support.files import write_text
from euromine.support.interrupts import INTERRUPTED, RESUME, say_interrupted
from euromine.support.locks import lock_folder

from .competitors import COMPETITORS
from .equal_budget import Budget
from .evidence_jobs import Job, Workplace, expected_seconds, known_speeds, make_jobs, run_job, waiting
from .evidence_pages import page
from .evidence_records import Settings, claim_folder
from .site_series import CONDITIONS, YEARS, simulated_splits

_PROGRAM = "series_network"
PAGE = "series_network.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Train, score and write the tables.

    Returns:
        The exit status: 0, 1 for a mistake in the arguments or a damaged folder, 130 if interrupted.
    """
    options = _parser().parse_args(argv)
    torch.set_num_threads(1)
    try:
        with lock_folder(options.out):
            _run(options)
    except KeyboardInterrupt:
        say_interrupted(_PROGRAM, RESUME)
        return INTERRUPTED
    except (EuroMineError, OSError) as error:
        sys.stderr.write(f"{_PROGRAM}: {one_line(error)}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m euromine.benchmark.{_PROGRAM}", description=(__doc__ or "").splitlines()[0]
    )
    number, conditions = positive, tuple(CONDITIONS)
    parser.add_argument(
        "--out", type=Path, default=Path("runs") / _PROGRAM, help="default runs/series_network"
    )
    parser.add_argument("--sites", type=number, default=133, help="simulated sites")
    parser.add_argument("--side", type=number, default=160, help="side of a site in pixels")
    parser.add_argument(
        "--validation-sites", type=number, default=100, help="sites to choose learning rates on, at most"
    )
    parser.add_argument("--test-sites", type=number, default=100, help="sites to score, at most")
    parser.add_argument("--steps", type=number, default=400, help="steps of a training")
    parser.add_argument("--series", type=number, default=2, help="series in a batch")
    parser.add_argument("--crop", type=number, default=64, help="side of the crops in pixels")
    parser.add_argument("--pairs", type=number, default=9, help="pairs of a series for a change detector")
    parser.add_argument("--bf16", action="store_true", help="train under autocast to bfloat16")
    parser.add_argument("--seeds", type=number, default=2, help="number of seeds, from 0")
    parser.add_argument(
        "--learning-rates", type=float, nargs="+", default=[1e-3, 3e-3], help="to choose from"
    )
    parser.add_argument("--validations", type=number, default=4, help="points of a learning curve")
    parser.add_argument(
        "--competitors", nargs="+", choices=COMPETITORS, default=list(COMPETITORS), help="by default all"
    )
    parser.add_argument(
        "--robust",
        nargs="*",
        choices=COMPETITORS,
        default=["segformer", "single", "attention", "whole"],
        help="competitors to compare under other conditions",
    )
    parser.add_argument(
        "--tested-under", nargs="*", choices=conditions[1:], default=list(conditions[1:]), help="conditions"
    )
    parser.add_argument(
        "--trained-under",
        nargs="*",
        choices=conditions[:-1],
        default=["label-noise", "misregistration"],
        help="conditions to train under as well",
    )
    parser.add_argument("--plan", action="store_true", help="print the plan and train nothing")
    parser.add_argument(
        "--render", action="store_true", help="write the tables of finished jobs and train nothing"
    )
    return parser


def _run(options: argparse.Namespace) -> None:
    splits = simulated_splits(options.sites, options.side)
    splits["validation"] = splits["validation"].first(options.validation_sites)
    splits["test"] = splits["test"].first(options.test_sites)
    settings = Settings(
        sites=options.sites,
        side=options.side,
        years=len(YEARS),
        simulation=VERSION,
        validation_sites=len(splits["validation"]),
        test_sites=len(splits["test"]),
        budget=Budget(options.steps, options.series, options.crop, options.pairs, options.bf16),
        learning_rates=options.learning_rates,
    )
    claim_folder(options.out, settings)
    place = Workplace(options.out, settings, splits)
    jobs = make_jobs(
        options.competitors,
        options.seeds,
        options.learning_rates,
        options.robust,
        options.tested_under,
        options.trained_under,
    )
    if not options.render:
        _print_plan(place, jobs, options.validations)
    if not (options.render or options.plan):
        _run_jobs(place, jobs, options.validations)
    if not options.plan:
        _write_page(place, jobs)


def _print_plan(place: Workplace, jobs: Sequence[Job], validations: int) -> None:
    left = list(waiting(jobs, place.out))
    names = dict.fromkeys(job.competitor for job in left)
    speeds = known_speeds(place, names)
    total = 0.0
    for job in left:
        seconds = expected_seconds(job, place.out, place.settings, speeds[job.competitor], validations)
        total += seconds
        scored = f", scored under {', '.join(job.missing(place.out))}" if job.conditions else ""
        sys.stdout.write(f"{job.name}{scored}: {seconds:.0f} s\n")
    sys.stdout.write(
        f"{len(left)} of {len(jobs)} jobs are left: about {total / 60:.0f} minutes of one core.\n"
    )
    sys.stdout.flush()


def _run_jobs(place: Workplace, jobs: Sequence[Job], validations: int) -> None:
    left = list(waiting(jobs, place.out))
    for job in tqdm(left, desc="jobs", unit="job"):
        run_job(place, job, validations)


def _write_page(place: Workplace, jobs: Sequence[Job]) -> None:
    write_text(place.out / PAGE, page(place.out, jobs, place.settings, place.splits["test"]))


if __name__ == "__main__":
    sys.exit(main())
