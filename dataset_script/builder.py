"""The dataset as rows: what each config holds, how a scene becomes rows, and their `datasets` builder."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from datasets import Features, Image, List, Value
from datasets.builder import Key
from numpy.typing import NDArray
from PIL import Image as PILImage

from .archive import BANDS, Archive, Scene, Site
from .dataset_card import CITATION, DESCRIPTION, HOMEPAGE, LICENSE
from .patches import PATCH_SIZE, Patch, cut, owned_mask, patch_grid
from .splits import assign_splits

CONFIGS = ("annual", "series", "pairs")
"""The configs of the dataset; the first is the default."""

QUICKLOOK_BANDS = (2, 1, 0)
"""Red, green and blue of the quicklook: B04, B03, B02, as indices into the bands."""

QUICKLOOK_WHITE = 3000
"""DN shown as white; 0 is black and between them it is linear, for every site and year alike."""

_QUICKLOOK_QUALITY = 85

# Pixels of all years that are read at a time: 160 lines of a scene 1000 pixels wide in ten years.
_READ_BYTES = 32 * 2**20

_VERSION = datasets.Version("1.0.0")
_BUILDER_CONFIGS = [datasets.BuilderConfig(name=name, version=_VERSION) for name in CONFIGS]

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
}
"""The columns of each config. Only `annual` holds pixels; the others name its rows in the same split."""

_WHITE_TO_BYTE = np.round(np.arange(QUICKLOOK_WHITE + 1) * (255 / QUICKLOOK_WHITE)).astype(np.uint8)


@dataclass(frozen=True)
class PatchLabels:
    """One window of a scene and its labels through the years.

    Attributes:
        patch_id: `<site>_<number>`, the number being the window's place in `patch_grid`, with zeros in front.
        patch: The window.
        labels: `(years, 160, 160)` uint8 0/1/255, in the order of the scene's years.
    """

    patch_id: str
    patch: Patch
    labels: NDArray[np.uint8]


def read_labels(scene: Scene) -> Iterator[PatchLabels]:
    """The windows of an open scene with their labels, in the order of `patch_grid`."""
    patches = patch_grid(scene.height, scene.width)
    digits = max(4, len(str(len(patches) - 1)))
    windows = _read_windows(scene, patches, scene.read_label, pixel_bytes=1)
    for number, (patch, labels) in enumerate(zip(patches, windows, strict=True)):
        yield PatchLabels(f"{scene.site}_{number:0{digits}d}", patch, labels)


def read_images(scene: Scene) -> Iterator[NDArray[np.int16]]:
    """The windows of an open scene, `(years, 10, 160, 160)` int16 each, in the order of `patch_grid`."""
    patches = patch_grid(scene.height, scene.width)
    return _read_windows(scene, patches, scene.read_image, pixel_bytes=2 * len(BANDS))


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
    """The `annual` rows of one window, one per year; the images are those of `images` and no copy of them.

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


