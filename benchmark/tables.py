"""The paper's Tables 4, 5 and 6 by one command, with the paper's numbers beside.

`python -m euromine.benchmark.tables --dataset euromine --tasks segmentation change-detection
post-classification --seeds 3` trains the 31 networks of the paper, or those that `--architectures` names,
with `train_seg.py` and `train_cd.py`, through Accelerate where there are several GPUs, and scores them. Any
other argument goes to these scripts. Table 6, post-classification, is scored from the runs of Table 4.

The folder keeps one JSON file a run with all that it was made with; what is there is not run again, so the
same command goes on where it was stopped. After every run the tables are written anew.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from tqdm import tqdm

from euromine.benchmark.costs import PATCH_SIDE, network_costs
from euromine.benchmark.energy import EnergyMeter
from euromine.benchmark.hardware import device_name
from euromine.benchmark.published import published_table
from euromine.benchmark.results import BenchmarkRun, read_runs, require_one_kind, run_name
from euromine.dataset_script.reading import read_dataset
from euromine.dataset_script.splits import split_sites
from euromine.modeling.auto import CHANGE_DETECTION, SEGMENTATION, create_model, list_models
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.support import files
from euromine.training.arguments import (
    ChangeDetectionArguments,
    ScriptArguments,
    SegmentationArguments,
    parse_arguments,
)
from euromine.training.data import digest_of
from euromine.training.environment import KEEP_MEMORY
from euromine.training.evaluation import predict_series
from euromine.training.runs import COUNTS, RESULTS

from .table_pages import LAYOUTS, write_report

TASKS = tuple(LAYOUTS)
SCRIPTS: dict[str, tuple[str, type[ScriptArguments]]] = {
    SEGMENTATION: ("euromine.train_seg", SegmentationArguments),
    CHANGE_DETECTION: ("euromine.train_cd", ChangeDetectionArguments),
}
RECIPES = {"corrected": "default", "paper": "paper"}
# The benchmark itself says these to the scripts.
_OWN = ("dataset", "dataset_revision", "architecture", "protocol", "seed", "output_dir", "resume", "restart")
_YEARS = 10
_ATTEMPTS = "attempts.json"


@dataclass(frozen=True)
class Job:
    """A network to train with a seed.

    Attributes:
        task: "segmentation" or "change-detection".
        architecture: The network's name.
        seed: Of the training.
        arguments: What its script is told, without the folder.
    """

    task: str
    architecture: str
    seed: int
    arguments: dict[str, str]

    @property
    def name(self) -> str:
        """What its files are called."""
        return run_name(self.task, self.architecture, self.seed)

    def folder(self, out: Path) -> Path:
        """Where its training lies: checkpoints, model card, log."""
        return out / "runs" / self.task / self.architecture / f"seed-{self.seed}"

    def argv(self, out: Path) -> list[str]:
        """The command line of its script."""
        arguments = {**self.arguments, "output_dir": str(self.folder(out))}
        return [part for name, value in arguments.items() for part in (f"--{name}", *_words(value))]


def _words(value: str) -> list[str]:
    """A value as it stands on a command line: what was given as a list, word by word."""
    return value.split("\0")


def main(argv: Sequence[str] | None = None) -> int:
    """Train, score and write Tables 4, 5 and 6.

    Returns:
        The exit status: 0, 1 where a run failed, 2 for a mistake in the arguments, 130 if interrupted.
    """
    options, others = _parse(argv)
    try:
        out = Path(options.out or Path("runs") / f"benchmark-{options.protocol}")
        settings = _read_settings(options.settings)
        jobs = make_jobs(options, settings, _given(others))
        for job in jobs:
            parse_arguments(SCRIPTS[job.task][1], job.argv(out))
        dataset = describe_dataset(options.dataset, options.dataset_revision, options.protocol)
        runs = {run_name(run.task, run.architecture, run.seed): run for run in read_runs(out / "results")}
        _check_same(out, jobs, runs, dataset, options.protocol)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"tables: {' '.join(str(error).split())}\n")
        return 2
    try:
        failed = [] if options.tables_only else run_jobs(jobs, runs, out, dataset, options)
        return _finish(out, jobs, options.tasks, failed)
    except KeyboardInterrupt:
        sys.stderr.write("tables: stopped; the same command goes on where it was\n")
        return 130
    except (ValueError, OSError) as error:
        sys.stderr.write(f"tables: {' '.join(str(error).split())}\n")
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
    parser.add_argument("--seeds", type=_positive, default=3, help="how many, from 0 on; default 3")
    parser.add_argument("--protocol", choices=tuple(RECIPES), default="corrected")
    parser.add_argument("--out", type=Path, help="default runs/benchmark-PROTOCOL")
    parser.add_argument(
        "--settings",
        type=Path,
        help="YAML or JSON: arguments by task or network, as in `unet: {max_steps: 2000}`",
    )
    parser.add_argument(
        "--accelerate", type=Path, help="Accelerate's configuration; default one process for each GPU"
    )
    parser.add_argument("--tables-only", action="store_true", help="train nothing, write what is there")
    return parser.parse_known_args(argv)


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of seeds, at least 1 was expected")
    return number


def _given(words: Sequence[str]) -> dict[str, str]:
    """Arguments for the scripts, by name.

    Raises:
        ValueError: A word is no argument, or one that the benchmark itself says.
    """
    given: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            name = name.replace("-", "_")
            given.pop(name, None)  # the last word holds, and more may follow it
            given[name] = [value] if equals else []
        elif given:
            given[next(reversed(given))].append(word)
        else:
            raise ValueError(f"there is no argument {word}")
    return _checked({name: "\0".join(words) if words else "true" for name, words in given.items()})


def _checked(given: Mapping[str, Any]) -> dict[str, str]:
    if taken := [name for name in given if name in _OWN]:
        raise ValueError(
            f"{taken[0]} is said to the scripts by the benchmark itself, another argument was expected"
        )
    return {
        name: "\0".join(map(str, value)) if isinstance(value, list) else _text(value)
        for name, value in given.items()
    }


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict | bool) else str(value)


def _read_settings(path: Path | None) -> dict[str, dict[str, str]]:
    """Arguments by task or network.

    Raises:
        ValueError: The file holds something else.
        OSError: It cannot be read.
    """
    if path is None:
        return {}
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if not isinstance(settings, dict) or not all(isinstance(value, dict) for value in settings.values()):
        raise ValueError(f"{path} holds no settings, lines like `unet: {{max_steps: 2000}}` were expected")
    known = {*SCRIPTS, *list_models(SEGMENTATION), *list_models(CHANGE_DETECTION)}
    if unknown := [str(name) for name in settings if name not in known]:
        raise ValueError(f"{path} names {unknown[0]}, which is neither a task nor a network")
    return {name: _checked(values) for name, values in settings.items()}


def make_jobs(
    options: argparse.Namespace, settings: Mapping[str, Mapping[str, str]], given: Mapping[str, str]
) -> list[Job]:
    """All that is to be trained, seed by seed, so that there is a whole table after the first.

    Raises:
        ValueError: A network does not exist, or none of the tasks has it.
    """
    tasks = {LAYOUTS[task].task for task in options.tasks}
    wanted = options.architectures
    known = [*list_models(SEGMENTATION), *list_models(CHANGE_DETECTION)]
    for name in wanted or ():
        if name not in known:
            raise ValueError(f"unknown architecture {name!r}: there are {', '.join(known)}")
        if not any(name in list_models(task) for task in tasks):
            raise ValueError(f"{name} is not of the tasks {', '.join(options.tasks)}")
    jobs = []
    for seed in range(options.seeds):
        for task in (SEGMENTATION, CHANGE_DETECTION):
            number = 4 if task == SEGMENTATION else 5
            names = wanted or published_table(number)
            for name in list_models(task) if task in tasks else ():
                if name in names:
                    arguments = {
                        "dataset": options.dataset,
                        "architecture": name,
                        "protocol": options.protocol,
                        "seed": str(seed),
                        "recipe": RECIPES[options.protocol],
                        **settings.get(task, {}),
                        **settings.get(name, {}),
                        **given,
                    }
                    if options.dataset_revision:
                        arguments["dataset_revision"] = options.dataset_revision
                    jobs.append(Job(task, name, seed, arguments))
    if not jobs:
        raise ValueError(f"there is nothing to train for the tasks {', '.join(options.tasks)}")
    return jobs


def describe_dataset(source: str, revision: str | None, protocol: str) -> dict[str, Any]:
    """The dataset's digest and the sites of its splits.

    Raises:
        ValueError: It has no test sites, or its splits are the official ones and the protocol is corrected.
        OSError: There is no such dataset.
    """
    rows: Any = read_dataset(
        source, "annual", revision=revision, columns=("patch_id", "site", "year", "mine_pixels")
    )
    sites = {split: sorted(set(rows[split].with_format(None)["site"])) for split in rows}
    sites = {split: sites.get(split, []) for split in ("train", "validation", "test")}
    if not sites["train"] or not sites["test"]:
        raise ValueError(
            f"{source} has no {'training' if not sites['train'] else 'test'} sites to make a table of"
        )
    split = split_name(sites)
    if protocol == "corrected" and split == "official":
        raise ValueError(
            f"{source} was built with the official split, which the protocol corrected does not use: "
            "build it with --splits corrected, or ask for --protocol paper"
        )
    return {
        "digest": digest_of({name: rows[name] for name in sorted(rows)}),
        "sites": sites,
        # Under the paper's protocol the training rows are taken as the official list names them.
        "split": "official" if protocol == "paper" and split == "corrected" else split,
    }


def split_name(sites: Mapping[str, Sequence[str]]) -> str:
    """Which lists the sites of a dataset follow: "corrected", "official", a part of them, or its own."""
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
    """Refuse a folder whose results do not belong with what is asked for.

    Raises:
        ValueError: They do not.
    """
    for run in runs.values():
        kind = {**run.record["kind"], "protocol": protocol, "dataset": dataset["digest"]}
        require_one_kind(run.record["kind"], kind, str(run.path), "what is asked for")
    for job in jobs:
        if job.name not in runs:
            continue
        before, now = runs[job.name].record["arguments"], _lasting(job)
        changed = [
            f"{name} {_plain(before.get(name))} instead of {_plain(now.get(name))}"
            for name in sorted({*before, *now})
            if before.get(name) != now.get(name)
        ]
        if changed:
            raise ValueError(
                f"{runs[job.name].path} was trained with {', '.join(changed)}: another --out keeps both, "
                "removing the file runs it anew"
            )


def _plain(value: str | None) -> str:
    """A value as a person says it."""
    return "as by default" if value is None else " ".join(_words(value))


def _lasting(job: Job) -> dict[str, str]:
    """The arguments without where the data lie, which may change."""
    return {
        name: value for name, value in job.arguments.items() if name not in ("dataset", "dataset_revision")
    }


def run_jobs(
    jobs: Sequence[Job],
    runs: Mapping[str, BenchmarkRun],
    out: Path,
    dataset: Mapping[str, Any],
    options: argparse.Namespace,
) -> list[str]:
    """Train and score what is not there yet, writing the tables after each.

    Returns:
        What went wrong, a line for each run that failed.
    """
    failed = []
    waiting = [job for job in jobs if job.name not in runs]
    bar = tqdm(total=len(jobs), initial=len(jobs) - len(waiting), desc="runs", unit="run")
    with bar:
        for job in waiting:
            bar.set_postfix_str(job.name)
            log = job.folder(out) / "log.txt"
            if train(job, out, log, options.accelerate):
                failed.append(f"{job.name} failed: {_last_line(log)} ({log})")
                tqdm.write(failed[-1], file=sys.stderr)
            else:
                keep(job, out, dataset)
                write_report(out, read_runs(out / "results"), options.tasks)
            bar.update()
    return failed


def _finish(out: Path, jobs: Sequence[Job], tasks: Sequence[str], failed: Sequence[str]) -> int:
    tables = write_report(out, read_runs(out / "results"), tasks)
    missing = [job.name for job in jobs if not (out / "results" / f"{job.name}.json").is_file()]
    sys.stdout.write(f"{tables}\n")
    if missing:
        sys.stderr.write(f"tables: {len(missing)} of {len(jobs)} runs are not there: {', '.join(missing)}\n")
    for line in failed:
        sys.stderr.write(f"tables: {line}\n")
    return 1 if failed else 0


def launcher(accelerate: Path | None) -> list[str]:
    """How a script is started: with Accelerate for several GPUs or by a configuration, else alone."""
    gpus = torch.cuda.device_count()
    launch = [sys.executable, "-m", "accelerate.commands.launch"]
    processes = ["--num_processes", str(gpus)] if gpus > 1 else []
    if accelerate is not None:
        return [*launch, "--config_file", str(accelerate), *processes, "--module"]
    if processes:
        return [*launch, "--multi_gpu", *processes, "--module"]
    return [sys.executable, "-m"]


def train(job: Job, out: Path, log: Path, accelerate: Path | None) -> int:
    """Train and score a network in processes of its own; what they say goes to a file.

    Returns:
        Their exit status.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    attempts = _attempts(log.parent)
    attempts.append(
        {"began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "seconds": None, "joules": {}}
    )
    files.write_json(log.parent / _ATTEMPTS, attempts)
    command = [*launcher(accelerate), SCRIPTS[job.task][0], *job.argv(out), "--disable_tqdm", "true"]
    meter, before = EnergyMeter(), _processor_seconds()
    try:
        with log.open("a", encoding="utf-8") as said, meter:
            finished = subprocess.run(
                command, check=False, stdout=said, stderr=said, env={**KEEP_MEMORY, **os.environ}
            )
        attempts[-1]["ended"] = True
    finally:
        taken = {"seconds": meter.seconds, "processor_seconds": _processor_seconds() - before}
        attempts[-1] |= {**taken, "joules": meter.joules}
        files.write_json(log.parent / _ATTEMPTS, attempts)
    return finished.returncode


def _processor_seconds() -> float:
    """The processors' time of all finished processes that this one has started."""
    spent = os.times()
    return spent.children_user + spent.children_system


def _attempts(folder: Path) -> list[dict[str, Any]]:
    """The times that a run was started; of one that has not ended a part of what it took is lost."""
    path = folder / _ATTEMPTS
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return found


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def keep(job: Job, out: Path, dataset: Mapping[str, Any]) -> Path:
    """Write the JSON file of a finished run, and its counts beside it.

    Returns:
        The path of the file.

    Raises:
        OSError: The run has left no scores.
    """
    folder, results = job.folder(out), out / "results"
    results.mkdir(parents=True, exist_ok=True)
    found = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
    path = results / f"{job.name}.json"
    files.write_bytes(path.with_suffix(".npz"), (folder / COUNTS).read_bytes())
    # The file comes last: a run counts as finished once it is there.
    files.write_json(path, make_record(job, out, found, dataset))
    return path


def make_record(job: Job, out: Path, found: Mapping[str, Any], dataset: Mapping[str, Any]) -> dict[str, Any]:
    """All that is kept of a run.

    Args:
        job: What was asked for.
        out: The benchmark's folder.
        found: What its script has left.
        dataset: What `describe_dataset` says.
    """
    protocol = found["protocol"]
    years = found["details"]["test"]["interval_f1"]["years"]
    return {
        "task": job.task,
        "architecture": job.architecture,
        "seed": job.seed,
        "kind": {
            "protocol": protocol["protocol"],
            "dataset": dataset["digest"],
            "average": protocol["average"],
            "statistics": protocol["statistics"],
            "years": years,
            "sites": protocol["sites"]["test"],
        },
        "arguments": _lasting(job),
        "given": {
            name: _plain(value) for name, value in _lasting(job).items() if name not in (*_OWN, "recipe")
        },
        "recipe": protocol["recipe"],
        "split": dataset["split"],
        "sites": protocol["sites"],
        "dataset": {
            "name": Path(protocol["dataset"]).name
            if not protocol["dataset_revision"]
            else protocol["dataset"],
            "revision": protocol["dataset_revision"],
            "simulated": protocol["simulated"],
            "rows": protocol["digest"],
        },
        "scores": found["scores"],
        "training": found["training"],
        "costs": measure_costs(job, out),
        "hardware": {
            "device": device_name(device()),
            "processes": found["training"]["arguments"]["world_size"],
        },
        "versions": found["versions"],
        "checkpoint": str(job.folder(out).relative_to(out)),
    }


def measure_costs(job: Job, out: Path) -> dict[str, Any]:
    """What a run and its network took."""
    script, _ = parse_arguments(SCRIPTS[job.task][1], job.argv(out))
    network = create_model(job.architecture, bands=script.bands, **script.model_config).eval()
    work = network_costs(network, (PATCH_SIDE, PATCH_SIDE))
    processor = EuroMineImageProcessor.from_pretrained(job.folder(out))
    attempts = _attempts(job.folder(out))
    joules: dict[str, float] = {}
    for attempt in attempts:
        for source, value in attempt["joules"].items():
            joules[source] = joules.get(source, 0.0) + value
    return {
        "parameters": work.parameters,
        "gmacs": work.gmacs,
        "encoder_gmacs": work.encoder_gmacs,
        "decoder_gmacs": work.decoder_gmacs,
        "run_seconds": sum(attempt["seconds"] or 0.0 for attempt in attempts),
        "run_processor_seconds": sum(attempt.get("processor_seconds") or 0.0 for attempt in attempts),
        "run_is_whole": all(attempt.get("ended", False) for attempt in attempts),
        "joules": joules,
        "series_seconds": seconds_of_series(network.to(device()), processor),
    }


def seconds_of_series(network: Any, processor: EuroMineImageProcessor, repeats: int = 3) -> float:
    """The shortest time of some in which a network maps ten years of one patch, in seconds.

    Ten footprints of a footprint mapper, all 45 changes of a change detector. On one thread of a CPU the
    processor's time counts, which other processes do not lengthen by taking turns with this one.
    """
    alone = network.device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    shape = (1, _YEARS, len(processor.source_bands or processor.bands), PATCH_SIDE, PATCH_SIDE)
    images = np.random.default_rng(0).integers(0, 4000, shape, dtype=np.int16)
    shortest = float("inf")
    for _ in range(1 + repeats):
        start = clock()
        # What runs on a GPU has ended when its result is here.
        predict_series(network, processor, images).cpu()
        shortest = min(shortest, clock() - start)
    return shortest


def device() -> torch.device:
    """The accelerator, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


if __name__ == "__main__":
    sys.exit(main())
