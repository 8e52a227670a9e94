"""RDPNet: mixers of large depthwise convolutions over both dates' patches, upsampled to pixels.

Chen, Pu, Yang, Tang, Xu, "RDP-Net: region detail preserving network for change detection", IEEE TGRS 2022.
Reproduces the benchmark's published network to float32 rounding.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init

from .change_detection import ChangeDetector
from .configuration import ChangeDetectionConfig


class RDPNetConfig(ChangeDetectionConfig):
    """RDPNet's configuration.

    Attributes:
        width: Channels of the patches' features.
        depth: Number of mixers.
        kernel_size: Side of the depthwise convolutions, odd.
        patch_size: Side of a patch in pixels.
        detail_width: Channels of the pixel features from each mixer.
    """

    model_type = "euromine_rdpnet"
    width: int = 384
    depth: int = 6
    kernel_size: int = 9
    patch_size: int = 8
    detail_width: int = 32


class SwitchNorm2d(nn.Module):
    """A norm with a learned mixture of the channel's, the image's and the batch's statistics.

    Luo, Ren, Peng, Zhang, Li, "Differentiable learning-to-normalize via switchable normalization", ICLR 2019.
    As in the published network, the variance is unbiased, the running variance starts at 0, and a step keeps
    the share `momentum` of the running statistics.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.9) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))
        # Weights of the channel's, the image's and the batch's statistics, before a softmax.
        self.mean_weight = nn.Parameter(torch.ones(3))
        self.var_weight = nn.Parameter(torch.ones(3))
        self.register_buffer("running_mean", torch.zeros(1, channels, 1))
        self.register_buffer("running_var", torch.zeros(1, channels, 1))

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, height, width) -> the same shape."""
        var, mean = torch.var_mean(features, dim=(2, 3), keepdim=True)
        if features.shape[-2:].numel() == 1:
            # A single pixel has no unbiased variance.
            var = torch.zeros_like(mean)
        square = var + mean**2
        image_mean = mean.mean(1, keepdim=True)
        image_var = square.mean(1, keepdim=True) - image_mean**2
        if self.training:
            batch_mean = mean.mean(0, keepdim=True)
            batch_var = square.mean(0, keepdim=True) - batch_mean**2
            with torch.no_grad():
                self.running_mean.lerp_(batch_mean.flatten(2).to(self.running_mean.dtype), 1 - self.momentum)
                self.running_var.lerp_(batch_var.flatten(2).to(self.running_var.dtype), 1 - self.momentum)
        else:
            batch_mean, batch_var = self.running_mean.unsqueeze(3), self.running_var.unsqueeze(3)
        means, vars_ = self.mean_weight.softmax(0), self.var_weight.softmax(0)
        center = means[0] * mean + means[1] * image_mean + means[2] * batch_mean
        spread = vars_[0] * var + vars_[1] * image_var + vars_[2] * batch_var
        return (features - center) * torch.rsqrt(spread + self.eps) * self.weight + self.bias


class Mixer(nn.Module):
    """A depthwise convolution with a shortcut, then a pointwise one."""

    def __init__(self, width: int, kernel_size: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, kernel_size, padding=kernel_size // 2, groups=width)
        self.norm1 = SwitchNorm2d(width)
        self.pointwise = nn.Conv2d(width, width, 1)
        self.norm2 = SwitchNorm2d(width)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, width, height, width) -> the same shape."""
        features = F.gelu(self.norm1(self.depthwise(features))) + features
        return F.gelu(self.norm2(self.pointwise(features)))


class Details(nn.Module):
    """Narrows a mixer's patches and upsamples them to pixels."""

    def __init__(self, width: int, detail_width: int, patch_size: int) -> None:
        super().__init__()
        self.narrow = nn.Sequential(nn.Conv2d(width, detail_width, 1), SwitchNorm2d(detail_width), nn.GELU())
        self.spread = nn.ConvTranspose2d(detail_width, detail_width, patch_size, stride=patch_size)
        self.norm = SwitchNorm2d(detail_width)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, width, h, w) -> (batch, detail width, patch size * h, patch size * w)."""
        return F.gelu(self.norm(self.spread(self.narrow(features))))


class RDPNetForChangeDetection(ChangeDetector):
    """RDPNet; its first convolution mixes the dates, so a series is compared pair by pair."""

    config_class = RDPNetConfig
    channels_last: ClassVar[bool] = True
    size_multiple: ClassVar[int] = 8
    reference_keys = (
        (r"^patchEmb\.", "patches."),
        (r"^gn1\.", "norm."),
        *((rf"^mixer{index + 1}\.", f"mixers.{index}.") for index in range(6)),
        *((rf"^ch{index + 1}\.layer1\.", f"details.{index}.narrow.") for index in range(6)),
        *((rf"^ch{index + 1}\.", f"details.{index}.") for index in range(6)),
        (r"\.depthconv\.", ".depthwise."),
        (r"\.pointconv\.", ".pointwise."),
        (r"\.gn(\d)\.", r".norm\1."),
        (r"\.patchup\.", ".spread."),
        (r"\.bn2\.", ".norm."),
        (r"^weight$", "detail_weight"),
        (r"^final\.", "head."),
    )

    def __init__(self, config: RDPNetConfig) -> None:
        super().__init__(config)
        width, patch_size = config.width, config.patch_size
        self.patches = nn.Conv2d(2 * self.num_channels, width, patch_size, stride=patch_size)
        self.norm = SwitchNorm2d(width)
        self.mixers = nn.ModuleList(Mixer(width, config.kernel_size) for _ in range(config.depth))
        self.details = nn.ModuleList(
            Details(width, config.detail_width, patch_size) for _ in range(config.depth)
        )
        details = config.depth * config.detail_width
        self.detail_weight = nn.Parameter(torch.empty(1, details, 1, 1))
        self.head = nn.Conv2d(details, self.num_labels, 1)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, SwitchNorm2d):
            for parameter in (module.weight, module.mean_weight, module.var_weight):
                init.ones_(parameter)
            for tensor in (module.bias, module.running_mean, module.running_var):
                init.zeros_(tensor)
        elif module is self:
            init.normal_(self.detail_weight)

    def compare(self, image_1: Tensor, image_2: Tensor) -> Tensor:
        """Two dates, each (batch, channels, height, width) -> change logits (batch, 2, height, width)."""
        features = F.gelu(self.norm(self.patches(torch.cat((image_1, image_2), dim=1))))
        details = []
        for mixer, detail in zip(self.mixers, self.details, strict=True):
            features = mixer(features)
            details.append(detail(features))
        return self.head(torch.cat(details, dim=1) * self.detail_weight)
