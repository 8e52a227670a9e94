"""A network for red, green and blue becomes one for any bands.

Only the first layer knows of colours. Its filters for red go to B04, those for green to B03, those for blue
to B02, and the other bands get their mean ("semantic"); or they are repeated in turn ("cyclic", timm's
rule); or the layer starts anew ("random", as the benchmark did). Scaled by 3/n for n bands, so that what
the next layer sees keeps its size.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

logger = logging.getLogger(__name__)

STEM_RULES = ("semantic", "cyclic", "random")

_COLOURS = {"B04": 0, "B03": 1, "B02": 2}
# What transformers draws a layer with that a checkpoint lacks.
_FRESH_STD = 0.02
# Fields in which a checkpoint's configuration may differ from ours: names, classes, inputs and training.
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
    """Refuse a rule that there is not.

    Raises:
        ValueError: `rule` is neither None nor one of `STEM_RULES`.
    """
    if rule is not None and rule not in STEM_RULES:
        raise ValueError(f"stem_init: found {rule!r}; expected one of {', '.join(STEM_RULES)}.")


def inflate_stem(
    weight: Tensor, bands: Sequence[str], rule: str, generator: torch.Generator | None = None
) -> Tensor:
    """The filters of a first layer for red, green and blue as filters for `bands`.

    Args:
        weight: (out, 3, height, width), the channels being red, green, blue.
        bands: Names of the new channels.
        rule: "semantic", "cyclic" or "random".
        generator: Draws the filters of "random".

    Returns:
        (out, len(bands), height, width) of the same type, on the same device.

    Raises:
        ValueError: The weight has not three channels, or there is no such rule.

    Source:
        "cyclic" is the rule of timm (`adapt_input_conv`), where a single channel gets the sum of the three.
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
    """The name of a network's first layer: its only convolution that takes `channels` channels.

    Raises:
        ValueError: There is no such convolution, or there are several.
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
    """Give a network the weights of a checkpoint of the same architecture, its first layer inflated.

    The checkpoint is read by transformers into the network's own class, so that names of tensors on the disk
    need not be those in memory; the stem is found there by its three channels.

    Args:
        network: Built for `bands`; its weights are replaced.
        source: A Hub repository or a local folder.
        bands: Names of the network's inputs.
        stem_init: The rule for a checkpoint of three channels that names no bands: red, green, blue.
        classifiers: Prefixes of what depends on the classes and stays fresh where they are others.
        unused: Prefixes of what reaches no output, which a checkpoint may lack.

    Raises:
        ValueError: The checkpoint is of another architecture or of other bands, lacks tensors, or has three
            bands and there is no rule.
        OSError: There is no such checkpoint, or it cannot be read.
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
        logger.info("%s knows other classes: %s start afresh", source, ", ".join(sorted(fresh)))
    network.load_state_dict({key: ours[key] if key in fresh else tensors[key] for key in ours})


def _stored_config(source: str) -> dict[str, Any]:
    try:
        stored, _ = PreTrainedConfig.get_config_dict(source)
    except OSError as error:
        raise OSError(
            f"{source} is neither a folder with a checkpoint nor a repository that can be reached."
        ) from error
    return dict(stored)


def _check_architecture(config: PreTrainedConfig, stored: Mapping[str, Any], source: str) -> None:
    """Compare the model types, a backbone's included."""
    ours, theirs = [config.model_type], [stored.get("model_type", "no known architecture")]
    if backbone := getattr(config, "backbone_config", None):
        ours.append(backbone.model_type)
        theirs.append((stored.get("backbone_config") or {}).get("model_type", ""))
    if theirs != ours:
        raise ValueError(
            f"{source}: found {' with '.join(filter(None, theirs))}; expected {' with '.join(ours)}."
        )


def _is_inflated(stored: Mapping[str, Any], source: str, bands: Sequence[str], stem_init: str | None) -> bool:
    """Whether the checkpoint's first layer sees red, green and blue and must be inflated."""
    if known := stored.get("bands"):
        if list(known) != list(bands):
            raise ValueError(
                f"{source}: found the bands {', '.join(known)}; expected those of the network: "
                f"{', '.join(bands)}."
            )
        return False
    # A missing number is transformers' default.
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
    logger.warning("%s does not name its bands, they are taken for %s", source, ", ".join(bands))
    return False


def _refuse(source: str, network: PreTrainedModel, what: str, keys: Sequence[str]) -> None:
    """Refuse a checkpoint for the sake of some tensors."""
    # Counts of batches, which a converted checkpoint may lack, reach no output.
    keys = sorted(key for key in keys if not key.endswith("num_batches_tracked"))
    if keys:
        raise ValueError(
            f"{source}: found {len(keys)} tensors {what} ({', '.join(keys[:3])}"
            f"{', ...' if len(keys) > 3 else ''}); expected those of this {network.config.model_type}."
        )


def _differ(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], key: str) -> bool:
    return key not in ours or key not in theirs or ours[key].shape != theirs[key].shape


def _warn_of_other_fields(theirs: Mapping[str, Any], ours: Mapping[str, Any], source: str) -> None:
    """Say where the checkpoint was made with other settings that its weights may rely on."""
    for key in sorted((theirs.keys() & ours.keys()) - _FREE_FIELDS):
        their, our = theirs[key], ours[key]
        if isinstance(their, Mapping) and isinstance(our, Mapping):
            _warn_of_other_fields(their, our, source)
        elif _comparable(their) != _comparable(our):
            logger.warning("%s was made with %s = %s, this network has %s", source, key, their, our)


def _comparable(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
