"""BIT: a transformer relates a few semantic tokens of each date and projects them back to the pixels.

Chen, Qi, Shi, "Remote sensing image change detection with transformers", IEEE TGRS 2022, figure 2. Reproduces
the benchmark's published network to float32 rounding; as there, attention is scaled by the tokens' width,
not by a head's.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from .base import init_convolutions
from .change_detection import Features, SiameseChangeDetector
from .configuration import ChangeDetectionConfig
from .layers import conv_norm, is_plain, linear_of_pixels
from .pretrained import EncoderWeights, PretrainedEncoderModel
from .resnet import ResNet, resnet_weights


class BITConfig(ChangeDetectionConfig):
    """BIT's configuration.

    Attributes:
        width: Channels of the pixels' features and of the tokens.
        tokens: Tokens of one date.
        num_heads: Attention heads.
        encoder_layers: Transformer layers over both dates' tokens.
        encoder_head_width: Width of their heads.
        decoder_layers: Transformer layers from the pixels to the tokens.
        decoder_head_width: Width of their heads.
        feed_forward_width: Width inside the feed-forward layers.
    """

    model_type = "euromine_bit"
    width: int = 32
    tokens: int = 4
    num_heads: int = 8
    encoder_layers: int = 1
    encoder_head_width: int = 64
    decoder_layers: int = 8
    decoder_head_width: int = 8
    feed_forward_width: int = 64


class Attention(nn.Module):
    """Multi-head attention from queries to a memory, which may be the same, with a shortcut."""

    def __init__(self, width: int, num_heads: int, head_width: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = width**-0.5
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, num_heads * head_width, bias=False)
        self.key = nn.Linear(width, num_heads * head_width, bias=False)
        self.value = nn.Linear(width, num_heads * head_width, bias=False)
        self.out = nn.Linear(num_heads * head_width, width)

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """(batch, h, w, width) and (batch, m, width) -> the queries' shape, added to them."""
        normed, memory = self.norm(queries), self.norm(memory)
        key, value = (
            layer(memory).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for layer in (self.key, self.value)
        )
        if not is_plain(self.query, self.out):
            return self._one_by_one(queries, normed, key, value)
        # The memory is a few tokens, the queries may be all pixels: the linear layers of the queries and of
        # the output are applied to the tokens' keys and values, (batch, heads, m, width).
        key = self.scale * key @ self.query.weight.unflatten(0, (self.num_heads, -1))
        value = value @ self.out.weight.unflatten(1, (self.num_heads, -1)).permute(1, 2, 0)
        # The weights of each head sum to one, so the bias can be divided among the heads' values.
        value = value + self.out.bias / self.num_heads
        scores = (key.flatten(1, 2) @ normed.flatten(1, 2).transpose(1, 2)).unflatten(1, key.shape[1:3])
        shares = scores.softmax(2).flatten(1, 2)
        read = torch.baddbmm(queries.flatten(1, 2), shares.transpose(1, 2), value.flatten(1, 2))
        return read.unflatten(1, queries.shape[1:3])

    def _one_by_one(self, queries: Tensor, normed: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """The same, with a call of each layer; slower."""
        query = self.query(normed.flatten(1, 2)).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        read = (self.scale * query @ key.transpose(2, 3)).softmax(3) @ value
        return queries + self.out(read.transpose(1, 2).flatten(2)).unflatten(1, queries.shape[1:3])


class FeedForward(nn.Module):
    """Layer norm and two linear layers, added to the input."""

    def __init__(self, width: int, inner_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, inner_width)
        self.narrow = nn.Linear(inner_width, width)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, h, w, width) -> the same shape; without gradients, the sum may take the input's place."""
        normed = self.norm(features)
        if _is_recorded() or not is_plain(self.widen, self.narrow):
            return linear_of_pixels(self.narrow, F.gelu(linear_of_pixels(self.widen, normed))) + features
        inner, weight = F.gelu(self.widen(normed)), self.narrow.weight
        if not inner.dtype == features.dtype == weight.dtype:  # autocast
            return self.narrow(inner) + features
        # Each array less spares the cache, in which those of several pairs hardly fit.
        pixels = features.flatten(0, 2)
        torch.addmm(pixels, inner.flatten(0, 2), weight.t(), out=pixels)
        return pixels.add_(self.narrow.bias).view(features.shape)


def _is_recorded() -> bool:
    """Whether operations are recorded: for gradients, or for a compiler or engine with ways of its own."""
    return torch.is_grad_enabled() or torch.compiler.is_compiling()


class Layer(GradientCheckpointingLayer):
    """Attention from queries to a memory, then feed-forward layers."""

    def __init__(self, config: BITConfig, head_width: int) -> None:
        super().__init__()
        self.attention = Attention(config.width, config.num_heads, head_width)
        self.feed_forward = FeedForward(config.width, config.feed_forward_width)

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """(batch, h, w, width) and (batch, m, width) -> the queries' shape."""
        return self.feed_forward(self.attention(queries, memory))


