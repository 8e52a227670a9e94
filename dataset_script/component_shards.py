"""The component rows of a site as parquet shards, cut where its annual shards are, and their counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .component_layers import ComponentLayers
from .label_groups import COMPONENT_CLASSES, NOT_ANNOTATED
from .parquet_writing import ROWS_PER_GROUP, parquet_writer
from .patch_rows import FEATURES, component_table
from .scene_windows import patch_windows, read_windows
from .site_scene import Scene

_CLASSES = len(COMPONENT_CLASSES)


@dataclass
class ComponentCounts:
    """Owned pixels of a site's components, over the years that have them.

    Attributes:
        years: The years with components.
        radar_years: Those of them with radar.
        derived_years: The years whose label is that of their components.
        rows: Rows of the config `components`.
        annotated: The classes that annotators drew in every year.
        known_pixels: Pixels that are annotated.
        total_pixels: Those of them with any component.
        together: (classes, classes): pixels with both classes; with one class on the diagonal.
        mine_type: From `site.json`.
        material: From `site.json`.
    """

    years: list[int] = field(default_factory=list)
    radar_years: list[int] = field(default_factory=list)
    derived_years: list[int] = field(default_factory=list)
    rows: int = 0
    annotated: list[str] = field(default_factory=list)
    known_pixels: int = 0
    total_pixels: int = 0
    together: list[list[int]] = field(default_factory=lambda: np.zeros((_CLASSES, _CLASSES), int).tolist())
    mine_type: str | None = None
    material: str | None = None

    def add(self, bits: NDArray[np.uint16]) -> None:
        """Count owned pixels."""
        known = bits[(bits >> NOT_ANNOTATED) == 0]
        self.known_pixels += known.size
        self.total_pixels += int(np.count_nonzero(known))
        # Far fewer combinations than pixels.
        combinations, times = np.unique(known, return_counts=True)
        there = (combinations[:, None] >> np.arange(_CLASSES, dtype=np.uint16) & 1).astype(np.int64)
        self.together = (np.array(self.together) + there.T @ (there * times[:, None])).tolist()


def write_component_shards(
    scene: Scene, layers: ComponentLayers | None, first_row: int, patches: Sequence[int], folder: Path
) -> ComponentCounts:
    """Write the component rows of an open scene beside its annual rows.

    Args:
        scene: The scene.
        layers: Its components and radar; None for a site without, which has shards without rows.
        first_row: The row of its first patch and year in the `annual` split.
        patches: The number of patches in each of its annual shards.
        folder: Of its shards.
    """
    counts = ComponentCounts() if layers is None else _described(layers, scene)
    tables = iter(()) if layers is None else component_tables(scene, layers, first_row, counts)
    schema = FEATURES["components"].arrow_schema
    for number, many in enumerate(patches):
        path = folder / f"components-{number:05d}.parquet"
        with pa.OSFile(str(path), "wb") as sink, parquet_writer(sink, schema) as writer:
            waiting = schema.empty_table()
            for table in islice(tables, many):
                waiting = pa.concat_tables([waiting, table])
                while len(waiting) >= ROWS_PER_GROUP:
                    writer.write_table(waiting[:ROWS_PER_GROUP], ROWS_PER_GROUP)
                    waiting = waiting[ROWS_PER_GROUP:]
            if len(waiting):
                writer.write_table(waiting, ROWS_PER_GROUP)
    return counts


def _described(layers: ComponentLayers, scene: Scene) -> ComponentCounts:
    drawn = [set(layers.annotated(year)) for year in layers.years]
    return ComponentCounts(
        years=list(layers.years),
        radar_years=list(layers.radar_years),
        derived_years=sorted(scene.derived_years),
        annotated=[name for name in COMPONENT_CLASSES if all(name in names for names in drawn)],
        mine_type=layers.facts.mine_type,
        material=layers.facts.material,
    )


def component_tables(
    scene: Scene, layers: ComponentLayers, first_row: int, counts: ComponentCounts | None = None
) -> Iterator[pa.Table]:
    """The `components` rows of an open scene, patch by patch.

    Args:
        scene: The scene.
        layers: Its components and radar.
        first_row: The row of its first patch and year in the `annual` split.
        counts: Takes the counts of owned pixels.
    """
    bits = read_windows(scene, layers.years, layers.read_components, pixel_bytes=2)
    radar = read_windows(scene, layers.years, layers.read_radar, pixel_bytes=4)
    for window, components, backscatter in zip(patch_windows(scene), bits, radar, strict=True):
        table = component_table(scene, layers, window, components, backscatter, first_row)
        if counts is not None:
            top, left, bottom, right = window.patch.own
            counts.add(components[:, top:bottom, left:right].ravel())
            counts.rows += len(table)
        yield table
        first_row += len(scene.years)
