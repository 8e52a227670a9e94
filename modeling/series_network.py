"""EuroMine Series: one network for all years of a place; maps and changes come from one chain per pixel.

An encoder sees each year; attention over the years joins its maps at three coarse scales. A thin branch of
convolutions sees each year at the image's own resolution; there, where attention would cost too much, each
year is joined with its neighbours and with the means of all others. A narrow feature pyramid (Lin et al.,
CVPR 2017) decodes each year from both. Two heads give each year's evidence for a mine and the rates of gain
and loss between neighbouring years: the potentials and transitions of an exact two-state chain
(`temporal_chain.py`), which gives the probability of a mine in each year and of a change between any two.

All temporal layers are residual and begin at zero, so at the start each year's evidence is that of a network
for single images.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from transformers import initialization as init

from .pretrained import EncoderWeights, is_encoder
from .series_decoder import FINE_SCALES, DetailBranch, RateHead, SeriesDecoder
from .series_encoders import TransformersEncoder, build_encoder, encoder_weights
from .series_model import Evidence, SeriesConfig, SeriesModel
from .stem import load_checkpoint
from .temporal_chain import annual_rates, indifferent_transitions, log_transitions
from .temporal_layers import (
    ImagePacking,
    NeighbouringYears,
    TemporalBlock,
    TemporalMixing,
    YearMixing,
    years_at,
    years_since_first,
)

# A logit of -3 is an annual rate of 2 %, the order of magnitude of a mine's growth.
_INITIAL_RATE = -3.0


class EuroMineSeriesConfig(SeriesConfig):
    """Configuration of the network; those of the loss are in `SeriesConfig`.

    Attributes:
        encoder: "mit-b0", "mit-b1", "mit-b2", "convnext-tiny" or "resnet50".
        encoder_fields: Fields of the encoder's own configuration that differ from the published ones.
        decoder_width: Channels of the feature pyramid.
        detail_widths: Channels of convolutions of the images at their own scale and at each half of the one
            before, at most six; none decodes at a quarter.
        temporal_heads: Heads of the attention over the years; it divides the encoder's three last widths.
        temporal_attention: Whether years see each other at the coarse scales.
        temporal_mixing: Whether years see their neighbours and the means of all others at the finer scales.
        chain: Whether evidence is joined by the chain; without it, each year stands for itself.
        dropout: Dropout before the heads.
    """

    model_type = "euromine_series"

    encoder: str = "mit-b0"
    encoder_fields: dict[str, object] | None = None
    decoder_width: int = 64
    detail_widths: tuple[int, ...] = (32, 48, 64, 96, 128)
    temporal_heads: int = 4
    temporal_attention: bool = True
    temporal_mixing: bool = True
    chain: bool = True
    dropout: float = 0.1


class EuroMineSeries(SeriesModel):
    """Footprints of all years and changes between any of them, from one pass over the series."""

    config_class = EuroMineSeriesConfig
    channels_last: ClassVar[bool] = True
    size_multiple: ClassVar[int] = 32
    minimum_size: ClassVar[int] = 32
    supports_gradient_checkpointing = True
    # ConvNeXt's normalisation for classification.
    unused = ("encoder.network.layernorm.",)

    def __init__(self, config: EuroMineSeriesConfig) -> None:
        super().__init__(config)
        self.encoder = build_encoder(config.encoder, self.num_channels, config.encoder_fields or {})
        finest, *coarse = self.encoder.widths
        self.attention = nn.ModuleList(
            TemporalBlock(width, config.temporal_heads) for width in coarse if config.temporal_attention
        )
        self.mixing = TemporalMixing(finest) if config.temporal_mixing else None
        details = config.detail_widths
        self.detail = DetailBranch(self.num_channels, details, config.temporal_mixing)
        self.decoder = SeriesDecoder(self.encoder.widths, details, config.decoder_width, config.dropout)
        self.rate_head = RateHead(config.decoder_width) if config.chain else None
        self.post_init()
        self.freeze_unused()

    @property
    def may_leave_parameters_out(self) -> bool:
        """True with a chain, whose rates take no part where every series has a single year."""
        return self.rate_head is not None

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        temporal = [*self.attention, *self.detail.mixing, *filter(None, (self.mixing,))]
        if any(module is each for layer in temporal for each in layer.zero_layers):
            for parameter in module.parameters():
                init.zeros_(parameter)
        elif self.rate_head is not None and module is self.rate_head.rates:
            assert self.rate_head.rates.bias is not None
            init.constant_(self.rate_head.rates.bias, _INITIAL_RATE)

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
        if isinstance(self.encoder, TransformersEncoder) and self.encoder.reads(source):
            load_checkpoint(self.encoder.network, source, self.config.bands, stem_init)
            self.config.stem_init = stem_init
        elif is_encoder(source) and not self.pretrained_encoders():
            raise ValueError(
                f"{source}: found an encoder of another kind; expected a checkpoint of {self.config.encoder}."
            )
        else:
            super().load_pretrained(source, stem_init)

    def evidence(self, pixel_values: Tensor, years: Tensor, mask: Tensor | None) -> Evidence:
        """The potentials and transitions of a series, as of `SeriesModel`."""
        batch, count, _, height, width = pixel_values.shape
        images = self.pad(pixel_values.flatten(0, 1))
        present = torch.ones_like(years, dtype=torch.bool) if mask is None else mask
        packed = ImagePacking.of(mask, batch, count)
        images = packed.chosen(images)
        neighbours = NeighbouringYears.of(present)
        mixing = YearMixing.of(present, neighbours)
        maps = [packed.unpacked(features) for features in self.encoder(images)]
        maps = self._joined_years(maps, years, mask, mixing)
        details = self.detail(images, packed, mixing)
        fine, coarse = details[:FINE_SCALES], details[FINE_SCALES:]
        features = self.decoder.pyramid([packed.packed(each) for each in maps], coarse)
        mine = packed.unpacked(self.decoder.evidence(features, fine))
        size = (images.shape[-2], images.shape[-1])
        transitions = self._transitions(packed.unpacked(features), years, present, neighbours, size)
        return Evidence.of(mine[..., :height, :width], transitions[..., :height, :width], mask)

    def _joined_years(
        self, maps: list[Tensor], years: Tensor, mask: Tensor | None, mixing: YearMixing
    ) -> list[Tensor]:
        """The encoder's maps, each (batch, years, channels, h, w), after years have seen each other."""
        finest, *coarse = maps
        if self.mixing is not None:
            finest = self.mixing(finest, mixing)
        if self.attention:
            relative = years_since_first(years, mask)
            coarse = [
                block(features, relative, mask)
                for block, features in zip(self.attention, coarse, strict=True)
            ]
        return [finest, *coarse]

    def _transitions(
        self,
        features: Tensor,
        years: Tensor,
        present: Tensor,
        neighbours: NeighbouringYears,
        size: tuple[int, int],
    ) -> Tensor:
        """Log transitions (batch, years - 1, 2, 2, padded height, padded width) between all years.

        The rates of a step come from the nearest years with images around it, so that the steps over a
        missing year multiply to the one step over the whole gap.
        """
        batch, count = years.shape
        indifferent = indifferent_transitions((batch, count - 1, *size), features)
        if self.rate_head is None or count == 1:
            return indifferent
        index = torch.arange(count, device=years.device).expand(batch, count)
        earlier = torch.where(present, index, neighbours.previous)[:, :-1]
        later = torch.where(present, index, neighbours.following)[:, 1:]
        rates = self.rate_head(years_at(features, earlier), years_at(features, later), size)
        gain, loss = annual_rates(rates.float()).unbind(2)
        found = log_transitions(gain, loss, years.diff(dim=1))
        known = ((earlier >= 0) & (later >= 0))[..., None, None, None, None]
        return torch.where(known, found, indifferent)
