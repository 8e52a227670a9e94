"""AFCF3D: a ResNet inflated in time encodes both dates as two frames; neighbouring scales are fused.

Ye, Wang, Zhou, Lei, Ye, Qi, "Adjacent-level feature cross-fusion with 3-D CNN for remote sensing image
change detection", IEEE TGRS 2023. Reproduces the benchmark's published network to float32 rounding; as there,
one block fuses all middle scales, one convolution each carries features up and down, and a residual block
ends with two ReLUs.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init

from .base import init_convolutions, learns_in_bfloat16, two_class_logits
from .change_detection import ChangeDetector
from .configuration import ChangeDetectionConfig

# Blocks and channels of the ResNet-18's four stages.
STAGES = ((2, 64), (2, 128), (2, 256), (2, 512))


class AFCF3DConfig(ChangeDetectionConfig):
    """AFCF3D's configuration.

    Attributes:
        width: Channels to which each scale is narrowed.
    """

    model_type = "euromine_afcf3d"
    width: int = 32


class TemporalConv(nn.Module):
    """A spatial convolution of each frame, then one in time over a frame and its neighbours.

    The two frames are consecutive in the batch.
    """

    def __init__(self, channels: int, width: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(
            channels, width, kernel_size, stride=stride, padding=kernel_size // 2, bias=False
        )
        # Contributions of the previous frame, the frame itself and the next one.
        self.before = nn.Conv2d(width, width, 1, bias=False)
        self.same = nn.Conv2d(width, width, 1, bias=False)
        self.after = nn.Conv2d(width, width, 1, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        """(2 batch, channels, height, width) -> (2 batch, width, height / stride, width / stride)."""
        frames = self.spatial(frames)
        first, second = frames.chunk(2)
        return self.same(frames) + torch.cat((self.after(second), self.before(first)))


class ResidualBlock(nn.Module):
    """Two temporal convolutions, each with batch norm and ReLU, added to the input."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = TemporalConv(channels, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = TemporalConv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride > 1 or channels != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, frames: Tensor) -> Tensor:
        """(2 batch, channels, height, width) -> (2 batch, width, height / stride, width / stride)."""
        residual = F.relu(self.bn1(self.conv1(frames)))
        residual = F.relu(self.bn2(self.conv2(residual)))
        return F.relu(residual + (frames if self.downsample is None else self.downsample(frames)))


class InflatedResNet(nn.Module):
    """ResNet-18 whose 3 x 3 and 7 x 7 convolutions also see the other frame."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        width = STAGES[0][1]
        self.conv1 = TemporalConv(num_channels, width, 7, stride=2)
        self.bn1 = nn.BatchNorm2d(width)
        self.widths = [width]
        channels = width
        for stage, (blocks, width) in enumerate(STAGES):
            layer = nn.Sequential()
            for index in range(blocks):
                layer.append(ResidualBlock(channels, width, 2 if stage and index == 0 else 1))
                channels = width
            self.add_module(f"layer{stage + 1}", layer)
            self.widths.append(width)

    def forward(self, frames: Tensor) -> list[Tensor]:
        """(2 batch, channels, height, width) -> maps at 1/2 to 1/32, finest first."""
        maps = [F.relu(self.bn1(self.conv1(frames)))]
        features = F.max_pool2d(maps[0], 3, stride=2, padding=1)
        for stage in range(1, len(self.widths)):
            features = getattr(self, f"layer{stage}")(features)
            maps.append(features)
        return maps


class FilmConv(nn.Conv3d):
    """A convolution over frames that runs on oneDNN for a single pair, too, and learns in bfloat16.

    On a CPU PyTorch leaves small inputs of batch 1 to a kernel of its own, several times as slow. Where there
    are fewer frames than the kernel spans, oneDNN's gradient of the weights in bfloat16 holds memory that was
    never written, often NaN; with the empty frames in the input it is right.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padding, stride, dilation = self.padding, self.stride, self.dilation
        if isinstance(padding, str):
            return super()._conv_forward(input, weight, bias)
        if learns_in_bfloat16(input) and input.shape[2] < weight.shape[2] and padding[0]:
            filled = F.pad(input, (0, 0, 0, 0, padding[0], padding[0]))
            return F.conv3d(filled, weight, bias, stride, (0, *padding[1:]), dilation, self.groups)
        is_left_out = (
            len(input) == 1
            and type(input) is Tensor  # not one of those that count operations or shapes
            and input.device.type == "cpu"
            and input.dtype == weight.dtype == torch.float32
            and torch.backends.mkldnn.enabled
            and torch.backends.mkldnn.is_available()
        )
        # A graph is compiled for its shapes, and autocast has a type of its own.
        has_its_own_way = torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu")
        if is_left_out and not has_its_own_way:
            return torch.mkldnn_convolution(input, weight, bias, padding, stride, dilation, self.groups)
        return super()._conv_forward(input, weight, bias)


