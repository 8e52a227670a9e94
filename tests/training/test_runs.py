"""Runs from beginning to end, in processes of their own that can be killed."""

import json
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from uuid import uuid4

import datasets
import numpy as np
import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForSemanticSegmentation

from euromine.dataset_script.reading import read_dataset
from euromine.dataset_script.shards import build_dataset
from euromine.metrics.interval_f1.interval_f1 import IntervalF1
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.training import checkpoints
from euromine.training.evaluation import predict_series

CONFIGS = Path(__file__).parents[2] / "accelerate_configs"
# Accelerate divides weights (FSDP) on accelerators alone, and on a CPU goes on without a word to copy them.
# torch does both anywhere: what runs on GPUs runs here over two CPU processes.
FSDP_ON_A_CPU = """
from accelerate.state import AcceleratorState, DistributedType, PartialState
plain = AcceleratorState.__init__
def dividing(self, *args, fsdp_plugin=None, **kwargs):
    plain(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
    if self.distributed_type == DistributedType.MULTI_CPU and fsdp_plugin is not None:
        self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        self.fsdp_plugin = fsdp_plugin
AcceleratorState.__init__ = dividing
"""

# Imports are paid for once: every run is a fork of a process that has done them.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["euromine.train_seg", "euromine.train_cd"])

SEGMENT = {
    "architecture": "segformer-b0",
    "config_overrides": json.dumps(
        {
            "hidden_sizes": [8, 8, 8, 8],
            "depths": [1, 1, 1, 1],
            "num_attention_heads": [1, 1, 1, 1],
            "decoder_hidden_size": 8,
            "hidden_dropout_prob": 0.2,
            "drop_path_rate": 0.2,
        }
    ),
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
}
CHANGES = {
    "architecture": "siamunet-diff",
    "config_overrides": json.dumps({"widths": [4, 4, 4, 4]}),
    # One with which the fresh network sees change in some of the pixels.
    "seed": 1,
    "per_device_train_batch_size": 2,
    "pairs_per_patch": 2,
    "interval_sampling": "inverse",
}
WITHOUT_DRAWS = {
    "train_seg": {**json.loads(SEGMENT["config_overrides"]), "hidden_dropout_prob": 0, "drop_path_rate": 0},
    "train_cd": json.loads(CHANGES["config_overrides"]),
}
SERIES = {**CHANGES, "training": "series"}
OFTEN = {"eval_strategy": "steps", "eval_steps": 1, "logging_steps": 1, "use_cpu": True, "disable_tqdm": True}


class Run:
    """A train script in a process of its own."""

    def __init__(
        self,
        script: str,
        output_dir: Path,
        environment: dict[str, str] | None = None,
        before: str = "",
        **arguments: Any,
    ):
        argv = [part for name, value in arguments.items() for part in (f"--{name}", str(value))]
        argv += ["--output_dir", str(output_dir)]
        self.output_dir = output_dir
        self.log = output_dir.with_name(f"{output_dir.name}.log")
        code = "\n".join(
            (
                "import datasets, os, sys, torch",
                f"datasets.config.HF_DATASETS_CACHE = {str(datasets.config.HF_DATASETS_CACHE)!r}",
                f"os.environ.update({environment or {}!r})",
                f"sys.stdout = sys.stderr = open({str(self.log)!r}, 'a', buffering=1)",
                "torch.set_num_threads(1)",
                before,
                f"from euromine.{script} import main",
                f"main({argv!r})",
            )
        )
        self.process: BaseProcess = CONTEXT.Process(target=exec, args=(code, {}))
        self.process.start()

    def finish(self) -> dict[str, Any]:
        self.process.join(300)
        said = self.log.read_text()
        assert self.process.exitcode == 0, said
        results: dict[str, Any] = json.loads((self.output_dir / "metrics.json").read_text())
        return {**results, "said": said}

    def kill(self) -> None:
        assert self.process.pid is not None
        self.process.kill()
        self.process.join()
        assert self.process.exitcode == -signal.SIGKILL


