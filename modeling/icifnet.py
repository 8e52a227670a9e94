"""ICIFNet: cross-attention between a ResNet and a pyramid transformer at each scale, for each date.

Feng, Xu, Jiang, Liu, Zheng, "ICIF-Net: intra-scale cross-interaction and inter-scale feature fusion network
for bitemporal remote sensing images change detection", IEEE TGRS 2022, figure 1. Reproduces the benchmark's
published network to float32 rounding; with `prediction="authors"`, the authors' own prediction.
"""

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .base import init_convolutions
from .change_detection import Features, SiameseChangeDetector
from .configuration import ChangeDetectionConfig
from .layers import MutualGate
from .pretrained import EncoderWeights, PretrainedEncoderModel
from .pyramid_transformer import PyramidTransformer, init_pyramid_weights, pvt_v2_b1_weights
from .resnet import ResNet, resnet_weights

# Side of a head's window -> number of heads with such a window.
WINDOWS = {3: 2, 5: 3, 7: 3}


class ICIFNetConfig(ChangeDetectionConfig):
    """ICIFNet's configuration.

    Attributes:
        depth: Layers of the ResNet, of which three stages are used.
        widths: Channels of the transformer's three stages, multiples of 8.
        depths: Transformer blocks of each.
        num_heads: Attention heads of each.
        reductions: Reduction of the attention's keys and values in each.
        drop_path: Stochastic depth of the transformer's last block.
        dropout: Dropout in the interaction of the two encoders.
        prediction: "benchmark" for the map of the global branch, as in the benchmark's code; "authors" for
            the sum of all three.
    """

    model_type = "euromine_icifnet"
    depth: int = 18
    widths: tuple[int, ...] | list[int] = (64, 128, 320)
    depths: tuple[int, ...] | list[int] = (2, 2, 2)
    num_heads: tuple[int, ...] | list[int] = (1, 2, 5)
    reductions: tuple[int, ...] | list[int] = (8, 4, 2)
    # The published rate rises to 0.1 over eight blocks, of which the last two, an unused stage, are left out.
    drop_path: float = 0.1 * 5 / 7
    dropout: float = 0.1
    prediction: str = "benchmark"

    def __post_init__(self, **kwargs: object) -> None:
        if self.prediction not in ("benchmark", "authors"):
            raise ValueError(f"prediction: found {self.prediction!r}; expected 'benchmark' or 'authors'.")
        super().__post_init__(**kwargs)


