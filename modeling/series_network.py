"""EuroMine Series: one network for all years of a place; maps and changes come from one chain per pixel.

An encoder sees each year; attention over the years joins what it finds at three coarse scales, a temporal
convolution at the finest; a narrow feature pyramid (Lin et al., CVPR 2017) decodes each year. Two heads give
each year's evidence for a mine and the rates of gain and loss between neighbouring years: the potentials and
transitions of an exact two-state chain (`temporal_chain.py`), which gives the probability of a mine in each
year and of a change between any two.

All temporal layers are residual and begin at zero, so at the start each year's evidence is that of a network
for single images.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.utils.generic import ModelOutput

from .change_detection import year_pairs
from .configuration import MultispectralConfig
from .losses import check_labels
from .pretrained import EncoderWeights, PretrainedEncoderModel, is_encoder
from .series_decoder import RateHead, SeriesDecoder
from .series_encoders import build_encoder, encoder_weights
from .series_losses import LossWeights, series_loss
from .temporal_chain import (
    annual_rates,
    log_change_probabilities,
    log_marginals,
    log_transitions,
    most_likely_path,
)
from .temporal_layers import ImagePacking, NeighbouringYears, TemporalBlock, TemporalConvolution, years_at

# A logit of -3 is an annual rate of 2 %: of the order of what mines gain in a year.
_INITIAL_RATE = -3.0


class SeriesConfig(MultispectralConfig):
    """Configuration of the network.

    Attributes:
        encoder: "mit-b0", "mit-b1", "mit-b2", "convnext-tiny" or "resnet50".
        encoder_fields: Fields of the encoder's own configuration that differ from the published ones.
        decoder_width: Channels of the feature pyramid.
        detail_width: Channels of the convolutions at the image's own resolution; 0 decodes at a quarter.
        temporal_heads: Heads of the attention over the years; it divides the encoder's three last widths.
        temporal_attention: Whether years see each other at the coarse scales.
        temporal_convolution: Whether neighbouring years see each other at the finest scale.
        chain: Whether evidence is joined by the chain; without it, each year stands for itself.
        dropout: Dropout before the heads.
        cross_entropy_weight: Weight of the cross-entropy of each year's marginal.
        dice_weight: Weight of the soft Dice loss of the marginals.
        likelihood_weight: Weight of the chain's negative log-likelihood of the labelled path, a year.
        pair_weight: Weight of the cross-entropy of the changes between all pairs of years.
        pair_decay: Exponent by which the pairs' weight decreases with their interval; all pairs of an
            interval together weigh interval^-pair_decay.
        edge_weight: Weight of pixels beside a footprint's edge, where labels are least certain; below 1
            the likelihood leaves them out.
    """

    model_type = "euromine_series"

    encoder: str = "mit-b0"
    encoder_fields: dict[str, object] | None = None
    decoder_width: int = 64
    detail_width: int = 16
    temporal_heads: int = 4
    temporal_attention: bool = True
    temporal_convolution: bool = True
    chain: bool = True
    dropout: float = 0.1
    cross_entropy_weight: float = 1.0
    dice_weight: float = 1.0
    likelihood_weight: float = 0.1
    pair_weight: float = 1.0
    pair_decay: float = 0.5
    edge_weight: float = 0.5

    keys_to_ignore_at_inference: ClassVar[list[str]] = ["change_logits"]

    _class_names = ("background", "mine")


@dataclass
class SeriesOutput(ModelOutput):
    """Output of the series network.

    Attributes:
        loss: The weighted sum of the losses, if labels were given.
        logits: (batch, years, 2, height, width), float32: logarithms of the probability of background and
            mine in each year.
        change_logits: (batch, pairs, 2, height, width), float32: the same of no change and change, if pairs
            were given.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    change_logits: Tensor | None = None


@dataclass(frozen=True)
class Evidence:
    """The chain of a series, in float32.

    Attributes:
        potentials: (batch, years, 2, height, width): logarithms of each year's weight of each state.
        transitions: (batch, years - 1, 2, 2, height, width): logarithms of transition probabilities.
    """

    potentials: Tensor
    transitions: Tensor


