"""How the numbers in a scene's file become reflectance, and where this is known from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.dataset_script.archive_bands import RADAR_BANDS
from euromine.support.errors import SceneError
from euromine.support.image_headers import DIGITAL_NUMBERS
from euromine.support.sidecars import Sidecar, number_or_none, told_offset

from .band_names import REFLECTANCE_BANDS
from .locations import Location
from .scene_options import SceneOptions, contradiction

_UNSCALED_TYPES = frozenset(map(np.dtype, ("int16", "uint16", "int32", "uint32")))


@dataclass(frozen=True)
class Reflectance:
    """How the numbers of a scene become reflectance: `(number + offset) * scale`.

    Attributes:
        scale: By band.
        offset: By band, in the file's numbers.
        source: Where both are known from, for the user.
    """

    scale: tuple[float, ...]
    offset: tuple[float, ...]
    source: str

    def __str__(self) -> str:
        scales, offsets = sorted(set(self.scale)), sorted(set(self.offset))
        numbers = [
            " to ".join(f"{value:g}" for value in values[:: len(values) - 1 or 1])
            for values in (scales, offsets)
        ]
        return f"scale {numbers[0]}, offset {numbers[1]} ({self.source})"

    def joined(self, own: Sequence[str], bands: Sequence[str], source: str) -> Reflectance:
        """With those of bands of another file among them, whose numbers are taken as they are.

        Args:
            own: The bands of this reflectance.
            bands: All bands.
            source: The other file, for the user.
        """
        scale, offset = dict(zip(own, self.scale, strict=True)), dict(zip(own, self.offset, strict=True))
        return Reflectance(
            tuple(scale.get(band, 1 / DIGITAL_NUMBERS) for band in bands),
            tuple(offset.get(band, 0.0) for band in bands),
            f"{self.source}; {source}",
        )


@dataclass(frozen=True, kw_only=True)
class ReflectanceMetadata:
    """All that may decide the scale and offset of a scene.

    Attributes:
        location: The scene's location.
        dtype: The type of its numbers.
        scales: The header's scale of each band, 1 where there is none.
        offsets: The header's offset of each band in reflectance, 0 where there is none.
        source: The source of the header, in messages.
        tags: The file's metadata by upper-case key.
        item: The STAC item beside it.
        options: Given by the user.
        is_archive_image: Whether it lies in an archive in the published layout.
    """

    location: Location
    dtype: np.dtype[Any]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    source: str
    tags: Mapping[str, str]
    item: Sidecar
    options: SceneOptions
    is_archive_image: bool


def scene_reflectance(
    metadata: ReflectanceMetadata, bands: Sequence[str], indexes: Sequence[int]
) -> Reflectance:
    """How the numbers of some bands become reflectance.

    For scale and offset alike, the first source that has one decides: the user's options, which must agree
    with the file's own unless the user insists; GDAL's scale and offset in the file; for the scale then a
    STAC item, the product's quantification value, or the rule that integers are reflectance times 10,000; for
    the offset the processing baseline in a STAC item, in the product's metadata or in its name, or the layout
    of the published archive, which has no offset.

    Terrain keeps its units, and radar becomes backscatter in dB x 100: floats and numbers with a scale are
    decibels, whole numbers without one hundredths.

    Args:
        metadata: Of the scene.
        bands: Their names.
        indexes: Their places in the file, counted from 1.

    Raises:
        SceneError: No source has one, an option contradicts the file, or a scale or offset is unusable.
    """
    scales = [float(metadata.scales[index - 1]) for index in indexes]
    offsets = [float(metadata.offsets[index - 1]) for index in indexes]
    optical = [band in REFLECTANCE_BANDS for band in bands]
    for band, in_file, is_optical in zip(bands, scales, optical, strict=True):
        if not is_optical and in_file == 0:
            raise SceneError(
                f"{metadata.location.shown}: found a scale of 0 for {band}; expected any other number."
            )
    if not any(optical):
        others = Reflectance(
            tuple(_other_scale(band, scale, metadata) for band, scale in zip(bands, scales, strict=True)),
            tuple(offset / scale for scale, offset in zip(scales, offsets, strict=True)),
            "as GDAL gives them",
        )
        return _checked(others, metadata, bands, optical)
    is_scaled = any(scale != 1 for scale, is_optical in zip(scales, optical, strict=True) if is_optical)
    scale, scale_source = _scale(metadata, scales if is_scaled else None, len(bands))
    offset, offset_source = _offset(metadata, scales, offsets, scale, is_scaled or any(offsets))
    for place, is_optical in enumerate(optical):
        if not is_optical:
            scale[place] = _other_scale(bands[place], scales[place], metadata)
            offset[place] = offsets[place] / scales[place]
    found = Reflectance(tuple(scale), tuple(offset), f"scale: {scale_source}; offset: {offset_source}")
    return _checked(found, metadata, bands, optical)


def _other_scale(band: str, scale: float, metadata: ReflectanceMetadata) -> float:
    """The scale of a band of radar or terrain."""
    is_decibels = band in RADAR_BANDS and (scale != 1 or metadata.dtype.kind == "f")
    return scale * (100 if is_decibels else 1) / DIGITAL_NUMBERS


def digital_numbers(raw: NDArray[Any], reflectance: Reflectance) -> NDArray[np.float32]:
    """The digital numbers of a file's numbers.

    Args:
        raw: (bands, height, width) of the file.
        reflectance: Of these bands.

    Returns:
        float32 of the same shape, reflectance times 10,000; 0 where they are not finite.
    """
    image = raw.astype(np.float32)
    factors = [scale * DIGITAL_NUMBERS for scale in reflectance.scale]
    shifts = [offset * factor for offset, factor in zip(reflectance.offset, factors, strict=True)]
    if any(factor != 1 for factor in factors):
        image *= np.asarray(factors, np.float32)[:, None, None]
    if any(shifts):
        image += np.asarray(shifts, np.float32)[:, None, None]
    if raw.dtype.kind == "f":
        image[~np.isfinite(image)] = 0
    return image


def _checked(
    found: Reflectance, metadata: ReflectanceMetadata, bands: Sequence[str], optical: Sequence[bool]
) -> Reflectance:
    """Check the numbers of a reflectance from any source.

    Raises:
        SceneError: A scale is 0, infinite or no number, or below 0 in an optical band; or an offset is no
            number.
    """
    for band, scale, offset, is_optical in zip(bands, found.scale, found.offset, optical, strict=True):
        if not (math.isfinite(scale) and scale and (scale > 0 or not is_optical)):
            wrong = f"the scale {scale:g}"
        elif not math.isfinite(offset):
            wrong = f"the offset {offset:g}"
        else:
            continue
        raise SceneError(
            f"{metadata.location.shown}: found {wrong} for {band} ({found.source}); expected one that makes "
            "reflectance of numbers. Give --scale and --offset with --override."
        )
    return found


def _scale(metadata: ReflectanceMetadata, in_file: list[float] | None, count: int) -> tuple[list[float], str]:
    """The scale of each band and its source."""
    asked = metadata.options.scale
    if asked is not None:
        own = (in_file, _place(metadata)) if in_file is not None else _metadata_scale(metadata)
        if own is not None and not metadata.options.override:
            _check_agreement(metadata, "scale", own[0], asked, own[1])
        return [asked] * count, "option"
    if in_file is not None:
        return list(in_file), metadata.source
    known, source = _known_scale(metadata)
    return [known] * count, source


def _offset(
    metadata: ReflectanceMetadata,
    scales: list[float],
    offsets: list[float],
    scale: list[float],
    is_in_file: bool,
) -> tuple[list[float], str]:
    """The offset of each band, in the file's numbers, and its source."""
    count = len(scale)
    in_file = [each / (by or 1) for each, by in zip(offsets, scales, strict=True)]
    asked = metadata.options.offset
    if asked is not None:
        # GDAL gives an offset of 0 for none, too.
        own = (in_file, _place(metadata)) if any(offsets) else _metadata_offset(metadata)
        is_reflectance = metadata.dtype.kind == "f" and set(scale) == {1.0} and not any(offsets)
        if own is not None and not (metadata.options.override or is_reflectance):
            _check_agreement(metadata, "offset", own[0], asked, own[1])
        return [asked] * count, "option"
    if is_in_file:
        return in_file, metadata.source
    if metadata.dtype.kind == "f" and set(scale) == {1.0}:
        return [0.0] * count, "none in reflectance"
    known, source = _known_offset(metadata)
    return [known] * count, source


