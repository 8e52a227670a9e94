"""One training of the benchmark, in processes of its own: its log, its record, its time and energy."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, Protocol, TypedDict

import numpy as np
import torch

from euromine.modeling.auto import create_model
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.support.files import write_bytes, write_json
from euromine.support.interrupts import run_child
from euromine.support.records import read_record, write_record
from euromine.support.run_records import RESULTS_FILE, RunResults
from euromine.training.arguments import parse_arguments
from euromine.training.evaluation import predict_series
from euromine.training.own_files import COUNTS_FILE

from .costs import PATCH_SIDE, network_costs
from .energy import EnergyMeter
from .hardware import device_name
from .table_jobs import SCRIPTS, Job
from .table_records import Costs, DatasetFacts, Hardware, Kind, TableRecord

_YEARS = 10
_ATTEMPTS = "attempts.json"


class Attempt(TypedDict):
    """One start of a run's scripts; without `ended` it was interrupted, and its times are incomplete."""

    began: str
    seconds: float | None
    joules: dict[str, float]
    processor_seconds: NotRequired[float]
    ended: NotRequired[bool]


class Training(Protocol):
    """A training that `train` can start."""

    @property
    def task(self) -> str:
        """The task of its script, of `SCRIPTS`."""

    def argv(self, out: Path) -> list[str]:
        """The command line of its script."""


def launcher(accelerate: Path | None) -> list[str]:
    """The command before a script's module: Accelerate with several GPUs or a configuration, else Python."""
    gpus = torch.cuda.device_count()
    launch = [sys.executable, "-m", "accelerate.commands.launch"]
    processes = ["--num_processes", str(gpus)] if gpus > 1 else []
    if accelerate is not None:
        return [*launch, "--config_file", str(accelerate), *processes, "--module"]
    if processes:
        return [*launch, "--multi_gpu", *processes, "--module"]
    return [sys.executable, "-m"]


def train(job: Training, out: Path, log: Path, accelerate: Path | None) -> int:
    """Train and score a network in processes of its own; their output goes to a file.

    Args:
        job: The training.
        out: The benchmark's folder.
        log: The file; the attempts are recorded beside it.
        accelerate: Accelerate's configuration.

    Returns:
        Their exit status.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    attempts = read_attempts(log.parent)
    attempts.append(
        {"began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "seconds": None, "joules": {}}
    )
    write_json(log.parent / _ATTEMPTS, attempts)
    command = [*launcher(accelerate), SCRIPTS[job.task][0], *job.argv(out), "--disable_tqdm", "true"]
    meter, before = EnergyMeter(), _processor_seconds()
    try:
        with log.open("a", encoding="utf-8") as output, meter:
            status = run_child(command, output)
        attempts[-1]["ended"] = True
    finally:
        attempts[-1]["seconds"] = meter.seconds
        attempts[-1]["processor_seconds"] = _processor_seconds() - before
        attempts[-1]["joules"] = meter.joules
        write_json(log.parent / _ATTEMPTS, attempts)
    return status


def _processor_seconds() -> float:
    """Processor time of all finished children of this process."""
    spent = os.times()
    return spent.children_user + spent.children_system


def read_attempts(folder: Path) -> list[Attempt]:
    """The starts of a run, in the order of time; none where it was never started."""
    path = folder / _ATTEMPTS
    found: list[Attempt] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return found


def last_line(log: Path) -> str:
    """The last line of a log, which usually names what failed."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "the log is empty"


def keep(job: Job, out: Path, dataset: Mapping[str, Any]) -> Path:
    """Write the record of a finished run, and its counts beside it.

    Args:
        job: The training.
        out: The benchmark's folder.
        dataset: The result of `describe_dataset`.

    Returns:
        The record's path.

    Raises:
        RecordError: The run's results are damaged.
        OSError: The run has left no results.
    """
    folder, kept = job.folder(out), out / "results"
    kept.mkdir(parents=True, exist_ok=True)
    results = read_record(RunResults, folder / RESULTS_FILE)
    path = kept / f"{job.name}.json"
    write_bytes(path.with_suffix(".npz"), (folder / COUNTS_FILE).read_bytes())
    # The record comes last: a run counts as finished once it is there.
    write_record(path, make_record(job, out, results, dataset))
    return path


