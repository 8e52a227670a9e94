"""The groups of a component model, and the probabilities of their classes in windows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from euromine.dataset_script.label_groups import ANY_COMPONENT, LabelGroups
from euromine.modeling.component_segmenter import ComponentSegmenter
from euromine.support.errors import DataError, ModelError

from .component_names import single_group


def component_groups(model: PreTrainedModel) -> LabelGroups | None:
    """The groups of a component model, the one with `ANY_COMPONENT` as the total; None for other models.

    A component model is a component segmenter, or a footprint mapper that was trained on one group: its
    classes are "none" and component classes. The group's name is its configuration's `label_group`; where
    there is none, that of the preset's group with these classes.

    Raises:
        ModelError: Its groups have classes or names that are none of EuroMine's.
    """
    groups = _groups(model)
    totals = [name for name, classes in groups.items() if classes == (ANY_COMPONENT,)]
    total = totals[0] if totals else None
    if not groups or (total is not None and not isinstance(model, ComponentSegmenter)):
        return None  # any component alone is a footprint
    try:
        return LabelGroups({name: classes for name, classes in groups.items() if name != total}, total)
    except DataError as error:
        raise ModelError(
            f"{model.name_or_path or 'model'}: found other label groups ({str(error).rstrip('.')}); expected "
            "groups of component classes. Train it with --label_groups."
        ) from error


def _groups(model: PreTrainedModel) -> dict[str, tuple[str, ...]]:
    """The classes of each group as the model has them; empty for other models."""
    if isinstance(model, ComponentSegmenter):
        return {name: tuple(classes) for name, classes in model.groups.items()}
    config = getattr(model, "config", None)
    return single_group(getattr(config, "id2label", None), getattr(config, "label_group", None))


@torch.inference_mode()
def component_probabilities(model: PreTrainedModel, groups: LabelGroups, pixel_values: Tensor) -> Tensor:
    """The probability of any component, and that of each class in its group.

    Without a total among the groups, any component is as likely as the likeliest group: at least that much,
    and above one half where a group's is.

    Args:
        model: A component model.
        groups: Its `component_groups`.
        pixel_values: (batch, channels, height, width), on the model's device.

    Returns:
        (batch, 1 + classes, height, width) float32: first any component, then for each group but the total
        the probability of none and of its classes.
    """
    logits = model(pixel_values=pixel_values.to(model.dtype)).logits.float()
    if isinstance(model, ComponentSegmenter):
        by_group = {name: each.softmax(1) for name, each in model.split_logits(logits).items()}
    else:
        if logits.shape[-2:] != pixel_values.shape[-2:]:
            logits = F.interpolate(logits, size=pixel_values.shape[-2:], mode="bilinear", align_corners=False)
        by_group = {name: logits.softmax(1) for name in groups.groups}
    shares = [by_group[name] for name in groups.groups]
    if groups.total is not None:
        any_component = by_group[groups.total][:, 1:]
    else:
        any_component = torch.stack([1 - each[:, :1] for each in shares]).amax(0)
    return torch.cat([any_component, *shares], dim=1)
