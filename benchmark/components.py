"""Studies of the components of mines: which bands, which training sites, and one network or several.

`python -m euromine.benchmark.components --dataset euromine --study bands` trains networks with `train_seg.py
--label_groups` and writes a table, for a real archive and a simulated one alike:

- `bands`: RGB, RGB+NIR, all ten bands, and with Sentinel-1;
- `types`, `materials`: training on the sites of one type or material against training on all sites, scored on
  the test sites of that type or material;
- `heads`: one network with a head for each group against one network a group.

The plan with its estimated time is printed first. Finished trainings are not repeated, so the same command
resumes where it was interrupted. The tables are rewritten after every training. Other arguments go to
`train_seg.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from euromine.dataset_script.build_record import is_simulated_dataset
from euromine.dataset_script.label_groups import LabelGroups
from euromine.support.errors import ArgumentError, EuroMineError, one_line
from euromine.support.files import write_text
from euromine.support.interrupts import INTERRUPTED, RESUME, say_interrupted
from euromine.support.locks import lock_folder
from euromine.support.records import read_record
from euromine.support.run_records import RESULTS_FILE, RunResults
from euromine.support.wording import counted
from euromine.training.arguments import SegmentationArguments, parse_arguments

from .command_line import positive
from .component_costs import RunCosts, run_costs, step_seconds
from .component_jobs import (
    STUDIES,
    ComponentJob,
    PlannedJob,
    SiteFactsOfSplits,
    StudyOptions,
    jobs_of,
    read_site_facts_of_splits,
)
from .component_pages import Counted, read_counted, rows_of_study, study_page
from .table_jobs import given_arguments
from .table_training import last_line, train

PAGE = "components.md"
# Starting Python, reading the dataset and scoring, in seconds.
_BESIDE_STEPS = 20
# The arguments of train_seg.py that the studies themselves set.
_OWN = (
    "bands",
    "group",
    "label_groups",
    "where",
    "max_steps",
    "per_device_train_batch_size",
    "eval_strategy",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Train what is missing, and write the tables.

    Returns:
        The exit status: 0, 1 where a training failed, 2 for a mistake in the arguments, 130 if interrupted.
    """
    options, others = _parse(argv)
    try:
        study_options = _study_options(options, others)
        facts = read_site_facts_of_splits(options.dataset)
        groups = _groups(study_options)
        jobs = jobs_of(options.study, groups, facts, options.seeds)
        for job in jobs:
            check_same(job, study_options, options.out, facts, groups)
        sys.stdout.write(_plan(jobs, study_options, options.out) + "\n")
        sys.stdout.flush()
    except (EuroMineError, OSError) as error:
        sys.stderr.write(f"components: {one_line(error)}\n")
        return 2
    try:
        with lock_folder(options.out):
            return _run(jobs, options, study_options, facts, groups)
    except KeyboardInterrupt:
        say_interrupted("components", RESUME)
        return INTERRUPTED
    except (EuroMineError, OSError) as error:
        sys.stderr.write(f"components: {one_line(error)}\n")
        return 1


def _parse(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="python -m euromine.benchmark.components",
        description=(__doc__ or "").splitlines()[0],
        epilog="Any other argument goes to train_seg.py: --learning_rate 0.0005",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--dataset", required=True, help="folder that `euromine build` wrote, or Hub repository"
    )
    parser.add_argument("--study", nargs="+", choices=STUDIES, default=list(STUDIES), help="default all four")
    parser.add_argument(
        "--architecture", default="segformer-b0", help="footprint mapper; default segformer-b0"
    )
    parser.add_argument("--label_groups", default="preset", help="file of label groups; default the preset")
    parser.add_argument("--seeds", type=positive, default=3, help="number of seeds, from 0; default 3")
    parser.add_argument("--steps", type=positive, default=200, help="steps of each training; default 200")
    parser.add_argument("--batch", type=positive, default=8, help="patches in a step; default 8")
    parser.add_argument("--out", type=Path, default=Path("runs/components"), help="default runs/components")
    parser.add_argument(
        "--tables-only", action="store_true", help="train nothing; write the tables of finished trainings"
    )
    return parser.parse_known_args(argv)


def _study_options(options: argparse.Namespace, others: Sequence[str]) -> StudyOptions:
    given = given_arguments(others)
    if taken := [name for name in given if name in _OWN]:
        raise ArgumentError(
            f"--{taken[0]}: found an argument that the studies pass to train_seg.py themselves; expected "
            "another one."
        )
    return StudyOptions(
        options.dataset,
        options.architecture,
        options.label_groups,
        options.steps,
        options.batch,
        options.seeds,
        given,
    )


def _groups(options: StudyOptions) -> LabelGroups:
    """The label groups of the studies."""
    script = SegmentationArguments(
        dataset=options.dataset, architecture=options.architecture, label_groups=options.label_groups
    )
    groups = script.groups
    assert groups is not None, "they are asked for"
    return groups


