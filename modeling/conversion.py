"""Convert the original authors' checkpoints.

Each network maps published tensor names to its own in `reference_keys`; `reference_unused` matches published
tensors that do not affect the output. Conversion is strict: missing and unknown keys are errors.
"""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .base import MultispectralModel


def rename_key(key: str, rules: tuple[tuple[str, str], ...]) -> str:
    """Rename a published tensor: each rule (pattern, replacement) is applied in turn by `re.sub`."""
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


def convert_reference(
    model_class: type[MultispectralModel], reference: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Convert the state dict of a published network to the names of `model_class`.

    Args:
        model_class: The network.
        reference: The published network's state dict, complete.

    Returns:
        The network's state dict; no tensor is copied.

    Raises:
        ValueError: Keys are unknown or missing, or two become the same. The message lists them.
    """
    with torch.device("meta"):
        expected = model_class(model_class.config_class()).state_dict().keys()
    converted: dict[str, Tensor] = {}
    unknown = []
    for key, value in model_class.prepare_reference(dict(reference)).items():
        if any(re.search(pattern, key) for pattern in model_class.reference_unused):
            continue
        ours = rename_key(key, model_class.reference_keys)
        if ours not in expected:
            unknown.append(key)
        elif ours in converted:
            raise ValueError(
                f"reference: found {key}, which becomes {ours} as another tensor does; expected one of them."
            )
        else:
            converted[ours] = value
    missing = [key for key in expected if key not in converted]
    if unknown or missing:
        raise ValueError(
            f"reference: found {_listed('unknown', unknown)} and {_listed('missing', missing)}; "
            f"expected the tensors of the published {model_class.__name__}."
        )
    return converted


def _listed(what: str, keys: Sequence[str]) -> str:
    """For an error: `2 unknown keys (a, b)`."""
    shown = f" ({', '.join(keys[:4])}{', ...' if len(keys) > 4 else ''})" if keys else ""
    return f"{len(keys)} {what} keys{shown}"
