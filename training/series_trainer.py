"""transformers' Trainer for series of years: evaluation over whole series, training that resumes exactly."""

import logging
import math
import random
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, register_fsdp_forward_method
from torch.utils.data import DataLoader, Sampler
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME, TRAINING_ARGS_NAME
from transformers.trainer_callback import PrinterCallback, ProgressCallback, TrainerControl, TrainerState

from euromine.modeling.change_detection import year_pairs
from euromine.modeling.component_segmenter import ComponentSegmenter
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.modeling.layers import laid_out_for
from euromine.modeling.tasks import CHANGE_DETECTION
from euromine.support import files
from euromine.support.errors import ModelError
from euromine.support.records import read_values

from . import checkpoints, own_files
from .collation import IGNORED, SeriesCollator, augmented, without_unowned
from .console import LogLines, ProgressBars
from .evaluation import SeriesScores, calendar_of, predict_series
from .sampling import EpochSampler
from .training_checks import check_layout

logger = logging.getLogger(__name__)

_UNLOGGED = "unlogged_loss.json"


class SeriesTrainer(Trainer):
    """Trains on single images, pairs, all pairs of a patch's years or series, and evaluates on whole series.

    The order of rows depends on the seed and the epoch; flips, dropout and everything else that is random
    depend on the seed and the step. No step therefore depends on what happened before it, and training that
    was killed and resumed finishes, on a CPU, bit-identical to training that was not.

    Args:
        model: A footprint mapper, a change detector or a network for series.
        args: transformers' arguments, with `remove_unused_columns=False` and `batch_eval_metrics=True`.
        image_processor: Normalises on the device, and is saved with every checkpoint.
        train_dataset: Rows of `annual`, `pairs` or `series`, or `PatchSeries`.
        eval_dataset: Rows of `series`, the validation split.
        collator: Collates the samples of both.
        scores: The metrics.
        sampler: The order of training rows; default all of them, shuffled.
        augmentation: Whether training samples are flipped and rotated.
        callbacks: Other callbacks.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        args: TrainingArguments,
        *,
        image_processor: EuroMineImageProcessor,
        train_dataset: Any,
        eval_dataset: Any = None,
        collator: SeriesCollator,
        scores: SeriesScores,
        sampler: EpochSampler | None = None,
        augmentation: bool = True,
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        self.image_processor = image_processor
        self.scores = scores
        self.augmentation = augmentation
        self.sampler = sampler or EpochSampler(len(train_dataset), data_seed(args))
        self._staging: Path | None = None
        self._resumed_from: Path | None = None
        if args.ddp_find_unused_parameters is None:
            # Looking for them takes time in each step; Trainer would not look with checkpointed gradients.
            args.ddp_find_unused_parameters = getattr(model, "may_leave_parameters_out", True)
        super().__init__(
            model=model,
            args=args,
            data_collator=collator,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=image_processor,
            compute_metrics=scores,
            callbacks=[_Draws(self.sampler), *(callbacks or [])],
        )
        check_layout(model, self.is_fsdp_enabled)
        self.add_callback(_UnloggedLoss(self))
        # Losses of the parts of a batch, and of several processes, add up to that of the whole.
        self.model_accepts_loss_kwargs = "num_items_in_batch" in signature(model.forward).parameters
        self.remove_callback(PrinterCallback)
        self.remove_callback(ProgressCallback)
        if not args.disable_tqdm:
            self.add_callback(ProgressBars())
        self.add_callback(LogLines())

    @property
    def network(self) -> PreTrainedModel:
        """The model without wrappers."""
        if not isinstance(self.model, PreTrainedModel):
            raise TypeError(f"model: found a {type(self.model).__name__}; expected a PreTrainedModel.")
        return self.model

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[Any]:
        return self.sampler

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        """All series of a split, once each, whatever the arguments say of training batches.

        Trainer's own drops the last batch with `dataloader_drop_last`, and with
        `dataloader_persistent_workers` goes on with the first split that it was asked for.
        """
        args = self.args
        rows: Any = self.eval_dataset if eval_dataset is None else eval_dataset
        loader: DataLoader[Any] = DataLoader(
            rows,
            batch_size=args.eval_batch_size,
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            prefetch_factor=args.dataloader_prefetch_factor,
            multiprocessing_context=args.dataloader_multiprocessing_context,
        )
        return self.accelerator.prepare(loader)

    def _get_num_items_in_batch(
        self, batch_samples: list[dict[str, Tensor]], device: torch.device
    ) -> Tensor | int | None:
        """As Trainer's, which counts all labels but -100."""
        labels = [batch["labels"] for batch in batch_samples]
        if isinstance(self.network, ComponentSegmenter):
            # A number for each group, of which the loss is the mean.
            groups = zip(*(each.unbind(1) for each in labels), strict=True)
            counts = [self._count_items(list(group), device) for group in groups]
            return torch.cat([torch.atleast_1d(torch.as_tensor(each)) for each in counts], dim=-1)
        return self._count_items(labels, device)

    def _count_items(self, labels: list[Tensor], device: torch.device) -> Any:
        counted = [{"labels": each.to(torch.int16).masked_fill(each == IGNORED, -100)} for each in labels]
        return super()._get_num_items_in_batch(counted, device)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Mapping[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The network's loss on a batch of integers, augmented and normalised on the batch's device."""
        pixel_values, labels, pairs = inputs["pixel_values"], inputs["labels"], inputs.get("pairs")
        if self.augmentation and model.training:
            pixel_values, labels = augmented(pixel_values, labels, pairs, inputs.get("patches"))
        prepared = {
            "pixel_values": laid_out_for(
                self.network.config.model_type, self.image_processor(pixel_values).pixel_values
            ),
            "labels": labels.to(torch.int64),
            **({} if pairs is None else {"pairs": pairs}),
        }
        if "years" in inputs:
            years, mask = calendar_of(inputs["years"])
            prepared |= {"years": years, **({} if mask is None else {"mask": mask})}
        return super().compute_loss(model, prepared, return_outputs, num_items_in_batch)

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[None, Tensor, Any]:
        """Predict the maps of a batch of series.

        Args:
            model: The network with its wrappers.
            inputs: A batch of series from the collator.
            prediction_loss_only: Ignored, as series have no loss.
            ignore_keys: Ignored.

        Returns:
            No loss; maps uint8 (batch, years or pairs, height, width), 255 in pixels that the patch does not
            own and in missing years; and labels: references (batch, years, height, width) alike, site
            (batch,), years (batch, years). All have the sample as their first dimension, so that several
            processes can gather them and drop the samples that fill the last batch.
        """
        inputs = self._prepare_inputs(inputs)
        self.settle_divided_network()
        own, years = inputs["own"], inputs["years"]
        # Accelerate's autocast wraps `forward` alone, which a change detector does not go through here.
        with self.accelerator.autocast():
            maps = predict_series(
                self.network,
                self.image_processor,
                inputs["pixel_values"],
                task=self.scores.task,
                years=years,
            )
        present = years >= 0
        if self.scores.task == CHANGE_DETECTION:
            present = present[:, [second for _, second in year_pairs(years.shape[1])]]
        maps = without_unowned(maps.masked_fill(~present[..., None, None], IGNORED), own)
        references = without_unowned(inputs["labels"], own)
        return None, maps, (references, inputs["site"], years)

    def settle_divided_network(self) -> None:
        """Let `predict_series` and checkpoints work on a network whose weights FSDP2 has divided.

        FSDP2 gathers the weights for `forward`; this registers `predict_series` as well. It also gives the
        network a class of its own, which no checkpoint could name; this restores the name.
        """
        network = self.network
        if not isinstance(network, FSDPModule):
            return
        divided = type(network)
        # fully_shard puts its class and FSDPModule before the network's own.
        own = divided.__mro__[2]
        divided.__module__, divided.__name__, divided.__qualname__ = (
            own.__module__,
            own.__name__,
            own.__qualname__,
        )
        if hasattr(network, "predict_series") and "predict_series" not in vars(network):
            register_fsdp_forward_method(network, "predict_series")

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """As Trainer's, also for networks whose tensors have other names on disk."""
        self._resumed_from = Path(resume_from_checkpoint)
        if isinstance(self.model, FSDPModule) or self.is_deepspeed_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        load_weights(self.network, resume_from_checkpoint)

    def _load_best_model(self) -> None:
        """As Trainer's, also for networks whose tensors have other names on disk."""
        if isinstance(self.model, FSDPModule) or self.is_deepspeed_enabled:
            super()._load_best_model()
            return
        best = str(self.state.best_model_checkpoint)
        logger.info(
            "Loading the best checkpoint, %s (%s %.4f).",
            best,
            self.args.metric_for_best_model,
            self.state.best_metric,
        )
        load_weights(self.network, best)

    def _get_output_dir(self, trial: Any) -> str:
        return super()._get_output_dir(trial) if self._staging is None else str(self._staging)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """As Trainer's, in a staging folder first: `checkpoint-N` is complete or does not exist."""
        output_dir = Path(super()._get_output_dir(trial))
        staging = output_dir / checkpoints.STAGING
        name = f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            checkpoints.remove(staging)
            staging.mkdir(parents=True)
        self.accelerator.wait_for_everyone()
        with files.explain_full_disk(output_dir, name):
            self._staging = staging
            try:
                super()._save_checkpoint(model, trial)
            finally:
                self._staging = None
            # Trainer has looked for the best checkpoint in the staging folder.
            best = output_dir / f"checkpoint-{self.state.best_global_step}"
            if best.name == name or best.is_dir():
                self.state.best_model_checkpoint = str(best)
            unlogged = float(self.accelerator.gather(self._tr_loss).mean())
            if self.args.should_save:
                files.write_json(
                    staging / name / _UNLOGGED, {"loss": unlogged, "since": self._globalstep_last_logged}
                )
                self.state.save_to_json(str(staging / name / TRAINER_STATE_NAME))
                checkpoints.publish(staging / name, output_dir / name)
                checkpoints.remove(staging)
                checkpoints.rotate(output_dir, self.args.save_total_limit, self.state.best_model_checkpoint)
        self.accelerator.wait_for_everyone()

    def restore_unlogged_loss(self) -> None:
        """Restore the sum of losses between the last log and the checkpoint."""
        path = None if self._resumed_from is None else self._resumed_from / _UNLOGGED
        if path is None or not path.is_file():  # of an earlier version
            return
        stored = read_values(dict[str, float | None], path)
        loss = stored["loss"] if stored["loss"] is not None else math.nan
        self._tr_loss = torch.tensor(loss, device=self.args.device)
        self._globalstep_last_logged = int(stored["since"])

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Do nothing: `hub_push.py` has made the repository and sends the finished model there."""
        self.hub_model_id: str | None = self.args.hub_model_id  # type: ignore[assignment]

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Do nothing: no checkpoint is published."""

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As Trainer's; without `output_dir`, each file of the final model is written atomically."""
        self.settle_divided_network()
        if output_dir is not None:
            super().save_model(output_dir, _internal_call)
            return
        final = Path(super()._get_output_dir(None))
        staging = final / checkpoints.STAGING
        with files.explain_full_disk(final, "the model"):
            super().save_model(str(staging), _internal_call=True)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                # A pickle with the paths of this machine; run.json has the arguments.
                (staging / TRAINING_ARGS_NAME).unlink()
                own_files.place(staging, final)
                checkpoints.remove(staging)
        self.accelerator.wait_for_everyone()

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: Trainer's card would replace the project's own."""


def load_weights(model: PreTrainedModel, folder: str) -> None:
    """Load a checkpoint's weights into an existing network.

    Trainer loads the file directly and silently skips tensors with other names there, such as all of
    SegFormer's. `from_pretrained` translates the names.

    Args:
        model: The network.
        folder: A checkpoint of the same network.

    Raises:
        ModelError: A tensor is missing or left over.
    """
    loading: Any = type(model).from_pretrained(folder, dtype=model.dtype, output_loading_info=True)
    loaded, found = loading
    problems = {name: sorted(keys) for name, keys in found.items() if name.endswith("_keys") and keys}
    if problems:
        raise ModelError(f"{folder}: found {problems}; expected a checkpoint of this network.")
    model.load_state_dict(loaded.state_dict())


def data_seed(args: TrainingArguments) -> int:
    """The seed of the order of rows."""
    return args.seed if args.data_seed is None else args.data_seed


class _UnloggedLoss(TrainerCallback):
    """Restores a checkpoint's unlogged losses when training begins, as Trainer resets them before."""

    def __init__(self, trainer: SeriesTrainer) -> None:
        self.trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.trainer.restore_unlogged_loss()


class _Draws(TrainerCallback):
    """Makes everything random depend on the seed, the epoch and the step alone."""

    def __init__(self, sampler: EpochSampler) -> None:
        self.sampler = sampler

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.sampler.set_epoch(int(state.epoch))

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        sequence = np.random.SeedSequence([args.seed, state.global_step, args.process_index])
        seeds = sequence.generate_state(3)
        random.seed(int(seeds[0]))
        np.random.seed(int(seeds[1]))  # noqa: NPY002 - for libraries that draw from it
        torch.manual_seed(int(seeds[2]))
