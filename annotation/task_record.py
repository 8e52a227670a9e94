"""`tasks.json`: the place of each picture on the grid of its site."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from euromine.dataset_script.site_scene import Scene
from euromine.support.errors import AnnotationError
from euromine.support.records import read_record

from .label_painting import Box

TASKS_FILE = "tasks.json"
_ADVICE = "Make the pictures again with `euromine annotate tasks`."
# Rows hashed at once; digests depend on it.
_ROWS = 256


@dataclass(frozen=True, kw_only=True)
class SiteGrid:
    """The grid of a site.

    Attributes:
        crs: As `Scene.crs`.
        transform: As `Scene.transform`.
        height: Rows.
        width: Columns.
    """

    crs: str
    transform: tuple[float, float, float, float, float, float]
    height: int
    width: int

    @classmethod
    def of(cls, scene: Scene) -> SiteGrid:
        """The grid of an open scene."""
        return cls(crs=scene.crs, transform=scene.transform, height=scene.height, width=scene.width)


@dataclass(frozen=True, kw_only=True)
class TaskPicture:
    """A picture of a site in a year.

    Attributes:
        name: Of its file.
        site: Name of the site.
        year: The year.
        window: top, left, bottom, right in pixels of the site.
        own: The part of the window that counts; the rest shows the surroundings.
        digest: A hash of the image's pixels.
    """

    name: str
    site: str
    year: int
    window: Box
    own: Box
    digest: str


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """All pictures of a folder of tasks.

    Attributes:
        kind: Distinguishes the record from others.
        scale: Pixels of a picture to a pixel of its site.
        grids: The grid of each site.
        pictures: In the order of their names.
    """

    kind: Literal["euromine annotation tasks"] = "euromine annotation tasks"
    scale: int
    grids: dict[str, SiteGrid]
    pictures: tuple[TaskPicture, ...]


def read_tasks(path: Path) -> TaskRecord:
    """Read `tasks.json`.

    Args:
        path: The file, or its folder.

    Raises:
        RecordError: It is damaged.
        AnnotationError: A picture lies outside of its site.
        FileNotFoundError: There is none.
    """
    file = path / TASKS_FILE if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(
            f"{file}: found nothing there; expected the {TASKS_FILE} that `euromine annotate tasks` wrote."
        )
    record = read_record(TaskRecord, file, advice=_ADVICE)
    for picture in record.pictures:
        grid = record.grids.get(picture.site)
        if record.scale < 1 or grid is None or not _fits(picture, grid):
            raise AnnotationError(
                f"{file}: found {picture.name} outside of its site; expected a place inside. Make the "
                "pictures again with `euromine annotate tasks`."
            )
    return record


def _fits(picture: TaskPicture, grid: SiteGrid) -> bool:
    whole = (0, 0, grid.height, grid.width)
    return _is_inside(picture.own, picture.window) and _is_inside(picture.window, whole)


def _is_inside(box: Box, outer: Box) -> bool:
    top, left, bottom, right = box
    return outer[0] <= top < bottom <= outer[2] and outer[1] <= left < right <= outer[3]


def image_strips(scene: Scene, year: int) -> Iterator[NDArray[np.int16]]:
    """A year's image in strips (10, rows, width) of 256 rows from the top."""
    for top in range(0, scene.height, _ROWS):
        yield scene.read_image(year, top, height=min(_ROWS, scene.height - top))


def image_digest(strips: Iterable[NDArray[np.int16]]) -> str:
    """A hash of the pixels of an image, from all its strips."""
    digest = hashlib.sha256()
    for strip in strips:
        digest.update(strip.astype("<i2", copy=False).tobytes())
    return digest.hexdigest()[:32]
