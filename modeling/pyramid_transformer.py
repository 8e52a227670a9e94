"""Transformer stages with overlapping patches and attention to a reduced map: ChangeFormer's and PVTv2's.

Wang et al., "PVT v2: improved baselines with pyramid vision transformer", CVM 2022, figure 1; Xie et al.,
"SegFormer", NeurIPS 2021.
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from .layers import StochasticDepth, map_to_tokens, tokens_to_map
from .pretrained import EncoderWeights

# timm's names to the published ones, which number stages from 1 and keep the embeddings outside them.
TIMM_KEYS = (
    (r"^patch_embed\.", "patch_embed1."),
    *(
        rule
        for stage in range(4)
        for rule in (
            (rf"^stages\.{stage}\.downsample\.", f"patch_embed{stage + 1}."),
            (rf"^stages\.{stage}\.blocks\.", f"block{stage + 1}."),
            (rf"^stages\.{stage}\.norm\.", f"norm{stage + 1}."),
        )
    ),
)
# The published feed-forward layers wrap their depthwise convolution in a module.
_PUBLISHED_KEYS = ((r"\.dwconv\.dwconv\.", ".dwconv."),)


class ReducedAttention(nn.Module):
    """Multi-head self-attention whose keys and values come from a map reduced by a strided convolution."""

    def __init__(
        self, width: int, num_heads: int, reduction: int, attention_dropout: float, dropout: float
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_dropout = attention_dropout
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)
        self.proj_drop = nn.Dropout(dropout)
        self.sr = nn.Conv2d(width, width, reduction, stride=reduction) if reduction > 1 else None
        self.norm = nn.LayerNorm(width) if reduction > 1 else None

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """(batch, height * width, channels) -> the same shape."""
        memory = tokens
        if self.sr is not None and self.norm is not None:
            memory = self.norm(map_to_tokens(self.sr(tokens_to_map(tokens, height, width))))
        key, value = self.kv(memory).chunk(2, dim=-1)
        query, key, value = (
            each.unflatten(2, (self.num_heads, -1)).transpose(1, 2) for each in (self.q(tokens), key, value)
        )
        dropout = self.attention_dropout if self.training else 0.0
        found = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        return self.proj_drop(self.proj(found.transpose(1, 2).flatten(2)))


class ConvolutionalFeedForward(nn.Module):
    """Two linear layers with a depthwise convolution between them, which encodes positions."""

    def __init__(self, width: int, inner_width: int, dropout: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, inner_width)
        self.dwconv = nn.Conv2d(inner_width, inner_width, 3, padding=1, groups=inner_width)
        self.fc2 = nn.Linear(inner_width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """(batch, height * width, channels) -> the same shape."""
        inner = map_to_tokens(self.dwconv(tokens_to_map(self.fc1(tokens), height, width)))
        return self.drop(self.fc2(self.drop(F.gelu(inner))))


class Block(GradientCheckpointingLayer):
    """Attention and feed-forward layers, each after a layer norm and with a shortcut."""

    def __init__(
        self,
        width: int,
        num_heads: int,
        reduction: int,
        feed_forward_ratio: int,
        dropout: float,
        attention_dropout: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = ReducedAttention(width, num_heads, reduction, attention_dropout, dropout)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = ConvolutionalFeedForward(width, feed_forward_ratio * width, dropout)
        self.drop_path = StochasticDepth(drop_path)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """(batch, height * width, channels) -> the same shape."""
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens), height, width))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens), height, width))


class PatchEmbedding(nn.Module):
    """A strided convolution over overlapping patches and a layer norm."""

    def __init__(self, channels: int, width: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, kernel_size, stride=stride, padding=kernel_size // 2)
        self.norm = nn.LayerNorm(width)

    def forward(self, images: Tensor) -> tuple[Tensor, int, int]:
        """(batch, channels, H, W) -> tokens (batch, h * w, width), h and w."""
        grid = self.proj(images)
        return self.norm(map_to_tokens(grid)), grid.shape[2], grid.shape[3]


class PyramidTransformer(nn.Module):
    """Stages that embed patches, transform them and return a map, at 1/4, 1/8, 1/16, 1/32.

    Tensors have PVTv2's published names, so that its weights load.

    Args:
        num_channels: Channels of the images.
        widths: Channels of each stage; one stage per entry.
        depths: Blocks of each stage.
        num_heads: Attention heads of each stage.
        reductions: Reduction of the attention's keys and values in each stage.
        feed_forward_ratios: Inner width of each stage's feed-forward layers relative to its width.
        kernel_sizes: Sides of the overlapping patches.
        dropout: Dropout after linear layers.
        attention_dropout: Dropout of attention weights.
        drop_path: Stochastic depth of the last block; it grows linearly from 0.
    """

    def __init__(
        self,
        num_channels: int,
        *,
        widths: Sequence[int],
        depths: Sequence[int],
        num_heads: Sequence[int],
        reductions: Sequence[int],
        feed_forward_ratios: Sequence[int],
        kernel_sizes: Sequence[int],
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.stages = len(widths)
        total = sum(depths)
        done = 0
        channels = num_channels
        for stage, width in enumerate(widths):
            embedding = PatchEmbedding(channels, width, kernel_sizes[stage], 4 if stage == 0 else 2)
            blocks = nn.ModuleList(
                Block(
                    width,
                    num_heads[stage],
                    reductions[stage],
                    feed_forward_ratios[stage],
                    dropout,
                    attention_dropout,
                    drop_path * (done + index) / max(total - 1, 1),
                )
                for index in range(depths[stage])
            )
            self.add_module(f"patch_embed{stage + 1}", embedding)
            self.add_module(f"block{stage + 1}", blocks)
            self.add_module(f"norm{stage + 1}", nn.LayerNorm(width, eps=1e-6))
            done += depths[stage]
            channels = width

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(batch, channels, height, width) -> one map per stage, finest first."""
        maps = []
        for stage in range(1, self.stages + 1):
            tokens, height, width = getattr(self, f"patch_embed{stage}")(images)
            for block in getattr(self, f"block{stage}"):
                tokens = block(tokens, height, width)
            tokens = getattr(self, f"norm{stage}")(tokens)
            images = tokens_to_map(tokens, height, width)
            maps.append(images.contiguous())  # for decoders that join them with maps of other encoders
        return tuple(maps)


