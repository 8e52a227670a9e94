"""The processing levels of a dataset's images, by site and together."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from euromine.support.errors import ArgumentError
from euromine.support.processing_levels import DataLevel, Level, common_level

from .site_shards import SiteRecord

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LevelSummary:
    """The processing levels of a dataset.

    Attributes:
        level: Of all images together.
        source: Source of the level: "images", their headers, or "option", an argument of the build.
        by_site: The level of each site.
    """

    level: DataLevel | None
    source: Literal["images", "option"] | None
    by_site: Mapping[str, DataLevel | None]


def summarise_levels(records: Iterable[SiteRecord], stated: Level | None = None) -> LevelSummary:
    """The levels of the sites' images; warns if a dataset mixes them.

    Args:
        records: The records of the sites.
        stated: The level of images without one in their headers.

    Raises:
        ArgumentError: A header gives another level than `stated`.
    """
    records = list(records)
    in_headers = {record.site: set(record.levels or [None]) for record in records}
    if stated is not None:
        if others := sorted(site for site, levels in in_headers.items() if levels - {stated, None}):
            raise ArgumentError(
                f"level: found {stated}, but another level in the images of {', '.join(others[:12])}; "
                "expected the level that the images record. Leave --level out."
            )
        return LevelSummary(stated, "option", dict.fromkeys(in_headers, stated))
    by_site = {site: common_level(levels) for site, levels in in_headers.items()}
    level = common_level(by_site.values())
    if level == "mixed":
        counts = Counter(each or "unknown" for each in by_site.values())
        logger.warning(
            "The images are not of one processing level (sites: %s): a network trained on them meets the "
            "same ground with two kinds of reflectance.",
            ", ".join(f"{count} {name}" for name, count in sorted(counts.items())),
        )
    return LevelSummary(level, None if level is None else "images", by_site)
