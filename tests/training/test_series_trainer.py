import errno
import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, TrainingArguments
from transformers.modeling_layers import GradientCheckpointingLayer

from euromine.dataset_script.label_changes import change_between
from euromine.metrics.annual_f1.annual_f1 import AnnualF1
from euromine.modeling.auto import create_model
from euromine.modeling.base import two_class_logits
from euromine.modeling.change_detection import SiameseChangeDetector
from euromine.modeling.configuration import ChangeDetectionConfig, SegmentationConfig
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.modeling.segmentation import Segmenter
from euromine.training import checkpoints
from euromine.training.collation import SeriesCollator
from euromine.training.evaluation import SeriesScores
from euromine.training.recipes import COMMON
from euromine.training.sampling import EpochSampler
from euromine.training.series_trainer import SeriesTrainer, load_weights

SITES = ("Italy_1", "Spain_1")
SIDE = 32


class PlainConfig(SegmentationConfig):
    model_type = "euromine_test-plain"


class PlainSegmenter(Segmenter):
    """Two convolutions and a dropout: nothing that looks at a whole batch, as a batch norm does."""

    config_class = PlainConfig

    def __init__(self, config: PlainConfig, dropout: float = 0.0) -> None:
        super().__init__(config)
        self.layers = nn.Sequential(
            nn.Conv2d(10, 6, 3, padding=1), nn.ReLU(), nn.Dropout(dropout), nn.Conv2d(6, 2, 1)
        )
        self.post_init()

    def segment(self, images: Tensor) -> Tensor:
        return self.layers(images)


class InOrder(EpochSampler):
    """All rows as they come."""

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.rows))


class PlainChangeConfig(ChangeDetectionConfig):
    model_type = "euromine_test-plain-change"


class PlainDetector(SiameseChangeDetector):
    """Two convolutions and their difference."""

    config_class = PlainChangeConfig

    def __init__(self, config: PlainChangeConfig) -> None:
        super().__init__(config)
        self.encoder = nn.Sequential(nn.Conv2d(10, 6, 3, padding=1), nn.ReLU())
        self.head = nn.Conv2d(6, 1, 1)
        self.post_init()

    def encode(self, pixel_values: Tensor) -> Tensor:
        return self.encoder(pixel_values)

    def decode(self, features_1: Any, features_2: Any) -> Tensor:
        return two_class_logits(self.head((features_2 - features_1).abs()))


class DeepDetector(PlainDetector):
    """With a second map, for deep supervision."""

    def __init__(self, config: PlainChangeConfig) -> None:
        super().__init__(config)
        self.side = nn.Conv2d(6, 1, 1)
        self.post_init()

    @property
    def may_leave_parameters_out(self) -> bool:
        return not self.config.auxiliary_loss_weight

    def decode(self, features_1: Any, features_2: Any) -> tuple[Tensor, Tensor]:
        return super().decode(features_1, features_2), two_class_logits(self.side(features_1 + features_2))