def init_pyramid_weights(encoder: PyramidTransformer, module: nn.Module) -> None:
    """Initialise a module of a pyramid transformer as published; other modules are left unchanged.

    Linear layers are drawn from N(0, 0.02^2), cut off at an absolute value of 2, which has no effect;
    convolutions from N(0, 2 / fan-out), fan-out per group. Biases are zero, layer norms the identity.

    Args:
        encoder: The transformer.
        module: Any module of the network that contains it.
    """
    if not isinstance(module, (nn.Linear, nn.Conv2d, nn.LayerNorm)):
        return
    if not any(module is each for each in encoder.modules()):
        return
    if isinstance(module, nn.Linear):
        init.trunc_normal_(module.weight, std=0.02)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.out_channels * math.prod(module.kernel_size) // module.groups
        init.normal_(module.weight, std=math.sqrt(2 / fan_out))
    else:
        init.ones_(module.weight)
    if module.bias is not None:
        init.zeros_(module.bias)


def pvt_v2_b1_weights(encoder: PyramidTransformer) -> EncoderWeights:
    """Weights for the first stages of a PVTv2-B1: the published ones or timm's.

    Args:
        encoder: A transformer with B1's widths and depths; later stages of the weights are left out.
    """
    later = range(encoder.stages + 1, 5)
    return EncoderWeights(
        name="PVTv2-B1",
        stem="patch_embed1.proj.weight",
        spellings={"patch_embed1.proj.weight": _PUBLISHED_KEYS, "patch_embed.proj.weight": TIMM_KEYS},
        repository="timm/pvt_v2_b1.in1k",
        left_out=(r"^head\.", *(rf"^(patch_embed|block|norm){stage}\." for stage in later)),
    )
