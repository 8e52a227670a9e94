"""The benchmark's metrics: each folder is an `evaluate` module and a Space; their kernels need NumPy only."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .annual_f1.annual_f1 import AnnualF1 as AnnualF1
    from .annual_f1.annual_f1 import annual_scores as annual_scores
    from .averaging import binary_scores as binary_scores
    from .ca_tiou.ca_tiou import CATIoU as CATIoU
    from .ca_tiou.ca_tiou import agreement_scores as agreement_scores
    from .ca_tiou.ca_tiou import count_agreement as count_agreement
    from .component_iou.component_iou import ComponentIoU as ComponentIoU
    from .component_iou.component_iou import component_scores as component_scores
    from .component_iou.component_iou import count_components as count_components
    from .counts import count_confusion as count_confusion
    from .counts import pack_footprints as pack_footprints
    from .interval_f1.interval_f1 import IntervalF1 as IntervalF1
    from .interval_f1.interval_f1 import count_changes_between_footprints as count_changes_between_footprints
    from .interval_f1.interval_f1 import count_changes_of_footprints as count_changes_of_footprints
    from .interval_f1.interval_f1 import interval_scores as interval_scores

__all__ = [
    "AnnualF1",
    "CATIoU",
    "ComponentIoU",
    "IntervalF1",
    "agreement_scores",
    "annual_scores",
    "binary_scores",
    "component_scores",
    "count_agreement",
    "count_changes_between_footprints",
    "count_changes_of_footprints",
    "count_components",
    "count_confusion",
    "interval_scores",
    "pack_footprints",
]

_HOMES = {
    "AnnualF1": ".annual_f1.annual_f1",
    "CATIoU": ".ca_tiou.ca_tiou",
    "ComponentIoU": ".component_iou.component_iou",
    "IntervalF1": ".interval_f1.interval_f1",
    "agreement_scores": ".ca_tiou.ca_tiou",
    "annual_scores": ".annual_f1.annual_f1",
    "binary_scores": ".averaging",
    "component_scores": ".component_iou.component_iou",
    "count_agreement": ".ca_tiou.ca_tiou",
    "count_changes_between_footprints": ".interval_f1.interval_f1",
    "count_changes_of_footprints": ".interval_f1.interval_f1",
    "count_components": ".component_iou.component_iou",
    "count_confusion": ".counts",
    "interval_scores": ".interval_f1.interval_f1",
    "pack_footprints": ".counts",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name], __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
