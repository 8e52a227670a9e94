"""Image processor: from digital numbers to network inputs, and from logits to masks.

Training, evaluation and prediction on a user's scene normalise with the same class, so each checkpoint
includes its settings (`preprocessor_config.json`): the network's bands and the statistics it was trained
with.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F
from transformers import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor

from .bands import BANDS, NO_BACKSCATTER, RADAR_BANDS, checked_bands
from .presets import PRESETS, check_preset, known_preset, per_band, preset

_LEVELS = ("L1C", "L2A", "mixed", None)
# Fields of transformers' image processors for RGB images, and ours.
_FIELDS_ELSEWHERE = {"image_mean": "mean", "image_std": "std", "rescale_factor": "scale"}
# What transformers itself adds to the fields of a saved image processor.
_OF_TRANSFORMERS = frozenset(
    {"auto_map", "feature_extractor_type", "image_processor_type", "processor_class"}
)


class ImageProcessorArguments(TypedDict, total=False):
    """Fields of `EuroMineImageProcessor` that `from_pretrained` may override."""

    bands: Sequence[str]
    source_bands: Sequence[str]
    statistics: str
    mean: Sequence[float] | None
    std: Sequence[float] | None
    do_normalize: bool
    scale: float | None
    offset: float | None
    level: str | None


class EuroMineImageProcessor(BaseImageProcessor):
    """Selects bands by name and normalises them; turns logits into masks.

    Attributes:
        bands: Names of the network's bands, in its order.
        source_bands: Names of the bands of the input images, in their order; must include `bands`.
        statistics: Preset of mean and std: "corrected" (the default) or "paper". Any other name only
            documents the source of given ones, by default "custom".
        mean: Mean of each of `bands`, in digital numbers; of VV and VH in hundredths of a decibel.
        std: Standard deviation of each of `bands`.
        do_normalize: Whether to subtract the mean and divide by the standard deviation.
        scale: Factor applied to the images first, if their units differ from those of the statistics; not to
            VV and VH, which are no reflectance.
        offset: Added after scaling, such as the -1000 of Sentinel-2's processing baseline 04.00; as above.
        level: Processing level of the images that the network was trained on, "L1C", "L2A" or "mixed"; None
            if unknown. It changes no number: programs warn of images of another level by it.

    Raises:
        ValueError: A band is unknown, repeated or missing from the images or the preset, the statistics
            do not fit the bands, the level is no level, or there is no such field.

    Example:
        >>> processor = EuroMineImageProcessor(bands=["B04", "B03", "B02"])
        >>> processor(np.zeros((10, 160, 160), np.int16), return_tensors="pt").pixel_values.shape
        torch.Size([1, 3, 160, 160])
    """

    # transformers types this as its own class, but only reads the annotations.
    valid_kwargs = ImageProcessorArguments  # type: ignore[assignment]

    def __init__(
        self,
        bands: Sequence[str] | None = None,
        source_bands: Sequence[str] | None = None,
        statistics: str | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        do_normalize: bool = True,
        scale: float | None = None,
        offset: float | None = None,
        level: str | None = None,
        **kwargs: Any,
    ) -> None:
        _check_fields(kwargs)
        if unknown := sorted(set(kwargs) - _OF_TRANSFORMERS):
            fields = ", ".join(ImageProcessorArguments.__annotations__)
            raise ValueError(f"{unknown[0]}: found no such field; expected {fields}.")
        super().__init__(**kwargs)
        self.bands = list(checked_bands(BANDS if bands is None else bands))
        self.source_bands = list(
            checked_bands(_default_source(self.bands) if source_bands is None else source_bands)
        )
        _positions(self.bands, self.source_bands)
        given = mean is not None or std is not None
        self.statistics = statistics or ("custom" if given else "corrected")
        if do_normalize and not given:
            mean, std = preset(self.statistics, self.bands)
        self.mean = per_band("mean", mean, self.bands) if do_normalize or mean is not None else None
        self.std = per_band("std", std, self.bands) if do_normalize or std is not None else None
        if self.std is not None and min(self.std) <= 0:
            raise ValueError(
                f"std: found {min(self.std)}; expected a standard deviation above 0 for each band."
            )
        if given and self.statistics in PRESETS:
            check_preset(self.statistics, self.bands, self.mean, self.std)
        if scale is not None and not (scale and np.isfinite(scale)):
            raise ValueError(f"scale: found {scale}; expected a finite factor other than 0.")
        if offset is not None and not np.isfinite(offset):
            raise ValueError(f"offset: found {offset}; expected a finite number.")
        if level not in _LEVELS:
            raise ValueError(f"level: found {level!r}; expected 'L1C', 'L2A', 'mixed' or None.")
        self.do_normalize = do_normalize
        self.scale = scale
        self.offset = offset
        self.level = level

    @classmethod
    def from_statistics(
        cls, statistics: str | Mapping[str, Any], bands: Sequence[str] | None = None, **kwargs: Any
    ) -> "EuroMineImageProcessor":
        """Create a processor from a preset or from the statistics of another training set.

        Args:
            statistics: "corrected", "paper", or a mapping with `bands`, `mean` and `std`, one number per
                band, and optionally a `name`.
            bands: The network's bands; default all bands of the statistics.
            **kwargs: Other fields of the processor.

        Raises:
            ValueError: The preset is unknown, or the mapping lacks a key or a band.
        """
        if isinstance(statistics, str):
            known = known_preset(statistics)
            return cls(bands=tuple(known) if bands is None else bands, statistics=statistics, **kwargs)
        missing = [key for key in ("bands", "mean", "std") if key not in statistics]
        if missing:
            raise ValueError(f"statistics: found no {', '.join(missing)}; expected bands, mean and std.")
        names = checked_bands(statistics["bands"])
        mean = per_band("mean", statistics["mean"], names)
        std = per_band("std", statistics["std"], names)
        chosen = names if bands is None else checked_bands(bands)
        positions = _positions(chosen, names, "statistics")
        kwargs.setdefault("source_bands", names if set(names) > set(chosen) else None)
        return cls(
            bands=chosen,
            statistics=str(statistics.get("name", "custom")),
            mean=[mean[position] for position in positions],
            std=[std[position] for position in positions],
            **kwargs,
        )

    @classmethod
    def from_dict(cls, image_processor_dict: dict[str, Any], **kwargs: Any) -> Any:
        """As in transformers, but mean and std follow the statistics and the bands that override stored ones.

        Stored fields that are unknown here, such as those of a later version, become attributes.

        Raises:
            ValueError: There is no mean of a band that the stored settings lack, or a field belongs to
                transformers' processors of RGB images.
        """
        _check_fields({**image_processor_dict, **kwargs})
        known = {*cls.valid_kwargs.__annotations__, *_OF_TRANSFORMERS}
        stored = {name: value for name, value in image_processor_dict.items() if name in known}
        overridden = {"statistics", "bands", "mean", "std"} & set(kwargs)
        if overridden and not overridden & {"mean", "std"} and stored.get("mean") is not None:
            bands = list(kwargs.get("bands") or stored["bands"])
            if kwargs.get("statistics", stored.get("statistics")) in PRESETS:
                stored["mean"] = stored["std"] = None
            elif bands != list(stored["bands"]):
                places = _positions(bands, stored["bands"], "bands")
                stored |= {each: [stored[each][place] for place in places] for each in ("mean", "std")}
        loaded = super().from_dict(stored, **kwargs)
        processor = loaded[0] if isinstance(loaded, tuple) else loaded
        for name in set(image_processor_dict) - known:
            setattr(processor, name, image_processor_dict[name])
        return loaded

    def preprocess(
        self,
        images: ArrayLike | Tensor | Sequence[ArrayLike | Tensor],
        bands: Sequence[str] | None = None,
        labels: ArrayLike | Tensor | Sequence[ArrayLike | Tensor] | None = None,
        return_tensors: str | None = None,
    ) -> BatchFeature:
        """Select the network's bands and normalise them. VV and VH become 0 where there is no backscatter.

        Args:
            images: (..., channels, height, width), integers or floats in the units of the statistics, NumPy
                or torch on any device: an image, a batch, a series of years or a batch of series; or a list
                of equal shapes, which is stacked.
            bands: Names of these images' channels; default `source_bands`.
            labels: (..., height, width) integers for the images, returned as int64.
            return_tensors: "pt" or "np"; default the type of the input.

        Returns:
            `pixel_values` float32 (..., bands, height, width), a single image as a batch of one, torch
            tensors on their device; and `labels` (..., height, width) int64, if given.

        Raises:
            ValueError: A band is unknown or missing, the number of channels or dimensions does not fit, the
                shapes in a list differ, or a float image holds NaN or infinite numbers.
        """
        if return_tensors not in (None, "pt", "np"):
            raise ValueError(f'return_tensors: found {return_tensors!r}; expected "pt", "np" or None.')
        source = self.source_bands if bands is None else checked_bands(bands)
        array = _stacked(images, "images", 3)
        if array.shape[-3] != len(source):
            raise ValueError(
                f"images: found {array.shape[-3]} channels in the shape {tuple(array.shape)}; "
                f"expected {len(source)}: {', '.join(source)}."
            )
        data = {"pixel_values": self._normalized(_selected(array, _positions(self.bands, source)))}
        if labels is not None:
            masks = _stacked(labels, "labels", 2)
            if masks.shape[-2:] != array.shape[-2:]:
                raise ValueError(
                    f"labels: found {tuple(masks.shape[-2:])} pixels; "
                    f"expected {tuple(array.shape[-2:])} as in the images."
                )
            data["labels"] = masks.to(torch.int64) if isinstance(masks, Tensor) else masks.astype(np.int64)
        return BatchFeature({name: _as_kind(each, return_tensors) for name, each in data.items()})

    def post_process_semantic_segmentation(
        self,
        outputs: Any,
        target_sizes: Sequence[tuple[int, int]] | Tensor | None = None,
        probabilities: bool = False,
    ) -> list[Tensor]:
        """Turn logits into class maps.

        Args:
            outputs: Output of the network, or its logits (batch, classes, height, width).
            target_sizes: (height, width) of each map; default that of the logits. Logits are resized
                bilinearly before the argmax, as in transformers.
            probabilities: Return each class's probability instead.

        Returns:
            For each image a map (height, width) uint8, or (classes, height, width) float32 with
            `probabilities`, on the logits' device.

        Raises:
            ValueError: `outputs` has no such logits, or the number of sizes is not that of the images.
        """
        if probabilities:
            return [F.softmax(logits.float(), dim=0) for logits in _resized(outputs, target_sizes)]
        return [logits.argmax(dim=0).to(torch.uint8) for logits in _resized(outputs, target_sizes)]

    def post_process_change_detection(
        self,
        outputs: Any,
        target_sizes: Sequence[tuple[int, int]] | Tensor | None = None,
        probabilities: bool = False,
    ) -> list[Tensor]:
        """Turn change logits into change maps.

        Args:
            outputs: Output of the network, or its logits (batch, 2, height, width).
            target_sizes: (height, width) of each map; default that of the logits.
            probabilities: Return the probability of change instead.

        Returns:
            For each pair a map (height, width), uint8 0 or 1, or float32 with `probabilities`, on the logits'
            device.

        Raises:
            ValueError: `outputs` has no such logits, or the number of sizes is not that of the pairs.
        """
        maps = self.post_process_semantic_segmentation(outputs, target_sizes, probabilities)
        return [each[1] for each in maps] if probabilities else maps

    def _normalized(self, images: NDArray[Any] | Tensor) -> NDArray[np.float32] | Tensor:
        """(x * scale + offset - mean) / std as one subtraction and one division in float32."""
        center, spread = self._center_and_spread()
        if isinstance(images, Tensor):
            # Converting first is twelve times as fast as letting the subtraction promote int16.
            values = images.to(torch.float32, copy=True)
            if center is not None and spread is not None:
                values.sub_(torch.from_numpy(center).to(values.device))
                values.div_(torch.from_numpy(spread).to(values.device))
            return self._with_known_radar(values, images)
        if center is None or spread is None:
            return images.astype(np.float32)
        array = np.subtract(images, center, dtype=np.float32)
        return self._with_known_radar(np.divide(array, spread, out=array), images)

    def _with_known_radar(self, values: Any, images: Any) -> Any:
        """Normalised values with 0, the mean, where VV and VH have no backscatter."""
        for place, band in enumerate(self.bands if self.do_normalize else ()):
            if band in RADAR_BANDS:
                values[..., place, :, :][images[..., place, :, :] == NO_BACKSCATTER] = 0
        return values

    def _center_and_spread(self) -> tuple[NDArray[np.float32], NDArray[np.float32]] | tuple[None, None]:
        if not self.do_normalize and self.scale is None and self.offset is None:
            return None, None
        is_radar = np.isin(self.bands, RADAR_BANDS)
        factor = np.where(is_radar, 1.0, 1.0 if self.scale is None else self.scale)
        shift = np.where(is_radar, 0.0, 0.0 if self.offset is None else self.offset)
        mean = np.asarray(self.mean if self.do_normalize else [0.0] * len(self.bands))
        std = np.asarray(self.std if self.do_normalize else [1.0] * len(self.bands))
        center, spread = (mean - shift) / factor, std / factor
        return center.astype(np.float32)[:, None, None], spread.astype(np.float32)[:, None, None]


def _check_fields(names: Iterable[str]) -> None:
    for name in names:
        if ours := _FIELDS_ELSEWHERE.get(name):
            raise ValueError(
                f"{name}: found this field of transformers' processors of RGB images; expected {ours}, in "
                "digital numbers."
            )


def _default_source(bands: Sequence[str]) -> Sequence[str]:
    """EuroMineNet's ten bands if they include the network's, otherwise the network's."""
    return BANDS if set(bands) <= set(BANDS) else bands


