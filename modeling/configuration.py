"""What every network of the benchmark is told: its bands and its classes."""

from typing import Any

from transformers import PreTrainedConfig

from .bands import BANDS, checked_bands, numbered_bands


class MultispectralConfig(PreTrainedConfig):
    """Fields that all networks of this project share.

    Attributes:
        bands: Names of the input channels, in the order of `pixel_values`. The number of channels follows.
        num_channels: The number of input channels, always `len(bands)`; given alone, without names, the
            channels are called band_1, band_2, ...
        stem_init: How a three-band pretrained stem becomes one of `bands`: "semantic", "cyclic" or "random"
            (`stem.py`). It says how training started and does nothing afterwards.
        semantic_loss_ignore_index: The label that the loss leaves out.

    Raises:
        ValueError: A band is unknown or named twice, or `num_channels` contradicts `bands`.
    """

    bands: tuple[str, ...] | list[str] | None = None
    # Unknown only until `bands` is: whoever reads a configuration finds a number.
    num_channels: int = None  # type: ignore[assignment]
    stem_init: str = "semantic"
    semantic_loss_ignore_index: int = 255

    # The names of the two classes, set by the base class of each task.
    _class_names = ("0", "1")

    def __post_init__(self, **kwargs: Any) -> None:
        if self.bands is None:
            self.bands = (
                BANDS if self.num_channels in (None, len(BANDS)) else numbered_bands(self.num_channels)
            )
        self.bands = checked_bands(self.bands)
        if self.num_channels not in (None, len(self.bands)):
            raise ValueError(
                f"num_channels: found {self.num_channels}; expected {len(self.bands)}, the number of bands: "
                f"{', '.join(self.bands)}."
            )
        self.num_channels = len(self.bands)
        if self.id2label is None and kwargs.get("num_labels") in (None, len(self._class_names)):
            self.id2label = dict(enumerate(self._class_names))
            self.label2id = {name: index for index, name in enumerate(self._class_names)}
        super().__post_init__(**kwargs)


class SegmentationConfig(MultispectralConfig):
    """The base of the footprint mappers' configurations: background 0, mine 1."""

    _class_names = ("background", "mine")


class ChangeDetectionConfig(MultispectralConfig):
    """The base of the change detectors' configurations: no change 0, change 1.

    Attributes:
        auxiliary_loss_weight: Weight of the mean loss of the deep-supervision maps. 0 reproduces the
            benchmark, whose loss sees the main map alone.
    """

    auxiliary_loss_weight: float = 0.0

    _class_names = ("no change", "change")
