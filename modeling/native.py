"""Footprint mappers of transformers, for any bands and image sizes.

Networks, weights, tensor names and configurations are transformers' own, plus a field `bands`, so plain
transformers loads a checkpoint without code from this package. The thin subclasses pad images below the
network's minimum size, return a loss of 0 instead of NaN if all labels are ignored, and let batch norms train
on one value per channel (pooling branches with batch size 1) with their running statistics instead of raising
an error. They keep the names of transformers' classes, because checkpoints record them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import transformers
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.modeling_outputs import SemanticSegmenterOutput
from transformers.utils.output_capturing import maybe_install_capturing_hooks

from .base import PaddedModel, resize_and_crop
from .configuration import SegmentationConfig
from .layers import BatchNorm2d
from .losses import check_labels, masked_cross_entropy
from .segformer import use_quick_layers
from .stem import load_checkpoint


class NativeSegmenter(PaddedModel):
    """Mix-in for transformers' networks; precedes the network's class."""

    config_class: type[PreTrainedConfig] = PreTrainedConfig
    # As in `MultispectralModel`; `NATIVE_SEGMENTERS` has the repositories.
    checkpoint: ClassVar[str | None] = None
    # Layers with one output per class, which stay fresh if a checkpoint has other classes.
    classifiers: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(config)
        for module in self.modules():
            if type(module) is nn.BatchNorm2d:
                # Changing the class keeps parameters, names and other references to the module.
                module.__class__ = BatchNorm2d
        use_quick_layers(self)
        self.freeze_unused()

    @classmethod
    def is_custom_code(cls) -> bool:
        """False, so that tensors are saved under transformers' own names."""
        return False

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
            Logits (batch, classes, height', width') at the network's own resolution
            (`EuroMineImageProcessor` resizes them), or at the image's if that had to be padded; with labels,
            the mean cross-entropy of the resized logits.

        Raises:
            ValueError: The number of dimensions or bands, or the labels, do not fit.
        """
        self.check_images(pixel_values)
        size = (pixel_values.shape[-2], pixel_values.shape[-1])
        if labels is not None:
            check_labels(
                labels, (len(pixel_values), *size), len(self.config.id2label or ()), self.ignore_index
            )
        logits, auxiliary = self.class_maps(pixel_values, with_auxiliary=labels is not None)
        loss = None
        if labels is not None:
            ignored = self.ignore_index
            loss = masked_cross_entropy(logits, labels, ignored, num_items_in_batch)
            if auxiliary is not None:
                weight = self.config.auxiliary_loss_weight
                loss = loss + weight * masked_cross_entropy(auxiliary, labels, ignored, num_items_in_batch)
        return SemanticSegmenterOutput(loss=loss, logits=logits)

    def class_maps(self, pixel_values: Tensor, with_auxiliary: bool) -> tuple[Tensor, Tensor | None]:
        """Logits of images of any size, and auxiliary ones if any; see `forward` for their size."""
        size = (pixel_values.shape[-2], pixel_values.shape[-1])
        images = self.pad(pixel_values)
        logits, auxiliary = self.segment(images, with_auxiliary)
        if images.shape != pixel_values.shape:
            padded = (images.shape[-2], images.shape[-1])
            logits = resize_and_crop(logits, padded, size)
            auxiliary = None if auxiliary is None else resize_and_crop(auxiliary, padded, size)
        return logits, auxiliary

    def load_pretrained(self, source: str, stem_init: str | None) -> None:
        """Load a checkpoint of transformers' class or of this one.

        Args:
            source: A Hub repository or a local folder.
            stem_init: How to adapt a first layer for red, green and blue to the network's bands.

        Raises:
            ValueError: The checkpoint does not fit (`stem.load_checkpoint`).
            OSError: The checkpoint cannot be found or read.
        """
        load_checkpoint(self, source, self.config.bands, stem_init, self.classifiers, self.unused)
        self.config.stem_init = stem_init

    def segment(self, images: Tensor, with_auxiliary: bool) -> tuple[Tensor, Tensor | None]:
        """Padded images -> logits, and auxiliary ones if any."""
        return super().forward(pixel_values=images).logits, None


class _CapturingHook:
    """One of transformers' hooks, pickled without its function; the network installs a new one."""

    def __init__(self, hook: Callable[..., None] | None = None) -> None:
        self._hook = hook

    def __call__(self, *arguments: Any) -> None:
        if self._hook is not None:
            self._hook(*arguments)

    def __reduce__(self) -> tuple[type["_CapturingHook"], tuple[()]]:
        return type(self), ()


