"""Base classes of the configurations: bands and classes."""

from typing import Any, ClassVar

from transformers import PreTrainedConfig

from .bands import BANDS, checked_bands, numbered_bands


class MultispectralConfig(PreTrainedConfig):
    """Fields common to all networks of this project.

    Attributes:
        bands: Names of the input channels, in the order of `pixel_values`.
        num_channels: Number of input channels, always `len(bands)`. Given without `bands`, the channels are
            named band_1, band_2, ...
        stem_init: How a pretrained stem for red, green and blue was adapted to `bands`: "semantic", "cyclic"
            or "random" (`stem.py`). A record without effect on a loaded network.
        semantic_loss_ignore_index: The label that the loss ignores.

    Raises:
        ValueError: A band is unknown or repeated, or `num_channels` contradicts `bands`.
    """

    bands: tuple[str, ...] | list[str] | None = None
    # A number as soon as the configuration is built.
    num_channels: int = None  # type: ignore[assignment]
    stem_init: str = "semantic"
    semantic_loss_ignore_index: int = 255

    # Names of the two classes, by task.
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
    """Base of the footprint mappers' configurations: background 0, mine 1."""

    _class_names = ("background", "mine")


class ChangeDetectionConfig(MultispectralConfig):
    """Base of the change detectors' configurations: no change 0, change 1.

    Attributes:
        auxiliary_loss_weight: Weight of the mean loss of the deep-supervision maps. 0 reproduces the
            benchmark, whose loss uses only the main map.
    """

    auxiliary_loss_weight: float = 0.0

    # Trainer's predictions are the logits alone.
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["auxiliary_logits"]

    _class_names = ("no change", "change")
