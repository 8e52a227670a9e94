"""Footprint mappers of this package by name; transformers' own are in `native.py`."""

from .base import MultispectralModel
from .deeplabv3plus import DeepLabV3PlusForSemanticSegmentation
from .linknet import LinkNetForSemanticSegmentation
from .mask2former import Mask2FormerForSemanticSegmentation
from .pspnet import PSPNetForSemanticSegmentation
from .sqnet import SQNetForSemanticSegmentation
from .unet import UNetForSemanticSegmentation

# One line per network.
SEGMENTERS: dict[str, type[MultispectralModel]] = {
    "deeplabv3plus-resnet101": DeepLabV3PlusForSemanticSegmentation,
    "linknet": LinkNetForSemanticSegmentation,
    "mask2former-swin-base": Mask2FormerForSemanticSegmentation,
    "pspnet": PSPNetForSemanticSegmentation,
    "sqnet": SQNetForSemanticSegmentation,
    "unet": UNetForSemanticSegmentation,
}