def _check_agreement(
    metadata: ReflectanceMetadata, name: str, own: Sequence[float], asked: float, source: str
) -> None:
    """Refuse an option that differs from the file's own numbers.

    Raises:
        SceneError: It differs.
    """
    other = next((each for each in own if not math.isclose(each, asked, rel_tol=1e-4, abs_tol=1e-9)), None)
    if other is not None:
        raise contradiction(
            metadata.location.shown, f"the {name} {other:g} ({source})", f"--{name} {asked:g}"
        )


def _place(metadata: ReflectanceMetadata) -> str:
    return metadata.source.removeprefix("GDAL's ")


def _metadata_scale(metadata: ReflectanceMetadata) -> tuple[list[float], str] | None:
    """The scale given by a STAC item or the product's metadata."""
    if metadata.item.scale is not None:
        return [metadata.item.scale], metadata.item.source
    for tag in ("QUANTIFICATION_VALUE", "BOA_QUANTIFICATION_VALUE"):
        value = number_or_none(metadata.tags.get(tag))
        if value:
            return [1 / value], f"{tag} in the file"
    return None


def _known_scale(metadata: ReflectanceMetadata) -> tuple[float, str]:
    if found := _metadata_scale(metadata):
        (scale,), source = found
        return scale, source
    if metadata.dtype in _UNSCALED_TYPES:
        return 1 / DIGITAL_NUMBERS, "whole numbers are reflectance x 10000"
    raise SceneError(
        f"{metadata.location.shown}: found {metadata.dtype} numbers and no scale; expected a scale in the "
        "metadata. Give --scale 1 for reflectance from 0 to 1, or --scale 0.0001 for reflectance x 10000."
    )


def _metadata_offset(metadata: ReflectanceMetadata) -> tuple[list[float], str] | None:
    """The offset given by a STAC item or the processing baseline."""
    location = metadata.location
    found = told_offset(metadata.item, metadata.tags, location.name, location.parts)
    return found and ([found[0]], found[1])


def _known_offset(metadata: ReflectanceMetadata) -> tuple[float, str]:
    if found := _metadata_offset(metadata):
        (offset,), source = found
        return offset, source
    if metadata.is_archive_image:
        return 0.0, "layout of the published archive"
    raise SceneError(
        f"{metadata.location.shown}: found no processing baseline; expected one, because Sentinel-2 products "
        "from baseline 04.00 on (since 25 January 2022, and older ones reprocessed) have 1000 added to their "
        "numbers. Give --offset -1000 if 1000 was added, --offset 0 if not, or put a STAC item "
        f"{metadata.location.stem}.json beside the file."
    )
