"""Pictures of an archive for annotation tools, with labels to start from."""

from __future__ import annotations

import io
import math
import os
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from euromine.dataset_script.archive import Archive
from euromine.dataset_script.archive_bands import BANDS
from euromine.dataset_script.labelled_sites import sites_of_years
from euromine.dataset_script.site_scene import Scene, Site, pixels_without_data
from euromine.support.contrast import Limits, contrast_limits, stretched
from euromine.support.errors import ArgumentError
from euromine.support.files import explain_full_disk, write_bytes, write_json
from euromine.support.records import write_record

from .label_classes import LabelClasses, read_label_classes
from .label_import import chosen_sites
from .label_painting import Box
from .prelabels import Form, LabelledPicture, parse_form, write_coco, write_cvat
from .task_record import TASKS_FILE, SiteGrid, TaskPicture, TaskRecord, image_digest, image_strips

IMAGES_FOLDER = "images"
# CVAT shows the pictures in such a folder beside the picture of the same name.
_CONTEXT_FOLDER = "related_images"
NATURAL = ("B04", "B03", "B02")
FALSE_COLOUR = ("B12", "B8A", "B04")
"""Short-wave infrared, near infrared and red: bare ground is pink to brown, plants green, water black."""

LARGEST_SIDE = 5000
"""The longest side of a picture in pixels; larger sites are cut into several."""

_MARGIN = 16
_LARGEST_SCALE = 16
_DIMMED = 0.45
_SAMPLED_PIXELS = 1_000_000
_COLOURS = {"mine": "#e6194b", "ignore": "#808080"}

Footprint = Callable[[Site, int], NDArray[np.uint8] | None]


@dataclass(frozen=True)
class TaskSummary:
    """The contents of a folder of tasks.

    Attributes:
        folder: The folder.
        sites: Number of sites.
        years: Number of images.
        pictures: Number of pictures; larger than `years` where sites were cut.
        prelabelled: Number of pictures with a shape to start from.
    """

    folder: Path
    sites: int
    years: int
    pictures: int
    prelabelled: int


def write_tasks(
    archive: Archive,
    out: str | os.PathLike[str],
    *,
    sites: Sequence[str] = (),
    years: Collection[int] | None = None,
    scale: int = 4,
    form: Form = "mask",
    classes: str | os.PathLike[str] | None = None,
    footprint: Footprint | None = None,
    progress: bool = False,
) -> TaskSummary:
    """Write pictures of all images of an archive, and labels to start from.

    The folder appears whole or not at all: `images/{Site}_{YYYY}.png` in natural colours, a false-colour
    picture of each in `images/related_images/`, `labels.json` with CVAT's labels, `tasks.json` for
    `import_labels` and, with `footprint`, `prelabels_cvat.xml` and `prelabels_coco.json`.

    Args:
        archive: The archive; its sites need no labels.
        out: A folder that is new or empty.
        sites: The sites to write; all by default.
        years: The years to write; all by default.
        scale: Pixels of a picture to a pixel of its site, 1 to 16.
        form: Whether to start from masks or from polygons.
        classes: A file for `read_label_classes`, whose classes go into `labels.json`.
        footprint: Function of a site and year that returns the label (height, width) to start from: 1 mine,
            255 ignored; or None for no shapes.
        progress: Whether to show a progress bar.

    Raises:
        ArgumentError: There is no such site, or an argument is out of range.
        AnnotationError: The classes cannot be read.
        ArchiveError: A file of the archive cannot be used.
        OSError: The folder is not empty, or cannot be written.
    """
    if not 1 <= scale <= _LARGEST_SCALE:
        raise ArgumentError(f"--scale: found {scale}; expected 1 to {_LARGEST_SCALE}.")
    form = parse_form(form)
    table = None if classes is None else read_label_classes(Path(classes))
    chosen = sites_of_years(chosen_sites(archive, sites), years, archive.path)
    folder = Path(out)
    _check_free(folder)
    partial = folder.with_name(f".{folder.name}.partial")
    if partial.exists():
        shutil.rmtree(partial)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with explain_full_disk(folder.parent, "the pictures"):
            summary = _Writer(partial, scale, footprint).write(chosen, folder, form, table, progress)
        partial.replace(folder)
    finally:
        if partial.exists():
            shutil.rmtree(partial)
    return summary