class SegformerForSemanticSegmentation(NativeSegmenter, transformers.SegformerForSemanticSegmentation):
    """SegFormer B0 to B5. Its spatial reduction of 8 at a quarter of the scale needs 29 pixels.

    Xie et al., "SegFormer: simple and efficient design for semantic segmentation with transformers",
    NeurIPS 2021.
    """

    config_class = transformers.SegformerConfig
    minimum_size: ClassVar[int] = 29
    classifiers = ("decode_head.classifier",)

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(config)
        # Otherwise the first call does it, under a lock that torch.compile cannot trace.
        self._install_capturing_hooks()

    def _install_capturing_hooks(self) -> None:
        maybe_install_capturing_hooks(self.segformer)
        # Functions inside functions, which nothing could pickle.
        for module in self.segformer.modules():
            for number, hook in module._forward_hooks.items():
                if getattr(hook, "__name__", "") == "output_capturing_hook":
                    module._forward_hooks[number] = _CapturingHook(hook)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled network, or a copy, and install its hooks anew."""
        super().__setstate__(state)
        for module in self.segformer.modules():
            for number, hook in list(module._forward_hooks.items()):
                if isinstance(hook, _CapturingHook):
                    del module._forward_hooks[number]
        segformer: Any = self.segformer
        segformer._output_capturing_hooks_installed = False
        self._install_capturing_hooks()


class UperNetForSemanticSegmentation(NativeSegmenter, transformers.UperNetForSemanticSegmentation):
    """UPerNet on a Swin Transformer or a ConvNeXt, with an auxiliary head on the third stage in training.

    Xiao et al., "Unified perceptual parsing for scene understanding", ECCV 2018; Liu et al., "Swin
    Transformer", ICCV 2021; Liu et al., "A ConvNet for the 2020s", CVPR 2022.
    """

    config_class = transformers.UperNetConfig
    # In Swin's stages, not in ConvNeXt's.
    supports_gradient_checkpointing = True
    # ConvNeXt halves without padding; Swin needs less.
    minimum_size: ClassVar[int] = 32
    # A backbone's last normalisation, after its feature maps.
    unused = ("backbone.swin.layernorm.",)
    classifiers = ("decode_head.classifier", "auxiliary_head.classifier")

    def segment(self, images: Tensor, with_auxiliary: bool) -> tuple[Tensor, Tensor | None]:
        """As in transformers, but the auxiliary head runs only for a loss, and its map is returned."""
        features = self.backbone(images).feature_maps
        size = (images.shape[-2], images.shape[-1])
        logits = resize_and_crop(self.decode_head(features), size, size)
        if not with_auxiliary or self.auxiliary_head is None:
            return logits, None
        return logits, resize_and_crop(self.auxiliary_head(features), size, size)

    @property
    def ignore_index(self) -> int:
        """The label that the loss leaves out."""
        return int(self.config.loss_ignore_index)


class MobileViTV2ForSemanticSegmentation(NativeSegmenter, transformers.MobileViTV2ForSemanticSegmentation):
    """DeepLabV3 on a MobileViTV2. Its attention folds maps into 2 x 2 patches, leaving zeros at an odd edge.

    Mehta, Rastegari, "Separable self-attention for mobile vision transformers", TMLR 2023.
    """

    config_class = transformers.MobileViTV2Config
    # Twice the output stride, 16.
    size_multiple: ClassVar[int] = 32
    classifiers = ("segmentation_head.classifier",)


class MobileNetV2ForSemanticSegmentation(NativeSegmenter, transformers.MobileNetV2ForSemanticSegmentation):
    """DeepLabV3+ on a MobileNetV2 in transformers' version: two pyramid branches, no decoder.

    Chen et al., "Encoder-decoder with atrous separable convolution for semantic image segmentation",
    ECCV 2018; Sandler et al., "MobileNetV2", CVPR 2018.

    Transformers sets the batch norms' momentum to 0.997, TensorFlow's notation for PyTorch's 0.003, so that
    the running statistics are practically those of the last batch. Here it is `config.batch_norm_momentum`,
    by default PyTorch's 0.1; 0.997 reproduces transformers.
    """

    config_class = transformers.MobileNetV2Config
    # The classification network's last layer, which runs but is not used.
    unused = ("mobilenet_v2.conv_1x1.",)
    classifiers = ("segmentation_head.classifier",)

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(config)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = getattr(config, "batch_norm_momentum", 0.1)


@dataclass(frozen=True)
class NativeArchitecture:
    """An architecture of transformers.

    Attributes:
        model_class: The subclass of transformers' class.
        checkpoint: Hub repository of the weights for `pretrained=True`.
        fields: Configuration fields that differ from transformers' defaults, as in the checkpoint. A
            backbone's are a mapping under `backbone_config`.
        own_fields: Names of fields that transformers' configuration lacks.
    """

    model_class: type[NativeSegmenter]
    checkpoint: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    own_fields: tuple[str, ...] = ()

    def config(self, bands: Sequence[str], **fields: Any) -> PreTrainedConfig:
        """Configuration for these bands and fields.

        Raises:
            ValueError: `num_labels` and `id2label` contradict each other, or a value has a wrong type.
        """
        labels = {} if {"num_labels", "id2label"} & set(fields) else _LABELS
        values = {**self.fields, **labels, **fields, "num_channels": len(bands), "bands": list(bands)}
        if "backbone_config" in self.fields:
            backbone = {**self.fields["backbone_config"], **fields.get("backbone_config", {})}
            values["backbone_config"] = {**backbone, "num_channels": len(bands)}
            # The auxiliary head is on the third stage, half as wide as the last.
            values.setdefault("auxiliary_in_channels", _widths(backbone)[2])
        return self.model_class.config_class(**values)


def _widths(backbone: Mapping[str, Any]) -> list[int]:
    """Channels of a backbone's stages."""
    if "hidden_sizes" in backbone:
        return list(backbone["hidden_sizes"])
    return [backbone["embed_dim"] * 2**stage for stage in range(len(backbone["depths"]))]


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
    "upernet-swin-base": NativeArchitecture(
        UperNetForSemanticSegmentation,
        "openmmlab/upernet-swin-base",
        {
            "backbone_config": {
                "model_type": "swin",
                "embed_dim": 128,
                "depths": [2, 2, 18, 2],
                "num_heads": [4, 8, 16, 32],
                "window_size": 12,
                "out_features": ["stage1", "stage2", "stage3", "stage4"],
            }
        },
    ),
    "upernet-convnext-base": NativeArchitecture(
        UperNetForSemanticSegmentation,
        "openmmlab/upernet-convnext-base",
        {
            "backbone_config": {
                "model_type": "convnext",
                "hidden_sizes": [128, 256, 512, 1024],
                "depths": [3, 3, 27, 3],
                "out_features": ["stage1", "stage2", "stage3", "stage4"],
            }
        },
    ),
    # Output strides as in the checkpoints.
    "deeplabv3-mobilevitv2": NativeArchitecture(
        MobileViTV2ForSemanticSegmentation, "apple/mobilevitv2-1.0-voc-deeplabv3", {"output_stride": 16}
    ),
    "deeplabv3plus-mobilenetv2": NativeArchitecture(
        MobileNetV2ForSemanticSegmentation,
        "google/deeplabv3_mobilenet_v2_1.0_513",
        {"output_stride": 8, "batch_norm_momentum": 0.1},
        own_fields=("batch_norm_momentum",),
    ),
}