def _conv(
    channels: int,
    width: int,
    kernel_size: int | tuple[int, int, int],
    stride: int | tuple[int, int, int] = 1,
    padding: int | tuple[int, int, int] = 0,
) -> nn.Sequential:
    return nn.Sequential(
        FilmConv(channels, width, kernel_size, stride=stride, padding=padding),
        nn.BatchNorm3d(width),
        nn.ReLU(),
    )


def _down(width: int) -> nn.Sequential:
    return _conv(width, width, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))


def _doubled(features: Tensor) -> Tensor:
    """(batch, channels, frames, h, w) -> frames of twice the side, bilinear, corners aligned."""
    frames = features.flatten(1, 2)
    frames = F.interpolate(frames, scale_factor=2, mode="bilinear", align_corners=True)
    return frames.unflatten(1, features.shape[1:3])


class CoordinateAttention(nn.Module):
    """Weights each channel and frame by row and by column, from the means along them.

    Hou, Zhou, Feng, "Coordinate attention for efficient mobile network design", CVPR 2021.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shared = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels), nn.ReLU())
        self.rows = nn.Conv2d(channels, channels, 1)
        self.columns = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, frames, h, w) -> the same shape."""
        flat = features.flatten(1, 2)
        height, width = flat.shape[-2:]
        both = torch.cat((flat.mean(3, keepdim=True), flat.mean(2, keepdim=True).mT), dim=2)
        rows, columns = self.shared(both).split((height, width), dim=2)
        weights = self.rows(rows).sigmoid() * self.columns(columns.mT).sigmoid()
        return (flat * weights).view_as(features)


class Fusion(nn.Module):
    """Fuses a scale with its neighbours and adds the weighted result to it."""

    def __init__(self, width: int, finer: bool, coarser: bool) -> None:
        super().__init__()
        self.down = _down(width) if finer else None
        self.up = _conv(width, width, 3, padding=1) if coarser else None
        self.merge = nn.Sequential(_conv(width, width, 3, padding=1), _conv(width, width, 1))
        self.attention = CoordinateAttention(2 * width)

    def forward(self, finer: Tensor | None, own: Tensor, coarser: Tensor | None) -> Tensor:
        """Maps (batch, width, 2, ...) of twice, once and half the side -> the middle one's shape."""
        total = own
        if self.down is not None:
            total = total + self.down(finer)
        if self.up is not None and coarser is not None:
            total = total + self.up(_doubled(coarser))
        return self.attention(self.merge(total)) + own


