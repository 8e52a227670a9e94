"""Every architecture of the benchmark as a `PreTrainedModel`.

Importing this registers them all with transformers' Auto classes.
"""

from .auto import (
    CHANGE_DETECTION,
    SEGMENTATION,
    AutoModelForChangeDetection,
    convert_state_dict,
    create_model,
    list_models,
)
from .change_detection import ChangeDetectionOutput, ChangeDetector, SiameseChangeDetector, year_pairs
from .configuration import BANDS, ChangeDetectionConfig, MultispectralConfig, SegmentationConfig
from .image_processing import EuroMineImageProcessor
from .post_classification import PostClassification
from .segmentation import Segmenter

__all__ = [
    "BANDS",
    "CHANGE_DETECTION",
    "SEGMENTATION",
    "AutoModelForChangeDetection",
    "ChangeDetectionConfig",
    "ChangeDetectionOutput",
    "ChangeDetector",
    "EuroMineImageProcessor",
    "MultispectralConfig",
    "PostClassification",
    "SegmentationConfig",
    "Segmenter",
    "SiameseChangeDetector",
    "convert_state_dict",
    "create_model",
    "list_models",
    "year_pairs",
]
