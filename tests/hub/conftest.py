"""A Hub on this machine, what is published on it, and processes of people who use it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from euromine.dataset_script.archive_writing import write_site
from euromine.dataset_script.shards import build_dataset
from euromine.modeling.auto import create_model
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.support.records import record_from, write_record
from euromine.support.run_records import RunResults

from .server import Hub

SITES = {"Spain_1": (160, 200, 3), "Italy_1": (160, 160, 2), "Greece_1": (60, 70, 2)}
YEARS = (2015, 2016, 2018)
WORKER = Path(__file__).with_name("worker.py")


class WorkerError(Exception):
    """What the code in another process raised."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(answer["error"])
        self.kind = answer["kind"]
        self.trace = answer["trace"]


class Worker:
    """Another person's Python, with a token and a cache of its own."""

    def __init__(self, environment: dict[str, str], cwd: Path, alone: bool) -> None:
        self.environment = environment
        self.cwd = cwd
        self.log = cwd / "worker.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(WORKER), *(["--alone"] if alone else [])],
                cwd=cwd,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def run(self, source: str, **names: Any) -> Any:
        """What the source leaves in `value`.

        Raises:
            WorkerError: As the source did.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        given = "".join(f"{name} = {value!r}\n" for name, value in names.items())
        self.process.stdin.write(json.dumps(given + source) + "\n")
        self.process.stdin.flush()
        while line := self.process.stdout.readline():
            if line.startswith("answer "):
                answer = json.loads(line.removeprefix("answer "))
                if "error" in answer:
                    raise WorkerError(answer)
                return answer["value"]
        raise AssertionError(f"the process is gone: {self.log.read_text()}")

    def euromine(self, *arguments: object, token: str | None = "hf_writer") -> tuple[int, str]:
        """Exit status and output of the command, sentences of errors as `main` would print them."""
        source = """
import logging, os, typer.testing
from euromine.commands import app
logging.getLogger().handlers.clear()
os.environ.pop("HF_TOKEN", None)
if token: os.environ["HF_TOKEN"] = token
result = typer.testing.CliRunner().invoke(app, arguments)
output = result.output
if isinstance(result.exception, (ValueError, OSError)):
    output += f"euromine: {result.exception}"
elif result.exception is not None and not isinstance(result.exception, SystemExit):
    raise result.exception
value = [result.exit_code, output]
"""
        status, output = self.run(source, arguments=[str(each) for each in arguments], token=token)
        return status, output

    def close(self) -> None:
        self.process.kill()
        self.process.wait(30)


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A Hub of one's own."""
    hub = Hub(tmp_path_factory.mktemp("hub"))
    yield hub
    hub.close()


def person_environment(home: Path, endpoint: str, token: str | None = "hf_writer") -> dict[str, str]:
    """Nothing of this machine's settings, and everything of the libraries' in a folder."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON", "HUGGING"))
    }
    return environment | {
        "HF_HOME": str(home),
        "HF_ENDPOINT": endpoint,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "OMP_NUM_THREADS": "1",
        **({"HF_TOKEN": token} if token else {}),
    }


@pytest.fixture(scope="session")
def start_person(tmp_path_factory: pytest.TempPathFactory, hub: Hub) -> Iterator[Callable[..., Worker]]:
    """Start another person's process, in an empty folder with an empty cache."""
    workers = []

    def start(alone: bool = True, token: str | None = "hf_reader", **environment: str) -> Worker:
        cwd = tmp_path_factory.mktemp("project")
        home = tmp_path_factory.mktemp("home")
        worker = Worker(person_environment(home, hub.url, token) | environment, cwd, alone)
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        worker.close()


@pytest.fixture(scope="session")
def publisher(start_person: Callable[..., Worker]) -> Worker:
    """Somebody who has the package and a token that may write."""
    return start_person(alone=False, token="hf_writer")


@pytest.fixture(scope="session")
def reader(start_person: Callable[..., Worker]) -> Worker:
    """Somebody who has neither the package nor a token that may write."""
    return start_person()


def write_archive(root: Path, brightness: int = 0) -> Path:
    """Three small sites, one of them under the size of a patch."""
    for number, (site, (height, width, years)) in enumerate(SITES.items()):
        noise = np.random.default_rng(number)
        labels = np.zeros((years, height, width), np.uint8)
        for year in range(years):
            labels[year, 10 : 30 + 8 * year, 10:40] = 1
        write_site(
            root,
            site,
            images=(noise.integers(1, 4000, (years, 10, height, width)) + brightness).astype(np.int16),
            labels=labels,
            years=YEARS[:years],
            crs="EPSG:4326",
            transform=(1e-4, 0.0, 12.0, 0.0, -1e-4, 50.0),
        )
    return root


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built dataset."""
    root = tmp_path_factory.mktemp("data")
    splits = {"train": ["Spain_1"], "validation": ["Italy_1"], "test": ["Greece_1"]}
    (root / "splits.json").write_text(json.dumps(splits))
    archive = write_archive(root / "EuroMineNet")
    return build_dataset(archive, root / "shards", splits=root / "splits.json", workers=1, progress=False)


def results_of(architecture: str, task: str, folder: Path) -> dict[str, Any]:
    """What a train script would have left in metrics.json, as far as anybody reads it here."""
    return {
        "task": task,
        "architecture": architecture,
        "model": {"repository": None, "folder": str(folder), "class": "Network", "parameters": 1_000_000},
        "scores": {"test": {"of1_pooled": 0.8, "of1_mean": 0.7}},
        "confidence": {},
        "details": {},
        "training": {
            "steps": 40,
            "epochs": 4.0,
            "best_step": 30,
            "selected_by": "of1",
            "batch_size": 32,
            "precision": "float32",
            "arguments": {
                "optim": "adamw_torch",
                "weight_decay": 0.01,
                "learning_rate": 1e-4,
                "lr_scheduler_type": "cosine_with_min_lr",
                "seed": 7,
            },
        },
        "protocol": {
            "protocol": "corrected",
            "dataset": "/home/somebody/euromine",
            "dataset_revision": None,
            "simulated": False,
            "digest": "0123456789abcdef",
            "sites": {"train": ["a", "b"], "validation": ["c"], "test": ["d"]},
            "years": None,
            "bands": ["B02", "B03", "B04"],
            "statistics": "corrected",
            "recipe": "default",
            "augmentation": True,
            "average": "site",
            "pretrained": None,
            "pairs_per_patch": "all",
            "interval_sampling": "uniform",
        },
        "versions": {"torch": "2.13.0"},
        "hardware": "CPU",
        "history": [],
    }


@pytest.fixture(scope="session")
def save_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Leave a model as a train script does, optimiser states and all."""
    from euromine.training.model_cards import write_card

    def save(architecture: str = "fc-ef", task: str = "change-detection", **config: Any) -> Path:
        folder = tmp_path_factory.mktemp(architecture)
        torch.manual_seed(0)
        model = create_model(architecture, **config)
        model.save_pretrained(folder)
        EuroMineImageProcessor().save_pretrained(folder)
        results = record_from(RunResults, results_of(architecture, task, folder), "metrics.json")
        write_record(folder / "metrics.json", results)
        (folder / "run.json").write_text("{}")
        write_card(folder, results, b"\x89PNG a picture")
        (folder / "checkpoint-40").mkdir()
        (folder / "checkpoint-40" / "optimizer.pt").write_bytes(b"states")
        return folder

    return save
