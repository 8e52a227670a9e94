"""Architectures by name, and their registration with transformers' Auto classes."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from difflib import get_close_matches
from os import PathLike, fspath
from typing import Any

from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSemanticSegmentation,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.models.auto.auto_factory import _BaseAutoModelClass, _LazyAutoMapping

# Public, but a lazy mapping that the module does not list.
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES  # type: ignore[attr-defined]
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING

from .a2net import A2NetForChangeDetection
from .afcf3d import AFCF3DForChangeDetection
from .bands import checked_bands
from .base import MultispectralModel
from .bit import BITForChangeDetection
from .cgnet import CGNetForChangeDetection
from .change_detection import ChangeDetector
from .changeformer import ChangeFormerForChangeDetection
from .component_segmenter import ComponentSegmenter, checked_label_groups, count_logits
from .configuration import MultispectralConfig
from .conversion import convert_reference
from .dminet import DMINetForChangeDetection
from .dtcdscn import DTCDSCNForChangeDetection
from .fc_ef import FCEFForChangeDetection
from .fcnpp import FCNPPForChangeDetection
from .hanet import HANetForChangeDetection
from .hcgmnet import HCGMNetForChangeDetection
from .icifnet import ICIFNetForChangeDetection
from .image_processing import EuroMineImageProcessor
from .mspsnet import MSPSNetForChangeDetection
from .native import NATIVE_SEGMENTERS, NativeSegmenter
from .post_classification import PostClassification
from .pretrained import check_weights
from .rdpnet import RDPNetForChangeDetection
from .resunet import ResUNetForChangeDetection
from .segmenters import SEGMENTERS as SEGMENTERS
from .series_model import SeriesModel
from .series_network import EuroMineSeries
from .siamunet_conc import SiamUNetConcForChangeDetection
from .siamunet_diff import SiamUNetDiffForChangeDetection
from .snunet import SNUNetForChangeDetection
from .stem import check_stem_rule
from .tasks import CHANGE_DETECTION as CHANGE_DETECTION
from .tasks import SEGMENTATION as SEGMENTATION
from .tasks import SERIES as SERIES
from .tfi_gr import TFIGRForChangeDetection
from .tinycd import TinyCDForChangeDetection
from .utae import UTAE

# One line per network; the footprint mappers are in `segmenters.py`.
CHANGE_DETECTORS: dict[str, type[ChangeDetector]] = {
    "a2net": A2NetForChangeDetection,
    "afcf3d": AFCF3DForChangeDetection,
    "bit": BITForChangeDetection,
    "cgnet": CGNetForChangeDetection,
    "changeformer": ChangeFormerForChangeDetection,
    "dminet": DMINetForChangeDetection,
    "dtcdscn": DTCDSCNForChangeDetection,
    "fc-ef": FCEFForChangeDetection,
    "fcnpp": FCNPPForChangeDetection,
    "hanet": HANetForChangeDetection,
    "hcgmnet": HCGMNetForChangeDetection,
    "icifnet": ICIFNetForChangeDetection,
    "mspsnet": MSPSNetForChangeDetection,
    "rdpnet": RDPNetForChangeDetection,
    "resunet": ResUNetForChangeDetection,
    "siamunet-conc": SiamUNetConcForChangeDetection,
    "siamunet-diff": SiamUNetDiffForChangeDetection,
    "snunet": SNUNetForChangeDetection,
    "tfi-gr": TFIGRForChangeDetection,
    "tinycd": TinyCDForChangeDetection,
}


# Networks that see all years of a place: class and fields that differ from the class's defaults.
SERIES_NETWORKS: dict[str, tuple[type[SeriesModel], dict[str, Any]]] = {
    "euromine-series-b0": (EuroMineSeries, {"encoder": "mit-b0"}),
    "euromine-series-b1": (EuroMineSeries, {"encoder": "mit-b1"}),
    "euromine-series-b2": (EuroMineSeries, {"encoder": "mit-b2"}),
    "euromine-series-convnext-tiny": (EuroMineSeries, {"encoder": "convnext-tiny"}),
    "euromine-series-resnet50": (EuroMineSeries, {"encoder": "resnet50"}),
    "utae": (UTAE, {}),
}


class AutoModelForChangeDetection(_BaseAutoModelClass):
    """Loads a change detector by its configuration, as transformers' Auto classes do."""

    # None in the base class.
    _model_mapping = _LazyAutoMapping(CONFIG_MAPPING_NAMES, OrderedDict())  # type: ignore[assignment]


