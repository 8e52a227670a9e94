"""The numbers of the paper's Tables 4, 5 and 6, by this package's names of the networks."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class PublishedRow:
    """A network's row in a table of the paper.

    Attributes:
        name: The network as the paper writes it.
        scores: By column: `of1`, `gca_tiou` and `lca_tiou`, or `of1_pooled`; and the F1 of each year
            ("2015") or of each interval in years ("1").
    """

    name: str
    scores: dict[str, float]


@cache
def published_table(number: int) -> dict[str, PublishedRow]:
    """A table of the paper (doi:10.1016/j.isprsjprs.2026.04.046) by this package's names of the networks.

    Args:
        number: 4 (annual footprints), 5 (change detection) or 6 (post-classification).

    Raises:
        ValueError: It is another one.
    """
    if number not in (4, 5, 6):
        raise ValueError(f"number: found {number}; expected 4, 5 or 6.")
    path = Path(__file__).with_name(f"paper_table{number}.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return {
            row.pop("network"): PublishedRow(
                row.pop("name_in_the_paper"), {name: float(value) for name, value in row.items()}
            )
            for row in csv.DictReader(file)
        }
