"""Footprint mappers inside other networks, as fields of these networks' configurations."""

import json
from collections.abc import Mapping
from typing import Any

from transformers import AutoConfig, AutoModelForSemanticSegmentation, PreTrainedConfig, PreTrainedModel

from .native import NATIVE_SEGMENTERS
from .segmenters import SEGMENTERS

# These fields describe the mapper's own checkpoint.
_OF_CHECKPOINTS = ("_name_or_path", "architectures", "auto_map", "transformers_version")


def inputs_of(config: PreTrainedConfig) -> dict[str, Any]:
    """`bands` of a mapper's configuration, or `num_channels` where its bands have no names.

    Raises:
        ValueError: The configuration has neither.
    """
    bands, channels = getattr(config, "bands", None), getattr(config, "num_channels", None)
    if bands is None and channels is None:
        raise ValueError(
            f"segmenter: found neither bands nor num_channels in its {config.model_type} configuration; "
            "expected one of them."
        )
    return {"num_channels": channels} if bands is None else {"bands": bands}


def wrapped_fields(config: PreTrainedConfig, bands: tuple[str, ...] | list[str] | None) -> dict[str, Any]:
    """A mapper's configuration as a field of another one.

    Args:
        config: The mapper's configuration.
        bands: Names of its input channels.
    """
    fields = {name: value for name, value in config.to_dict().items() if name not in _OF_CHECKPOINTS}
    # As a checkpoint's JSON returns it: keys are strings there.
    plain: dict[str, Any] = json.loads(json.dumps({**fields, "bands": list(bands or ())}))
    return plain


def fresh_segmenter(fields: Mapping[str, Any] | None) -> PreTrainedModel:
    """The mapper of `wrapped_fields`, with fresh weights.

    Raises:
        ValueError: The fields name no type of network.
    """
    fields = dict(fields or {})
    model_type = fields.pop("model_type", None)
    if model_type is None:
        raise ValueError("segmenter: found no model_type; expected the configuration of a footprint mapper.")
    for network in SEGMENTERS.values():
        if network.config_class.model_type == model_type:
            return network(network.config_class(**fields))
    for native in NATIVE_SEGMENTERS.values():
        if native.model_class.config_class.model_type == model_type:
            return native.model_class(native.model_class.config_class(**fields))
    fresh: PreTrainedModel = AutoModelForSemanticSegmentation.from_config(
        AutoConfig.for_model(model_type, **fields)
    )
    return fresh


def keep_weights(segmenter: PreTrainedModel) -> PreTrainedModel:
    """Mark a mapper's modules, whose weights the `post_init` of a network around it might draw again."""
    for module in segmenter.modules():
        module._is_hf_initialized = True  # type: ignore[assignment]
    return segmenter