class AutoModelForSeries(_BaseAutoModelClass):
    """Loads a network for whole series by its configuration, as transformers' Auto classes do."""

    # None in the base class.
    _model_mapping = _LazyAutoMapping(CONFIG_MAPPING_NAMES, OrderedDict())  # type: ignore[assignment]


_AUTO_CLASSES: dict[str, Any] = {
    SEGMENTATION: AutoModelForSemanticSegmentation,
    CHANGE_DETECTION: AutoModelForChangeDetection,
    SERIES: AutoModelForSeries,
}


def register(model_class: type[MultispectralModel], task: str | None) -> None:
    """Register a network with AutoConfig, AutoModel and the Auto class of its task, if it has one.

    Its checkpoints then include its code, so that `trust_remote_code=True` loads them without this package.
    """
    config_class = model_class.config_class
    AutoConfig.register(config_class.model_type, config_class, exist_ok=True)
    AutoModel.register(config_class, model_class, exist_ok=True)
    if task is not None:
        _AUTO_CLASSES[task].register(config_class, model_class, exist_ok=True)
    config_class.register_for_auto_class()
    model_class.register_for_auto_class("AutoModel")


for _model_class in SEGMENTERS.values():
    register(_model_class, SEGMENTATION)
for _model_class in CHANGE_DETECTORS.values():
    register(_model_class, CHANGE_DETECTION)
register(PostClassification, CHANGE_DETECTION)
for _series_class in {network for network, _ in SERIES_NETWORKS.values()}:
    register(_series_class, SERIES)
# Its logits are those of several segmentations, which no code for a single one could use.
register(ComponentSegmenter, None)

# One processor serves all networks; checkpoints of transformers' own include it as remote code, too.
EuroMineImageProcessor.register_for_auto_class()
# Before transformers 5.23 `AutoImageProcessor.register` needs torchvision, so this does its work; the
# mapping is typed for other values.
_processors: Any = {"pil": EuroMineImageProcessor, "torchvision": EuroMineImageProcessor}
IMAGE_PROCESSOR_MAPPING.register(MultispectralConfig, _processors, exist_ok=True)


def list_models(task: str | None = None) -> list[str]:
    """Names that `create_model` accepts, sorted.

    Args:
        task: "segmentation", "change-detection" or "series"; None for all.

    Raises:
        ValueError: The task is unknown.
    """
    by_task = {
        SEGMENTATION: [*SEGMENTERS, *NATIVE_SEGMENTERS],
        CHANGE_DETECTION: list(CHANGE_DETECTORS),
        SERIES: list(SERIES_NETWORKS),
    }
    if task is None:
        return sorted(name for names in by_task.values() for name in names)
    if task not in by_task:
        raise ValueError(f"task: found {task!r}; expected {', '.join(map(repr, by_task))} or None.")
    return sorted(by_task[task])


def create_model(
    name: str,
    *,
    bands: Sequence[str] | None = None,
    pretrained: bool | str | PathLike[str] = False,
    stem_init: str | None = "semantic",
    label_groups: Mapping[str, Sequence[str]] | None = None,
    **config: Any,
) -> PreTrainedModel:
    """Create a network by name, for any bands.

    Args:
        name: One of `list_models()`.
        bands: Names of the input channels, in the order of `pixel_values`; default EuroMineNet's ten, or
            band_1, band_2, ... if `num_channels` is given.
        pretrained: False for fresh weights; True for the weights that the benchmark starts from; or a Hub
            repository, local folder or file with a checkpoint of this architecture or of its encoder.
        stem_init: How to adapt a first layer for red, green and blue to `bands`: "semantic", "cyclic" or
            "random" (`stem.py`); None if the checkpoint is for these bands.
        label_groups: Classes of each group of components, by the group's name, for a `ComponentSegmenter`
            around the footprint mapper `name`.
        **config: Other fields of the network's configuration.

    Returns:
        The network in training mode.

    Raises:
        ValueError: The name, a band or a field is unknown, the checkpoint does not fit, or the network cannot
            map groups of components.
        OSError: The checkpoint cannot be found or read.
    """
    if name not in (names := list_models()):
        nearest = get_close_matches(str(name).lower(), names, n=3, cutoff=0.4)
        hint = f" (did you mean {' or '.join(nearest)}?)" if nearest else ""
        raise ValueError(
            f"name: found unknown architecture {name!r}{hint}; expected one of {', '.join(names)}."
        )
    check_stem_rule(stem_init)
    groups = None if label_groups is None else checked_label_groups(label_groups)
    if groups is not None:
        _check_maps_groups(name, config)
        config["num_labels"] = count_logits(groups)
    given = None if bands is None else checked_bands(bands)
    inputs = MultispectralConfig(bands=given, num_channels=config.pop("num_channels", None)).bands or ()
    with _usable_fields(name, config):
        model = _network(name, inputs, config)
    if groups is not None:
        model = ComponentSegmenter(model, groups)
    if pretrained is not False:
        published = published_weights(name, model)
        if pretrained is True and not published:
            raise ValueError(
                f"pretrained: found True; expected False or a checkpoint, as {name} has no published weights."
            )
        for source in published if pretrained is True else (fspath(pretrained),):
            check_weights(source)
            model.load_pretrained(source, stem_init)
    return model


