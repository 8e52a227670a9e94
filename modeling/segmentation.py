"""Base class of the footprint mappers that transformers lacks."""

from typing import ClassVar

from torch import Tensor
from transformers.modeling_outputs import SemanticSegmenterOutput

from .base import MultispectralModel
from .configuration import SegmentationConfig
from .losses import check_labels, masked_cross_entropy


class Segmenter(MultispectralModel):
    """A network that maps the footprint in an image. Subclasses implement `segment`."""

    config_class = SegmentationConfig
    task_auto_class: ClassVar[str | None] = "AutoModelForSemanticSegmentation"

    def segment(self, images: Tensor) -> Tensor:
        """Padded images (batch, channels, height, width) -> logits (batch, classes, height, width)."""
        raise NotImplementedError(f"{type(self).__name__} does not implement segment")

    def class_maps(self, pixel_values: Tensor, with_auxiliary: bool = False) -> tuple[Tensor, None]:
        """Logits of images of any size, at that size; there are no auxiliary ones."""
        height, width = pixel_values.shape[-2:]
        return self.segment(self.pad(pixel_values))[..., :height, :width], None

    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
    ) -> SemanticSegmenterOutput:
        """Map the footprint.

        Args:
            pixel_values: (batch, channels, height, width), float, normalised; any height and width.
            labels: (batch, height, width), int64, 0 background, 1 mine, 255 ignored.
            num_items_in_batch: Number of labelled pixels in the whole batch of an optimiser step, where
                this is a part of it: the losses of all parts then add up to that of the batch.

        Returns:
            Logits (batch, classes, height, width) and, with labels, the mean cross-entropy.

        Raises:
            ValueError: The number of dimensions or bands, or the labels, do not fit.
        """
        self.check_images(pixel_values)
        height, width = pixel_values.shape[-2:]
        ignored = self.ignore_index
        if labels is not None:
            check_labels(labels, (len(pixel_values), height, width), self.num_labels, ignored)
        logits, _ = self.class_maps(pixel_values)
        loss = None
        if labels is not None:
            loss = masked_cross_entropy(logits, labels, ignored, num_items_in_batch)
        return SemanticSegmenterOutput(loss=loss, logits=logits)
