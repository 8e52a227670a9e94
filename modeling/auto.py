"""All architectures by name, and their registration with transformers' Auto classes."""

from collections import OrderedDict
from difflib import get_close_matches
from typing import Any

from transformers import AutoConfig, AutoModel, AutoModelForSemanticSegmentation, PreTrainedModel
from transformers.models.auto.auto_factory import _BaseAutoModelClass, _LazyAutoMapping
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from .base import MultispectralModel
from .change_detection import ChangeDetector
from .fc_ef import FCEFForChangeDetection
from .fcnpp import FCNPPForChangeDetection
from .hanet import HANetForChangeDetection
from .mspsnet import MSPSNetForChangeDetection
from .resunet import ResUNetForChangeDetection
from .siamunet_conc import SiamUNetConcForChangeDetection
from .siamunet_diff import SiamUNetDiffForChangeDetection
from .snunet import SNUNetForChangeDetection
from .tinycd import TinyCDForChangeDetection

SEGMENTATION = "segmentation"
CHANGE_DETECTION = "change-detection"

# One line a network.
SEGMENTERS: dict[str, type[MultispectralModel]] = {}
CHANGE_DETECTORS: dict[str, type[ChangeDetector]] = {
    "fc-ef": FCEFForChangeDetection,
    "fcnpp": FCNPPForChangeDetection,
    "hanet": HANetForChangeDetection,
    "mspsnet": MSPSNetForChangeDetection,
    "resunet": ResUNetForChangeDetection,
    "siamunet-conc": SiamUNetConcForChangeDetection,
    "siamunet-diff": SiamUNetDiffForChangeDetection,
    "snunet": SNUNetForChangeDetection,
    "tinycd": TinyCDForChangeDetection,
}


class AutoModelForChangeDetection(_BaseAutoModelClass):
    """Loads any of the change detectors by its configuration, as transformers' Auto classes do."""

    _model_mapping = _LazyAutoMapping(CONFIG_MAPPING_NAMES, OrderedDict())


def register(model_class: type[MultispectralModel], task: str) -> None:
    """Make a network known to transformers: its configuration, AutoModel and the task's Auto class.

    A checkpoint that it saves carries its own code, so that `trust_remote_code=True` loads it elsewhere.
    """
    config_class = model_class.config_class
    AutoConfig.register(config_class.model_type, config_class, exist_ok=True)
    AutoModel.register(config_class, model_class, exist_ok=True)
    task_class = AutoModelForSemanticSegmentation if task == SEGMENTATION else AutoModelForChangeDetection
    task_class.register(config_class, model_class, exist_ok=True)
    config_class.register_for_auto_class()
    model_class.register_for_auto_class("AutoModel")


for _model_class in SEGMENTERS.values():
    register(_model_class, SEGMENTATION)
for _model_class in CHANGE_DETECTORS.values():
    register(_model_class, CHANGE_DETECTION)


def list_models(task: str | None = None) -> list[str]:
    """The names that `create_model` takes, sorted.

    Args:
        task: "segmentation", "change-detection", or None for both.

    Raises:
        ValueError: There is no such task.
    """
    by_task = {SEGMENTATION: list(SEGMENTERS), CHANGE_DETECTION: list(CHANGE_DETECTORS)}
    if task is None:
        return sorted(name for names in by_task.values() for name in names)
    if task not in by_task:
        raise ValueError(f"unknown task {task!r}, one of {', '.join(by_task)} was expected")
    return sorted(by_task[task])


def create_model(name: str, **config: Any) -> PreTrainedModel:
    """A network by its name, with fresh weights.

    Raises:
        ValueError: There is no network of this name.
    """
    networks = {**SEGMENTERS, **CHANGE_DETECTORS}
    if name not in networks:
        nearest = get_close_matches(name.lower(), networks, n=3, cutoff=0.4)
        hint = f"the nearest are {', '.join(nearest)}" if nearest else f"there are {', '.join(list_models())}"
        raise ValueError(f"unknown architecture {name!r}: {hint}")
    model_class = networks[name]
    return model_class(model_class.config_class(**config))