def _network(
    name: str, inputs: tuple[str, ...] | list[str], config: Mapping[str, Any]
) -> MultispectralModel | NativeSegmenter:
    """A network with fresh weights."""
    if native := NATIVE_SEGMENTERS.get(name):
        _check_fields(name, native.model_class.config_class, config, native.own_fields)
        return native.model_class(native.config(inputs, **config))
    model_class, fields_of_name = _own_network(name)
    _check_fields(name, model_class.config_class, config)
    return model_class(model_class.config_class(bands=inputs, **{**fields_of_name, **config}))


@contextmanager
def _usable_fields(name: str, config: Mapping[str, Any]) -> Iterator[None]:
    """Raise the errors of layers that cannot have a caller's fields as errors of these fields."""
    try:
        yield
    except ValueError:
        raise
    except Exception as error:
        if not config:
            raise  # a bug of ours
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{name}: found fields {dict(config)} with which no network can be made "
            f"({type(error).__name__}: {reason}); expected values like those of its default configuration."
        ) from error


def _check_maps_groups(name: str, config: Mapping[str, Any]) -> None:
    """Refuse label groups for other networks than footprint mappers, and beside a number of classes."""
    if name not in SEGMENTERS and name not in NATIVE_SEGMENTERS:
        raise ValueError(
            f"label_groups: found them with {name}; expected a footprint mapper, one of "
            f"{', '.join(list_models(SEGMENTATION))}."
        )
    if given := {"num_labels", "id2label", "label2id"} & set(config):
        raise ValueError(
            f"{min(given)}: found it beside label_groups, which give the classes; expected one of both."
        )


def _own_network(name: str) -> tuple[type[MultispectralModel], dict[str, Any]]:
    """The class of a network written for this project, and its fields under this name."""
    if name in SERIES_NETWORKS:
        return SERIES_NETWORKS[name]
    return (SEGMENTERS[name] if name in SEGMENTERS else CHANGE_DETECTORS[name]), {}


def published_weights(name: str, model: PreTrainedModel) -> tuple[str, ...]:
    """Hub repositories of the weights that `create_model(name, pretrained=True)` loads, if any.

    Args:
        name: One of `list_models()`.
        model: The network of this name, whose encoder's depth may select the weights.
    """
    if native := NATIVE_SEGMENTERS.get(name):
        return (native.checkpoint,)
    return model.checkpoints if isinstance(model, MultispectralModel) else ()


def convert_state_dict(name: str, reference: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the state dict of the published network `name` to this package's names.

    Args:
        name: A network that reproduces a published one, such as "tinycd" or "unet".
        reference: The published network's state dict, complete.

    Raises:
        ValueError: The name is unknown, or the state dict is of another network.
    """
    networks = {**SEGMENTERS, **CHANGE_DETECTORS}
    if name not in networks or not networks[name].reference_keys:
        names = sorted(each for each, network in networks.items() if network.reference_keys)
        raise ValueError(f"name: found {name!r}; expected a published network: {', '.join(names)}.")
    return convert_reference(networks[name], reference)


def _check_fields(
    name: str, config_class: type[PreTrainedConfig], given: Mapping[str, Any], own_fields: Sequence[str] = ()
) -> None:
    """Refuse unknown fields, which a configuration would keep but never read."""
    known = {each.name for each in fields(config_class)} | {
        *config_class.attribute_map,
        *own_fields,
        "num_labels",
    }
    for field in given:
        if field not in known:
            nearest = get_close_matches(field, known, n=3, cutoff=0.5)
            hint = f" (did you mean {' or '.join(nearest)}?)" if nearest else ""
            raise ValueError(
                f"{name}: found unknown field {field!r}{hint}; expected fields of {config_class.__name__}."
            )
