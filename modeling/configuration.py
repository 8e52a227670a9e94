"""What every network of the benchmark is told: its bands and its classes."""

from difflib import get_close_matches
from typing import Any

from transformers import PreTrainedConfig

# The ten bands of EuroMineNet, in the order of the archive.
BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")

# What a `bands` field may name: Sentinel-2's thirteen, Sentinel-1's two polarisations, the terrain; and
# band_1, band_2, ... for inputs of other sensors, which no stem rule can recognise.
KNOWN_BANDS = ("B01", *BANDS[:8], "B09", "B10", *BANDS[8:], "VV", "VH", "DEM")


def numbered_bands(count: int) -> tuple[str, ...]:
    """Names for `count` inputs of which nothing is known but their number: band_1, band_2, ..."""
    return tuple(f"band_{number}" for number in range(1, count + 1))


def checked_bands(bands: Any) -> tuple[str, ...]:
    """The names of a network's inputs as a tuple.

    Args:
        bands: A sequence of band names.

    Raises:
        ValueError: There is none, one stands twice, or one is not a known name.
    """
    if isinstance(bands, str):
        raise ValueError(f"bands is the text {bands!r}, a list such as {list(BANDS[:3])} was expected")
    names = tuple(bands)
    if not names:
        raise ValueError("bands is empty, at least one band was expected")
    for name in names:
        if name in KNOWN_BANDS or (isinstance(name, str) and name.removeprefix("band_").isdigit()):
            continue
        nearest = get_close_matches(str(name).upper(), KNOWN_BANDS, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(nearest)}?" if nearest else "band_1, band_2, ... name other inputs"
        raise ValueError(f"unknown band {name!r}: {hint} Known bands: {', '.join(KNOWN_BANDS)}")
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"bands names {', '.join(twice)} more than once, each band was expected once")
    return names


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
                f"num_channels is {self.num_channels}, "
                f"but bands names {len(self.bands)}: {', '.join(self.bands)}"
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