def change_counts(
    labels: NDArray[np.uint8], own: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """How many owned pixels change between any two years.

    Args:
        labels: `(years, 160, 160)` uint8 0/1/255.
        own: `[top, left, bottom, right]`, the box that counts.

    Returns:
        Three `(years, years)` int64 matrices: pixels gained (0, then 1), lost (1, then 0), and pixels that
        are labelled (not 255) in both years, of which the first two are a part.
    """
    top, left, bottom, right = own
    owned = labels[:, top:bottom, left:right].reshape(len(labels), -1)
    # 64 pixels a word: quicker than a matrix product, and no threads of BLAS wait beside the reader.
    mine, other = _words(owned == 1), _words(owned == 0)
    known = mine | other
    return _common(other, mine), _common(mine, other), _common(known, known)


def _words(masks: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Masks (years, pixels) as bits of whole words, the last of them filled up with zeros."""
    packed = np.packbits(masks, axis=1)
    return np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)


def _common(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.int64]:
    """How many bits are set in a row of each, for any two rows."""
    return np.bitwise_count(first[:, None] & second[None]).sum(axis=-1, dtype=np.int64)


def encode_label(label: NDArray[np.uint8]) -> bytes:
    """A label as PNG, 8-bit grey, its pixels stored uncompressed.

    Any reader of PNG opens it. The rows are plain bytes at a fixed place, so that decoding is a view and no
    decompression; the parquet file around them (zstd) makes them as small as PNG's own compression would.

    Args:
        label: `(160, 160)` uint8.
    """
    height, width = label.shape
    rows = np.zeros((height, width + 1), dtype=np.uint8)  # each row starts with its filter: 0, none
    rows[:, 1:] = label
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((8, 0, 0, 0, 0))
    chunks = ((b"IHDR", header), (b"IDAT", _store(rows.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")
        for name, data in chunks
    )


def encode_quicklook(image: NDArray[np.int16]) -> bytes:
    """A natural-colour JPEG of B04, B03 and B02, DN 0 to `QUICKLOOK_WHITE` from black to white.

    The stretch is the same for every patch and year, so that pictures of two years can be compared.

    Args:
        image: `(10, height, width)` int16 DN.
    """
    red_green_blue = np.moveaxis(image[list(QUICKLOOK_BANDS)], 0, -1)
    pixels = _WHITE_TO_BYTE.take(red_green_blue, mode="clip")
    buffer = io.BytesIO()
    PILImage.fromarray(pixels).save(buffer, "JPEG", quality=_QUICKLOOK_QUALITY)
    return buffer.getvalue()


def archive_fingerprint(archive: Archive, assignment: Mapping[str, Sequence[str]]) -> str:
    """A hash of what a build depends on: the sites of each split, and the size and time of their files.

    Raises:
        OSError: If a file of the archive is gone.
    """
    sites = [site for split in assignment.values() for site in split]
    state = [dict(assignment), {site: files_state(archive, archive.sites[site]) for site in sorted(sites)}]
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:16]


def files_state(archive: Archive, site: Site) -> list[tuple[str, int, int]]:
    """Name, bytes and time (ns) of each file that a site is read from, or of the zip."""
    if archive.path.is_file():
        paths = [archive.path]
    else:
        paths = [Path(path) for years in (site.image_paths, site.label_paths) for path in years.values()]
    states = ((path, path.stat()) for path in sorted(paths))
    return [(f"{path.parent.name}/{path.name}", state.st_size, state.st_mtime_ns) for path, state in states]


def sites_of_splits(archive: Archive, splits: str | os.PathLike[str]) -> dict[str, tuple[str, ...]]:
    """The sites of each split that has any.

    Raises:
        ValueError: If no site of the archive is in any split, or as `assign_splits` does.
    """
    assignment = {split: sites for split, sites in assign_splits(archive.sites, splits).items() if sites}
    if not assignment:
        raise ValueError(
            f"{archive.path}: none of its {len(archive.sites)} sites is in a split of '{os.fspath(splits)}'; "
            "expected at least one."
        )
    return assignment


class EuroMine(datasets.ArrowBasedBuilder):
    """The dataset straight from the published archive, for those who want no parquet shards in between.

    `EuroMine("annual", archive="EuroMineNet.zip", dataset_name="euromine")`, then `download_and_prepare()`
    and `as_dataset()`. What it prepares under that name, `load_dataset("euromine", "annual")` finds again.
    A split without sites is absent.

    Args:
        config_name: `annual` (default), `series` or `pairs`.
        archive: The published archive, a folder or the zip.
        splits: `corrected`, `official` or a JSON file, as for `split_sites`.
        **arguments: `cache_dir`, `dataset_name` and whatever else `datasets.DatasetBuilder` takes.

    Raises:
        ValueError: If the archive or the splits are not as expected.
    """

    VERSION = _VERSION
    BUILDER_CONFIGS = _BUILDER_CONFIGS
    DEFAULT_CONFIG_NAME = CONFIGS[0]
    # A thousand images, the default, are half a gigabyte before anything is written.
    DEFAULT_WRITER_BATCH_SIZE = 16

    def __init__(
        self,
        config_name: str | None = None,
        *,
        archive: str | os.PathLike[str],
        splits: str | os.PathLike[str] = "corrected",
        **arguments: Any,
    ) -> None:
        self._archive = Archive(archive)
        self._sites = sites_of_splits(self._archive, splits)
        arguments.setdefault("hash", archive_fingerprint(self._archive, self._sites))
        super().__init__(config_name=config_name, **arguments)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description=DESCRIPTION,
            features=FEATURES[self.config.name],
            homepage=HOMEPAGE,
            license=LICENSE,
            citation=CITATION,
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        """One generator a split, whose two lists `datasets` shares out among processes."""
        return [
            datasets.SplitGenerator(
                name=split,
                gen_kwargs=dict(zip(("sites", "first_rows"), self._split_rows(sites), strict=True)),
            )
            for split, sites in self._sites.items()
        ]

    def _split_rows(self, names: Sequence[str]) -> tuple[list[Site], list[int]]:
        """The sites of a split, and the annual row at which each begins."""
        sites = [self._archive.sites[name] for name in names]
        first_rows = [0] * len(sites)
        if self.config.name != "annual":
            for position, site in enumerate(sites[:-1]):
                with site.open() as scene:
                    rows = len(patch_grid(scene.height, scene.width)) * len(scene.years)
                first_rows[position + 1] = first_rows[position] + rows
        return sites, first_rows

    def _generate_tables(self, sites: list[Site], first_rows: list[int]) -> Iterator[tuple[Key, pa.Table]]:
        """One table per patch."""
        for number, (site, first_row) in enumerate(zip(sites, first_rows, strict=True)):
            with site.open() as scene:
                for position, table in enumerate(self._tables(scene, first_row)):
                    yield Key(number, position), table

    def _tables(self, scene: Scene, first_row: int) -> Iterator[pa.Table]:
        """The rows of each patch, of this builder's config."""
        if self.config.name == "annual":
            for patch_labels, images in zip(read_labels(scene), read_images(scene), strict=True):
                yield annual_table(scene, patch_labels, images)
            return
        for patch_labels in read_labels(scene):
            if self.config.name == "series":
                rows = [series_row(scene, patch_labels, first_row)]
            else:
                rows = list(pair_rows(scene, patch_labels, first_row))
            yield pa.Table.from_pylist(rows, schema=self.info.features.arrow_schema)
            first_row += len(scene.years)


def _store(data: bytes) -> bytes:
    """A zlib stream of one uncompressed block; `zlib.compress(level=0)` may cut it where it likes."""
    size = len(data).to_bytes(2, "little")
    complement = (len(data) ^ 0xFFFF).to_bytes(2, "little")
    return b"\x78\x01" + b"\x01" + size + complement + data + zlib.adler32(data).to_bytes(4, "big")


def _place(scene: Scene, patch_labels: PatchLabels) -> dict[str, Any]:
    """The columns that say whose and where a window is."""
    patch = patch_labels.patch
    return {
        "patch_id": patch_labels.patch_id,
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


def _read_windows(
    scene: Scene, patches: Sequence[Patch], read: Callable[..., NDArray[Any]], pixel_bytes: int
) -> Iterator[NDArray[Any]]:
    """Each patch of all years, `(years, ..., 160, 160)`.

    Files are stored in strips or tiles, or inside a zip, where reading patch by patch would decompress the
    same pixels again and again: so whole lines are read, as many at once as memory allows. The patches of
    the right column come last but lie in lines that were read before: their right ends are kept until then.
    """
    line_bytes = len(scene.years) * scene.width * pixel_bytes
    lines = max(1, _READ_BYTES // line_bytes // PATCH_SIZE) * PATCH_SIZE
    right = scene.width - PATCH_SIZE if scene.width > PATCH_SIZE and scene.width % PATCH_SIZE else None
    right_ends: dict[int, NDArray[Any]] = {}
    block: NDArray[Any] | None = None
    block_top = block_bottom = 0
    for patch in patches:
        if patch.left == right and patch.top in right_ends:
            yield right_ends.pop(patch.top)
            continue
        bottom = min(patch.top + PATCH_SIZE, scene.height)
        if block is None or patch.top < block_top or bottom > block_bottom:
            block_top, block_bottom = patch.top, min(patch.top + lines, scene.height)
            block = _read_lines(scene, read, block_top, block_bottom - block_top, into=block)
        in_block = Patch(patch.top - block_top, patch.left, patch.own)
        if right is not None and patch.left == 0 and lines < scene.height:
            right_ends[patch.top] = cut(block, Patch(in_block.top, right, patch.own)).copy()
        yield cut(block, in_block).copy()  # the block's memory is used again


def _read_lines(
    scene: Scene, read: Callable[..., NDArray[Any]], top: int, height: int, into: NDArray[Any] | None
) -> NDArray[Any]:
    """Lines `top` to `top + height` of all years, `(years, ..., height, width)`.

    They are written over `into` if it has their shape: memory that is fresh costs as much as reading.
    """
    for position, year in enumerate(scene.years):
        pixels = read(year, top=top, height=height)
        if into is None or into.shape[1:] != pixels.shape:
            into = np.empty((len(scene.years), *pixels.shape), dtype=pixels.dtype)
        into[position] = pixels
    assert into is not None  # a scene has a year
    return into
