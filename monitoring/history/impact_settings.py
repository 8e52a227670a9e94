"""Settings for the ground in and around a mine: spectral indices, reclamation, land cover."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from euromine.monitoring.scenes.spectral_indices import INDICES, parse_indices
from euromine.support.errors import ArgumentError

RECOVERY_INDEX, WATER_INDEX = "nbr", "mndwi"
"""The indices that reclamation and water are measured by."""

_MOST_METRES = 100_000.0


@dataclass(frozen=True, kw_only=True)
class ImpactSettings:
    """Measurements of the ground in and around a mine.

    Attributes:
        indices: Names of spectral indices to map; as text or one by one, "all" for all.
        surroundings: The width in metres of the ring around the footprint whose indices are measured.
        reclamation: A vector file of outlines whose recovery is measured, too. The attribute `start_year` of
            an outline is the first year of recovery of all its ground; without it, the footprints show it.
        reference: A vector file of undisturbed ground, whose mean is the target of recovery; None for the
            value before mining.
        land_cover: A classified raster from before the mining.
        land_cover_legend: "worldcover", "corine" or a legend's file; None for that of the raster's product.
        land_cover_year: The year that the land cover shows; None for that in its name.

    Raises:
        ArgumentError: An index is unknown, or a setting is out of range or of no use.
    """

    indices: tuple[str, ...] = ()
    surroundings: float = 1000.0
    reclamation: Path | None = None
    reference: Path | None = None
    land_cover: Path | None = None
    land_cover_legend: str | None = None
    land_cover_year: int | None = None

    def __post_init__(self) -> None:
        if self.indices:
            object.__setattr__(self, "indices", parse_indices(self.indices))
        if not 0 < self.surroundings <= _MOST_METRES:
            raise ArgumentError(
                f"surroundings: found {self.surroundings}; expected metres above 0, up to {_MOST_METRES:g}."
            )
        if self.land_cover is None and (self.land_cover_legend or self.land_cover_year is not None):
            raise ArgumentError(
                "land_cover: found its legend or year without the raster; expected all or none. Give the "
                "raster with --land-cover."
            )
        if self.reference is not None and not self.measures_recovery:
            raise ArgumentError(
                "reference: found reference ground, but no recovery to measure; expected outlines, or the "
                f"index {RECOVERY_INDEX}. Add --indices {RECOVERY_INDEX} or --reclamation."
            )

    @property
    def mapped_indices(self) -> tuple[str, ...]:
        """The indices to map, in the order of `INDICES`: those asked for, and the one that recovery needs."""
        needed = {*self.indices, *([RECOVERY_INDEX] if self.reclamation is not None else [])}
        return tuple(name for name in INDICES if name in needed)

    @property
    def measures_recovery(self) -> bool:
        """Whether the recovery of ground is measured."""
        return self.reclamation is not None or RECOVERY_INDEX in self.indices

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.mapped_indices and self.land_cover is None
