"""Blocks that several networks share."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNormActivation(nn.Module):
    """A convolution, a batch norm and, optionally, an activation.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        kernel_size: Side of the kernel; odd, so that padding keeps the size at stride 1.
        stride: Stride of the convolution.
        groups: Groups of the convolution; `in_channels` makes it depthwise.
        dilation: Dilation of the kernel; padding is adapted to it.
        activation: Class of the activation; None for none.
        bias: Whether the convolution has a bias, which the batch norm makes redundant.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        groups: int = 1,
        dilation: int = 1,
        activation: type[nn.Module] | None = nn.ReLU,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=(kernel_size - 1) // 2 * dilation,
            dilation=dilation,
            groups=groups,
            bias=bias,
        )
        self.norm = BatchNorm2d(out_channels)
        if activation is nn.ReLU:
            # Nothing else reads the batch norm's output, and the backward pass needs only the result.
            self.activation: nn.Module = nn.ReLU(inplace=True)
        else:
            self.activation = nn.Identity() if activation is None else activation()

    def forward(self, features: Tensor) -> Tensor:
        """(batch, in_channels, height, width) -> (batch, out_channels, height / stride, width / stride)."""
        return self.activation(self.norm(self.conv(features)))


class StochasticDepth(nn.Module):
    """Drops a residual branch for some samples of the batch, in training only.

    Kept branches are divided by the share kept, which preserves the mean. Huang et al., "Deep networks with
    stochastic depth", ECCV 2016.

    Args:
        rate: Probability of dropping a sample's branch, at least 0 and below 1.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"rate: found {rate}; expected at least 0 and below 1.")
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """(batch, ...) -> the same shape."""
        if not self.training or self.rate == 0:
            return branch
        kept_share = 1 - self.rate
        shape = (branch.shape[0],) + (1,) * (branch.ndim - 1)
        kept = torch.empty(shape, dtype=branch.dtype, device=branch.device).bernoulli_(kept_share)
        return branch * (kept / kept_share)

    def extra_repr(self) -> str:
        """Text for `print(model)`."""
        return f"rate={self.rate}"


class PooledBatchNorm2d(nn.BatchNorm2d):
    """A batch norm that also trains on one value per channel, as in a pooling branch with batch size 1.

    A single value has no variance, so the running statistics are used, as in evaluation, and not updated.
    """

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, height, width) -> the same shape."""
        if self.training and features.numel() == features.shape[1]:
            return F.batch_norm(
                features, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(features)


class BatchNorm2d(PooledBatchNorm2d):
    """A batch norm for networks that take images of any size and may checkpoint gradients.

    A batch of one image may shrink to a single value per channel anywhere in a deep network. When gradient
    checkpointing repeats a forward pass, the result is the same and the running statistics do not count the
    batch twice.
    """

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, height, width) -> the same shape."""
        repeated = (
            self.training
            and not torch.compiler.is_compiling()
            # -1 outside a backward pass; there is no public function for it.
            and torch._C._current_graph_task_id() != -1
        )
        if not repeated or features.numel() == features.shape[1]:
            return super().forward(features)
        # Momentum 0 leaves the statistics unchanged, but the repeated pass must save the same tensors as the
        # first.
        return F.batch_norm(
            features, self.running_mean, self.running_var, self.weight, self.bias, True, 0.0, self.eps
        )


# Types of transformers' networks that run and train quicker on a CPU if images keep their channels innermost
# (docs/benchmarks/models.md). Networks of this package arrange it themselves, by `channels_last`.
_INNERMOST_INPUTS = ("mobilenet_v2", "mobilevitv2")


_PLAIN_LAYERS = (nn.Linear, nn.Conv2d, nn.BatchNorm2d, PooledBatchNorm2d, BatchNorm2d)


class MutualGate(nn.Module):
    """Joins a finer and a coarser map, each multiplied by a convolution of the other.

    Feng et al., "ICIF-Net", IEEE TGRS 2022; also in DMINet.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.coarse_gate = nn.Conv2d(width, width, 3, padding=1)
        self.fine_gate = nn.Conv2d(width, width, 3, padding=1)
        self.merge = nn.Sequential(
            nn.Conv2d(2 * width, width, 3, padding=1), BatchNorm2d(width), nn.ReLU(inplace=True)
        )

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """(batch, width, 2h, 2w) and (batch, width, h, w) -> the finer one's shape."""
        size = fine.shape[-2:]
        grown = F.interpolate(coarse, size=size, mode="bilinear")
        gate = F.interpolate(self.coarse_gate(coarse), size=size, mode="bilinear")
        return self.merge(torch.cat((F.relu(self.fine_gate(fine) * grown), F.relu(gate * fine)), dim=1))


