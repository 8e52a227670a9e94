"""Scene metadata given by the user."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from euromine.support.errors import ArgumentError, SceneError
from euromine.support.processing_levels import parse_level

from .band_names import as_band_names

_LARGEST = 1e9  # far above any file's, far below where reflectance in float32 overflows


@dataclass(frozen=True)
class SceneOptions:
    """Scene metadata given by the user for files that lack them; None where there are none.

    Reflectance is `(number + offset) * scale`, where `number` is the file's.

    Attributes:
        bands: Names of the file's bands in their order; "-" or any other text for a band to ignore.
        scale: 0.0001 for reflectance times 10,000, 1 for reflectance from 0 to 1.
        offset: -1000 if processing baseline 04.00 or later added 1000, 0 if nothing was added.
        nodata: The number that marks pixels without data.
        override: Whether these replace a file's own metadata; else a contradiction is refused.
        level: The processing level, "l1c" or "l2a", by which images are compared with a model's.
        keep_clouds: Whether clouds by a Sentinel-2 product's own mask are ground, not pixels without data.

    Raises:
        ArgumentError: A number is out of range, the offset is given in reflectance, or the level is another.
    """

    bands: tuple[str, ...] | None = None
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None
    override: bool = False
    level: str | None = None
    keep_clouds: bool = False

    @classmethod
    def of(
        cls,
        bands: str | Iterable[str] | None = None,
        scale: float | None = None,
        offset: float | None = None,
        nodata: float | None = None,
        override: bool = False,
        level: str | None = None,
        keep_clouds: bool = False,
    ) -> SceneOptions:
        """As the class, with the bands one by one or as text: "B02,B03,-,B08".

        Raises:
            ArgumentError: A name in the text is not a band's, or as for the class.
        """
        return cls(as_band_names(bands), scale, offset, nodata, override, level, keep_clouds)

    def __post_init__(self) -> None:
        if self.level is not None:
            object.__setattr__(self, "level", parse_level(self.level))
        if self.scale is not None and not 0 < self.scale <= _LARGEST:
            raise ArgumentError(f"scale: found {self.scale}; expected a number above 0, such as 0.0001.")
        if self.offset is not None:
            if not abs(self.offset) <= _LARGEST:
                raise ArgumentError(f"offset: found {self.offset}; expected a number, such as -1000 or 0.")
            if 0 < abs(self.offset) < 1 and self.scale != 1:
                raise ArgumentError(
                    f"offset: found {self.offset}, which looks like reflectance; expected an offset to the "
                    "file's own numbers, such as -1000."
                )


def contradiction(scene: str, own: str, option: str) -> SceneError:
    """The error for an option that contradicts a scene's own metadata.

    Args:
        scene: The scene's path.
        own: Its own metadata, in words.
        option: The option and its value.
    """
    return SceneError(
        f"{scene}: found {own}, against {option}; expected both to agree. Leave the option out for this "
        "scene, or add --override to insist on it."
    )
