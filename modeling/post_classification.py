"""Post-classification: change is where the footprint maps of two years differ.

Turns any footprint mapper into a change detector, as in the benchmark's Table 6.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedConfig, PreTrainedModel

from .base import PaddedModel, two_class_logits
from .change_detection import Features, SiameseChangeDetector
from .configuration import ChangeDetectionConfig
from .wrapped_segmenters import fresh_segmenter, inputs_of, keep_weights, wrapped_fields


class PostClassificationConfig(ChangeDetectionConfig):
    """Configuration of post-classification.

    Attributes:
        segmenter: The footprint mapper's configuration from `to_dict`, with `model_type`.
    """

    model_type = "euromine_post-classification"

    segmenter: dict[str, Any] | None = None

    @classmethod
    def of(cls, config: PreTrainedConfig) -> "PostClassificationConfig":
        """Wrap a footprint mapper's configuration.

        Raises:
            ValueError: It does not give the number of bands, or does not have two classes.
        """
        inputs = inputs_of(config)
        if config.num_labels != 2:
            raise ValueError(
                f"segmenter: found {config.num_labels} classes in this {config.model_type}; expected two, "
                "background and mine."
            )
        found = cls(**inputs)
        found.segmenter = wrapped_fields(config, found.bands)
        return found


class PostClassification(SiameseChangeDetector):
    """A footprint mapper as a change detector.

    The probability of change is p1 (1 - p2) + p2 (1 - p1), where p1 and p2 are the years' footprint
    probabilities. It is above 1/2 where exactly one of them is, so the change map is exactly where the
    footprint maps differ. Gradients reach the footprint mapper, so it can be trained.

    Args:
        segmenter: A footprint mapper, which is not modified; or a configuration for a fresh one, as
            `from_pretrained` passes it.

    Raises:
        ValueError: `segmenter` is not a footprint mapper of two classes.

    Example:
        >>> segmenter = AutoModelForSemanticSegmentation.from_pretrained("runs/segformer-b0")
        >>> changes = PostClassification(segmenter).predict_series(pixel_values)  # (batch, pairs, 2, H, W)
    """

    config_class = PostClassificationConfig

    def __init__(self, segmenter: PreTrainedModel | PostClassificationConfig) -> None:
        if isinstance(segmenter, PostClassificationConfig):
            super().__init__(segmenter)
            self.segmenter = fresh_segmenter(segmenter.segmenter)
        else:
            if hasattr(segmenter, "predict_series"):
                raise ValueError(
                    f"segmenter: found {type(segmenter).__name__}, a change detector; "
                    "expected a footprint mapper."
                )
            super().__init__(PostClassificationConfig.of(segmenter.config))
            self.segmenter = keep_weights(segmenter)
        self.post_init()

    def freeze_unused(self) -> None:
        """Freeze the footprint mapper's unused parameters."""
        if isinstance(self.segmenter, PaddedModel):
            self.segmenter.freeze_unused()

    def encode(self, pixel_values: Tensor) -> Tensor:
        """One year (batch, channels, height, width) -> its footprint logits (batch, 2, height, width).

        Logits of another resolution are resized as in `EuroMineImageProcessor`.
        """
        logits: Tensor = self.segmenter(pixel_values=pixel_values).logits
        size = pixel_values.shape[-2:]
        if logits.shape[-2:] == size:
            return logits
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)

    def decode(self, features_1: Features, features_2: Features) -> Tensor:
        """Two years' footprint logits (batch, 2, height, width) -> change logits of the same shape, float32.

        With logits z = log(p / (1 - p)), tanh(z / 2) of the change is minus the product of the years'. The
        sign comes from the maps, the absolute value from `_certainty`.
        """
        first, second = (
            logits[:, 1:].float() - logits[:, :1].float()
            for logits in (cast("Tensor", features_1), cast("Tensor", features_2))
        )
        # The difference of two infinite values would be nan.
        certainty = _certainty(first.abs().clamp(max=_LARGEST), second.abs().clamp(max=_LARGEST))
        return two_class_logits(torch.where((first > 0) != (second > 0), certainty, -certainty))


# Far beyond a probability of 1 in float32, and finite when added to itself.
_LARGEST = 1e30


def _certainty(first: Tensor, second: Tensor) -> Tensor:
    """2 artanh(tanh(first / 2) tanh(second / 2)) of nonnegative numbers, and always positive.

    Computed directly, this overflows if both are large; an equivalent difference is used there, which would
    cancel if one is small.
    """
    near, far = torch.minimum(first, second), torch.maximum(first, second)
    small = 2 * torch.atanh(torch.tanh(near.clamp(max=1) / 2) * torch.tanh(far / 2))
    large = near + torch.log1p(torch.exp(-near - far)) - torch.log1p(torch.exp(near - far))
    return torch.where(near < 1, small, large).clamp(min=torch.finfo(near.dtype).tiny)