def _positions(bands: Sequence[str], source: Sequence[str], holder: str = "source_bands") -> list[int]:
    missing = [name for name in bands if name not in source]
    if missing:
        raise ValueError(
            f"{holder}: found no {', '.join(missing)} among {', '.join(source)}; expected {', '.join(bands)}."
        )
    return [list(source).index(name) for name in bands]


def _stacked(given: Any, what: str, dimensions: int) -> NDArray[Any] | Tensor:
    """One array from an array or a list of equal shapes; a single image or label becomes a batch of one."""
    if isinstance(given, (list, tuple)) and given and not np.isscalar(given[0]):
        arrays = [_checked(each, what, dimensions) for each in given]
        if len(sizes := {tuple(each.shape) for each in arrays}) > 1:
            raise ValueError(
                f"{what}: found the shapes {', '.join(map(str, sorted(sizes)))} in one list; "
                "expected equal ones. Process images of another size on their own."
            )
        if all(isinstance(each, Tensor) for each in arrays):
            return torch.stack(cast("list[Tensor]", arrays))
        return np.stack([np.asarray(each) for each in arrays])
    array = _checked(given, what, dimensions)
    return array[None] if array.ndim == dimensions else array


def _checked(given: Any, what: str, dimensions: int) -> NDArray[Any] | Tensor:
    array = given if isinstance(given, Tensor) else np.asarray(given)
    expected = f"(..., {'channels, ' if dimensions == 3 else ''}height, width)"
    if array.ndim < dimensions or 0 in array.shape:
        raise ValueError(f"{what}: found the shape {tuple(array.shape)}; expected {expected}.")
    if isinstance(array, Tensor):
        is_number = not array.is_complex() and array.dtype != torch.bool
        is_finite = not array.is_floating_point() or bool(torch.isfinite(array).all())
    else:
        is_number = array.dtype.kind in "iuf"
        is_finite = array.dtype.kind != "f" or bool(np.isfinite(array).all())
    if not is_number:
        raise ValueError(f"{what}: found {array.dtype}; expected integers or floats.")
    if not is_finite:
        raise ValueError(f"{what}: found NaN or infinite numbers; expected finite ones.")
    return array


