"""The footprint mappers that transformers has: its own classes, multispectral and at ease with any input.

The networks, their weights and the names of their tensors are transformers' own, and so are the
configurations, with `bands` as one more field. A checkpoint therefore loads with plain transformers and no
code of ours. What the thin subclasses here add is about the input: sides under the network's least one are
padded, labels that are all ignored give a loss of 0 instead of NaN, and a batch norm that sees one value a
channel in training, as the pooling branches do with a batch of one, normalises with its running statistics
instead of refusing. They keep the names of transformers' classes, so that a checkpoint names one that plain
transformers has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import transformers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SemanticSegmenterOutput

from .base import AnyInput
from .configuration import SegmentationConfig
from .losses import check_labels, masked_cross_entropy


class BatchNormOfAny(nn.BatchNorm2d):
    """A batch norm that takes a single value a channel in training: with its running statistics, kept."""

    def forward(self, input: Tensor) -> Tensor:
        """(batch, channels, height, width) -> the same, normalised."""
        if self.training and input.numel() == input.shape[1]:
            return F.batch_norm(
                input,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                training=False,
                eps=self.eps,
            )
        return super().forward(input)


class NativeSegmenter(AnyInput, PreTrainedModel):
    """What our subclasses of transformers' networks share; stands before the network's class."""

    config_class: type[PreTrainedConfig] = PreTrainedConfig
    # Parameters that reach no output. They are frozen: distributed training would wait for their gradients.
    unused: ClassVar[tuple[str, ...]] = ()
    # The layers with one output a class: fresh where a checkpoint knows other classes.
    classifiers: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(config)
        for module in self.modules():
            if type(module) is nn.BatchNorm2d:
                # The same parameters under the same names, wherever else the module is referred to.
                module.__class__ = BatchNormOfAny
        for name, parameter in self.named_parameters():
            if name.startswith(self.unused):
                parameter.requires_grad_(False)

    # No **kwargs: transformers' Trainer takes them for a promise to average the loss over a whole
    # accumulation step, which then comes out too large.
    def forward(self, pixel_values: Tensor, labels: Tensor | None = None) -> SemanticSegmenterOutput:
        """Map the footprint.

        Args:
            pixel_values: (batch, channels, height, width), float, normalised; any height and width.
            labels: (batch, height, width), int64, 0 background, 1 mine, 255 ignored.

        Returns:
            Logits (batch, classes, height', width') at the network's own resolution, over the whole image
            (`EuroMineImageProcessor` resizes them), or at the image's where that had to be padded; with
            labels, the mean cross-entropy of the resized logits.

        Raises:
            ValueError: Another number of dimensions or bands, or labels that do not fit.
        """
        if pixel_values.ndim != 4:
            raise ValueError(
                f"pixel_values have the shape {tuple(pixel_values.shape)}, "
                "(batch, channels, height, width) was expected"
            )
        self.check_channels(pixel_values.shape[1])
        size = (pixel_values.shape[-2], pixel_values.shape[-1])
        if labels is not None:
            check_labels(labels, size, self.config.num_labels, self.ignore_index)
        images = self.pad(pixel_values)
        logits, auxiliary = self.segment(images, with_auxiliary=labels is not None)
        if images.shape != pixel_values.shape:
            logits = _resized(logits, images.shape[-2:])[..., : size[0], : size[1]]
            auxiliary = None if auxiliary is None else auxiliary[..., : size[0], : size[1]]
        loss = None
        if labels is not None:
            loss = masked_cross_entropy(logits, labels, self.ignore_index)
            if auxiliary is not None:
                weight = self.config.auxiliary_loss_weight
                loss = loss + weight * masked_cross_entropy(auxiliary, labels, self.ignore_index)
        return SemanticSegmenterOutput(loss=loss, logits=logits)

    def load_pretrained(self, source: str | None, stem_init: str | None) -> None:
        """Start from a checkpoint."""
        raise ValueError(f"{self.config.model_type} has no pretrained weights to start from")

    def segment(self, images: Tensor, with_auxiliary: bool) -> tuple[Tensor, Tensor | None]:
        """Images of a side that the network takes -> logits, and auxiliary ones where there are any."""
        return super().forward(pixel_values=images).logits, None

    @property
    def ignore_index(self) -> int:
        """The label that the loss leaves out."""
        return int(self.config.semantic_loss_ignore_index)


class SegformerForSemanticSegmentation(NativeSegmenter, transformers.SegformerForSemanticSegmentation):
    """SegFormer B0 to B5. Its spatial reduction of 8 at a quarter of the scale needs 29 pixels.

    Xie et al., "SegFormer: simple and efficient design for semantic segmentation with transformers",
    NeurIPS 2021.
    """

    config_class = transformers.SegformerConfig
    minimum_size: ClassVar[int] = 29
    classifiers = ("decode_head.classifier",)


@dataclass(frozen=True)
class NativeArchitecture:
    """One of transformers' architectures by name.

    Attributes:
        model_class: Our thin subclass of transformers' class.
        checkpoint: The Hub repository that `pretrained=True` starts from.
        fields: What its configuration says other than transformers' defaults; equal to the checkpoint's.
    """

    model_class: type[NativeSegmenter]
    checkpoint: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    def config(self, bands: Sequence[str], **fields: Any) -> PreTrainedConfig:
        """Its configuration for these bands, with other fields where given.

        Raises:
            ValueError: `num_labels` and `id2label` contradict each other, or a value is of a wrong type.
        """
        labels = {} if {"num_labels", "id2label"} & set(fields) else _LABELS
        return self.model_class.config_class(
            **{**self.fields, **labels, **fields, "num_channels": len(bands), "bands": list(bands)}
        )


_LABELS = {
    "id2label": dict(enumerate(SegmentationConfig._class_names)),
    "label2id": {name: index for index, name in enumerate(SegmentationConfig._class_names)},
}


def _segformer(checkpoint: str, depths: Sequence[int], **fields: Any) -> NativeArchitecture:
    wide = {"hidden_sizes": [64, 128, 320, 512], "decoder_hidden_size": 768}
    return NativeArchitecture(
        SegformerForSemanticSegmentation, checkpoint, {"depths": list(depths), **wide, **fields}
    )


NATIVE_SEGMENTERS: dict[str, NativeArchitecture] = {
    "segformer-b0": _segformer(
        "nvidia/segformer-b0-finetuned-ade-512-512",
        (2, 2, 2, 2),
        hidden_sizes=[32, 64, 160, 256],
        decoder_hidden_size=256,
    ),
    "segformer-b1": _segformer(
        "nvidia/segformer-b1-finetuned-ade-512-512", (2, 2, 2, 2), decoder_hidden_size=256
    ),
    "segformer-b2": _segformer("nvidia/segformer-b2-finetuned-ade-512-512", (3, 4, 6, 3)),
    "segformer-b3": _segformer("nvidia/segformer-b3-finetuned-ade-512-512", (3, 4, 18, 3)),
    "segformer-b4": _segformer("nvidia/segformer-b4-finetuned-ade-512-512", (3, 8, 27, 3)),
    "segformer-b5": _segformer("nvidia/segformer-b5-finetuned-ade-640-640", (3, 6, 40, 3)),
}


def _resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