def killed_at_random(script: str, output_dir: Path, **arguments: Any) -> Iterator[str]:
    """Start a run again and again, killed each time some steps further on, anywhere within a step."""
    generator = np.random.default_rng()
    for step in (0, 1, 3):
        run = Run(script, output_dir, **arguments)
        while run.process.is_alive() and last_step(output_dir) < step:
            time.sleep(0.001)
        # A step with its evaluation and its checkpoint takes some 0.1 s.
        time.sleep(generator.uniform(0, 0.2))
        if run.process.is_alive():
            run.kill()
            yield f"after {last_step(output_dir)}: {sorted(path.name for path in output_dir.glob('_*/*'))}"
        else:
            run.finish()


def last_step(output_dir: Path) -> int:
    """The step of the last checkpoint, complete or not."""
    steps = checkpoints.all_checkpoints(output_dir) if output_dir.exists() else []
    return int(steps[-1].name.split("-")[1]) if steps else 0


@pytest.mark.parametrize(
    ("script", "arguments"),
    [("train_seg", SEGMENT), ("train_cd", CHANGES), ("train_cd", {**SERIES, "channels_last": True})],
    ids=["seg", "cd", "series"],
)
def test_a_run_killed_at_any_time_ends_bit_equal_to_one_that_was_not(script, arguments, dataset, tmp_path):
    # Checkpoints between two logs, too.
    arguments = {**arguments, **OFTEN, "logging_steps": 2, "dataset": dataset, "max_steps": 6}
    whole = Run(script, tmp_path / "whole", **arguments).finish()
    found = list(killed_at_random(script, tmp_path / "killed", **arguments))
    resumed = Run(script, tmp_path / "killed", **arguments).finish()

    assert found, "the run was never killed"
    for name in (
        "model.safetensors",
        "config.json",
        "preprocessor_config.json",
        "checkpoint-6/model.safetensors",
    ):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), (
            name,
            found,
        )
    states = [
        torch.load(tmp_path / folder / "checkpoint-6" / "optimizer.pt", weights_only=True)["state"]
        for folder in ("whole", "killed")
    ]
    for first, second in zip(*(state.values() for state in states), strict=True):
        assert all(torch.equal(first[name], second[name]) for name in first)
    # All but times, the folder and what was said.
    assert [log["step"] for log in resumed["timing"]] == [log["step"] for log in whole["timing"]]
    for results in (resumed, whole):
        del results["timing"], results["said"], results["model"]["folder"]
    assert resumed == whole
    assert not [path for path in (tmp_path / "killed").iterdir() if path.name.startswith(("_", "."))]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def two_processes(
    script: str, output_dir: Path, environment: dict[str, str], before: str = "", **arguments: Any
) -> list[Run]:
    """A train script in two processes that know of each other, as torchrun starts them."""
    shared = {**environment, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    return [
        Run(script, output_dir, {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}, before, **arguments)
        for rank in range(2)
    ]


@pytest.mark.parametrize(
    ("script", "arguments"), [("train_seg", SEGMENT), ("train_cd", CHANGES)], ids=["seg", "cd"]
)
def test_two_processes_score_as_one_does(script, arguments, dataset, tmp_path):
    # Three series of three and two years: batches differ in number and in length between the two.
    arguments = {
        **arguments,
        **OFTEN,
        "dataset": dataset,
        "max_steps": 1,
        "eval_on_start": True,
        "per_device_eval_batch_size": 1,
    }
    one = Run(script, tmp_path / "one", **arguments)
    processes = two_processes(script, tmp_path / "two", {}, **arguments)
    alone = one.finish()
    together, _ = (process.finish() for process in processes)
    assert together["training"]["batch_size"] == 2 * alone["training"]["batch_size"]
    # Before the first step both have the same weights, whatever they see later.
    first, second = (
        next(log for log in results["history"] if "eval_of1_pooled" in log) for results in (alone, together)
    )
    timing = ("runtime", "per_second", "time")
    assert first["step"] == second["step"] == 0
    assert {k: v for k, v in first.items() if not k.endswith(timing)} == {
        k: v for k, v in second.items() if not k.endswith(timing)
    }
    assert 0 < first["eval_of1_pooled"] < 1
    pixels = [results["details"]["test"]["interval_f1"]["pixels"] for results in (alone, together)]
    assert pixels[0] == pixels[1] > 0


def test_a_finished_run_returns_what_it_found(dataset, tmp_path):
    arguments = {**SEGMENT, **OFTEN, "dataset": dataset, "max_steps": 2}
    first = Run("train_seg", tmp_path / "run", **arguments).finish()
    weights = (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns
    again = Run("train_seg", tmp_path / "run", **arguments, save_total_limit=5).finish()
    assert "run is finished" in again.pop("said")
    first.pop("said")
    assert again == first
    assert (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns == weights
    assert (tmp_path / "run" / "predictions.png").read_bytes().startswith(b"\x89PNG")
    with np.load(tmp_path / "run" / "counts.npz") as counts:
        # One row a site and year: true positives, predicted, actual and valid pixels.
        hits, predicted, actual, pixels = np.moveaxis(counts["annual_f1.by_year"], -1, 0)
        assert counts["annual_f1.sites"].tolist() == sorted(first["details"]["test"]["annual_f1"]["sites"])
        f1 = 2 * hits.sum(1) / (predicted + actual).sum(1)
        expected = first["details"]["test"]["annual_f1"]["sites"].values()
        np.testing.assert_allclose(f1, [site["of1_pooled"] for site in expected], rtol=1e-12)
        assert pixels.sum() == first["details"]["test"]["annual_f1"]["pixels"]
    assert "model-index" in (tmp_path / "run" / "README.md").read_text()

    # A run that was killed after its last step is scored and described, and not trained any further.
    (tmp_path / "run" / "metrics.json").unlink()
    scored = Run("train_seg", tmp_path / "run", **arguments).finish()
    assert scored["scores"] == first["scores"]
    assert scored["training"] == first["training"]

    # Begun anew with other arguments, where somebody asks for it.
    restarted = Run("train_seg", tmp_path / "run", **{**arguments, "seed": 1, "restart": True}).finish()
    assert restarted["training"]["arguments"]["seed"] == 1


def test_without_a_validation_split_the_last_checkpoint_is_kept(archive, tmp_path):
    splits = tmp_path / "splits.json"
    named = json.loads((archive / "splits.json").read_text())
    splits.write_text(
        json.dumps({"train": named["train"], "validation": [], "test": named["validation"] + named["test"]})
    )
    built = build_dataset(
        archive / "EuroMineNet", tmp_path / f"shards_{uuid4().hex}", splits=splits, workers=1, progress=False
    )
    arguments = {
        **SEGMENT,
        **OFTEN,
        "dataset": built,
        "max_steps": 3,
        "save_strategy": "steps",
        "save_steps": 1,
    }
    results = Run("train_seg", tmp_path / "run", **arguments).finish()
    assert "nothing is selected on the test split" in results["said"]
    assert results["training"]["best_step"] is None
    assert set(results["scores"]) == {"test"}
    last = tmp_path / "run" / "checkpoint-3" / "model.safetensors"
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == last.read_bytes()
    assert "Nothing was selected" in (tmp_path / "run" / "README.md").read_text()


def launched(config: str) -> Any:
    """What `accelerate launch` makes of one of our configurations for two processes."""
    argv = ["--config_file", str(CONFIGS / f"{config}.yaml"), "--num_processes", "2", "train_seg.py"]
    arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(argv))
    return arguments


@pytest.mark.parametrize(
    ("config", "kind"), [("single_gpu", "NO"), ("multi_gpu", "MULTI_GPU"), ("fsdp2", "FSDP")]
)
def test_accelerate_reads_our_configurations(config, kind):
    assert sorted(path.stem for path in CONFIGS.iterdir()) == ["fsdp2", "multi_gpu", "single_gpu"]
    read = load_config_from_file(str(CONFIGS / f"{config}.yaml"))
    assert read.distributed_type == kind
    arguments = launched(config)
    assert (arguments.multi_gpu, arguments.use_fsdp) == (kind == "MULTI_GPU", kind == "FSDP")
    # The training arguments decide.
    assert arguments.mixed_precision == "no"
    # Each field is one that the launcher knows: others it would pass over.
    known = vars(launch_command_parser().parse_args(["train_seg.py"]))
    assert all(field in known for field in read.fsdp_config)
    assert (kind != "FSDP") or read.fsdp_config["fsdp_version"] == 2


@pytest.mark.parametrize(
    ("script", "arguments"), [("train_seg", SEGMENT), ("train_cd", SERIES)], ids=["seg", "series"]
)
def test_divided_weights_learn_what_copied_ones_do_and_are_saved_as_one_network(
    script, arguments, dataset, tmp_path
):
    arguments = {**arguments, **OFTEN, "dataset": dataset, "max_steps": 2, "gradient_accumulation_steps": 1}
    # Only what they compute is to be compared, and small gradients are not to be blown up.
    arguments |= {"optim": "sgd", "eval_steps": 2, "config_overrides": json.dumps(WITHOUT_DRAWS[script])}
    for config in ("multi_gpu", "fsdp2"):
        before = set(os.environ.items())
        environment = dict(set(prepare_multi_gpu_env(launched(config)).items()) - before)
        shim = FSDP_ON_A_CPU if config == "fsdp2" else ""
        processes = two_processes(script, tmp_path / config, environment, shim, **arguments)
        results = processes[0].finish()
        processes[1].finish()
    folder = tmp_path / "fsdp2"
    copied, divided = (load_file(tmp_path / name / "model.safetensors") for name in ("multi_gpu", "fsdp2"))
    assert copied.keys() == divided.keys()
    for name, value in copied.items():
        torch.testing.assert_close(divided[name], value, rtol=1e-4, atol=1e-6, msg=name)
    # Each process had half of them, and neither one's class nor anything of FSDP is left in the checkpoint.
    assert results["model"]["class"] == json.loads((folder / "config.json").read_text())["architectures"][0]
    assert not results["model"]["class"].startswith("FSDP")
    assert sorted(path.name for path in folder.glob("*.safetensors")) == ["model.safetensors"]
    assert not list(folder.glob("_fsdp*"))
    assert checkpoints.is_complete(folder / "checkpoint-2")
    # FSDP's own file for resuming, beside the safetensors: there was no falling back to copies.
    assert (folder / "checkpoint-2" / "pytorch_model_fsdp.bin").is_file()
    assert not (tmp_path / "multi_gpu" / "checkpoint-2" / "pytorch_model_fsdp.bin").exists()

    # One process that never heard of FSDP finds the changes that both of them found.
    auto_class = AutoModelForSemanticSegmentation if script == "train_seg" else AutoModel
    model = auto_class.from_pretrained(folder).eval()
    processor = EuroMineImageProcessor.from_pretrained(folder)
    metric = IntervalF1("footprint" if script == "train_seg" else "change")
    for row in read_dataset(dataset, "series", "test"):
        maps = predict_series(model, processor, row["images"][None])[0].numpy()
        top, left, bottom, right = row["own"]
        metric.add(
            prediction=maps[:, top:bottom, left:right],
            reference=row["labels"][:, top:bottom, left:right],
            site=row["site"],
            years=row["years"],
        )
    expected, found = metric.compute(), results["details"]["test"]["interval_f1"]
    assert found["pixels"] == expected["pixels"]
    np.testing.assert_allclose(found["of1_pooled"], expected["of1_pooled"], rtol=1e-12)
