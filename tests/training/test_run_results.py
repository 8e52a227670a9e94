"""Records of a run name what ran: the trainer's and the accelerator's own values, not what was asked for."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import nn
from transformers import get_scheduler

from euromine.training.arguments import SegmentationArguments, parse_arguments
from euromine.training.collation import SeriesCollator
from euromine.training.data import Splits
from euromine.training.evaluation import SeriesScores
from euromine.training.run_folder import Run
from euromine.training.run_results import _training_facts
from euromine.training.series_trainer import SeriesTrainer

from .test_series_trainer import SITES, EuroMineImageProcessor, annual_rows, plain_segmenter

OPTIONS = ["--dataset", "shards", "--architecture", "unet", "--use_cpu", "--disable_tqdm", "true"]
NO_DATA = cast(
    "Splits",
    Splits(
        train=None, validation=None, test=None, pictured=None, sites=SITES, years=3, statistics=None,
        revision=None, simulated=True, digest="0",
    )  # type: ignore[arg-type]
)  # fmt: skip


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function from options and an environment to a run, its trainer and what a layer computed in."""

    def train(*options: str, environment: dict[str, str] | None = None) -> tuple[Run, SeriesTrainer, Any]:
        for name, value in (environment or {}).items():
            monkeypatch.setenv(name, value)
        AcceleratorState._reset_state(True)
        argv = [*OPTIONS, "--output_dir", str(tmp_path / "run"), "--save_strategy", "no", *options]
        script, training = parse_arguments(SegmentationArguments, argv)
        model, seen = plain_segmenter(), set()
        first = next(layer for layer in model.modules() if isinstance(layer, nn.Conv2d))
        first.register_forward_hook(lambda *call: seen.add(str(call[2].dtype).removeprefix("torch.")))
        trainer = SeriesTrainer(
            model,
            training,
            image_processor=EuroMineImageProcessor(),
            train_dataset=annual_rows(8),
            collator=SeriesCollator(SITES, 3),
            scores=SeriesScores("segmentation", SITES),
        )
        trainer.train()
        (computed,) = seen
        return Run(script, training, NO_DATA, tmp_path / "run", None, None), trainer, computed

    yield train
    AcceleratorState._reset_state(True)


@pytest.mark.parametrize(
    ("options", "environment", "expected"),
    [
        ((), {}, "float32"),
        (("--bf16",), {}, "bfloat16"),
        # As `accelerate launch --mixed_precision bf16` sets it.
        (("--bf16", "false"), {"ACCELERATE_MIXED_PRECISION": "bf16"}, "bfloat16"),
        (("--bf16", "false"), {"ACCELERATE_MIXED_PRECISION": "no"}, "float32"),
    ],
)
def test_the_precision_is_that_of_the_computation(trained, options, environment, expected):
    run, trainer, computed = trained(
        "--max_steps", "1", "--eval_strategy", "no", *options, environment=environment
    )
    assert computed == expected
    assert _training_facts(run, trainer).precision == expected


def test_the_batch_is_the_one_that_fitted_into_memory(trained):
    options = ["--max_steps", "2", "--eval_strategy", "no", "--per_device_train_batch_size", "2"]
    run, trainer, _ = trained(*options, "--gradient_accumulation_steps", "2")
    assert _training_facts(run, trainer).batch_size == 4
    # As `auto_find_batch_size` leaves it behind.
    trainer.state.train_batch_size = 1
    assert _training_facts(run, trainer).batch_size == 2


@pytest.mark.parametrize("recipe", ["default", "paper"])
def test_the_optimiser_and_the_schedule_are_those_recorded(trained, recipe):
    options = ["--max_steps", "4", "--eval_strategy", "no", "--per_device_train_batch_size", "2"]
    run, trainer, _ = trained(*options, "--recipe", recipe)
    recorded = _training_facts(run, trainer)
    arguments = recorded.arguments
    assert (recorded.steps, recorded.best_step, recorded.selected_by) == (4, None, None)
    optimizer = trainer.optimizer.optimizer
    assert (type(optimizer), arguments["optim"]) == (torch.optim.AdamW, "adamw_torch")
    decayed = max(optimizer.param_groups, key=lambda group: group["weight_decay"])
    assert decayed["weight_decay"] == arguments["weight_decay"]
    assert decayed["initial_lr"] == arguments["learning_rate"]
    again = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=arguments["learning_rate"])
    warmup = arguments["warmup_steps"] * 4 if arguments["warmup_steps"] < 1 else arguments["warmup_steps"]
    schedule = get_scheduler(
        arguments["lr_scheduler_type"], again, int(-(-warmup // 1)), 4, arguments["lr_scheduler_kwargs"]
    )
    for _ in range(4):
        again.step()
        schedule.step()
    assert trainer.lr_scheduler.get_last_lr()[0] == pytest.approx(schedule.get_last_lr()[0], rel=1e-9)


def test_a_record_names_the_arguments_that_have_an_effect_alone(trained):
    run, trainer, _ = trained("--max_steps", "1", "--eval_strategy", "no")
    found = _training_facts(run, trainer).arguments
    again = _training_facts(replace(run, output_dir=Path("elsewhere")), trainer).arguments
    assert found == again
    assert not {"output_dir", "dataloader_num_workers", "logging_steps"} & found.keys()
    assert found["mixed_precision"] == "no"
