"""The group of components that a network of one group maps, from its configuration alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from euromine.dataset_script.label_groups import ANY_COMPONENT, COMPONENT_CLASSES, LabelGroups

# The first class of a network of one group, and the group's name where nothing tells it.
_NONE, _UNNAMED = "none", "components"


def single_group(id2label: Mapping[Any, str] | None, label_group: str | None) -> dict[str, tuple[str, ...]]:
    """The group of a footprint mapper that was trained on one group of components; empty for other mappers.

    Its classes are "none" and component classes. Without a name, it is the preset's group with these classes.

    Args:
        id2label: The configuration's names of classes by value; the values are text in JSON.
        label_group: The group's name in the configuration, if it has one.
    """
    labels = id2label or {}
    first, *classes = [str(labels[value]) for value in sorted(labels, key=int)] or [""]
    is_known = bool(classes) and {*classes} <= {*COMPONENT_CLASSES, ANY_COMPONENT}
    if first != _NONE or (label_group is None and not is_known):
        return {}
    return {_preset_name(classes) if label_group is None else str(label_group): tuple(classes)}


def _preset_name(classes: list[str]) -> str:
    """The name of the preset's group of these classes."""
    of_preset = LabelGroups.preset().groups.items()
    return next((name for name, members in of_preset if {*classes} <= {*members}), _UNNAMED)