class ScaleMerge(nn.Module):
    """Five maps of two frames each as a film of ten, convolved, weighed and shortened."""

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()
        self.merge = nn.Sequential(_conv(width, width, 3, padding=1), _conv(width, width, 1))
        self.attention = CoordinateAttention(10 * width)
        self.shorten = nn.Sequential(
            _conv(width, width, 3, padding=1),
            _conv(width, width, (4, 3, 3), stride=(2, 1, 1), padding=(0, 1, 1)),
            _conv(width, width, (5 - frames, 1, 1)),
        )

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Five maps (batch, width, 2, h, w) -> (batch, width, frames, h, w)."""
        film = torch.cat(maps, dim=2)
        return self.shorten(self.attention(self.merge(film)) + film)


class AFCF3DForChangeDetection(ChangeDetector):
    """AFCF3D; every convolution mixes the dates, so a series is compared pair by pair."""

    config_class = AFCF3DConfig
    two_classes_only: ClassVar[bool] = True
    size_multiple: ClassVar[int] = 32
    reference_keys = (
        (r"^resnet\.", "backbone."),
        (r"\.conv3d_spatial\.", ".spatial."),
        (r"\.conv3d_time_1\.", ".before."),
        (r"\.conv3d_time_2\.", ".same."),
        (r"\.conv3d_time_3\.", ".after."),
        (r"^decoder\.reduction(\d)\.reduce\.", r"reduce.\1."),
        *((rf"^decoder\.AFCF_fuse\.AFCF{index + 1}\.", f"fusions.{index}.") for index in range(3)),
        (r"^(fusions\.\d)\.conv_down\.conv_bn\.", r"\1.down."),
        (r"^(fusions\.\d)\.conv_up\.conv_bn\.", r"\1.up."),
        (r"^(fusions\.\d)\.conv_cat\.", r"\1.merge."),
        (r"^decoder\.output\.conv_downsample\.conv_bn\.", "down."),
        (r"^decoder\.output\.conv_upsample\.conv_bn\.", "up."),
        (r"^decoder\.output\.conv_cat_(\d)\.", r"scales.\1.merge."),
        (r"^decoder\.output\.SE_(\d)\.", r"scales.\1.SE."),
        (r"^decoder\.output\.downT(\d)\.", r"scales.\1.shorten."),
        (r"^decoder\.output\.downfinal\.", "scales.0.shorten."),
        (r"\.SE\.conv1\.", ".attention.shared.0."),
        (r"\.SE\.bn1\.", ".attention.shared.1."),
        (r"\.SE\.conv2\.", ".attention.rows."),
        (r"\.SE\.conv3\.", ".attention.columns."),
        (r"^decoder\.output\.out\.0\.conv_bn\.", "head.0."),
        (r"^decoder\.output\.out\.1\.conv_bn\.", "head.1."),
        (r"^decoder\.output\.out\.2\.", "head.2."),
        (r"\.conv_bn\.", "."),
    )
    reference_unused = (
        r"^resnet\.fc\.",
        r"^decoder\.AFCF_fuse\.AFCF1\.conv_down\.",
        r"^decoder\.AFCF_fuse\.AFCF3\.conv_up\.",
        r"^decoder\.output\.(downT0|superD\d|superout\d)\.",
    )

    def __init__(self, config: AFCF3DConfig) -> None:
        super().__init__(config)
        width = config.width
        self.backbone = InflatedResNet(self.num_channels)
        self.reduce = nn.ModuleList(
            nn.Sequential(
                _conv(channels, width, 1),
                _conv(width, width, 3, padding=1),
                _conv(width, width, 3, padding=1),
            )
            for channels in self.backbone.widths
        )
        self.fusions = nn.ModuleList(
            Fusion(width, finer, coarser) for finer, coarser in ((False, True), (True, True), (True, False))
        )
        self.down = _down(width)
        self.up = _conv(width, width, 3, padding=1)
        self.scales = nn.ModuleList(ScaleMerge(width, 2 if scale else 1) for scale in range(4))
        self.head = nn.Sequential(
            nn.Sequential(nn.Conv2d(width, 2 * width, 1, bias=False), nn.BatchNorm2d(2 * width)),
            nn.Sequential(nn.Conv2d(2 * width, width, 1, bias=False), nn.BatchNorm2d(width)),
            nn.Conv2d(width, 1, 1),
        )
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Initialise the backbone as a ResNet over independent frames, the rest as PyTorch does."""
        super()._init_weights(module)
        init_convolutions(module, (self.backbone,))
        for conv in self.backbone.modules():
            if isinstance(conv, TemporalConv):
                if module is conv.before or module is conv.after:
                    init.zeros_(module.weight)
                elif module is conv.same:
                    init.dirac_(module.weight)

    @classmethod
    def prepare_reference(cls, reference: dict[str, Tensor]) -> dict[str, Tensor]:
        """Remove the time dimension of the published ResNet's kernels, which is 1."""
        return {
            key: value.squeeze(2) if key.startswith("resnet.") and value.ndim == 5 else value
            for key, value in reference.items()
        }

    def compare(self, image_1: Tensor, image_2: Tensor) -> Tensor:
        """Two dates, each (batch, channels, height, width) -> change logits (batch, 2, height, width)."""
        maps = [
            reduce(torch.stack(frames.chunk(2), dim=2))
            for reduce, frames in zip(self.reduce, self.backbone(torch.cat((image_1, image_2))), strict=True)
        ]
        first, middle, last = self.fusions
        fused = [first(None, maps[0], maps[1])]
        fused += [middle(*maps[scale - 1 : scale + 2]) for scale in (1, 2, 3)]
        fused.append(last(maps[3], maps[4], None))
        # Each scale sees all five: the finer ones downsampled, the coarser ones merged and upsampled.
        finer = [fused[:1]]
        for own in fused[1:4]:
            finer.append([*(self.down(each) for each in finer[-1]), own])
        coarser = [fused[4]]
        merged = fused[4]
        for scale in (3, 2, 1, 0):
            coarser = [self.up(_doubled(each)) for each in coarser]
            film = [*reversed(coarser), *reversed(finer[scale])]
            # Coarsest first, except at the finest scale, where the published network puts its own map first.
            merged = self.scales[scale](film if scale else [film[-1], *film[:-1]])
            coarser.insert(0, merged)
        probability = self.head(merged.squeeze(2)).sigmoid()
        probability = F.interpolate(probability, scale_factor=2, mode="bilinear", align_corners=True)
        # The published network resizes the probability; z is the logit of the result.
        return two_class_logits(torch.logit(probability.float(), eps=1e-6))
