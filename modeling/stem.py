"""Adapt a network for red, green and blue to any bands.

Only the first layer depends on the bands. "semantic" assigns its filters for red to B04, for green to B03 and
for blue to B02, and their mean to all other bands; "cyclic" (timm's rule) repeats them in turn; "random"
initialises the layer again, as in the benchmark. The first two are scaled by 3/n for n bands, so that outputs
keep their scale.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from .weight_sources import absent_weights

logger = logging.getLogger(__name__)

STEM_RULES = ("semantic", "cyclic", "random")

_COLOURS = {"B04": 0, "B03": 1, "B02": 2}
# Standard deviation of layers that a checkpoint lacks, in transformers.
_FRESH_STD = 0.02
# Fields that may differ between a checkpoint and a network: names, classes, inputs and training.
_FREE_FIELDS = {
    "_name_or_path",
    "architectures",
    "auxiliary_loss_weight",
    "bands",
    "batch_norm_momentum",
    "dtype",
    "id2label",
    "image_size",
    "label2id",
    "num_channels",
    "stem_init",
    "torch_dtype",
    "transformers_version",
}


def check_stem_rule(rule: str | None) -> None:
    """Refuse an unknown rule.

    Raises:
        ValueError: `rule` is neither None nor one of `STEM_RULES`.
    """
    if rule is not None and rule not in STEM_RULES:
        raise ValueError(f"stem_init: found {rule!r}; expected one of {', '.join(STEM_RULES)}.")


def inflate_stem(
    weight: Tensor, bands: Sequence[str], rule: str, generator: torch.Generator | None = None
) -> Tensor:
    """Turn a first layer's filters for red, green and blue into filters for `bands`.

    Args:
        weight: (out, 3, height, width), with channels red, green, blue.
        bands: Names of the new channels.
        rule: "semantic", "cyclic" or "random".
        generator: Random generator for "random".

    Returns:
        (out, len(bands), height, width) of the same type, on the same device.

    Raises:
        ValueError: The weight does not have three channels, or the rule is unknown.

    Source:
        "cyclic" is timm's `adapt_input_conv`, where a single channel gets the sum of the three.
    """
    check_stem_rule(rule)
    if weight.ndim != 4 or weight.shape[1] != 3:
        raise ValueError(f"weight: found the shape {tuple(weight.shape)}; expected (out, 3, height, width).")
    count = len(bands)
    if rule == "random":
        fresh = torch.empty(weight.shape[0], count, *weight.shape[2:])
        return fresh.normal_(0, _FRESH_STD, generator=generator).to(weight)
    if rule == "cyclic":
        if count == 1:
            return weight.sum(dim=1, keepdim=True)
        return weight.repeat(1, math.ceil(count / 3), 1, 1)[:, :count] * (3 / count)
    mean = weight.mean(dim=1)
    filters = [weight[:, _COLOURS[band]] if band in _COLOURS else mean for band in bands]
    return torch.stack(filters, dim=1) * (3 / count)


def find_stem(network: nn.Module, channels: int) -> str:
    """Name of a network's first layer: its only convolution with `channels` input channels.

    Raises:
        ValueError: There is no such convolution, or more than one.
    """
    names = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and module.in_channels == channels and module.groups == 1
    ]
    if len(names) != 1:
        found = ", ".join(names) if names else "none"
        raise ValueError(
            f"{type(network).__name__}: found {found}; expected one convolution for {channels} channels."
        )
    return names[0]


def load_checkpoint(
    network: PreTrainedModel,
    source: str,
    bands: Sequence[str],
    stem_init: str | None,
    classifiers: Sequence[str] = (),
    unused: Sequence[str] = (),
) -> None:
    """Load a checkpoint of the same architecture into a network, inflating its first layer.

    transformers reads the checkpoint into the network's own class, because tensor names in files and in
    memory may differ; there, the stem is the convolution with three channels.

    Args:
        network: A network for `bands`, whose weights are replaced.
        source: A Hub repository or a local folder.
        bands: Names of the network's input channels.
        stem_init: Rule for a checkpoint of three channels without band names: red, green, blue.
        classifiers: Prefixes of layers that depend on the classes and stay fresh if those differ.
        unused: Prefixes of layers that do not affect the output, which a checkpoint may lack.

    Raises:
        ValueError: The checkpoint is of another architecture or of other bands, lacks tensors, or needs a
            rule that was not given.
        OSError: The checkpoint cannot be found or read.
    """
    check_stem_rule(stem_init)
    stored = _stored_config(source)
    _check_architecture(network.config, stored, source)
    is_inflated = _is_inflated(stored, source, bands, stem_init)
    loaded: Any = type(network).from_pretrained(source, dtype=torch.float32, output_loading_info=True)
    original, report = loaded
    _warn_of_other_fields(original.config.to_dict(), network.config.to_dict(), source)
    tensors = original.state_dict()
    ours = network.state_dict()
    fresh = {key for key in ours if key.startswith(tuple(classifiers)) and _differ(ours, tensors, key)}
    if is_inflated:
        stem = f"{find_stem(original, 3)}.weight"
        tensors[stem] = inflate_stem(tensors[stem], bands, str(stem_init))
    misfits = [key for key in ours.keys() | tensors.keys() if _differ(ours, tensors, key)]
    lacking = [key for key in report["missing_keys"] if not key.startswith(tuple(unused))]
    _refuse(
        source, network, "unknown, missing or of another shape", [key for key in misfits if key not in fresh]
    )
    _refuse(source, network, "missing", [key for key in lacking if key not in fresh])
    if fresh:
        logger.info("%s has other classes; %s stay fresh.", source, ", ".join(sorted(fresh)))
    network.load_state_dict({key: ours[key] if key in fresh else tensors[key] for key in ours})


def _stored_config(source: str) -> dict[str, Any]:
    try:
        stored, _ = PreTrainedConfig.get_config_dict(source)
    except OSError as error:
        raise absent_weights(source, error) from error
    return dict(stored)


def _check_architecture(config: PreTrainedConfig, stored: Mapping[str, Any], source: str) -> None:
    """Compare the model types, including a backbone's."""
    ours, theirs = [config.model_type], [stored.get("model_type", "no known architecture")]
    if backbone := getattr(config, "backbone_config", None):
        ours.append(backbone.model_type)
        theirs.append((stored.get("backbone_config") or {}).get("model_type", ""))
    if theirs != ours:
        raise ValueError(
            f"{source}: found {' with '.join(filter(None, theirs))}; expected {' with '.join(ours)}."
        )