def _selected(array: NDArray[Any] | Tensor, positions: list[int]) -> NDArray[Any] | Tensor:
    """Channels at `positions`; a contiguous run is a view."""
    first, last = positions[0], positions[-1]
    if positions == list(range(first, last + 1)):
        return array[..., first : last + 1, :, :]
    return array[..., positions, :, :]


def _as_kind(array: NDArray[Any] | Tensor, return_tensors: str | None) -> NDArray[Any] | Tensor:
    if return_tensors == "pt" and not isinstance(array, Tensor):
        return torch.from_numpy(np.ascontiguousarray(array))
    if return_tensors == "np" and isinstance(array, Tensor):
        return array.detach().cpu().numpy()
    return array


def _resized(outputs: Any, target_sizes: Sequence[tuple[int, int]] | Tensor | None) -> list[Tensor]:
    """Logits (classes, height, width) of each image at its target size."""
    logits = outputs if isinstance(outputs, Tensor) else getattr(outputs, "logits", None)
    if not isinstance(logits, Tensor) or logits.ndim != 4:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(outputs).__name__
        raise ValueError(f"outputs: found {found}; expected logits (batch, classes, height, width).")
    if target_sizes is None:
        return list(logits)
    sizes = [(int(height), int(width)) for height, width in target_sizes]
    if len(sizes) != len(logits):
        raise ValueError(f"target_sizes: found {len(sizes)} for {len(logits)} images; expected one for each.")
    if len(set(sizes)) == 1:
        return list(F.interpolate(logits, size=sizes[0], mode="bilinear", align_corners=False))
    return [
        F.interpolate(each[None], size=size, mode="bilinear", align_corners=False)[0]
        for each, size in zip(logits, sizes, strict=True)
    ]
