"""Scene metadata given by the user."""

from __future__ import annotations

import math
from dataclasses import dataclass

from euromine.support.errors import ArgumentError


@dataclass(frozen=True)
class SceneOptions:
    """Scene metadata given by the user; None where the file's own metadata apply.

    Reflectance is `(number + offset) * scale`, where `number` is the file's.

    Attributes:
        bands: Names of the file's bands in their order; "-" or any other text for a band to ignore.
        scale: 0.0001 for reflectance times 10,000, 1 for reflectance from 0 to 1.
        offset: -1000 if processing baseline 04.00 or later added 1000, 0 if nothing was added.
        nodata: The number that marks pixels without data.

    Raises:
        ArgumentError: A number is out of range, or the offset is given in reflectance.
    """

    bands: tuple[str, ...] | None = None
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None

    def __post_init__(self) -> None:
        if self.scale is not None and not (math.isfinite(self.scale) and self.scale > 0):
            raise ArgumentError(f"scale: found {self.scale}; expected a number above 0, such as 0.0001.")
        if self.offset is not None:
            if not math.isfinite(self.offset):
                raise ArgumentError(f"offset: found {self.offset}; expected a number, such as -1000 or 0.")
            if 0 < abs(self.offset) < 1 and self.scale != 1:
                raise ArgumentError(
                    f"offset: found {self.offset}, which looks like reflectance; expected an offset to the "
                    "file's own numbers, such as -1000."
                )