def _check_free(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(
            f"{folder}: found files in it; expected a new or an empty folder. Choose another with --out."
        )
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder}: found a file; expected a new or an empty folder.")


class _Writer:
    """Writes the pictures of sites one after the other."""

    def __init__(self, folder: Path, scale: int, footprint: Footprint | None) -> None:
        self.folder, self.scale, self.footprint = folder, scale, footprint
        self.grids: dict[str, SiteGrid] = {}
        self.pictures: list[TaskPicture] = []
        self.labelled: list[LabelledPicture] = []

    def write(
        self,
        sites: dict[str, Site],
        shown: Path,
        form: Form,
        classes: LabelClasses | None,
        progress: bool,
    ) -> TaskSummary:
        (self.folder / IMAGES_FOLDER).mkdir(parents=True)
        images = [(site, year) for site in sites.values() for year in site.years]
        for site, year in tqdm(images, unit="image", disable=not progress):
            with site.open() as scene:
                self.grids[site.name] = SiteGrid.of(scene)
                self._write_year(site, scene, year)
        prelabelled = 0
        write_json(self.folder / "labels.json", _cvat_labels(classes, self.footprint is not None))
        if self.footprint is not None:
            prelabelled = sum(bool((each.label != 0).any()) for each in self.labelled)
            write_cvat(self.folder / "prelabels_cvat.xml", self.labelled, self.scale, form)
            write_coco(self.folder / "prelabels_coco.json", self.labelled, self.scale, form)
        record = TaskRecord(scale=self.scale, grids=self.grids, pictures=tuple(self.pictures))
        write_record(self.folder / TASKS_FILE, record)
        return TaskSummary(shown, len(sites), len(images), len(self.pictures), prelabelled)

    def _write_year(self, site: Site, scene: Scene, year: int) -> None:
        digest, limits = _survey(scene, year)
        label = None if self.footprint is None else self.footprint(site, year)
        side = LARGEST_SIDE // self.scale
        for place, (window, own) in tiles(scene.height, scene.width, side).items():
            name = f"{site.name}_{year}{place}.png"
            self._write_pictures(scene, year, name, window, own, limits)
            self.pictures.append(
                TaskPicture(name=name, site=site.name, year=year, window=window, own=own, digest=digest)
            )
            if self.footprint is not None:
                self.labelled.append(LabelledPicture(name, _own_label(label, window, own)))

    def _write_pictures(
        self, scene: Scene, year: int, name: str, window: Box, own: Box, limits: dict[str, Limits]
    ) -> None:
        top, left, bottom, right = window
        image = scene.read_image(year, top, left, bottom - top, right - left)
        context = self.folder / IMAGES_FOLDER / _CONTEXT_FOLDER / name.replace(".", "_")
        context.mkdir(parents=True)
        for colours, path in (
            (NATURAL, self.folder / IMAGES_FOLDER / name),
            (FALSE_COLOUR, context / "false_colour.png"),
        ):
            bands = np.stack([image[BANDS.index(band)] for band in colours], axis=-1)
            low, high = (np.array([limits[band][end] for band in colours]) for end in (0, 1))
            shown = bands.astype(np.float32)
            if year in scene.marked_years:
                shown[pixels_without_data(image)] = np.nan  # grey, as black is water
            pixels = stretched(shown, (low, high))
            _dim_margin(pixels, window, own)
            write_bytes(path, _png(pixels, self.scale))