def make_record(job: Job, out: Path, results: RunResults, dataset: Mapping[str, Any]) -> TableRecord:
    """The record of a finished run.

    Args:
        job: The training.
        out: The benchmark's folder.
        results: The results that its script wrote.
        dataset: The result of `describe_dataset`.
    """
    protocol = results.protocol
    is_folder = not protocol.dataset_revision
    return TableRecord(
        task=job.task,
        architecture=job.architecture,
        seed=job.seed,
        kind=Kind(
            protocol=protocol.protocol,
            dataset=dataset["digest"],
            average=protocol.average,
            statistics=protocol.statistics,
            years=results.details["test"]["interval_f1"]["years"],
            sites=protocol.sites["test"],
        ),
        arguments=job.lasting_arguments,
        given=job.given,
        recipe=protocol.recipe,
        split=dataset["split"],
        sites=protocol.sites,
        dataset=DatasetFacts(
            name=Path(protocol.dataset).name if is_folder else protocol.dataset,
            revision=protocol.dataset_revision,
            simulated=protocol.simulated,
            rows=protocol.digest,
        ),
        scores=results.scores,
        training=results.training,
        costs=measure_costs(job, out),
        hardware=Hardware(device=device_name(device()), processes=results.training.arguments["world_size"]),
        versions=results.versions,
        checkpoint=str(job.folder(out).relative_to(out)),
    )


def measure_costs(job: Job, out: Path) -> Costs:
    """The cost of a finished run and of its network."""
    script, _ = parse_arguments(SCRIPTS[job.task][1], job.argv(out))
    network = create_model(job.architecture, bands=script.bands, **script.model_config).eval()
    work = network_costs(network, (PATCH_SIDE, PATCH_SIDE))
    processor = EuroMineImageProcessor.from_pretrained(job.folder(out))
    attempts = read_attempts(job.folder(out))
    joules: dict[str, float] = {}
    for attempt in attempts:
        for source, value in attempt["joules"].items():
            joules[source] = joules.get(source, 0.0) + value
    return Costs(
        parameters=work.parameters,
        gmacs=work.gmacs,
        encoder_gmacs=work.encoder_gmacs,
        decoder_gmacs=work.decoder_gmacs,
        run_seconds=sum(attempt["seconds"] or 0.0 for attempt in attempts),
        run_processor_seconds=sum(attempt.get("processor_seconds") or 0.0 for attempt in attempts),
        run_is_whole=all(attempt.get("ended", False) for attempt in attempts),
        joules=joules,
        series_seconds=seconds_of_series(network.to(device()), processor),
    )


def seconds_of_series(network: Any, processor: EuroMineImageProcessor, repeats: int = 3) -> float:
    """The shortest time, over some repeats, in which a network maps ten years of one patch, in seconds.

    Ten footprints of a footprint mapper, all 45 changes of a change detector. On one CPU thread it is
    processor time, which other processes on the same core do not lengthen.
    """
    alone = network.device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    shape = (1, _YEARS, len(processor.source_bands or processor.bands), PATCH_SIDE, PATCH_SIDE)
    images = np.random.default_rng(0).integers(0, 4000, shape, dtype=np.int16)
    shortest = float("inf")
    for _ in range(1 + repeats):
        start = clock()
        # Copying the result to the CPU waits for the GPU.
        predict_series(network, processor, images).cpu()
        shortest = min(shortest, clock() - start)
    return shortest


def device() -> torch.device:
    """The GPU, or the CPU without one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
