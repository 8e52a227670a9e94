"""A trained model and its image processor, from a folder or the Hub."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download, is_offline_mode
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    StrictDataclassError,
)
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForSemanticSegmentation,
    PreTrainedConfig,
    PreTrainedModel,
)

from euromine.modeling import (
    CHANGE_DETECTION,
    SEGMENTATION,
    SERIES,
    AutoModelForChangeDetection,
    AutoModelForSeries,
    EuroMineImageProcessor,
)
from euromine.modeling.component_segmenter import ComponentSegmenterConfig
from euromine.modeling.segformer import use_quick_layers
from euromine.modeling.weight_sources import ask_hub_once
from euromine.support.errors import ArgumentError, ModelError, RecordError
from euromine.support.model_sources import CONFIG, PROCESSOR_CONFIG, check_model_source, missing_file
from euromine.support.records import Record, read_record
from euromine.support.weight_files import weight_files

from .checkpoint_files import HTTP_ERROR, checkpoint_file

_WEIGHTS = "the complete model.safetensors that belongs to config.json"
_CHECKPOINT = "a checkpoint of train_seg.py or train_cd.py"
_REDIRECTIONS = {
    "adapter_config.json": "an adapter, which needs another model",
    "processor_config.json": "settings that outrank preprocessor_config.json",
}
_DOES = {
    SEGMENTATION: "maps footprints",
    CHANGE_DETECTION: "finds changes between two years",
    SERIES: "maps all years of a place at once",
}
_AUTO_CLASSES: dict[str, Any] = {
    SEGMENTATION: AutoModelForSemanticSegmentation,
    CHANGE_DETECTION: AutoModelForChangeDetection,
    SERIES: AutoModelForSeries,
}


# transformers and the networks' constructors do not check the fields of a checkpoint's files. Those that
# `_Config` and `_ProcessorConfig` do not check either raise one of these errors on first use.
_UNCHECKED = (TypeError, AttributeError, LookupError, ArithmeticError, AssertionError)


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to predict.

    Attributes:
        source: The folder or Hub repository that it was loaded from.
        task: "segmentation", "change-detection" or "series".
        model: In evaluation mode.
        image_processor: Saved with the model.
    """

    source: str
    task: str
    model: PreTrainedModel
    image_processor: EuroMineImageProcessor


def load_model(
    source: str | os.PathLike[str], *, task: str | None = None, device: str | torch.device | None = None
) -> LoadedModel:
    """Load a model and its image processor by transformers' Auto classes.

    Code in a checkpoint is never run.

    Args:
        source: A folder, or a repository on the Hub.
        task: "segmentation", "change-detection" or "series" to refuse others. Networks for series map
            footprints, too, so "segmentation" takes them.
        device: The device to use; None for a GPU if there is one.

    Raises:
        ModelError: There is no such checkpoint, it is incomplete or damaged, or is not of the task.
        ArgumentError: The device cannot be used.
        OSError: The Hub cannot be reached, or denies access.
    """
    if not isinstance(source, str | os.PathLike) or not os.fspath(source):
        raise ModelError(f"model: found {source!r}; expected a folder or a repository on the Hub.")
    name = os.fspath(source)
    place = usable_device(device)
    check_model_source(name)
    config = _load_config(name)
    found = _task_of(name, config)
    if task is not None and task != found and (task, found) != (SEGMENTATION, SERIES):
        raise ModelError(
            f"{name}: found a {config.model_type}, which {_DOES[found]}; expected a model that {_DOES[task]}."
        )
    image_processor = _load_image_processor(name)
    model = _load_weights(name, _auto_class(config, found)).eval()
    try:
        model = model.to(place)
    except RuntimeError as error:  # too little memory
        raise _useless_device(place, error) from error
    return LoadedModel(name, found, model, image_processor)


