"""Spectral indices of Sentinel-2 reflectance: plants, water, moisture, bare ground, recovery, minerals.

Each function takes reflectance (0 to 1, not digital numbers) by band and gives float32, NaN where its
denominator is 0. Atmospheric correction leaves slightly negative reflectance over dark water; it counts as 0,
which keeps normalised differences from -1 to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.support.errors import ArgumentError
from euromine.support.near_names import nearest_hint

Float = NDArray[np.float32]
Bands = Mapping[str, NDArray[Any]]
"""Reflectance by band, such as "B08", arrays of one shape."""

ALL = "all"


def ndvi(bands: Bands) -> Float:
    """Plant cover: (B08 - B04) / (B08 + B04).

    Rouse, Haas, Schell, Deering, "Monitoring vegetation systems in the Great Plains with ERTS", 1974.
    """
    return _normalised_difference(bands["B08"], bands["B04"])


def ndwi(bands: Bands) -> Float:
    """Open water: (B03 - B08) / (B03 + B08).

    McFeeters, "The use of the Normalized Difference Water Index (NDWI) in the delineation of open water
    features", International Journal of Remote Sensing 17, 1996.
    """
    return _normalised_difference(bands["B03"], bands["B08"])


def mndwi(bands: Bands) -> Float:
    """Open water, less confused with built-up ground: (B03 - B11) / (B03 + B11); above 0 on water.

    Xu, "Modification of normalised difference water index (NDWI) to enhance open water features in remotely
    sensed imagery", International Journal of Remote Sensing 27, 2006.
    """
    return _normalised_difference(bands["B03"], bands["B11"])


def ndmi(bands: Bands) -> Float:
    """Moisture of plants: (B08 - B11) / (B08 + B11).

    Wilson, Sader, "Detection of forest harvest type using multiple dates of Landsat TM imagery", Remote
    Sensing of Environment 80, 2002.
    """
    return _normalised_difference(bands["B08"], bands["B11"])


def bsi(bands: Bands) -> Float:
    """Bare ground: ((B11 + B04) - (B08 + B02)) / ((B11 + B04) + (B08 + B02)).

    Rikimaru, Roy, Miyatake, "Tropical forest cover density mapping", Tropical Ecology 43, 2002.
    """
    return _normalised_difference(_sum(bands["B11"], bands["B04"]), _sum(bands["B08"], bands["B02"]))


def nbr(bands: Bands) -> Float:
    """Burns, and the recovery of plants after any disturbance: (B08 - B12) / (B08 + B12).

    Key, Benson, "Landscape assessment", USDA Forest Service RMRS-GTR-164, 2006.
    """
    return _normalised_difference(bands["B08"], bands["B12"])


def ndti(bands: Bands) -> Float:
    """Turbidity of water, meaningless on land: (B04 - B03) / (B04 + B03).

    Lacaux, Tourre, Vignolles, Ndione, Lafaye, "Classification of ponds from high-spatial resolution remote
    sensing", Remote Sensing of Environment 106, 2007.
    """
    return _normalised_difference(bands["B04"], bands["B03"])


def iron_oxide(bands: Bands) -> Float:
    """Ferric iron on bare ground: B04 / B02.

    Segal, "Theoretical basis for differentiation of ferric-iron bearing minerals, using Landsat MSS data",
    2nd Thematic Conference on Remote Sensing for Exploration Geology, 1982.
    """
    return _ratio(_reflectance(bands["B04"]), bands["B02"])


def ferrous(bands: Bands) -> Float:
    """Ferrous minerals on bare ground: B11 / B08.

    Segal 1982, as for `iron_oxide`.
    """
    return _ratio(_reflectance(bands["B11"]), bands["B08"])


@dataclass(frozen=True)
class SpectralIndex:
    """An index and its bands.

    Attributes:
        name: Such as "ndvi".
        bands: The bands that its formula needs.
        compute: The function of reflectance by band.
    """

    name: str
    bands: tuple[str, ...]
    compute: Callable[[Bands], Float]

    @property
    def subject(self) -> str:
        """Its subject and formula: the first line of the function's documentation."""
        return (self.compute.__doc__ or "").partition("\n")[0].rstrip(".")


INDICES: Mapping[str, SpectralIndex] = {
    index.name: index
    for index in (
        SpectralIndex("ndvi", ("B04", "B08"), ndvi),
        SpectralIndex("ndwi", ("B03", "B08"), ndwi),
        SpectralIndex("mndwi", ("B03", "B11"), mndwi),
        SpectralIndex("ndmi", ("B08", "B11"), ndmi),
        SpectralIndex("bsi", ("B02", "B04", "B08", "B11"), bsi),
        SpectralIndex("nbr", ("B08", "B12"), nbr),
        SpectralIndex("ndti", ("B03", "B04"), ndti),
        SpectralIndex("iron_oxide", ("B02", "B04"), iron_oxide),
        SpectralIndex("ferrous", ("B08", "B11"), ferrous),
    )
}
"""All indices by name."""


def parse_indices(text: str | Iterable[str], argument: str = "indices") -> tuple[str, ...]:
    """Names of indices from text such as "ndvi,mndwi" or "all", each once, in the order of `INDICES`.

    Args:
        text: The text, or names one by one.
        argument: The option or argument, for errors.

    Raises:
        ArgumentError: There is none, or one is unknown.
    """
    parts = text.split(",") if isinstance(text, str) else list(text)
    names = [part.strip().lower().replace("-", "_") for part in parts if part.strip()]
    if not names:
        raise ArgumentError(f"{argument}: found no index; expected {ALL}, or some of {', '.join(INDICES)}.")
    for name in names:
        if name != ALL and name not in INDICES:
            raise _unknown(name, argument)
    return tuple(name for name in INDICES if name in names or ALL in names)


def bands_of(names: Sequence[str]) -> tuple[str, ...]:
    """The bands that indices need, sorted."""
    return tuple(sorted({band for name in names for band in INDICES[name].bands}))


def spectral_indices(bands: Bands, names: Sequence[str]) -> Float:
    """Several indices of one image.

    Args:
        bands: Reflectance by band.
        names: Names of indices.

    Returns:
        (indices, ...) float32, NaN where an index is undefined.

    Raises:
        KeyError: A band is missing.
    """
    return np.stack([INDICES[name].compute(bands) for name in names])


def _unknown(name: str, argument: str) -> ArgumentError:
    known = ", ".join(INDICES)
    hint = nearest_hint(name, INDICES)
    return ArgumentError(f"{argument}: found {name!r}; expected {ALL}, or some of {known}{hint}.")


def _reflectance(band: NDArray[Any]) -> Float:
    return np.maximum(np.asarray(band, np.float32), np.float32(0))


def _sum(first: NDArray[Any], second: NDArray[Any]) -> Float:
    return np.asarray(_reflectance(first) + _reflectance(second))


def _normalised_difference(first: NDArray[Any], second: NDArray[Any]) -> Float:
    first, second = _reflectance(first), _reflectance(second)
    return _ratio(first - second, first + second)


def _ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> Float:
    """A quotient; NaN where the denominator is not above 0."""
    denominator = _reflectance(denominator)
    quotient = np.full(np.broadcast_shapes(np.shape(numerator), denominator.shape), np.nan, np.float32)
    np.divide(np.asarray(numerator, np.float32), denominator, out=quotient, where=denominator > 0)
    return quotient