def _conv_norm(channels: int, width: int, kernel_size: int = 1, bias: bool = True) -> nn.Sequential:
    conv = nn.Conv2d(channels, width, kernel_size, padding=kernel_size // 2, bias=bias)
    return nn.Sequential(conv, nn.BatchNorm2d(width))


def _sinusoids(positions: int, width: int, device: torch.device) -> Tensor:
    wavelengths = 10000 ** (torch.arange(0, width, 2, device=device) / width)
    angles = torch.arange(positions, device=device) / wavelengths[:, None]
    return torch.cat((angles.sin(), angles.cos()))


def with_positions(features: Tensor) -> Tensor:
    """Add sinusoids of row and column to the channels of maps (batch, channels, height, width)."""
    _, channels, height, width = features.shape
    rows = _sinusoids(height, channels // 2, features.device)[:, :, None].expand(-1, -1, width)
    columns = _sinusoids(width, channels // 2, features.device)[:, None].expand(-1, height, -1)
    return features + torch.cat((rows, columns)).to(features.dtype)


class FactorizedAttention(nn.Module):
    """Attention of a cost linear in the positions, plus convolutions over windows of neighbours.

    Xu, Xu, Chang, Tu, "Co-scale conv-attentional image transformers", ICCV 2021.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = sum(WINDOWS.values())
        self.head_width = width // self.num_heads
        self.windows = nn.ModuleList(
            nn.Conv2d(channels, channels, side, padding=side // 2, groups=channels)
            for side, channels in ((side, heads * self.head_width) for side, heads in WINDOWS.items())
        )
        self.proj = nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, height: int, width: int) -> Tensor:
        """Three times (batch, height * width, channels) -> (batch, channels, height, width)."""
        queries, keys, values = (
            each.unflatten(2, (self.num_heads, -1)).transpose(1, 2) for each in (query, key, value)
        )
        summary = keys.softmax(2).transpose(2, 3) @ values
        found = (self.head_width**-0.5 * queries @ summary).transpose(1, 2).flatten(2)
        parts = (
            value.transpose(1, 2)
            .unflatten(2, (height, width))
            .split([heads * self.head_width for heads in WINDOWS.values()], dim=1)
        )
        neighbours = torch.cat([conv(part) for conv, part in zip(self.windows, parts, strict=True)], dim=1)
        found = found + query * neighbours.flatten(2).transpose(1, 2)
        return self.drop(self.proj(found)).transpose(1, 2).unflatten(2, (height, width))


class Bottleneck(nn.Sequential):
    """Convolutions of 1 x 1, 3 x 3 and 1 x 1, each after a batch norm and a ReLU."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        inner = width // 2
        for coming, going, side in ((channels, inner, 1), (inner, inner, 3), (inner, width, 1)):
            self.append(nn.BatchNorm2d(coming))
            self.append(nn.ReLU(inplace=True))
            self.append(nn.Conv2d(coming, going, side, padding=side // 2))


class CrossInteraction(nn.Module):
    """Cross-attention between the ResNet's local and the transformer's global map at one scale."""

    def __init__(self, local_width: int, global_width: int, dropout: float) -> None:
        super().__init__()
        self.local_in, self.global_in = (
            nn.Sequential(*_conv_norm(channels, global_width), nn.ReLU(inplace=True))
            for channels in (local_width, global_width)
        )
        self.qkv = nn.Linear(global_width, 3 * global_width)
        self.attention = FactorizedAttention(global_width, dropout)
        self.fuse = Bottleneck(2 * global_width, local_width)
        self.shortcut = nn.Conv2d(2 * global_width, local_width, 1)
        self.drop = nn.Dropout2d(dropout)

    def forward(self, local_map: Tensor, global_map: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps (batch, local or global width, h, w) of one date.

        Returns:
            The global map's attention to the local one and the reverse, both (batch, global width, h, w), and
            their fusion, (batch, local width, h, w).
        """
        size = local_map.shape[-2:]
        (local_query, *local_memory), (global_query, *global_memory) = (
            self.qkv(project(with_positions(each)).flatten(2).transpose(1, 2)).chunk(3, dim=-1)
            for project, each in ((self.local_in, local_map), (self.global_in, global_map))
        )
        by_global = self.attention(global_query, *local_memory, *size)
        by_local = self.attention(local_query, *global_memory, *size)
        both = torch.cat((by_global, by_local), dim=1)
        return by_global, by_local, self.drop(self.fuse(both) + self.shortcut(both))


class Up(nn.Module):
    """Doubles the side, weights the skip by the coarse map, concatenates both and refines."""

    def __init__(self, coarse_width: int, width: int) -> None:
        super().__init__()
        joined = coarse_width + width
        self.gate_coarse = _conv_norm(coarse_width, width)
        self.gate_skip = _conv_norm(width, width)
        self.gate = nn.Sequential(*_conv_norm(width, 1), nn.Sigmoid())
        self.refine = nn.Sequential(
            *_conv_norm(joined, width, 3), nn.ReLU(inplace=True), *_conv_norm(width, width, 3)
        )
        self.shortcut = _conv_norm(joined, width)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """(batch, coarse width, h, w) and (batch, width, 2h, 2w) -> (batch, width, 2h, 2w)."""
        coarse = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=True)
        gated = skip * self.gate(F.relu(self.gate_coarse(coarse) + self.gate_skip(skip)))
        joined = torch.cat((gated, coarse), dim=1)
        return F.relu(self.refine(joined) + self.shortcut(joined))


class GatedPyramid(nn.Module):
    """Fuses three scales from the coarsest up."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.narrow = nn.ModuleList(
            _conv_norm(channels, width, bias=False) for channels, width in ((middle, fine), (coarse, middle))
        )
        self.gates = nn.ModuleList(MutualGate(width) for width in (fine, middle))

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> Tensor:
        """Maps at 1/4, 1/8 and 1/16 -> the finest one's shape."""
        middle = self.gates[1](middle, self.narrow[1](coarse))
        return self.gates[0](fine, self.narrow[0](middle))


class DateBranch(nn.Module):
    """From both encoders' maps of one date to three maps of it; either date has its own weights."""

    def __init__(self, local_widths: list[int], global_widths: list[int], dropout: float) -> None:
        super().__init__()
        self.cross = nn.ModuleList(
            CrossInteraction(local_width, global_width, dropout)
            for local_width, global_width in zip(local_widths, global_widths, strict=True)
        )
        self.global_pyramid = GatedPyramid(global_widths)
        self.local_pyramid = GatedPyramid(global_widths)
        self.up = nn.ModuleList(Up(coarse, fine) for fine, coarse in pairwise(local_widths))

    def forward(self, maps: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, ...]:
        """Local and global maps at 1/4, 1/8 and 1/16 -> the local, fused and global map, at 1/4."""
        by_global, by_local, fused = zip(
            *(cross(*pair) for cross, pair in zip(self.cross, maps, strict=True)), strict=True
        )
        features = self.up[0](self.up[1](fused[2], fused[1]), fused[0])
        return self.local_pyramid(*by_local), features, self.global_pyramid(*by_global)


class ICIFNetForChangeDetection(PretrainedEncoderModel, SiameseChangeDetector):
    """ICIFNet; the dates meet in the difference of their three maps.

    Its auxiliary maps come from the local, the fused and the global map; the benchmark's main map is the
    global one. Not symmetric in the dates, which have separate weights after the encoders: in a series, a
    year is encoded both as a first and as a second date.
    """

    config_class = ICIFNetConfig
    supports_gradient_checkpointing = True
    # The finest attention reduces its keys and values to 1/32.
    size_multiple: ClassVar[int] = 32
    reference_keys = (
        (r"^backbone\.(.*\.dwconv\.)dwconv\.", r"backbone.\1"),
        (r"^backbone\.", "transformer."),
        # Every layer after the encoders exists twice, with a suffix for the second date. The published scale
        # 4 is the finest; a pyramid's layers are named by the scales that they fuse.
        (r"^(cross|up|Translayer|fam)(\w+?)_img2\.", r"branches.1.\1\2."),
        (r"^(cross|up|Translayer|fam)", r"branches.0.\1"),
        *((rf"\.cross{4 - scale}\.", f".cross.{scale}.") for scale in range(3)),
        (r"\.Yconv\.", ".local_in."),
        (r"\.Sconv\.", ".global_in."),
        (r"\.factoratt_crpe\.crpe\.conv_list\.", ".attention.windows."),
        (r"\.factoratt_crpe\.", ".attention."),
        (r"\.residual\.skip_layer\.conv\.", ".shortcut."),
        *((rf"\.residual\.bn{layer + 1}\.", f".fuse.{3 * layer}.") for layer in range(3)),
        *((rf"\.residual\.conv{layer + 1}\.conv\.", f".fuse.{3 * layer + 2}.") for layer in range(3)),
        *((rf"\.up{3 - scale}\.", f".up.{scale}.") for scale in range(2)),
        (r"\.conv\.double_conv\.", ".refine."),
        (r"\.conv\.identity\.", ".shortcut."),
        (r"\.attn_block\.W_g\.", ".gate_coarse."),
        (r"\.attn_block\.W_x\.", ".gate_skip."),
        (r"\.attn_block\.psi\.", ".gate."),
        *((rf"\.Translayer{3 - scale}_([gl])\.", rf".\1.narrow.{scale}.") for scale in range(2)),
        *((rf"\.fam{theirs}_1\.", f".g.gates.{scale}.") for scale, theirs in enumerate((32, 43))),
        *((rf"\.fam{theirs}_2\.", f".l.gates.{scale}.") for scale, theirs in enumerate((32, 43))),
        (r"\.g\.(narrow|gates)\.", r".global_pyramid.\1."),
        (r"\.l\.(narrow|gates)\.", r".local_pyramid.\1."),
        (r"(narrow\.\d)\.conv\.", r"\1.0."),
        (r"(narrow\.\d)\.bn\.", r"\1.1."),
        (r"\.conv_d1\.", ".coarse_gate."),
        (r"\.conv_l\.", ".fine_gate."),
        (r"(gates\.\d)\.conv3\.", r"\1.merge.0."),
        (r"(gates\.\d)\.bn3\.", r"\1.merge.1."),
        *((rf"^final_{theirs}\.", f"heads.{head}.") for head, theirs in enumerate("1x2")),
        (r"^(heads\.\d)\.0\.conv\.", r"\1.0."),
        (r"^(heads\.\d)\.0\.bn\.", r"\1.1."),
        (r"^(heads\.\d)\.1\.conv\.", r"\1.3."),
    )
    reference_unused = (
        r"^resnet\.fc\.",
        r"^backbone\.(patch_embed4|block4|norm4)\.",
        r"^cross\d(_img2)?\.(query|key|value|factoratt_crpe\.qkv)\.",
        r"\.inv_freq$",
    )

    def __init__(self, config: ICIFNetConfig) -> None:
        super().__init__(config)
        self.resnet = ResNet(config.num_channels, config.depth, strides=(1, 2, 2), dilations=(1, 1, 1))
        self.transformer = PyramidTransformer(
            config.num_channels,
            widths=config.widths,
            depths=config.depths,
            num_heads=config.num_heads,
            reductions=config.reductions,
            feed_forward_ratios=(8, 8, 4),
            kernel_sizes=(7, 3, 3),
            drop_path=config.drop_path,
        )
        local_widths, global_widths = self.resnet.widths[1:], list(config.widths)
        self.branches = nn.ModuleList(
            DateBranch(local_widths, global_widths, config.dropout) for _ in range(2)
        )
        self.heads = nn.ModuleList(
            nn.Sequential(
                *_conv_norm(width, width, 3),
                nn.ReLU(inplace=True),
                nn.Conv2d(width, self.num_labels, 3, padding=1),
            )
            for width in (global_widths[0], local_widths[0], global_widths[0])
        )
        self.post_init()

    @property
    def may_leave_parameters_out(self) -> bool:
        """True while the auxiliary maps, which have layers of their own, are outside the loss."""
        return not self.config.auxiliary_loss_weight

    def pretrained_encoders(self) -> dict[str, EncoderWeights]:
        """The ResNet's and the transformer's weights."""
        return {"resnet": resnet_weights(self.resnet), "transformer": pvt_v2_b1_weights(self.transformer)}

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        init_pyramid_weights(self.transformer, module)
        init_convolutions(module, (self.resnet,))
        # As published, the second date's interaction and upsampling keep PyTorch's initialisation.
        second = (part for key, part in self.branches[1].named_children() if key not in ("cross", "up"))
        init_convolutions(module, (self.branches[0], *second, self.heads), "fan_in")

    def encode(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """(batch, channels, height, width) -> three maps at 1/4 as a first date, then three as a second."""
        maps = self._read_by_both(pixel_values)
        return tuple(each for branch in self.branches for each in branch(maps))

    def decode(self, features_1: Features, features_2: Features) -> tuple[Tensor, ...]:
        """The first year's first and the second's last three maps -> change logits and the heads' logits."""
        of_local, of_fused, of_global = (self._mapped(head, features_1, features_2) for head in range(3))
        main = of_local + of_fused + of_global if self.config.prediction == "authors" else of_global
        return main, of_local, of_fused, of_global

    def decode_main(self, features_1: Features, features_2: Features) -> Tensor:
        """As `decode`, without the maps that the logits do not need."""
        if self.config.prediction == "authors":
            return self.decode(features_1, features_2)[0]
        return self._mapped(2, features_1, features_2)

    def compare(self, image_1: Tensor, image_2: Tensor) -> tuple[Tensor, ...]:
        """As `encode` and `decode`, without each image's maps as the other date."""
        first, second = (
            branch(self._read_by_both(image))
            for branch, image in zip(self.branches, (image_1, image_2), strict=True)
        )
        return self.decode(first, second)

    def _read_by_both(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        return list(zip(self.resnet(images)[1:], self.transformer(images), strict=True))

    def _mapped(self, head: int, features_1: Features, features_2: Features) -> Tensor:
        change = abs(features_1[:3][head] - features_2[-3:][head])
        return self.heads[head](F.interpolate(change, scale_factor=4, mode="bilinear"))