def model_digest(model: PreTrainedModel, image_processor: EuroMineImageProcessor) -> str:
    """A SHA-256 of a model's weights, configuration and image processor."""
    digest = hashlib.sha256()
    config = {key: value for key, value in model.config.to_dict().items() if not key.startswith("_")}
    # The level changes no map, and the processors of earlier versions have none.
    processor = {key: value for key, value in image_processor.to_dict().items() if key != "level"}
    for settings in (config, processor):
        digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def usable_device(device: str | torch.device | None) -> torch.device:
    """The device to compute on, tried once, as torch also accepts names of devices that are not there.

    Raises:
        ArgumentError: It cannot be computed on.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        if place.type == "meta":
            raise _useless_device(place, "it holds no numbers")
        (torch.ones(1, device=place) + 1).item()
    # AssertionError: torch was built without CUDA. ImportError: the device's library is missing.
    except (RuntimeError, AssertionError, ImportError, TypeError) as error:
        raise _useless_device(device, error) from error
    return place


def _useless_device(device: Any, reason: Exception | str) -> ArgumentError:
    words = reason if isinstance(reason, str) else _first_line(reason)
    return ArgumentError(
        f"device: found {str(device)!r}, which cannot be used ({words}); expected a device of this machine, "
        "such as cpu or cuda."
    )


def _file(name: str, file: str) -> Path:
    """A file that every checkpoint has.

    The Hub is asked here, because transformers' loaders report a Hub out of reach as a missing file.

    Raises:
        ModelError: There is no such folder or repository, or it has no such file.
        OSError: The Hub cannot be reached, or denies access.
    """
    if Path(name).is_dir():
        if not (Path(name) / file).is_file():
            raise missing_file(name, file)
        return Path(name) / file
    try:
        ask_hub_once(name, file)
        return Path(hf_hub_download(name, file))
    except HFValidationError as error:
        raise ModelError(f"{name}: found no such folder; expected {_CHECKPOINT}.") from error
    except GatedRepoError as error:
        raise OSError(
            f"{name}: the Hub denies access ({_first_line(error)}). Accept the repository's terms on its "
            "page and log in with hf auth login."
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"{name}: found no such folder, nor such a repository on the Hub; expected {_CHECKPOINT}. "
            "Log in with hf auth login if the repository is private."
        ) from error
    except LocalEntryNotFoundError as error:
        raise _unreachable(name, error.__cause__ or error) from error
    except EntryNotFoundError as error:
        raise missing_file(name, file) from error
    except (HTTP_ERROR, OSError) as error:
        raise _unreachable(name, error) from error


def _unreachable(name: str, error: BaseException) -> OSError:
    if is_offline_mode():
        return OSError(
            f"{name}: there is no such folder, and the Hub's cache on this machine does not hold the model. "
            "Unset HF_HUB_OFFLINE to download it."
        )
    return OSError(
        f"{name}: there is no such folder, and the Hub cannot be reached ({_first_line(error)}). Check the "
        "connection, or give the folder of a checkpoint."
    )


@dataclass(frozen=True)
class _Config:
    """`config.json`, as far as it decides how the weights are loaded."""

    model_type: str
    architectures: list[str] | None = None
    auto_map: dict[str, Any] | None = None
    bands: list[str] | None = None
    dtype: str | None = None
    torch_dtype: str | None = None
    id2label: dict[str, str] | None = None
    label2id: dict[str, int] | None = None
    transformers_version: str | None = None
    quantization_config: Any = None
    attn_implementation: Any = None
    use_pretrained_backbone: bool | None = None
    backbone_config: dict[str, Any] | None = None


@dataclass(frozen=True)
class _ProcessorConfig:
    """`preprocessor_config.json`, whose numbers the processor itself checks further."""

    image_processor_type: str | None = None
    feature_extractor_type: str | None = None
    processor_class: str | None = None
    auto_map: dict[str, Any] | None = None
    bands: list[str] | None = None
    source_bands: list[str] | None = None
    statistics: str = ""
    mean: list[float] | None = None
    std: list[float] | None = None
    do_normalize: bool = True
    scale: float | None = None
    offset: float | None = None
    level: str | None = None


def _read(kind: type[Record], name: str, file: str) -> Record:
    """A JSON file of a checkpoint, with values of the right types: transformers takes them unchecked."""
    path = _file(name, file)
    try:
        return read_record(kind, path)
    except RecordError as error:
        reason = str(error).removeprefix(f"{path}: ").rstrip(".")
        raise ModelError(
            f"{name}: found a {file} that cannot be loaded ({reason}); expected {_CHECKPOINT}."
        ) from error


def _refuse_redirections(name: str) -> None:
    """Refuse files that make transformers load weights or settings that are not checked here."""
    for file, meaning in _REDIRECTIONS.items():
        if checkpoint_file(name, file, otherwise="the checkpoint is taken as it is") is not None:
            raise ModelError(f"{name}: found {meaning} ({file}); expected {_CHECKPOINT} without it.")


def _load_config(name: str) -> PreTrainedConfig:
    stored = _read(_Config, name, CONFIG)
    _refuse_redirections(name)
    if stored.quantization_config is not None:
        raise ModelError(
            f"{name}: found quantised weights; expected weights as train_seg.py and train_cd.py save them. "
            "Save the model without quantisation."
        )
    parts = (stored.attn_implementation, (stored.backbone_config or {}).get("attn_implementation"))
    if any("/" in str(part) for part in parts):
        raise ModelError(
            f"{name}: found a {CONFIG} that asks for a kernel from the Hub, which is code; expected one "
            "without attn_implementation. Remove that field."
        )
    if stored.use_pretrained_backbone:
        raise ModelError(
            f"{name}: found a {CONFIG} that asks for the weights of another model "
            f"(use_pretrained_backbone); expected {_WEIGHTS}."
        )
    try:
        return AutoConfig.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, StrictDataclassError, *_UNCHECKED) as error:
        raise _useless_config(name, error) from error


def _useless_config(name: str, error: BaseException) -> ModelError:
    return ModelError(
        f"{name}: found a {CONFIG} that cannot be loaded ({_first_line(error)}); expected {_CHECKPOINT}."
    )


def _task_of(name: str, config: PreTrainedConfig) -> str:
    if isinstance(config, ComponentSegmenterConfig):
        return SEGMENTATION
    for task, auto_class in _AUTO_CLASSES.items():
        if type(config) in _models_of(auto_class):
            return task
    raise ModelError(
        f"{name}: found a {config.model_type}, which neither maps footprints nor finds changes; "
        f"expected {_CHECKPOINT}."
    )


def _auto_class(config: PreTrainedConfig, task: str) -> Any:
    # The classes of a component model are those of several groups, of which the argmax has no meaning.
    return AutoModel if isinstance(config, ComponentSegmenterConfig) else _AUTO_CLASSES[task]


def _load_image_processor(name: str) -> EuroMineImageProcessor:
    _read(_ProcessorConfig, name, PROCESSOR_CONFIG)
    try:
        image_processor = AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, *_UNCHECKED) as error:
        raise ModelError(
            f"{name}: found a {PROCESSOR_CONFIG} that cannot be loaded ({_first_line(error)}); "
            f"expected {_CHECKPOINT}."
        ) from error
    if not isinstance(image_processor, EuroMineImageProcessor):
        raise ModelError(
            f"{name}: found a {type(image_processor).__name__}; expected the EuroMineImageProcessor that is "
            "saved with a checkpoint."
        )
    return image_processor


def _load_weights(name: str, auto_class: Any) -> PreTrainedModel:
    """The network with all of its weights: transformers would fill those that it does not find at random."""
    if Path(name).is_dir():
        weight_files(Path(name))
    try:
        model, report = auto_class.from_pretrained(
            name, trust_remote_code=False, use_safetensors=True, output_loading_info=True
        )
    # RuntimeError: weights of other sizes than the configuration's. ImportError: a library that it asks for.
    except _UNCHECKED as error:
        raise _useless_config(name, error) from error
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError, HTTP_ERROR) as error:
        for cause in _chain(error):
            if isinstance(cause, (LocalEntryNotFoundError, HTTP_ERROR)):
                raise _unreachable(name, cause) from error
        raise ModelError(
            f"{name}: found weights that cannot be loaded ({_first_line(error)}); expected {_WEIGHTS}."
        ) from error
    # Weights that are left over belong to another network, too, or to one with more layers.
    for keys, what in (("missing_keys", "no tensor"), ("unexpected_keys", "a tensor too many,")):
        if tensors := sorted(report[keys]):
            others = f" and {len(tensors) - 1} more" if len(tensors) > 1 else ""
            raise ModelError(
                f"{name}: found {what} {tensors[0]}{others} for a {model.config.model_type}; "
                f"expected {_WEIGHTS}."
            )
    use_quick_layers(model)
    return model


def _models_of(auto_class: Any) -> Any:
    """The models of an Auto class by configuration class, which transformers offers by no public name."""
    return auto_class._model_mapping


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    # The reason follows a heading: "Validation error for field 'hidden_sizes':".
    heading = lines[0] if len(lines) == 1 or not lines[0].endswith(":") else " ".join(lines[:2])
    return heading.rstrip(".:")