class EuroMineSeries(PretrainedEncoderModel):
    """Footprints of all years and changes between any of them, from one pass over the series."""

    config_class = SeriesConfig
    size_multiple: ClassVar[int] = 32
    minimum_size: ClassVar[int] = 32
    two_classes_only: ClassVar[bool] = True
    supports_gradient_checkpointing = True
    # ConvNeXt's normalisation for classification.
    unused = ("encoder.network.layernorm.",)

    def __init__(self, config: SeriesConfig) -> None:
        super().__init__(config)
        self.encoder = build_encoder(config.encoder, self.num_channels, config.encoder_fields or {})
        finest, *coarse = self.encoder.widths
        self.attention = nn.ModuleList(
            TemporalBlock(width, config.temporal_heads) for width in coarse if config.temporal_attention
        )
        self.convolution = TemporalConvolution(finest) if config.temporal_convolution else None
        self.decoder = SeriesDecoder(
            self.encoder.widths,
            self.num_channels,
            config.decoder_width,
            config.detail_width,
            config.dropout,
        )
        self.rate_head = RateHead(config.decoder_width) if config.chain else None
        self.post_init()
        self.freeze_unused()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        temporal = [*self.attention, *filter(None, (self.convolution,))]
        if any(module is each for layer in temporal for each in layer.zero_layers):
            init.zeros_(module.weight)  # type: ignore[arg-type]
            init.zeros_(module.bias)  # type: ignore[arg-type]
        elif self.rate_head is not None and module is self.rate_head.rates:
            init.constant_(module.bias, _INITIAL_RATE)  # type: ignore[arg-type]

    def pretrained_encoders(self) -> dict[str, EncoderWeights]:
        """Published weights of an encoder that is not one of transformers'."""
        return encoder_weights(self.encoder)

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """Hub repositories with the encoder's ImageNet weights."""
        return self.encoder.checkpoints

    def load_pretrained(self, source: str, stem_init: str | None) -> None:
        """Load a checkpoint of this network, or weights of its encoder.

        Raises:
            ValueError: The weights do not fit.
            OSError: The weights cannot be found or read.
        """
        if self.encoder.reads(source):
            self.encoder.load(source, self.config.bands, stem_init)
            self.config.stem_init = stem_init
        elif is_encoder(source) and not self.pretrained_encoders():
            raise ValueError(
                f"{source}: found an encoder of another kind; expected a checkpoint of {self.config.encoder}."
            )
        else:
            super().load_pretrained(source, stem_init)

    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        years: Tensor | None = None,
        mask: Tensor | None = None,
        pairs: Sequence[tuple[int, int]] | None = None,
    ) -> SeriesOutput:
        """Map every year of a series and, for any pairs of years, the change between them.

        Args:
            pixel_values: (batch, years, channels, height, width), float, normalised; any number of years, any
                height and width.
            labels: (batch, years, height, width), int64, 0 background, 1 mine, 255 ignored.
            years: (batch, years), int64, ascending; default consecutive years.
            mask: (batch, years), bool, False where a year has no image; its pixel values are not read.
                Between two images the chain fills such a year in; before the first and after the last, both
                states are equally likely.
            pairs: Indices of the years to compare.

        Returns:
            Logits by year, change logits of `pairs` and, with labels, the loss.

        Raises:
            ValueError: Shapes or types do not fit, years are not ascending, a series has no image, or a pair
                does not hold two indices of years.
        """
        years = self._checked_years(pixel_values, years, mask)
        ignored = self.config.semantic_loss_ignore_index
        batch, count, _, height, width = pixel_values.shape
        if labels is not None:
            if tuple(labels.shape) != (batch, count, height, width):
                raise ValueError(
                    f"labels: found the shape {tuple(labels.shape)}; expected "
                    f"{(batch, count, height, width)} as of the images."
                )
            check_labels(labels.flatten(0, 1), (batch * count, height, width), self.num_labels, ignored)
        asked = None if pairs is None else _checked_pairs(pairs, count)
        evidence = self.evidence(pixel_values, years, mask)
        with torch.autocast(pixel_values.device.type, enabled=False):
            logits = log_marginals(evidence.potentials, evidence.transitions)
            changes = None if asked is None else _change_logits(evidence, asked)
            loss = None if labels is None else self._loss(evidence, logits, labels, years, mask)
        return SeriesOutput(loss=loss, logits=logits, change_logits=changes)

    def predict_footprints(
        self, pixel_values: Tensor, years: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Predict the footprint of every year as the chain's most likely path.

        Changes between its maps are exactly their differences, in any pair of years.

        Args:
            pixel_values: As in `forward`.
            years: As in `forward`.
            mask: As in `forward`.

        Returns:
            (batch, years, height, width), int64.

        Raises:
            ValueError: As in `forward`.
        """
        evidence = self.evidence(pixel_values, self._checked_years(pixel_values, years, mask), mask)
        return most_likely_path(evidence.potentials, evidence.transitions)

    def predict_series(
        self,
        pixel_values: Tensor,
        pairs: Sequence[tuple[int, int]] | None = None,
        chunk: int | None = None,
        transform: Callable[[Tensor], Tensor] | None = None,
        years: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Predict the change between any two years of a series, as a change detector does.

        Args:
            pixel_values: (batch, years, channels, height, width), float, normalised.
            pairs: Indices of the years to compare; default all, the earlier first (`year_pairs`).
            chunk: Number of pairs to compare at once; default all.
            transform: Applied to each chunk's logits, to keep less than the logits.
            years: As in `forward`.
            mask: As in `forward`.

        Returns:
            Logits (batch, pairs, 2, height, width), or the transformed chunks, concatenated along dimension
            1.

        Raises:
            ValueError: As in `forward`, or there are no pairs.
        """
        years = self._checked_years(pixel_values, years, mask)
        asked = _checked_pairs(year_pairs(pixel_values.shape[1]) if pairs is None else pairs, years.shape[1])
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk: found {chunk}; expected at least 1 pair at a time.")
        evidence = self.evidence(pixel_values, years, mask)
        results = []
        for start in range(0, len(asked), chunk or len(asked)):
            logits = _change_logits(evidence, asked[start : start + (chunk or len(asked))])
            results.append(logits if transform is None else transform(logits))
        return torch.cat(results, dim=1)

    def evidence(self, pixel_values: Tensor, years: Tensor, mask: Tensor | None) -> Evidence:
        """The potentials and transitions of a series, at the images' own size.

        Args:
            pixel_values: As in `forward`.
            years: (batch, years), int64, ascending.
            mask: As in `forward`.
        """
        batch, count, _, height, width = pixel_values.shape
        images = self.pad(pixel_values.flatten(0, 1))
        present = torch.ones_like(years, dtype=torch.bool) if mask is None else mask
        packed = ImagePacking.of(present if mask is not None else None, batch, count)
        images = packed.chosen(images)
        neighbours = NeighbouringYears.of(present)
        maps = [packed.unpacked(features) for features in self.encoder(images)]
        maps = self._joined_years(maps, years, mask, neighbours)
        features = self.decoder.pyramid([packed.packed(each) for each in maps])
        mine = packed.unpacked(self.decoder.evidence(images, features))[..., :height, :width].float()
        if mask is not None:
            mine = torch.where(mask[..., None, None], mine, 0.0)
        potentials = torch.stack([torch.zeros_like(mine), mine], dim=2)
        transitions = self._transitions(packed.unpacked(features), years, present, neighbours, images)
        return Evidence(potentials, transitions[..., :height, :width])

    def _joined_years(
        self, maps: list[Tensor], years: Tensor, mask: Tensor | None, neighbours: NeighbouringYears
    ) -> list[Tensor]:
        """The encoder's maps, each (batch, years, channels, h, w), after years have seen each other."""
        finest, *coarse = maps
        if self.convolution is not None:
            finest = self.convolution(finest, neighbours)
        if self.attention:
            # Relative to the first image, so that years without images before it change nothing.
            last = years.amax(dim=1, keepdim=True)
            first = (years if mask is None else torch.where(mask, years, last)).amin(dim=1, keepdim=True)
            coarse = [
                block(features, years - first, mask)
                for block, features in zip(self.attention, coarse, strict=True)
            ]
        return [finest, *coarse]

    def _transitions(
        self,
        features: Tensor,
        years: Tensor,
        present: Tensor,
        neighbours: NeighbouringYears,
        images: Tensor,
    ) -> Tensor:
        """Log transitions (batch, years - 1, 2, 2, padded height, padded width) between all years.

        The rates of a step come from the nearest years with images around it, so that the steps over a
        missing year multiply to the one step over the whole gap.
        """
        batch, count = years.shape
        size = (images.shape[-2], images.shape[-1])
        indifferent = features.new_full((), math.log(0.5), dtype=torch.float32)
        if self.rate_head is None or count == 1:
            return indifferent.expand(batch, count - 1, 2, 2, *size)
        index = torch.arange(count, device=years.device).expand(batch, count)
        earlier = torch.where(present, index, neighbours.previous)[:, :-1]
        later = torch.where(present, index, neighbours.following)[:, 1:]
        rates = self.rate_head(years_at(features, earlier), years_at(features, later), size)
        with torch.autocast(images.device.type, enabled=False):
            gain, loss = annual_rates(rates.float()).unbind(2)
            found = log_transitions(gain, loss, years.diff(dim=1))
        known = ((earlier >= 0) & (later >= 0))[..., None, None, None, None]
        return torch.where(known, found, indifferent)

    def _loss(
        self, evidence: Evidence, logits: Tensor, labels: Tensor, years: Tensor, mask: Tensor | None
    ) -> Tensor:
        ignored = self.config.semantic_loss_ignore_index
        if mask is not None:
            labels = labels.masked_fill(~mask[..., None, None], ignored)
        weights = LossWeights.of(self.config)
        every = year_pairs(labels.shape[1])
        changes = _change_logits(evidence, every) if every and weights.pair else None
        return series_loss(
            weights, evidence.potentials, evidence.transitions, logits, changes, labels, years, ignored
        )

    def _checked_years(self, pixel_values: Tensor, years: Tensor | None, mask: Tensor | None) -> Tensor:
        """Years of each series; values are checked only on the CPU and outside of graphs, as for labels."""
        if pixel_values.ndim != 5 or not pixel_values.shape[1]:
            raise ValueError(
                f"pixel_values: found the shape {tuple(pixel_values.shape)}; "
                "expected (batch, years, channels, height, width)."
            )
        self.check_channels(pixel_values.shape[2])
        shape = (pixel_values.shape[0], pixel_values.shape[1])
        for name, given in (("years", years), ("mask", mask)):
            if given is not None and tuple(given.shape) != shape:
                raise ValueError(f"{name}: found the shape {tuple(given.shape)}; expected {shape}.")
        if mask is not None and mask.dtype != torch.bool:
            raise ValueError(f"mask: found {mask.dtype}; expected torch.bool.")
        if years is None:
            years = torch.arange(shape[1], device=pixel_values.device).expand(shape)
        elif years.dtype != torch.int64:
            raise ValueError(f"years: found {years.dtype}; expected torch.int64.")
        if pixel_values.device.type == "cpu" and not torch.compiler.is_compiling():
            for row in years.tolist():
                if any(later <= earlier for earlier, later in pairwise(row)):
                    raise ValueError(f"years: found {row}; expected each later than the one before.")
            if mask is not None and not mask.any(dim=1).all():
                raise ValueError("mask: found a series without an image; expected at least one.")
        return years


def _change_logits(evidence: Evidence, pairs: Sequence[tuple[int, int]]) -> Tensor:
    return log_change_probabilities(evidence.potentials, evidence.transitions, pairs)


def _checked_pairs(pairs: Sequence[tuple[int, int]], years: int) -> list[tuple[int, int]]:
    """Pairs of indices of years; `ValueError` where there are none or one does not fit."""
    checked = [(int(pair[0]), int(pair[1])) for pair in pairs if len(pair) == 2]
    if not checked or len(checked) < len(pairs):
        raise ValueError(f"pairs: found {list(pairs)}; expected at least one pair of two indices.")
    for pair in checked:
        if not all(0 <= index < years for index in pair):
            raise ValueError(f"pairs: found {pair}; expected two indices below {years}, the number of years.")
    return checked