def is_plain(*layers: nn.Module) -> bool:
    """Whether layers are PyTorch's own and nothing waits for a call of them.

    Only then may a network compute with their weights instead of calling them. Adapters and quantisation put
    other layers in their place; hooks and the offloading of weights act on the call.
    """
    return all(type(layer) in _PLAIN_LAYERS for layer in layers) and is_unwatched(*layers)


def is_unwatched(*modules: nn.Module) -> bool:
    """Whether no hook and no replaced `forward` waits for a call of modules."""
    return all(
        "forward" not in module.__dict__
        and not module._forward_hooks
        and not module._forward_pre_hooks
        and not module._backward_hooks
        and not module._backward_pre_hooks
        for module in modules
    )


def conv_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d, features: Tensor) -> Tensor:
    """A convolution followed by a batch norm, fused into one convolution in evaluation.

    Fusing saves a pass over the maps and costs one over the weights, which pays if the maps are larger.

    Args:
        conv: A convolution without bias.
        norm: A batch norm with weights.
        features: (batch, channels, height, width).
    """
    if norm.training or not is_plain(conv, norm) or norm.running_mean is None or norm.running_var is None:
        return norm(conv(features))
    scale, shift = affine_of(norm)
    weight = conv.weight * scale[:, None, None, None]
    return F.conv2d(features, weight, shift, conv.stride, conv.padding, conv.dilation, conv.groups)


def affine_of(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """The factor and the summand of each channel by which a batch norm acts in evaluation.

    Args:
        norm: A batch norm with weights and running statistics.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def tokens_to_map(tokens: Tensor, height: int, width: int) -> Tensor:
    """Tokens (batch, height * width, channels) -> a view (batch, channels, height, width).

    Its channels lie innermost. Transposing and reshaping would give a single image strides that no quick
    kernel of a CPU takes.
    """
    return tokens.unflatten(1, (height, width)).permute(0, 3, 1, 2)


def map_to_tokens(features: Tensor) -> Tensor:
    """A map (batch, channels, height, width) -> tokens (batch, height * width, channels)."""
    return features.permute(0, 2, 3, 1).flatten(1, 2)


def laid_out_for(model_type: str, images: Tensor) -> Tensor:
    """Images in the layout that makes one of transformers' networks quickest.

    Its results change by rounding. The network itself is left as it is, so that it computes what
    transformers does to the last bit from the same inputs.

    Args:
        model_type: Of the network's configuration.
        images: (batch, channels, height, width).
    """
    if model_type in _INNERMOST_INPUTS and images.device.type == "cpu" and images.ndim == 4:
        return images.contiguous(memory_format=torch.channels_last)
    return images


def linear_of_pixels(layer: nn.Linear, pixels: Tensor) -> Tensor:
    """A linear layer on pixels, computed as a convolution over rows.

    From 32 to 64 channels and back, for maps of 40 x 40, an AMD EPYC (Zen 5) takes 0.57 to 0.97 of the matrix
    product's time; forward and backward 0.79 to 0.90 for eight images, but 1.09 for one.

    Args:
        layer: From in to out channels.
        pixels: (batch, height, width, in).

    Returns:
        (batch, height, width, out).
    """
    if not is_plain(layer):
        return layer(pixels)
    rows = pixels.flatten(0, 1).unsqueeze(1).permute(0, 3, 1, 2)
    rows = F.conv2d(rows, layer.weight[:, :, None, None], layer.bias)
    return rows.permute(0, 2, 3, 1).squeeze(1).unflatten(0, pixels.shape[:2])


def join_skip(features: Tensor, skip: Tensor) -> Tensor:
    """Decoder step of a bilinear U-Net: double the side, fit it to the skip, concatenate.

    Args:
        features: (batch, channels, height, width), about half the skip's side.
        skip: (batch, skip channels, height, width) of the encoder.

    Returns:
        (batch, skip channels + channels, height, width) of the skip's side, the skip first. A smaller doubled
        map is centred in zeros, a larger one is cropped to its centre.
    """
    features = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=True)
    rows, columns = (s - f for s, f in zip(skip.shape[-2:], features.shape[-2:], strict=True))
    if rows or columns:
        features = F.pad(features, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
    return torch.cat([skip, features], dim=1)