def _is_inflated(stored: Mapping[str, Any], source: str, bands: Sequence[str], stem_init: str | None) -> bool:
    """Whether the checkpoint's first layer is for red, green and blue and must be inflated."""
    if known := stored.get("bands"):
        if list(known) != list(bands):
            raise ValueError(
                f"{source}: found the bands {', '.join(known)}; expected those of the network: "
                f"{', '.join(bands)}."
            )
        return False
    # transformers omits its default, 3.
    channels = int((stored.get("backbone_config") or stored).get("num_channels", 3))
    if channels == 3:
        if stem_init is None:
            raise ValueError(
                f"{source}: found weights for red, green and blue, with stem_init None; "
                f"expected one of {', '.join(STEM_RULES)} for {len(bands)} bands."
            )
        return True
    if channels != len(bands):
        raise ValueError(f"{source}: found {channels} channels; expected {len(bands)}: {', '.join(bands)}.")
    logger.warning("%s does not name its bands; assuming %s.", source, ", ".join(bands))
    return False


def _refuse(source: str, network: PreTrainedModel, what: str, keys: Sequence[str]) -> None:
    """Raise an error if there are such tensors."""
    # Batch norms' counters, which a converted checkpoint may lack, do not affect the output.
    keys = sorted(key for key in keys if not key.endswith("num_batches_tracked"))
    if keys:
        raise ValueError(
            f"{source}: found {len(keys)} tensors {what} ({', '.join(keys[:3])}"
            f"{', ...' if len(keys) > 3 else ''}); expected those of this {network.config.model_type}."
        )


def _differ(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], key: str) -> bool:
    return key not in ours or key not in theirs or ours[key].shape != theirs[key].shape


def _warn_of_other_fields(theirs: Mapping[str, Any], ours: Mapping[str, Any], source: str) -> None:
    """Warn of other settings in the checkpoint, on which its weights may rely."""
    for key in sorted((theirs.keys() & ours.keys()) - _FREE_FIELDS):
        their, our = theirs[key], ours[key]
        if isinstance(their, Mapping) and isinstance(our, Mapping):
            _warn_of_other_fields(their, our, source)
        elif _comparable(their) != _comparable(our):
            logger.warning("%s was built with %s = %s; this network has %s.", source, key, their, our)


def _comparable(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
