"""SQNet: SqueezeNet's fire modules, parallel dilated convolutions and convolved skips, without batch norm.

Treml, Arjona-Medina, Unterthiner et al., "Speeding up semantic segmentation for autonomous driving", MLITS
at NIPS 2016. Reproduces the benchmark's published network to float32 rounding
(tests/modeling/test_parity.py).
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration import SegmentationConfig
from .segmentation import Segmenter

# Fire modules of the three stages.
_FIRES = (2, 2, 3)
_DILATIONS = (1, 2, 3, 4)


class SQNetConfig(SegmentationConfig):
    """SQNet's configuration.

    Attributes:
        stem_width: Channels of the first convolution.
        squeezed_widths: Inner channels of the three stages' fire modules; their outputs have eight times as
            many.

    Raises:
        ValueError: There are not three positive widths.
    """

    model_type = "euromine_sqnet"

    stem_width: int = 96
    squeezed_widths: tuple[int, ...] | list[int] = (16, 32, 64)

    def __post_init__(self, **kwargs: Any) -> None:
        if len(self.squeezed_widths) != len(_FIRES) or min(self.squeezed_widths) < 1:
            raise ValueError(
                f"squeezed_widths: found {list(self.squeezed_widths)}; "
                f"expected {len(_FIRES)} numbers of at least 1."
            )
        super().__post_init__(**kwargs)


class FireModule(GradientCheckpointingLayer):
    """A narrow 1 x 1 convolution, widened by a 1 x 1 and a 3 x 3 convolution in parallel."""

    def __init__(self, in_channels: int, squeezed: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, squeezed, 1)
        self.expand_1x1 = nn.Conv2d(squeezed, 4 * squeezed, 1)
        self.expand_3x3 = nn.Conv2d(squeezed, 4 * squeezed, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, in, height, width) -> (batch, 8 x squeezed, height, width)."""
        squeezed = F.elu(self.squeeze(features), inplace=True)
        return F.elu(torch.cat([self.expand_1x1(squeezed), self.expand_3x3(squeezed)], dim=1), inplace=True)


class ParallelDilatedConvolutions(nn.Module):
    """Sum of four dilated convolutions of the same map, for context that a deeper encoder would have."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation) for dilation in _DILATIONS
        )

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, height, width) -> the same shape."""
        first, second, *others = (F.elu(branch(features), inplace=True) for branch in self.branches)
        # The backward pass needs the ELUs' results, but not the first sum, so that one is in place.
        total = first + second
        for other in others:
            total += other
        return total


class Refinement(GradientCheckpointingLayer):
    """Doubles the side and merges a convolved skip."""

    def __init__(self, in_channels: int, skip_channels: int) -> None:
        super().__init__()
        self.up = _doubling(in_channels, skip_channels)
        self.skip = nn.Conv2d(skip_channels, skip_channels, 3, padding=1)
        self.merge = nn.Conv2d(2 * skip_channels, 2 * skip_channels, 3, padding=1)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Features of half the skip's side -> (batch, 2 x skip channels, height, width), the skip's side."""
        features = F.elu(self.up(features), inplace=True)
        skip = F.elu(self.skip(skip), inplace=True)
        return F.elu(self.merge(torch.cat([skip, features], dim=1)), inplace=True)


def _doubling(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1)


class SQNetForSemanticSegmentation(Segmenter):
    """SQNet. Without batch norm, a batch of one trains like any other."""

    config_class = SQNetConfig
    channels_last_in_evaluation: ClassVar[bool] = True
    supports_gradient_checkpointing = True
    size_multiple: ClassVar[int] = 16
    reference_keys = (
        (r"^conv1\.", "stem."),
        *(
            (rf"^fire{stage + 1}_{fire + 1}\.", f"stages.{stage}.{fire}.")
            for stage, fires in enumerate(_FIRES)
            for fire in range(fires)
        ),
        (r"^(stages\.\d\.\d)\.conv1\.", r"\1.squeeze."),
        (r"^(stages\.\d\.\d)\.conv2\.", r"\1.expand_1x1."),
        (r"^(stages\.\d\.\d)\.conv3\.", r"\1.expand_3x3."),
        *(
            (rf"^parallel\.dilated_conv_{dilation}\.", f"context.branches.{branch}.")
            for branch, dilation in enumerate(_DILATIONS)
        ),
        *(
            rule
            for index, scale in enumerate((3, 2, 1))
            for rule in (
                (rf"^deconv{index + 1}\.", f"decoder.{index}.up."),
                (rf"^conv{scale}_1\.", f"decoder.{index}.skip."),
                (rf"^conv{scale}_2\.", f"decoder.{index}.merge."),
            )
        ),
        (r"^deconv4\.", "head."),
    )

    def __init__(self, config: SQNetConfig) -> None:
        super().__init__(config)
        self.stem = nn.Conv2d(config.num_channels, config.stem_width, 3, stride=2, padding=1)
        self.stages = nn.ModuleList()
        channels = config.stem_width
        skips = [channels]
        for fires, squeezed in zip(_FIRES, config.squeezed_widths, strict=True):
            stage = nn.Sequential()
            for _ in range(fires):
                stage.append(FireModule(channels, squeezed))
                channels = 8 * squeezed
            self.stages.append(stage)
            skips.append(channels)
        self.context = ParallelDilatedConvolutions(skips.pop())
        self.decoder = nn.ModuleList()
        for skip in reversed(skips):
            self.decoder.append(Refinement(channels, skip))
            channels = 2 * skip
        self.head = _doubling(channels, self.num_labels)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Draw convolutions from N(0, 2 / fan-in), biases and transposed convolutions as PyTorch does."""
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight)

    def segment(self, images: Tensor) -> Tensor:
        """Images (batch, channels, height, width) -> logits (batch, classes, height, width)."""
        features = F.elu(self.stem(images), inplace=True)
        skips = []
        for stage in self.stages:
            skips.append(features)
            features = stage(F.max_pool2d(features, 2))
        features = self.context(features)
        for refinement, skip in zip(self.decoder, reversed(skips), strict=True):
            features = refinement(features, skip)
        return self.head(features)
