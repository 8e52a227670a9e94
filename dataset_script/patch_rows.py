"""The columns of each config, and the rows of a patch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Features, Image, List, Value
from numpy.typing import NDArray

from .cells import encode_components, encode_label, encode_quicklook
from .component_layers import ComponentLayers
from .label_changes import change_counts
from .patches import owned_mask
from .scene_windows import PatchLabels, PatchWindow, read_images, read_labels
from .site_scene import Scene

CONFIGS = ("annual", "series", "pairs", "components")
"""The configs of the dataset; the first is the default. The last is there where a site has components."""

_WINDOW = {"top": Value("int32"), "left": Value("int32"), "own": List(Value("int32"))}

_SCENE = {
    "scene_height": Value("int32"),
    "scene_width": Value("int32"),
    "crs": Value("string"),
    "transform": List(Value("float64")),
}

_WHO = {"patch_id": Value("string"), "site": Value("string"), "country": Value("string")}

FEATURES: Mapping[str, Features] = {
    "annual": Features(
        {
            **_WHO,
            "year": Value("int32"),
            "image": Value("binary"),
            "label": Image(),
            "quicklook": Image(),
            **_WINDOW,
            **_SCENE,
            "mine_pixels": Value("int32"),
        }
    ),
    "series": Features(
        {**_WHO, "years": List(Value("int32")), "rows": List(Value("int64")), **_WINDOW, **_SCENE},
    ),
    "pairs": Features(
        {
            **_WHO,
            "year_1": Value("int32"),
            "year_2": Value("int32"),
            "interval": Value("int32"),
            "row_1": Value("int64"),
            "row_2": Value("int64"),
            "gained_pixels": Value("int32"),
            "lost_pixels": Value("int32"),
            "owned_pixels": Value("int32"),
            **_WINDOW,
        }
    ),
    "components": Features(
        {
            **_WHO,
            "year": Value("int32"),
            "row": Value("int64"),
            "components": Image(),
            "radar": Value("binary"),
            "mine_type": Value("string"),
            "material": Value("string"),
            "annotated": List(Value("string")),
            **_WINDOW,
        }
    ),
}
"""The columns of each config. Images and labels are in `annual` alone; others refer to its rows by number."""


def rows_of(scene: Scene) -> Iterator[dict[str, Any]]:
    """The `annual` rows of an open scene, by patch and then by year.

    Args:
        scene: An open scene.

    Yields:
        One row per patch and year with the columns of `FEATURES["annual"]`: `image` as bytes, `label` and
        `quicklook` as `{"bytes": ..., "path": None}`.
    """
    for patch_labels, images in zip(read_labels(scene), read_images(scene), strict=True):
        yield from annual_table(scene, patch_labels, images).to_pylist()


def annual_table(scene: Scene, patch_labels: PatchLabels, images: NDArray[np.int16]) -> pa.Table:
    """The `annual` rows of one patch, one per year, without a copy of its images.

    Args:
        scene: The scene it lies in.
        patch_labels: The window and its labels.
        images: `(years, 10, 160, 160)` int16 DN of the window.
    """
    place = _place(scene, patch_labels)
    owned = owned_mask(patch_labels.patch.own)
    schema = FEATURES["annual"].arrow_schema
    rows = [
        {
            **place,
            "year": year,
            "label": {"bytes": encode_label(label), "path": None},
            "quicklook": {"bytes": encode_quicklook(image), "path": None},
            "mine_pixels": int(np.count_nonzero(owned & (label == 1))),
        }
        for year, image, label in zip(scene.years, images, patch_labels.labels, strict=True)
    ]
    position = schema.get_field_index("image")
    table = pa.Table.from_pylist(rows, schema=schema.remove(position))
    return table.add_column(position, schema.field(position), _binary(images.astype("<i2", copy=False)))


def _binary(arrays: NDArray[Any]) -> pa.Array:
    """The bytes of each array of a stack, in the memory of the stack if it has no gaps."""
    arrays = np.ascontiguousarray(arrays)
    ends = np.arange(len(arrays) + 1, dtype=np.int32) * arrays[0].nbytes
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(arrays)]
    return pa.BinaryArray.from_buffers(pa.binary(), len(arrays), buffers)


def series_row(scene: Scene, patch_labels: PatchLabels, first_row: int) -> dict[str, Any]:
    """The `series` row of one window.

    Args:
        scene: The scene it lies in.
        patch_labels: The window.
        first_row: The row of the window's first year in the `annual` split.
    """
    years = list(scene.years)
    rows = list(range(first_row, first_row + len(years)))
    return {**_place(scene, patch_labels), "years": years, "rows": rows}


def pair_rows(scene: Scene, patch_labels: PatchLabels, first_row: int) -> Iterator[dict[str, Any]]:
    """The `pairs` rows of one window: each pair of its years, earlier year first.

    Args:
        scene: The scene it lies in.
        patch_labels: The window and its labels.
        first_row: The row of the window's first year in the `annual` split.
    """
    place = {name: value for name, value in _place(scene, patch_labels).items() if name not in _SCENE}
    gained, lost, known = change_counts(patch_labels.labels, patch_labels.patch.own)
    for first, year_1 in enumerate(scene.years):
        for second, year_2 in enumerate(scene.years[first + 1 :], start=first + 1):
            yield {
                **place,
                "year_1": year_1,
                "year_2": year_2,
                "interval": year_2 - year_1,
                "row_1": first_row + first,
                "row_2": first_row + second,
                "gained_pixels": int(gained[first, second]),
                "lost_pixels": int(lost[first, second]),
                "owned_pixels": int(known[first, second]),
            }


def component_table(
    scene: Scene,
    layers: ComponentLayers,
    window: PatchWindow,
    components: NDArray[np.uint16],
    radar: NDArray[np.int16],
    first_row: int,
) -> pa.Table:
    """The `components` rows of one window, one for each year with components.

    Args:
        scene: The scene it lies in.
        layers: The site's components and radar.
        window: The window.
        components: `(years, 160, 160)` uint16 of the years of `layers`.
        radar: `(years, 2, 160, 160)` int16 of the years of `layers`.
        first_row: The row of the window's first year in the `annual` split.
    """
    place = {name: value for name, value in _place(scene, window).items() if name not in _SCENE}
    rows = [
        {
            **place,
            "year": year,
            "row": first_row + scene.years.index(year),
            "components": {"bytes": encode_components(bits), "path": None},
            "radar": backscatter.astype("<i2").tobytes() if year in layers.radar_years else None,
            "mine_type": layers.facts.mine_type,
            "material": layers.facts.material,
            "annotated": list(layers.annotated(year)),
        }
        for year, bits, backscatter in zip(layers.years, components, radar, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=FEATURES["components"].arrow_schema)


def _place(scene: Scene, window: PatchWindow) -> dict[str, Any]:
    """The columns that identify and place a patch."""
    patch = window.patch
    return {
        "patch_id": window.patch_id,
        "site": scene.site,
        "country": scene.country,
        "top": patch.top,
        "left": patch.left,
        "own": list(patch.own),
        "scene_height": scene.height,
        "scene_width": scene.width,
        "crs": scene.crs,
        "transform": list(scene.transform),
    }
