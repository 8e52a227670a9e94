"""The area of each component by year, on the ground, with intervals where the model's errors are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from euromine.dataset_script.label_groups import LabelGroups
from euromine.monitoring.mapping.map_values import NODATA
from euromine.support.ground_areas import HECTARE

from .area_estimation import Confusion, Uncertainty
from .area_series import Blocks, class_estimate, estimate_columns, known_hectares, value_areas

if TYPE_CHECKING:
    from euromine.monitoring.scenes.grids import Grid

NO_COMPONENT = "none"
"""The name of ground without a component of the group, value 0 of its maps."""


@dataclass(frozen=True)
class ComponentArea:
    """The area of a component in a year: a row of `components.csv`, in hectares.

    Attributes:
        site: The site's name.
        year: The year.
        group: The group of labels.
        component: The component, one class of the group.
        pixels: Pixels mapped as this component.
        area_ha: Their area on the ground.
        adjusted_ha: The error-adjusted estimate; None without known errors of the model on this group.
        low_ha: Lower end of its 95 % interval; None where there is none.
        high_ha: Upper end.
        known_share: Observed share of the scene's area.
        standard_error_ha: Standard error of the estimate.
        known_ha: Observed area, which all figures refer to.
    """

    site: str
    year: int
    group: str
    component: str
    pixels: int
    area_ha: float
    adjusted_ha: float | None
    low_ha: float | None
    high_ha: float | None
    known_share: float
    standard_error_ha: float | None
    known_ha: float


def component_areas(
    maps: Mapping[str, Blocks],
    years: Sequence[int],
    groups: LabelGroups,
    grid: Grid,
    *,
    site: str = "",
    confusions: Mapping[str, Confusion] | None = None,
    uncertainty: Uncertainty = "site",
) -> list[ComponentArea]:
    """The area of each component in each year.

    Args:
        maps: By group, its maps (years, height, width) uint8 as `LabelGroups.maps` makes them: 0 none, n the
            n-th class of the group, 255 unknown; or their blocks of rows.
        years: The years.
        groups: The groups; those without maps are left out.
        grid: The maps' grid: areas are those on the ellipsoid.
        site: The site's name.
        confusions: By group, the model's errors; its classes are `NO_COMPONENT` and those of the group.
        uncertainty: The meaning of the intervals.

    Returns:
        Rows by group, component and year.

    Raises:
        GridError: The grid has no coordinate system, or is in degrees and rotated.
        ValueError: The maps do not fit the years or the grid, or hold other values; or a confusion has other
            classes.
    """
    rows = []
    for group, classes in groups.classes.items():
        if group not in maps:
            continue
        confusion = (confusions or {}).get(group)
        if confusion is not None and confusion.classes != (NO_COMPONENT, *classes):
            raise ValueError(
                f"confusions: found the classes {', '.join(confusion.classes)} in {group}; expected "
                f"{', '.join((NO_COMPONENT, *classes))}."
            )
        values = [*range(len(classes) + 1), NODATA]
        pixels, areas = value_areas(maps[group], len(years), grid, values, group)
        for place, component in enumerate(classes, 1):
            for year, counted, (*of_classes, unknown) in zip(years, pixels, areas.tolist(), strict=True):
                known = sum(of_classes)
                estimate = class_estimate(of_classes, confusion, uncertainty)
                rows.append(
                    ComponentArea(
                        site=site,
                        year=int(year),
                        group=group,
                        component=component,
                        pixels=int(counted[place]),
                        area_ha=of_classes[place] / HECTARE,
                        **estimate_columns(
                            estimate, place, adjusted="adjusted_ha", low="low_ha", high="high_ha"
                        ),
                        known_share=known / (known + unknown),
                        standard_error_ha=known_hectares(estimate.standard_error[place])
                        if estimate
                        else None,
                        known_ha=known / HECTARE,
                    )
                )
    return rows
