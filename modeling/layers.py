"""Blocks that several networks share."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNormActivation(nn.Module):
    """A convolution without bias, a batch norm and, if any, an activation.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out.
        kernel_size: Side of the kernel; odd, so that the padding keeps the size at stride 1.
        stride: Stride of the convolution.
        groups: Groups of the convolution; `in_channels` makes it depthwise.
        dilation: Dilation of the kernel, which the padding follows.
        activation: The class of the activation; None for none.
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
            bias=False,
        )
        self.norm = nn.BatchNorm2d(out_channels)
        self.activation = nn.Identity() if activation is None else activation()

    def forward(self, features: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(features)))


class StochasticDepth(nn.Module):
    """Drops a residual branch for some samples of the batch, in training alone.

    What is kept is divided by the share that is kept, so that the mean stays. Huang et al., "Deep networks
    with stochastic depth", ECCV 2016.

    Args:
        rate: The probability that a sample's branch is dropped, 0 to below 1.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"the rate of stochastic depth is {rate}, 0 to below 1 was expected")
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return branch
        kept_share = 1 - self.rate
        shape = (branch.shape[0],) + (1,) * (branch.ndim - 1)
        kept = torch.empty(shape, dtype=branch.dtype, device=branch.device).bernoulli_(kept_share)
        return branch * (kept / kept_share)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


class PooledBatchNorm2d(nn.BatchNorm2d):
    """A batch norm that also trains on one value a channel, as a pooling branch sees with batch size 1.

    One value has no variance: there the running statistics are used, as in evaluation, and left alone.
    Elsewhere it is the plain batch norm.
    """

    def forward(self, features: Tensor) -> Tensor:
        if self.training and features.numel() == features.shape[1]:
            return F.batch_norm(
                features, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(features)