class Head(nn.Module):
    """A convolution and a classifying one."""

    def __init__(self, width: int, num_labels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.classify = nn.Conv2d(width, num_labels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, labels, height, width)."""
        inner = F.relu(conv_norm(self.conv, self.norm, features), inplace=True)
        if _is_recorded() or not is_plain(self.classify):
            return self.classify(inner)
        # A convolution to two channels uses little of a vector: each row of the kernel gives two of its own.
        weight, bias = self.classify.weight, self.classify.bias
        rows = F.conv2d(inner, weight.movedim(2, 0).flatten(0, 1).unsqueeze(2), padding=(0, 1))
        above, here, below = rows.chunk(3, dim=1)
        logits = here if bias is None else here + bias[:, None, None]
        logits[:, :, 1:] += above[:, :, :-1]
        logits[:, :, :-1] += below[:, :, 1:]
        return logits


class BITForChangeDetection(PretrainedEncoderModel, SiameseChangeDetector):
    """BIT; a year is encoded to features and tokens, the dates meet in the transformer."""

    config_class = BITConfig
    channels_last: ClassVar[bool] = True
    supports_gradient_checkpointing = True
    size_multiple: ClassVar[int] = 8
    minimum_size: ClassVar[int] = 16
    # Much of decoding is overhead of small operations on tokens, which several pairs share.
    cpu_chunk: ClassVar[int] = 3
    reference_keys = (
        (r"^resnet\.", "backbone."),
        (r"^conv_pred\.", "project."),
        (r"^conv_a\.", "tokenize."),
        (r"^pos_embedding$", "token_positions"),
        (r"^transformer\.layers\.", "encoder."),
        (r"^transformer_decoder\.layers\.", "decoder."),
        (r"\.0\.fn\.norm\.", ".attention.norm."),
        (r"\.0\.fn\.fn\.to_q\.", ".attention.query."),
        (r"\.0\.fn\.fn\.to_k\.", ".attention.key."),
        (r"\.0\.fn\.fn\.to_v\.", ".attention.value."),
        (r"\.0\.fn\.fn\.to_out\.0\.", ".attention.out."),
        (r"\.1\.fn\.norm\.", ".feed_forward.norm."),
        (r"\.1\.fn\.fn\.net\.0\.", ".feed_forward.widen."),
        (r"\.1\.fn\.fn\.net\.3\.", ".feed_forward.narrow."),
        (r"^classifier\.0\.", "head.conv."),
        (r"^classifier\.1\.", "head.norm."),
        (r"^classifier\.3\.", "head.classify."),
    )
    reference_unused = (r"^resnet\.(layer4|fc)\.",)

    def __init__(self, config: BITConfig) -> None:
        super().__init__(config)
        width = config.width
        self.backbone = ResNet(self.num_channels, 18, strides=(1, 2, 1), dilations=(1, 1, 1))
        self.project = nn.Conv2d(self.backbone.widths[-1], width, 3, padding=1)
        self.tokenize = nn.Conv2d(width, config.tokens, 1, bias=False)
        self.token_positions = nn.Parameter(torch.empty(1, 2 * config.tokens, width))
        self.encoder = nn.ModuleList(
            Layer(config, config.encoder_head_width) for _ in range(config.encoder_layers)
        )
        self.decoder = nn.ModuleList(
            Layer(config, config.decoder_head_width) for _ in range(config.decoder_layers)
        )
        self.head = Head(width, self.num_labels)
        self.post_init()

    def pretrained_encoders(self) -> dict[str, EncoderWeights]:
        """The ResNet's weights."""
        return {"backbone": resnet_weights(self.backbone)}

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        init_convolutions(module, (self.backbone,))
        if module is self:
            init.normal_(self.token_positions)

    @classmethod
    def prepare_reference(cls, reference: dict[str, Tensor]) -> dict[str, Tensor]:
        """Split the published encoder's joint query, key and value weights."""
        apart = {}
        for key, value in reference.items():
            if ".to_qkv." in key:
                for name, part in zip("qkv", value.chunk(3), strict=True):
                    apart[key.replace(".to_qkv.", f".to_{name}.")] = part
            else:
                apart[key] = value
        return apart

    def encode(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """(batch, channels, height, width) -> features (batch, width, h / 4, w / 4) and tokens."""
        features = F.interpolate(self.backbone(pixel_values)[-1], scale_factor=2, mode="nearest")
        # The decoder works pixel by pixel.
        features = self.project(features).contiguous(memory_format=torch.channels_last)
        attention = self.tokenize(features).flatten(2).softmax(-1)
        return features, attention @ features.flatten(2).transpose(1, 2)

    def decode(self, features_1: Features, features_2: Features) -> Tensor:
        """Two years' features and tokens -> change logits (batch, 2, height, width)."""
        tokens = torch.cat((features_1[1], features_2[1]), dim=1) + self.token_positions
        for layer in self.encoder:
            tokens = layer(tokens.unsqueeze(1), tokens).squeeze(1)
        # Both dates' pixels in one batch, as no layer mixes samples.
        first, second = self._read(
            torch.cat((features_1[0], features_2[0])), torch.cat(tokens.chunk(2, dim=1))
        ).chunk(2)
        change = F.interpolate(abs(first - second), scale_factor=4, mode="bilinear", align_corners=False)
        return self.head(change)

    def _read(self, features: Tensor, tokens: Tensor) -> Tensor:
        pixels = features.permute(0, 2, 3, 1)
        for layer in self.decoder:
            pixels = layer(pixels, tokens)
        return pixels.permute(0, 3, 1, 2)
