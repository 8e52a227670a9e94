"""Weights that accelerate offloads (`cpu_offload`, `device_map`) and brings in place for a module's call."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def weights_in_place(*modules: nn.Module) -> Iterator[None]:
    """Bring the modules' own weights in place for code that uses them without calling the modules.

    Does nothing for modules whose weights are not offloaded.
    """
    hooks: list[tuple[nn.Module, Any]] = [(module, getattr(module, "_hf_hook", None)) for module in modules]
    offloaded = [(module, hook) for module, hook in hooks if hook is not None]
    for module, hook in offloaded:
        hook.pre_forward(module)
    try:
        yield
    finally:
        for module, hook in offloaded:
            hook.post_forward(module, None)
