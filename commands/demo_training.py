"""The two trainings of `euromine demo`: the mapper in the foreground, the change detector beside it."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from euromine.support.interrupts import child_beside, exit_status, run_child_with
from euromine.support.records import read_record
from euromine.support.run_records import RESULTS_FILE, RunResults

SEGMENTER, CHANGE_DETECTOR = "segformer-b0", "tinycd"
# TinyCD's loss falls as fast per step with batches of 4 as of 8 (over the first 80 steps), in half the time.
# SegFormer-B0 with batches of 4 scored 0.74 on the held-out sites, where batches of 8 gave 0.77 to 0.78.
_BATCHES = {SEGMENTER: 8, CHANGE_DETECTOR: 4}
# Few pixels change in a year, many in a decade: drawing intervals evenly, a few hundred steps suffice.
_PAIRS = {"pairs_per_patch": 9, "interval_sampling": "balanced"}


@dataclass(frozen=True)
class Trainings:
    """Both trainings on a dataset.

    Attributes:
        dataset: The dataset.
        out: The folder of the networks' folders.
        steps: Training steps by network.
        seed: The seed of both.
    """

    dataset: Path
    out: Path
    steps: Mapping[str, int]
    seed: int

    @contextmanager
    def detector_beside(self) -> Iterator[DetectorTraining]:
        """Train the change detector beside the block, whose errors end it."""
        command = self._command("train_cd", CHANGE_DETECTOR, {"learning_rate": 4e-3, **_PAIRS})
        with (
            tempfile.TemporaryDirectory() as folder,
            (Path(folder) / "output").open("w+b") as output,
            child_beside(command, output) as program,
        ):
            yield DetectorTraining(program, Path(output.name), self.out / CHANGE_DETECTOR)

    def train_segmenter(self, detector: DetectorTraining) -> RunResults:
        """Train the mapper.

        Args:
            detector: The training beside it, whose failure ends this one, too.

        Returns:
            The mapper's results.

        Raises:
            OSError: A training failed; its messages were printed.
        """
        command = self._command("train_seg", SEGMENTER, {"learning_rate": 1e-3})
        status = run_child_with(command, detector.program)
        if status is None:
            detector.results()  # raises
        else:
            _check_status(SEGMENTER, status)
        return read_record(RunResults, self.out / SEGMENTER / RESULTS_FILE)

    def _command(self, script: str, architecture: str, settings: Mapping[str, Any]) -> list[str]:
        everything = {"max_steps": self.steps[architecture], "seed": self.seed, **settings}
        return train_command(script, architecture, self.dataset, self.out / architecture, everything)


@dataclass(frozen=True)
class DetectorTraining:
    """The change detector's training.

    Attributes:
        program: Its program.
        output: The file with what it prints.
        folder: The network's folder.
    """

    program: subprocess.Popen[bytes]
    output: Path
    folder: Path

    def results(self) -> RunResults:
        """Print the output from its beginning to its end, and read the results.

        Raises:
            OSError: The training failed.
            KeyboardInterrupt: Ctrl-C ended it.
        """
        with self.output.open("rb") as printed:
            is_over = False
            while not is_over:
                is_over = self.program.poll() is not None
                typer.echo(printed.read(), nl=False, err=True)
                time.sleep(0 if is_over else 0.2)
        _check_status(CHANGE_DETECTOR, exit_status(self.program))
        return read_record(RunResults, self.folder / RESULTS_FILE)


def _check_status(architecture: str, status: int) -> None:
    if status:
        raise OSError(f"Training {architecture} ended with exit status {status}; its messages are above.")


def train_command(
    script: str, architecture: str, dataset: Path, output_dir: Path, settings: Mapping[str, Any]
) -> list[str]:
    """The command of a training.

    Args:
        script: The module of the train script.
        architecture: The network.
        dataset: The dataset.
        output_dir: The network's folder.
        settings: Further options of the script, `max_steps` among them.
    """
    # Three evaluations on the validation sites suffice to select a checkpoint.
    look = math.ceil(settings["max_steps"] / 3)
    arguments = {
        "dataset": dataset,
        "architecture": architecture,
        "output_dir": output_dir,
        "per_device_train_batch_size": _BATCHES[architecture],
        "eval_strategy": "steps",
        "eval_steps": look,
        "save_steps": look,
        **settings,
    }
    command = [sys.executable, "-m", f"euromine.{script}"]
    return command + [part for name, value in arguments.items() for part in (f"--{name}", str(value))]