class Checkpointed(GradientCheckpointingLayer):
    """A convolution that may be computed again in the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(10, 6, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.convolution(images).relu()


class CheckpointedDetector(DeepDetector):
    """With an encoder whose gradients may be checkpointed."""

    supports_gradient_checkpointing = True

    def __init__(self, config: PlainChangeConfig) -> None:
        super().__init__(config)
        self.encoder = Checkpointed()
        self.post_init()


def annual_rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        label = (generator.random((SIDE, SIDE)) < 0.4).astype(np.uint8)
        image = 1000 + 1500.0 * label + generator.normal(0, 300, (10, SIDE, SIDE))
        rows.append({"image": image.astype(np.int16), "label": label})
    return rows


def series_rows(lengths: tuple[int, ...] = (3, 2, 3)) -> list[dict[str, Any]]:
    series = []
    for number, years in enumerate(lengths):
        rows = annual_rows(years, seed=100 + number)
        series.append(
            {
                "images": np.stack([row["image"] for row in rows]),
                "labels": np.stack([row["label"] for row in rows]),
                "own": [0, number, SIDE, SIDE - 4 * number],
                "site": SITES[number % 2],
                "years": [2015, 2017, 2018][:years],
            }
        )
    return series


@pytest.fixture
def make_trainer(tmp_path: Path) -> Callable[..., SeriesTrainer]:
    def make(model: PreTrainedModel, **options: Any) -> SeriesTrainer:
        rows = {
            name: options.pop(name, default)
            for name, default in (
                ("train_dataset", annual_rows(8)),
                ("eval_dataset", series_rows()),
                ("sampler", None),
            )
        }
        augmentation = options.pop("augmentation", True)
        changes = hasattr(model, "predict_series")
        arguments = {
            **COMMON,
            "output_dir": str(tmp_path / options.pop("name", "run")),
            "use_cpu": True,
            "disable_tqdm": True,
            "learning_rate": 1e-2,
            "per_device_train_batch_size": 2,
            "max_steps": 4,
            "metric_for_best_model": "of1_pooled",
            **options,
        }
        return SeriesTrainer(
            model,
            TrainingArguments(**arguments),
            image_processor=EuroMineImageProcessor(),
            collator=SeriesCollator(SITES, 3),
            scores=SeriesScores("change-detection" if changes else "segmentation", SITES),
            augmentation=augmentation,
            **rows,
        )

    return make


def plain_segmenter(dropout: float = 0.0) -> PlainSegmenter:
    torch.manual_seed(0)
    return PlainSegmenter(PlainConfig(), dropout)


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_equal_weights(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_a_batch_of_four_is_two_batches_of_two_accumulated(make_trainer):
    trained = []
    for batch_size, accumulation in ((4, 1), (2, 2)):
        trainer = make_trainer(
            plain_segmenter(),
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=accumulation,
            augmentation=False,
            max_steps=3,
            save_strategy="no",
        )
        trainer.train()
        trained.append(weights_of(trainer.model))
    before = weights_of(plain_segmenter())
    for name, value in trained[0].items():
        torch.testing.assert_close(value, trained[1][name], rtol=1e-4, atol=1e-6)
        assert not torch.equal(value, before[name])


@pytest.mark.parametrize("task", ["segmentation", "change-detection"])
def test_parts_with_unknown_pixels_teach_what_the_whole_batch_does(make_trainer, task):
    rows = annual_rows(4)
    for number, row in enumerate(rows):
        row["label"][: 10 * number] = 255
    if task == "change-detection":
        pairs = [np.stack([row["image"], row["image"][:, ::-1]]) for row in rows]
        rows = [{"images": pair, "change": row["label"]} for pair, row in zip(pairs, rows, strict=True)]
    trained = []
    for batch_size, accumulation in ((4, 1), (2, 2), (1, 4), (3, 2)):
        torch.manual_seed(0)
        network = (
            PlainSegmenter(PlainConfig())
            if task == "segmentation"
            else DeepDetector(PlainChangeConfig(auxiliary_loss_weight=0.5))
        )
        before = weights_of(network)
        trainer = make_trainer(
            network,
            train_dataset=rows,
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=accumulation,
            augmentation=False,
            max_steps=1,
            save_strategy="no",
            logging_steps=1,
            optim="sgd",
            max_grad_norm=0,
            sampler=InOrder(len(rows), seed=0),
        )
        trainer.train()
        changes = {name: value - before[name] for name, value in weights_of(network).items()}
        trained.append((changes, trainer.state.log_history[0]["loss"]))
    expected, loss = trained[0]
    for found, found_loss in trained[1:]:
        assert found_loss == pytest.approx(loss, rel=1e-5)
        for name, change in expected.items():
            assert change.any(), name
            torch.testing.assert_close(found[name], change, rtol=1e-4, atol=1e-7)


def train_a_part(rank: int, port: int, output_dir: Path, arguments: dict[str, Any]) -> None:
    """Train in one of two processes that share each batch, and store what the network has learnt."""
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ.update(shared, RANK=str(rank), LOCAL_RANK=str(rank))
    torch.set_num_threads(1)
    trainer = trained_on_unknown_pixels(output_dir, **arguments)
    loss = trainer.state.log_history[0]["loss"]
    torch.save((weights_of(trainer.network), loss), output_dir.with_name(f"part-{rank}.pt"))


def trained_on_unknown_pixels(output_dir: Path, **arguments: Any) -> SeriesTrainer:
    """A trainer after two steps on eight pairs whose shares of unknown pixels differ."""
    rows = [
        {"images": np.stack([row["image"], row["image"][:, ::-1]]), "change": row["label"]}
        for row in annual_rows(8)
    ]
    for number, row in enumerate(rows):
        row["change"][: 4 * number] = 255
    torch.manual_seed(0)
    trainer = SeriesTrainer(
        CheckpointedDetector(PlainChangeConfig()),
        TrainingArguments(str(output_dir), **{**COMMON, **arguments}),
        image_processor=EuroMineImageProcessor(),
        train_dataset=rows,
        collator=SeriesCollator(SITES, 3),
        scores=SeriesScores("change-detection", SITES),
        sampler=InOrder(len(rows), seed=0),
        augmentation=False,
    )
    trainer.train()
    return trainer


def test_processes_look_for_unused_parameters_only_where_a_network_has_some(make_trainer):
    assert make_trainer(plain_segmenter()).args.ddp_find_unused_parameters is False
    deep = DeepDetector(PlainChangeConfig())
    assert make_trainer(deep).args.ddp_find_unused_parameters is True
    assert make_trainer(deep, ddp_find_unused_parameters=False).args.ddp_find_unused_parameters is False


def test_two_processes_with_checkpointed_gradients_learn_what_one_does_from_the_whole_batch(tmp_path):
    """Layers that run once for each date, a map outside the loss, parts with few known pixels."""
    arguments = {
        "use_cpu": True,
        "disable_tqdm": True,
        "max_steps": 2,
        "save_strategy": "no",
        "logging_steps": 1,
        "optim": "sgd",
        "max_grad_norm": 0,
        "learning_rate": 1e-2,
    }
    alone = trained_on_unknown_pixels(tmp_path / "alone", per_device_train_batch_size=4, **arguments)
    parts = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2}
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["euromine.train_seg", "euromine.train_cd"])
    processes = [
        context.Process(
            target=train_a_part,
            args=(rank, port, tmp_path / "two", {**arguments, **parts, "gradient_checkpointing": True}),
        )
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    before = CheckpointedDetector(PlainChangeConfig()).state_dict().keys()
    for rank in range(2):
        weights, loss = torch.load(tmp_path / f"part-{rank}.pt", weights_only=True)
        assert weights.keys() == before
        if rank == 0:
            assert loss == pytest.approx(alone.state.log_history[0]["loss"], rel=1e-4)
        for name, value in weights_of(alone.network).items():
            torch.testing.assert_close(weights[name], value, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_patches_with_their_pairs_teach_what_a_batch_of_these_pairs_does(make_trainer, accumulation):
    patches, pairs = [], []
    for patch in range(4):
        rows = annual_rows(3, seed=patch)
        images = np.stack([row["image"] for row in rows])
        labels = np.stack([row["label"] for row in rows])
        # A part that nobody knows, of another size in each patch.
        labels[0, : 5 * patch] = 255
        ends = np.array([[0, 1], [0, 2]])
        changes = np.stack([change_between(labels[first], labels[second]) for first, second in ends])
        patches.append({"images": images, "pairs": ends, "changes": changes})
        pairs += [
            {"images": images[end], "change": change} for end, change in zip(ends, changes, strict=True)
        ]
    trained = []
    for rows, batch_size in ((patches, 2), (pairs, 4)):
        torch.manual_seed(0)
        trainer = make_trainer(
            PlainDetector(PlainChangeConfig()),
            train_dataset=rows,
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=accumulation,
            augmentation=False,
            max_steps=2 // accumulation,
            save_strategy="no",
            optim="sgd",
            sampler=InOrder(len(rows), seed=0),
        )
        before = weights_of(trainer.model)
        trainer.train()
        trained.append({name: value - before[name] for name, value in weights_of(trainer.model).items()})
    for name, change in trained[0].items():
        assert change.any(), name
        torch.testing.assert_close(change, trained[1][name], rtol=1e-4, atol=1e-7)


def test_bfloat16_reaches_training_and_both_kinds_of_prediction(make_trainer):
    seen: dict[str, set[torch.dtype]] = {"train": set(), "eval": set()}

    def look(module: nn.Module, inputs: Any, output: Tensor) -> None:
        seen["train" if module.training else "eval"].add(output.dtype)

    detector = create_model("tinycd")
    next(layer for layer in detector.modules() if isinstance(layer, nn.Conv2d)).register_forward_hook(look)
    segmenter = plain_segmenter()
    segmenter.layers[0].register_forward_hook(look)
    pairs = [{"images": np.stack([row["image"]] * 2), "change": row["label"]} for row in annual_rows(2)]
    for model, rows in ((detector, pairs), (segmenter, annual_rows(2))):
        seen["train"].clear()
        seen["eval"].clear()
        trainer = make_trainer(model, bf16=True, train_dataset=rows, max_steps=1, save_strategy="no")
        trainer.train()
        scores = trainer.evaluate()
        assert np.isfinite(scores["eval_of1_pooled"])
        assert seen == {"train": {torch.bfloat16}, "eval": {torch.bfloat16}}
        assert all(value.dtype != torch.bfloat16 for value in model.state_dict().values())


def test_a_compiled_network_trains_to_the_same_weights(make_trainer):
    trained = []
    for options in ({}, {"torch_compile": True, "torch_compile_backend": "eager"}):
        trainer = make_trainer(plain_segmenter(), max_steps=2, save_strategy="no", **options)
        trainer.train()
        trained.append(weights_of(trainer.model))
        assert np.isfinite(trainer.evaluate()["eval_of1_pooled"])
    assert_equal_weights(*trained)


def test_scores_are_those_of_the_owned_pixels_alone(make_trainer):
    trainer = make_trainer(plain_segmenter(), per_device_eval_batch_size=2)
    trainer.model.eval()
    found = trainer.evaluate()

    metric = AnnualF1()
    for row in series_rows():
        inputs = trainer.image_processor(row["images"], return_tensors="pt").pixel_values
        with torch.no_grad():
            maps = trainer.model(inputs).logits.argmax(1).to(torch.uint8).numpy()
        top, left, bottom, right = row["own"]
        metric.add(
            prediction=maps[:, top:bottom, left:right],
            reference=row["labels"][:, top:bottom, left:right],
            site=row["site"],
            years=row["years"],
        )
    expected = metric.compute()
    assert 0 < expected["of1"] < 1
    assert found["eval_of1"] == expected["of1"]
    assert trainer.scores.details["annual_f1"]["pixels"] == expected["pixels"]


@pytest.mark.parametrize(
    "options",
    [
        {"dataloader_drop_last": True},
        {"dataloader_num_workers": 1, "dataloader_persistent_workers": True},
    ],
)
def test_arguments_of_training_batches_do_not_reach_the_scores(make_trainer, options):
    trainer = make_trainer(plain_segmenter(), per_device_eval_batch_size=2, **options)
    # Three series, a batch of two and a rest: 3, 2 and 3 years of which 32, 27 and 22 columns are owned.
    pixels = 3 * 32 * 32 + 2 * 32 * 27 + 3 * 32 * 22
    trainer.evaluate()
    assert trainer.scores.details["annual_f1"]["pixels"] == pixels
    trainer.evaluate(series_rows((2,)))
    assert trainer.scores.details["annual_f1"]["pixels"] == 2 * 32 * 32


def test_the_best_checkpoint_by_the_validation_score_is_kept_and_loaded(make_trainer, tiny_segformer):
    torch.manual_seed(0)
    trainer = make_trainer(
        tiny_segformer(),
        eval_strategy="steps",
        eval_steps=1,
        save_strategy="steps",
        save_steps=1,
        load_best_model_at_end=True,
        save_total_limit=1,
    )
    given = iter([0.2, 0.5, 0.3, 0.4])
    at_step: dict[int, dict[str, Tensor]] = {}

    def scored(prediction: Any, compute_result: bool) -> dict[str, float]:
        at_step[trainer.state.global_step] = weights_of(trainer.model)
        return {"of1_pooled": next(given)} if compute_result else {}

    trainer.compute_metrics = scored
    trainer.train()
    assert trainer.state.best_global_step == 2
    # Tensors of this network have other names on disk: loading them is not a matter of course.
    assert_equal_weights(weights_of(trainer.model), at_step[2])
    assert not torch.equal(
        at_step[2]["decode_head.classifier.weight"], at_step[4]["decode_head.classifier.weight"]
    )
    output_dir = Path(trainer.args.output_dir)
    assert checkpoints.is_complete(output_dir / "checkpoint-2")
    assert not list(output_dir.glob("_*"))


def test_evaluations_in_between_do_not_change_what_is_learnt(make_trainer):
    trained = []
    for strategy in ("no", "steps"):
        trainer = make_trainer(
            plain_segmenter(dropout=0.5),
            eval_strategy=strategy,
            eval_steps=1,
            save_strategy="no",
            max_steps=6,
        )
        trainer.train()
        trained.append(weights_of(trainer.model))
    assert_equal_weights(*trained)


def test_losses_logged_after_resuming_are_those_of_an_undisturbed_training(make_trainer):
    """Also where the checkpoint lies between two logs, whose loss is a mean over the steps between them."""
    options = {"save_strategy": "steps", "save_steps": 1, "logging_steps": 3, "max_steps": 7}
    whole = make_trainer(plain_segmenter(), name="whole", save_total_limit=None, **options)
    whole.train()
    expected = [log for log in whole.state.log_history if "loss" in log]
    assert [log["step"] for log in expected] == [3, 6]
    for step in (2, 3, 4):
        again = make_trainer(plain_segmenter(), name="again", **options)
        again.train(resume_from_checkpoint=str(Path(whole.args.output_dir) / f"checkpoint-{step}"))
        assert [log for log in again.state.log_history if "loss" in log] == expected


def test_dropout_and_turns_differ_from_step_to_step(make_trainer):
    drawn: list[bytes] = []
    trainer = make_trainer(
        plain_segmenter(dropout=0.5), save_strategy="no", train_dataset=annual_rows(2), max_steps=6
    )
    trainer.model.layers[2].register_forward_hook(
        lambda module, inputs, output: drawn.append((output == 0).numpy().tobytes())
    )
    trainer.train()
    assert len(set(drawn)) == 6


def test_a_checkpoint_is_loaded_whole_or_refused(tmp_path, tiny_segformer):
    torch.manual_seed(0)
    model, other = tiny_segformer(), tiny_segformer()
    model.save_pretrained(tmp_path / "segformer")
    load_weights(other, str(tmp_path / "segformer"))
    assert_equal_weights(weights_of(model), weights_of(other))
    plain_segmenter().save_pretrained(tmp_path / "plain")
    with pytest.raises((ValueError, RuntimeError)):
        load_weights(model, str(tmp_path / "plain"))


def test_a_full_disk_leaves_the_checkpoints_before_it(make_trainer, monkeypatch):
    trainer = make_trainer(plain_segmenter(), save_strategy="steps", save_steps=1)
    save = torch.save

    def failing(values: Any, path: str, *args: Any, **kwargs: Any) -> None:
        if "checkpoint-3" in str(path) and "scheduler" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        save(values, path, *args, **kwargs)

    monkeypatch.setattr(torch, "save", failing)
    with pytest.raises(OSError, match="no space left for checkpoint-3"):
        trainer.train()
    output_dir = Path(trainer.args.output_dir)
    assert [path.name for path in checkpoints.all_checkpoints(output_dir)] == ["checkpoint-1", "checkpoint-2"]
    assert checkpoints.last_complete_checkpoint(output_dir) == output_dir / "checkpoint-2"


def test_the_final_model_carries_its_image_processor(make_trainer):
    trainer = make_trainer(plain_segmenter())
    trainer.save_model()
    folder = Path(trainer.args.output_dir)
    assert not list(folder.glob("_*"))
    assert not (folder / "training_args.bin").exists()
    processor = EuroMineImageProcessor.from_pretrained(folder)
    assert processor.mean == trainer.image_processor.mean
    assert_equal_weights(weights_of(PlainSegmenter.from_pretrained(folder)), weights_of(trainer.model))


def test_trainers_own_card_never_replaces_ours(make_trainer):
    trainer = make_trainer(plain_segmenter())
    card = Path(trainer.args.output_dir) / "README.md"
    card.write_text("ours")
    trainer.create_model_card(model_name="mines")
    assert card.read_text() == "ours"
