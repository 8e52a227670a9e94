"""The benchmark's architectures as `PreTrainedModel` classes, known to transformers' Auto classes."""

import importlib
from typing import TYPE_CHECKING, Any

from .registration import register_with_transformers

if TYPE_CHECKING:
    from .auto import AutoModelForChangeDetection as AutoModelForChangeDetection
    from .auto import AutoModelForSeries as AutoModelForSeries
    from .auto import convert_state_dict as convert_state_dict
    from .auto import create_model as create_model
    from .auto import list_models as list_models
    from .bands import BANDS as BANDS
    from .change_detection import ChangeDetectionOutput as ChangeDetectionOutput
    from .change_detection import ChangeDetector as ChangeDetector
    from .change_detection import SiameseChangeDetector as SiameseChangeDetector
    from .change_detection import year_pairs as year_pairs
    from .component_segmenter import ComponentSegmenter as ComponentSegmenter
    from .configuration import ChangeDetectionConfig as ChangeDetectionConfig
    from .configuration import MultispectralConfig as MultispectralConfig
    from .configuration import SegmentationConfig as SegmentationConfig
    from .image_processing import EuroMineImageProcessor as EuroMineImageProcessor
    from .post_classification import PostClassification as PostClassification
    from .segmentation import Segmenter as Segmenter
    from .series_model import SeriesModel as SeriesModel
    from .series_model import SeriesOutput as SeriesOutput
    from .series_network import EuroMineSeries as EuroMineSeries
    from .tasks import CHANGE_DETECTION as CHANGE_DETECTION
    from .tasks import SEGMENTATION as SEGMENTATION
    from .tasks import SERIES as SERIES

__all__ = [
    "BANDS",
    "CHANGE_DETECTION",
    "SEGMENTATION",
    "SERIES",
    "AutoModelForChangeDetection",
    "AutoModelForSeries",
    "ChangeDetectionConfig",
    "ChangeDetectionOutput",
    "ChangeDetector",
    "ComponentSegmenter",
    "EuroMineImageProcessor",
    "EuroMineSeries",
    "MultispectralConfig",
    "PostClassification",
    "SegmentationConfig",
    "Segmenter",
    "SeriesModel",
    "SeriesOutput",
    "SiameseChangeDetector",
    "convert_state_dict",
    "create_model",
    "list_models",
    "year_pairs",
]

_HOMES = {
    "BANDS": ".bands",
    "CHANGE_DETECTION": ".tasks",
    "SEGMENTATION": ".tasks",
    "SERIES": ".tasks",
    "AutoModelForChangeDetection": ".auto",
    "AutoModelForSeries": ".auto",
    "ChangeDetectionConfig": ".configuration",
    "ChangeDetectionOutput": ".change_detection",
    "ChangeDetector": ".change_detection",
    "ComponentSegmenter": ".component_segmenter",
    "EuroMineImageProcessor": ".image_processing",
    "EuroMineSeries": ".series_network",
    "MultispectralConfig": ".configuration",
    "PostClassification": ".post_classification",
    "SegmentationConfig": ".configuration",
    "Segmenter": ".segmentation",
    "SeriesModel": ".series_model",
    "SeriesOutput": ".series_model",
    "SiameseChangeDetector": ".change_detection",
    "convert_state_dict": ".auto",
    "create_model": ".auto",
    "list_models": ".auto",
    "year_pairs": ".change_detection",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name], __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


register_with_transformers()
