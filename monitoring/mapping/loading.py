"""A trained network of a person: from a folder or the Hub, with the image processor saved beside it."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoImageProcessor, AutoModelForSemanticSegmentation, PreTrainedModel

from euromine.modeling import (
    CHANGE_DETECTION,
    SEGMENTATION,
    AutoModelForChangeDetection,
    EuroMineImageProcessor,
)
from euromine.support.errors import ModelError

# What the libraries raise over a checkpoint that is torn, incomplete or of something else.
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError, StrictDataclassError)


@dataclass(frozen=True)
class LoadedModel:
    """A network ready to predict.

    Attributes:
        source: Where it came from: a folder or a Hub repository.
        task: "segmentation" or "change-detection".
        model: In evaluation mode.
        image_processor: Saved with it.
    """

    source: str
    task: str
    model: PreTrainedModel
    image_processor: EuroMineImageProcessor


def load_model(
    source: str | os.PathLike[str], *, task: str | None = None, device: str | torch.device | None = None
) -> LoadedModel:
    """A network and its image processor, by transformers' Auto classes.

    No code that a checkpoint carries is run.

    Args:
        source: A folder, or a repository of the Hub.
        task: "segmentation" or "change-detection" if only one of them will do.
        device: Where to; by default a GPU if there is one.

    Raises:
        ModelError: There is no such model, it is damaged, or one of another kind.
    """
    name = os.fspath(source)
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    except _UNREADABLE as error:
        raise ModelError(
            f"{name}: no model can be loaded from it ({_first_line(error)}); expected a folder with "
            "config.json "
            f"and model.safetensors, or a repository of the Hub."
        ) from error
    classes = {
        SEGMENTATION: AutoModelForSemanticSegmentation,
        CHANGE_DETECTION: AutoModelForChangeDetection,
    }
    found = [each for each, auto_class in classes.items() if type(config) in _models_of(auto_class)]
    if not found:
        raise ModelError(
            f"{name}: is a {config.model_type}, which neither maps footprints nor finds changes; expected a "
            f"checkpoint of train_seg.py or train_cd.py."
        )
    if task is not None and task not in found:
        told = {SEGMENTATION: "maps footprints", CHANGE_DETECTION: "finds changes between two years"}
        raise ModelError(
            f"{name}: is a {config.model_type}, which {told[found[0]]}; expected one that {told[task]}."
        )
    try:
        processor = AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
        if not isinstance(processor, EuroMineImageProcessor):
            raise ModelError(
                f"{name}: was saved with a {type(processor).__name__}; expected the "
                "EuroMineImageProcessor of a "
                f"network for the bands of Sentinel-2."
            )
        model = classes[found[0]].from_pretrained(name, trust_remote_code=False)
    except ModelError:
        raise
    except _UNREADABLE as error:
        raise ModelError(
            f"{name}: its model or image processor cannot be loaded ({_first_line(error)}); expected a whole "
            f"checkpoint with config.json, model.safetensors and preprocessor_config.json."
        ) from error
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return LoadedModel(name, found[0], model.eval().to(device), processor)


def model_digest(model: PreTrainedModel, image_processor: EuroMineImageProcessor) -> str:
    """A hash of all that a network's answers depend on: its weights, its settings and its processor's."""
    digest = hashlib.sha256()
    config = {key: value for key, value in model.config.to_dict().items() if not key.startswith("_")}
    for settings in (config, image_processor.to_dict()):
        digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _models_of(auto_class: Any) -> Any:
    """The models of an Auto class by configuration class: no public way asks for them."""
    return auto_class._model_mapping


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