def _survey(scene: Scene, year: int) -> tuple[str, dict[str, Limits]]:
    """The digest of an image, and the contrast of the bands that are shown, over its pixels with data."""
    bands = sorted({*NATURAL, *FALSE_COLOUR})
    step = max(1, math.isqrt(scene.height * scene.width // _SAMPLED_PIXELS))
    samples: list[NDArray[Any]] = []

    def sampled() -> Any:
        for strip in image_strips(scene, year):
            sample = strip[[BANDS.index(band) for band in bands], ::step, ::step].reshape(len(bands), -1)
            if year in scene.marked_years:
                sample = sample[:, ~pixels_without_data(strip)[::step, ::step].ravel()]
            samples.append(sample)
            yield strip

    digest = image_digest(sampled())
    low, high = contrast_limits(np.concatenate(samples, axis=1).T)
    return digest, {band: (low[place], high[place]) for place, band in enumerate(bands)}


def tiles(height: int, width: int, side: int) -> dict[str, tuple[Box, Box]]:
    """Cut a scene into pictures of at most `side` pixels.

    Args:
        height: Rows.
        width: Columns.
        side: The longest side of a picture, margins included.

    Returns:
        By the end of its name ("" for a whole scene, else "_r1c2"): the window of each picture, and the part
        of it that counts, as top, left, bottom, right. Those parts cover the scene without overlap.
    """
    if height <= side and width <= side:
        whole = (0, 0, height, width)
        return {"": (whole, whole)}
    inner = max(side - 2 * _MARGIN, 1)
    rows, columns = _cuts(height, inner), _cuts(width, inner)
    found = {}
    for row, (top, bottom) in enumerate(pairwise(rows), 1):
        for column, (left, right) in enumerate(pairwise(columns), 1):
            window = (
                max(top - _MARGIN, 0),
                max(left - _MARGIN, 0),
                min(bottom + _MARGIN, height),
                min(right + _MARGIN, width),
            )
            found[f"_r{row}c{column}"] = (window, (top, left, bottom, right))
    return found


def _cuts(length: int, inner: int) -> list[int]:
    number = math.ceil(length / inner)
    return [length * place // number for place in range(number + 1)]


def _own_label(label: NDArray[np.uint8] | None, window: Box, own: Box) -> NDArray[np.uint8]:
    """The label of a picture, empty in the margin, which belongs to its neighbours."""
    shown = np.zeros((window[2] - window[0], window[3] - window[1]), np.uint8)
    if label is not None:
        top, left, bottom, right = own
        shown[_own_part(window, own)] = label[top:bottom, left:right]
    return shown


def _dim_margin(pixels: NDArray[np.uint8], window: Box, own: Box) -> None:
    margin = np.ones(pixels.shape[:2], bool)
    margin[_own_part(window, own)] = False
    pixels[margin] = (pixels[margin] * _DIMMED).astype(np.uint8)


def _own_part(window: Box, own: Box) -> tuple[slice, slice]:
    """The rows and columns of a picture that count."""
    top, left, bottom, right = own
    return slice(top - window[0], bottom - window[0]), slice(left - window[1], right - window[1])


def _png(pixels: NDArray[np.uint8], scale: int) -> bytes:
    picture = Image.fromarray(pixels)
    enlarged = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.BICUBIC)
    data = io.BytesIO()
    # Pillow's own level takes three times as long for a tenth less.
    enlarged.save(data, format="PNG", compress_level=3)
    return data.getvalue()


def _cvat_labels(classes: LabelClasses | None, prelabels: bool) -> list[dict[str, Any]]:
    """The labels of a task, as CVAT's "Raw" editor takes them."""
    colours = {} if classes is None else dict(classes.colours)
    if classes is None or prelabels:
        colours["mine"] = _COLOURS["mine"]
    colours["ignore"] = _COLOURS["ignore"]
    return [{"name": name, "color": colour, "attributes": []} for name, colour in colours.items()]
