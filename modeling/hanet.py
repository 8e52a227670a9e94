"""HANet: MSPSNet with attention along columns and rows at every scale.

Han, Wu, Guo, Hu, Chen, "HANet: a hierarchical attention network for change detection with bitemporal
very-high-resolution remote sensing images", IEEE JSTARS 2023. Reproduces the benchmark's published network
to float32 rounding.
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

    Its weight `gamma` starts at zero.
    """

    def __init__(self, width: int, along: Literal["columns", "rows"]) -> None:
        super().__init__()
        self.query = nn.Conv2d(width, width, 1)
        self.key = nn.Conv2d(width, width, 1)
        self.value = nn.Conv2d(width, width, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.along = along

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, height, width) -> the same shape."""
        # (batch, channels, lines, pixels per line); copying here saves a copy in each of the three products.
        lines = features.transpose(2, 3).contiguous() if self.along == "columns" else features
        query, key, value = (layer(lines).transpose(1, 2) for layer in (self.query, self.key, self.value))
        shares = (query.transpose(2, 3) @ key).softmax(-1)
        found = (value @ shares.transpose(2, 3)).transpose(1, 2)
        if self.along == "columns":
            found = found.transpose(2, 3)
        return self.gamma * found + features


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
        """Sum of attention among channels and attention along lines, for one scale."""
        return super().attend(scale, change) + self.line_attention[scale](change)
