"""The components of a dataset in numbers: shares, sites by type and material, and classes that overlap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .component_shards import ComponentCounts
from .label_groups import COMPONENT_CLASSES, LabelGroups
from .site_shards import SiteRecord


def component_statistics(splits: Mapping[str, Sequence[SiteRecord]]) -> dict[str, Any]:
    """The entry `components` of `statistics.json`; empty where no site has components.

    Args:
        splits: The records of each split's sites.
    """
    counts = {
        split: [record.components for record in records if record.components and record.components.rows]
        for split, records in splits.items()
    }
    all_counts = [each for of_split in counts.values() for each in of_split if each is not None]
    if not all_counts:
        return {}
    together = _together(all_counts)
    sites = [
        (record.site, record.components)
        for records in splits.values()
        for record in records
        if record.components and record.components.rows
    ]
    derived = {site: each.derived_years for site, each in sorted(sites) if each.derived_years}
    return {
        "components": {
            "splits": {
                split: _sum(each for each in of_split if each is not None)
                for split, of_split in counts.items()
            },
            "classes": {
                name: {
                    "pixels": int(together[place, place]),
                    "sites": sum(each.together[place][place] > 0 for each in all_counts),
                    "annotated_sites": sum(name in each.annotated for each in all_counts),
                }
                for place, name in enumerate(COMPONENT_CLASSES)
            },
            "mine_types": dict(sorted(Counter(each.mine_type or "unknown" for each in all_counts).items())),
            "materials": dict(sorted(Counter(each.material or "unknown" for each in all_counts).items())),
            "together": together.tolist(),
            "overlaps_within_groups": _overlaps(together),
            "derived_labels": derived,
        }
    }


def _together(counts: Iterable[ComponentCounts]) -> Any:
    return np.sum([each.together for each in counts], axis=0)


def _sum(counts: Iterable[ComponentCounts]) -> dict[str, int]:
    counts = list(counts)
    return {
        "sites": len(counts),
        "rows": sum(each.rows for each in counts),
        "rows_with_radar": sum(each.rows // len(each.years) * len(each.radar_years) for each in counts),
        "known_pixels": sum(each.known_pixels for each in counts),
        "total_pixels": sum(each.total_pixels for each in counts),
    }


def _overlaps(together: Any) -> dict[str, list[dict[str, Any]]]:
    """For each group of the preset the pairs of its classes that share pixels; none: it is truly disjoint."""
    overlaps: dict[str, list[dict[str, Any]]] = {}
    for group, classes in LabelGroups.preset().groups.items():
        places = [COMPONENT_CLASSES.index(name) for name in classes]
        overlaps[group] = [
            {
                "classes": [COMPONENT_CLASSES[first], COMPONENT_CLASSES[second]],
                "pixels": int(together[first, second]),
            }
            for number, first in enumerate(places)
            for second in places[number + 1 :]
            if together[first, second]
        ]
    return overlaps
