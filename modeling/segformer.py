"""SegFormer's layers, computed on maps whose channels lie innermost.

Xie et al., "SegFormer: simple and efficient design for semantic segmentation with transformers",
NeurIPS 2021.

Parameters, their names and the results, to float32 rounding, are those of transformers' layers. Those turn
tokens into maps by transposing and reshaping, which gives a single image strides that no quick kernel takes,
and project all scales at the finest scale's resolution.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.segformer import modeling_segformer

from .layers import affine_of, is_plain, is_unwatched, map_to_tokens, tokens_to_map


class SegformerOverlapPatchEmbeddings(modeling_segformer.SegformerOverlapPatchEmbeddings):
    """A strided convolution over overlapping patches and a layer norm."""

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, int, int]:
        """(batch, channels, H, W) -> tokens (batch, h * w, width), h and w."""
        features = self.proj(pixel_values.contiguous(memory_format=torch.channels_last))
        return self.layer_norm(map_to_tokens(features)), features.shape[2], features.shape[3]


class SegformerSequenceReduction(modeling_segformer.SegformerSequenceReduction):
    """The strided convolution and the layer norm that shorten keys and values."""

    def forward(self, hidden_states: Tensor, height: int, width: int) -> Tensor:
        """(batch, height * width, channels) -> (batch, fewer, channels)."""
        features = self.sequence_reduction(tokens_to_map(hidden_states, height, width))
        return self.layer_norm(map_to_tokens(features))


class SegformerDepthWiseConv(modeling_segformer.SegformerDepthWiseConv):
    """The depthwise convolution between the feed-forward layers."""

    def forward(self, hidden_states: Tensor, height: int, width: int) -> Tensor:
        """(batch, height * width, channels) -> the same shape."""
        return map_to_tokens(self.dwconv(tokens_to_map(hidden_states, height, width)))


class SegformerStage(modeling_segformer.SegformerStage):
    """Patch embedding, transformer blocks and a layer norm."""

    def forward(self, hidden_states: Tensor, **kwargs: Any) -> Tensor:
        """(batch, channels, H, W) -> (batch, width, h, w), its channels innermost."""
        tokens, height, width = self.patch_embeddings(hidden_states)
        for block in self.blocks:
            tokens = block(tokens, height, width, **kwargs)
        tokens = self.layer_norm(tokens)
        return tokens_to_map(tokens, height, width) if self.reshape else tokens


class SegformerDecodeHead(modeling_segformer.SegformerDecodeHead):
    """The head, which fuses the scales' projections before the coarser maps grow instead of after.

    A projection and a bilinear interpolation, whose weights sum to 1, may change places, and in evaluation
    the batch norm is a part of the projection.
    """

    def forward(self, encoder_hidden_states: Any, **kwargs: Any) -> Tensor:
        """One map per scale, (batch, channels, height, width), finest first -> logits at the finest."""
        projections: list[Any] = [module.proj for module in self.linear_projections]
        norm = self.batch_norm
        if encoder_hidden_states[-1].ndim != 4 or not (
            is_plain(self.linear_fuse, norm, *projections) and is_unwatched(*self.linear_projections)
        ):
            return super().forward(encoder_hidden_states, **kwargs)
        weight, shift = self.linear_fuse.weight.flatten(1), None
        if not norm.training:
            scale, shift = affine_of(norm)
            weight = scale[:, None] * weight
        # The published head concatenates the scales coarsest first.
        shares = weight.chunk(len(projections), dim=1)[::-1]
        *finer, coarsest = zip(encoder_hidden_states, projections, shares, strict=True)
        maps = [_projected_at_once(*each) for each in finer]
        # The coarsest map has fewer pixels than channels: multiplying its weights would cost more.
        maps.append(_projected_in_sequence(*coarsest, shift))
        features, *coarser = maps
        for each in coarser:
            # In place: no gradient needs the interpolated map.
            features = F.interpolate(each, size=features.shape[-2:], mode="bilinear").add_(features)
        if norm.training:
            features = norm(features)
        return self.classifier(self.dropout(self.activation(features)))


def _projected_at_once(features: Tensor, projection: nn.Linear, share: Tensor) -> Tensor:
    """A map projected by a layer and then by the weights `share`, (out, in)."""
    tokens = F.linear(map_to_tokens(features), share @ projection.weight, share @ projection.bias)
    return tokens_to_map(tokens, *features.shape[2:])


def _projected_in_sequence(
    features: Tensor, projection: nn.Linear, share: Tensor, shift: Tensor | None
) -> Tensor:
    tokens = F.linear(projection(map_to_tokens(features)), share, shift)
    return tokens_to_map(tokens, *features.shape[2:])


# By transformers' class: the class with the same parameters that computes the same by quicker strides.
_QUICK = {
    getattr(modeling_segformer, quick.__name__): quick
    for quick in (
        SegformerOverlapPatchEmbeddings,
        SegformerSequenceReduction,
        SegformerDepthWiseConv,
        SegformerStage,
        SegformerDecodeHead,
    )
}


def use_quick_layers(network: nn.Module) -> None:
    """Let a network of transformers compute the same by quicker strides, if it is a SegFormer.

    Args:
        network: Any network; parameters, their names and references to modules remain.
    """
    for module in network.modules():
        # Changing the class keeps parameters, names and other references to the module.
        module.__class__ = _QUICK.get(type(module), type(module))
