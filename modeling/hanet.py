"""HANet: MSPSNet with attention along columns and rows on every scale.

Han, Wu, Guo, Hu, Chen, "HANet: a hierarchical attention network for change detection with bitemporal
very-high-resolution remote sensing images", IEEE JSTARS 2023. Equal to the published benchmark's network to
float32 rounding.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from transformers import initialization as init

from .mspsnet import MSPSNetConfig, MSPSNetForChangeDetection


class HANetConfig(MSPSNetConfig):
    """Settings of HANet: those of MSPSNet."""

    model_type = "euromine_hanet"


class LineAttention(nn.Module):
    """Self-attention among the pixels of each column, or of each row.

    The share `gamma` of what it finds, on top of the features, starts at zero.
    """

    def __init__(self, width: int, along: Literal["columns", "rows"]) -> None:
        super().__init__()
        self.query = nn.Conv2d(width, width, 1)
        self.key = nn.Conv2d(width, width, 1)
        self.value = nn.Conv2d(width, width, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        # (batch, channels, height, width) -> (batch, line, pixel of the line, channels)
        self.order = (0, 3, 2, 1) if along == "columns" else (0, 2, 3, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, height, width) -> the same shape."""
        query, key, value = (
            layer(features).permute(self.order) for layer in (self.query, self.key, self.value)
        )
        found = (query @ key.transpose(2, 3)).softmax(-1) @ value
        # Each of the two orders is undone by the axes that it puts where.
        restored = found.permute(0, 3, 2, 1) if self.order[1] == 3 else found.permute(0, 3, 1, 2)
        return self.gamma * restored + features


class HANetForChangeDetection(MSPSNetForChangeDetection):
    """HANet; not symmetric in the dates, whose channels are grouped in order."""

    config_class = HANetConfig
    reference_keys = (
        *MSPSNetForChangeDetection.reference_keys,
        *(
            (rf"^{theirs}_attention_{scale + 1}\.", f"line_attention.{scale}.{position}.")
            for scale in range(4)
            for position, theirs in enumerate(("col", "row"))
        ),
        (r"\.(query|key|value)_conv\.", r".\1."),
    )

    def __init__(self, config: HANetConfig) -> None:
        super().__init__(config)
        self.line_attention = nn.ModuleList(
            nn.Sequential(LineAttention(width, "columns"), LineAttention(width, "rows"))
            for width in config.widths
        )
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, LineAttention):
            init.zeros_(module.gamma)

    def attend(self, scale: int, change: Tensor) -> Tensor:
        """A scale's merged convolutions: attention among channels plus attention along lines."""
        return super().attend(scale, change) + self.line_attention[scale](change)