def _plan(jobs: Sequence[ComponentJob], options: StudyOptions, out: Path) -> str:
    """The trainings and their estimated time, in a sentence."""
    waiting = [job for job in jobs if not _is_finished(job, out)]
    text = (
        f"{len(jobs)} trainings of {options.architecture}, {options.steps} steps of {options.batch} patches "
        f"each; {len(jobs) - len(waiting)} are finished."
    )
    if not waiting:
        return text
    # A step is measured for one network with heads and one without: bands hardly matter.
    measured = {
        is_alone: step_seconds(next(job for job in waiting if (job.group is not None) == is_alone), options)
        for is_alone in {job.group is not None for job in waiting}
    }
    seconds = sum(options.steps * measured[job.group is not None] + _BESIDE_STEPS for job in waiting)
    return (
        f"{text} About {max(1, round(seconds / 60))} minutes for the others on this machine as it is now "
        f"({max(measured.values()):.2f} s a step, {_BESIDE_STEPS} s beside the steps)."
    )


def check_same(
    job: ComponentJob, options: StudyOptions, out: Path, facts: SiteFactsOfSplits, groups: LabelGroups
) -> None:
    """Refuse wrong arguments, and a finished training of other arguments, groups or sites.

    Raises:
        ArgumentError: An argument is wrong, or the folder holds another training.
        RecordError: The folder's results are damaged.
    """
    script, training = parse_arguments(SegmentationArguments, PlannedJob(job, options).argv(out))
    path = job.folder(out) / RESULTS_FILE
    if not path.is_file():
        return
    before = read_record(RunResults, path, advice="Remove its folder to train again.")
    # As JSON returns them.
    now = json.loads(json.dumps({**asdict(script), **training.to_dict()}, default=str))
    changed = [
        f"{name} {before.training.arguments[name]} instead of {now[name]}"
        for name in sorted({*job.arguments(options)} & {*before.training.arguments})
        if before.training.arguments[name] != now[name]
    ]
    classes = {name: list(each) for name, each in groups.classes.items()}
    mapped = classes if job.group is None else {job.group: classes[job.group]}
    if before.protocol.label_groups != mapped:
        changed.append("other label groups")
    # `--max_eval_samples` may leave some out.
    if not {*before.protocol.sites["test"]} <= {*facts.sites("test", job.where)}:
        changed.append("other test sites")
    if changed:
        raise ArgumentError(
            f"{path}: found a training with {', '.join(changed)}; expected the same. Give another --out to "
            "keep both, or remove its folder to train again."
        )


def _is_finished(job: ComponentJob, out: Path) -> bool:
    return (job.folder(out) / RESULTS_FILE).is_file()


def _run(
    jobs: Sequence[ComponentJob],
    options: argparse.Namespace,
    study_options: StudyOptions,
    facts: SiteFactsOfSplits,
    groups: LabelGroups,
) -> int:
    """Train what is missing, rewriting the tables after each training."""
    out, failed = options.out, []
    for number, job in enumerate(jobs, 1):
        if options.tables_only or _is_finished(job, out):
            continue
        sys.stderr.write(f"{number} of {len(jobs)}: {job.name}\n")
        log = job.folder(out) / "log.txt"
        if train(PlannedJob(job, study_options), out, log, None):
            failed.append(f"{job.name} failed: {last_line(log)} ({log})")
            sys.stderr.write(f"components: {failed[-1]}\n")
        else:
            write_page(jobs, options.study, study_options, out, facts, groups)
    sys.stdout.write(write_page(jobs, options.study, study_options, out, facts, groups))
    missing = [job.name for job in jobs if not _is_finished(job, out)]
    if missing:
        sys.stderr.write(
            f"components: {len(missing)} of {len(jobs)} trainings are missing: {', '.join(missing)}\n"
        )
    return 1 if failed else 0


def write_page(
    jobs: Sequence[ComponentJob],
    studies: Sequence[str],
    options: StudyOptions,
    out: Path,
    facts: SiteFactsOfSplits,
    groups: LabelGroups,
) -> str:
    """Write the tables of finished trainings to `PAGE`, and return them."""
    finished: Mapping[ComponentJob, tuple[Counted, RunCosts]] = {
        job: (read_counted(job.folder(out)), run_costs(job, options, out))
        for job in jobs
        if _is_finished(job, out)
    }
    folder = Path(options.dataset)
    simulated = folder.is_dir() and is_simulated_dataset(folder)
    seeds = max((job.seed for job in finished), default=-1) + 1
    spread = " (± their standard deviation)" if seeds > 1 else ""
    note = (
        f"{options.architecture}, {options.steps} steps of {options.batch} patches, the last checkpoint, "
        f"{counted(seeds, 'seed')}{spread}; in brackets 95 % of resamples of the test sites, where there are "
        "five or more."
    )
    pages = [
        study_page(study, rows, groups, simulated, note)
        for study in studies
        if (rows := rows_of_study(study, finished, groups, facts))
    ]
    text = "\n".join(["# Studies of components" + (" (simulated)" if simulated else "") + "\n", *pages])
    write_text(out / PAGE, text)
    return text


if __name__ == "__main__":
    sys.exit(main())
