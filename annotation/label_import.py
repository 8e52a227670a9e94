"""Import annotations as labels of an archive."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from euromine.dataset_script.archive import Archive
from euromine.dataset_script.archive_writing import COMPONENTS_FOLDER, write_components, write_label
from euromine.dataset_script.site_scene import Site
from euromine.support.errors import AnnotationError, ArchiveError, ArgumentError
from euromine.support.ground_areas import HECTARE, pixel_areas
from euromine.support.locks import lock_folder
from euromine.support.near_names import nearest_name
from euromine.support.wording import counted

from .annotated_shapes import Annotations, Layer, Picture
from .label_classes import LabelClasses, is_background, is_ignored, read_label_classes
from .label_painting import (
    IGNORED,
    LARGEST_BIT_VALUE,
    MINE,
    Overlap,
    ShapeKey,
    YearLabels,
    class_mask,
    key_of,
    paint_year,
    parse_overlap,
)
from .layer_placing import place_layers
from .picture_placing import Placed, place_pictures, shapes_of
from .recognition import read_annotations
from .task_record import TASKS_FILE, SiteGrid, TaskRecord, image_digest, image_strips, read_tasks
from .year_rules import YearRule, parse_year_rule


@dataclass(frozen=True)
class ImportedYear:
    """The label of a site and year.

    Attributes:
        site: The site.
        year: The year.
        shapes: The number of shapes painted.
        mine_pixels: Pixels of mine.
        mine_ha: Their area on the ground in hectares.
        ignored_pixels: Pixels to ignore.
        classes: Hectares of each class, if classes were imported.
        files: The files written.
    """

    site: str
    year: int
    shapes: int
    mine_pixels: int
    mine_ha: float
    ignored_pixels: int
    classes: Mapping[str, float]
    files: tuple[Path, ...]


@dataclass(frozen=True)
class ImportReport:
    """The result of an import.

    Attributes:
        format: Of the annotations, in words.
        years: The written labels, by site and year.
        mine_labels: The labels that counted as mine.
        repaired: The number of shapes whose outlines crossed themselves.
        lost: The number of shapes left out, by kind.
        notes: Sentences for the reader.
    """

    format: str
    years: tuple[ImportedYear, ...]
    mine_labels: tuple[str, ...]
    repaired: int
    lost: Mapping[str, int]
    notes: tuple[str, ...]


def import_labels(
    path: str | os.PathLike[str],
    archive: str | os.PathLike[str],
    *,
    classes: str | os.PathLike[str] | None = None,
    year: str | None = None,
    overlap: Overlap | None = None,
    class_attribute: str | None = None,
    sites: Sequence[str] = (),
    tasks: str | os.PathLike[str] | None = None,
    empty: bool = False,
    replace: bool = False,
) -> ImportReport:
    """Import annotations as labels: `EuroMineNet/{Site}/label/Year{YYYY}.tif`, on the grid of the image.

    A shape of any class is mine, except those of `IGNORED_NAMES`, which make 255, and of `BACKGROUND_NAMES`,
    which make 0. Upper shapes count where shapes overlap. All files appear together, or none.

    Args:
        path: The annotations, as for `read_annotations`.
        archive: The folder of the archive.
        classes: A file for `read_label_classes`: also write `components/Year{YYYY}.tif`. Existing labels are
            then kept.
        year: `"name"`, `"attribute:NAME"` or `"2021"`; None for the names of pictures, and for outlines for
            the attribute "year", else the name of their layer or file.
        overlap: The class that counts where two overlap: that of the "last" shape, the upper one; of the
            "first"; the later one of "classes"; or "keep" both, as bits of uint16.
        class_attribute: The attribute that holds the class of outlines.
        sites: The sites to import; all by default.
        tasks: The folder that `write_tasks` wrote, or its `tasks.json`. By default the one beside `path`.
        empty: Whether pictures without shapes are ground without mines; otherwise they are left out.
        replace: Whether to replace existing labels, or with `classes` existing components.

    Raises:
        AnnotationError: The annotations cannot be read or do not fit the archive, or would replace labels.
        ArgumentError: An argument is out of range.
        ArchiveError: The archive is damaged, or a zip.
        OSError: A file cannot be read or written.
    """
    rule = parse_year_rule(year)
    overlap = parse_overlap(overlap)
    if overlap is not None and classes is None:
        raise ArgumentError("--overlap: found a rule without --classes; expected both.")
    table = None if classes is None else read_label_classes(Path(classes))
    if table is not None and overlap == "keep" and max(table.values.values()) > LARGEST_BIT_VALUE:
        raise ArgumentError(
            f"--overlap: found keep with the value {max(table.values.values())} in {classes}; expected "
            f"values of 1 to {LARGEST_BIT_VALUE}, one bit each."
        )
    found = Archive(archive)
    if found.path.is_file():
        raise ArchiveError(f"{archive}: found a zip; expected a folder, to write labels into. Unpack it.")
    chosen = chosen_sites(found, sites)
    annotations = read_annotations(path, class_attribute=class_attribute)
    others = set(found.sites) - set(chosen)
    return _Import(annotations, Path(archive), chosen, others, rule, table, overlap, empty, replace).run(
        _tasks(path, tasks)
    )


def chosen_sites(archive: Archive, names: Sequence[str]) -> dict[str, Site]:
    """Sites by their names; all without names.

    Raises:
        ArgumentError: There is no such site.
    """
    for name in names:
        if name not in archive.sites:
            near = nearest_name(name, archive.sites) or min(archive.sites)
            raise ArgumentError(f"--site: found {name!r}; expected a site of the archive, such as {near}.")
    return {name: archive.sites[name] for name in names} if names else dict(archive.sites)


def _tasks(path: str | os.PathLike[str], given: str | os.PathLike[str] | None) -> TaskRecord | None:
    if given is not None:
        return read_tasks(Path(given))
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    beside = folder / TASKS_FILE
    return read_tasks(beside) if beside.is_file() else None


class _Grids(Mapping[str, SiteGrid]):
    """The grids of sites, each read at its first use."""

    def __init__(self, sites: Mapping[str, Site]) -> None:
        self._sites = sites
        self._known: dict[str, SiteGrid] = {}

    def __getitem__(self, name: str) -> SiteGrid:
        if name not in self._known:
            with self._sites[name].open() as scene:
                self._known[name] = SiteGrid.of(scene)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sites)

    def __len__(self) -> int:
        return len(self._sites)


@dataclass(frozen=True)
class _Import:
    """An import with its settings; see `import_labels`."""

    annotations: Annotations
    root: Path
    sites: Mapping[str, Site]
    others: Set[str]
    rule: YearRule | None
    classes: LabelClasses | None
    overlap: Overlap | None
    empty: bool
    replace: bool
    # A shape may touch several sites, and is left out only if it covers no pixel of any.
    painted: Counter[ShapeKey] = field(default_factory=Counter)
    left_out: dict[ShapeKey, str] = field(default_factory=dict)

    def run(self, tasks: TaskRecord | None) -> ImportReport:
        annotations = self.annotations
        if self.classes is not None:
            self.classes.check(self._labels())
        grids = _Grids(self.sites)
        if annotations.layers:
            placed = place_layers(annotations, grids, self.rule, chosen_alone=bool(self.others))
        else:
            placed = place_pictures(annotations, self.sites, grids, tasks, self.rule, self.others)
        wanted = self._wanted(placed)
        if not wanted:
            self._count_left_out()
            raise self._nothing()
        self._check_existing(wanted)
        self._note_kept_labels(wanted)
        with lock_folder(self.root), ExitStack() as files:
            found = (self._write(site, year, placed, grids[site], files) for site, year in sorted(wanted))
            years = tuple(each for each in found if each is not None)
            self._count_left_out()
            if not years:
                raise self._nothing()
        mines = {label for label in self._labels() if not (is_ignored(label) or is_background(label))}
        lost = {kind: number for kind, number in annotations.lost.items() if number}
        return ImportReport(
            annotations.format,
            years,
            tuple(sorted(mines)),
            annotations.repaired,
            lost,
            tuple(annotations.notes),
        )

    def _labels(self) -> set[str]:
        holders: list[Picture | Layer] = [*self.annotations.pictures, *self.annotations.layers]
        return {shape.label for holder in holders for shape in holder.shapes}

    def _wanted(self, placed: Placed) -> set[tuple[str, int]]:
        """The sites and years with an image and, unless pictures may be empty, a shape."""
        wanted = set()
        empty = []
        imageless: dict[str, list[int]] = {}
        for (site, year), drawings in placed.drawings.items():
            if year not in self.sites[site].image_paths:
                keys = [key_of(drawing, shape) for drawing in drawings for shape in drawing.shapes]
                self.left_out.update(dict.fromkeys(keys, "shapes of years without an image"))
                imageless.setdefault(site, []).append(year)
            elif not shapes_of(drawings) and not self.empty:
                empty.append(f"{site} {year}")
            else:
                wanted.add((site, year))
        for site, years in imageless.items():
            self.annotations.notes.append(f"{site} has no image of {_listed(sorted(years))}.")
        if empty:
            self.annotations.notes.append(
                f"Left out without shapes: {_listed(sorted(empty))}. If these have no mine, use --empty."
            )
        return wanted

    def _nothing(self) -> AnnotationError:
        annotations = self.annotations
        found = "; ".join(f"{kind}: {number}" for kind, number in annotations.lost.items() if number)
        reasons = f" Left out: {found}." if found else ""
        years = sorted({year for site in self.sites.values() for year in site.years})
        notes = "".join(f" {note}" for note in annotations.notes)
        return AnnotationError(
            f"{annotations.source}: found {counted(annotations.shapes, 'shape')} and no label to write; "
            f"expected shapes of {_listed(self.sites)} in {_listed(years)}.{reasons}{notes}"
        )

    def _check_existing(self, wanted: set[tuple[str, int]]) -> None:
        if self.replace:
            return
        path_of = self._components_path if self.classes else self._label_path
        there = [path for place in sorted(wanted) if (path := path_of(*place)).exists()]
        if there:
            more = f" and {len(there) - 1} more" if len(there) > 1 else ""
            raise AnnotationError(
                f"{there[0]}: found {'components' if self.classes else 'a label'} there already{more}; "
                "expected years without. Replace them with --replace."
            )

    def _note_kept_labels(self, wanted: set[tuple[str, int]]) -> None:
        kept = [f"{site} {year}" for site, year in sorted(wanted) if self._label_path(site, year).exists()]
        if self.classes is not None and kept:
            self.annotations.notes.append(
                f"Labels that are kept: {_listed(kept)}. Import without --classes to replace them."
            )

    def _label_path(self, site: str, year: int) -> Path:
        paths = self.sites[site].label_paths
        if year in paths:
            return Path(paths[year])
        beside = [Path(path).parent for path in paths.values()]
        folder = beside[0] if beside else self._site_folder(site) / "label"
        return folder / f"Year{year}.tif"

    def _components_path(self, site: str, year: int) -> Path:
        return self._site_folder(site) / COMPONENTS_FOLDER / f"Year{year}.tif"

    def _site_folder(self, site: str) -> Path:
        return Path(next(iter(self.sites[site].image_paths.values()))).parents[1]

    def _write(
        self, site: str, year: int, placed: Placed, grid: SiteGrid, files: ExitStack
    ) -> ImportedYear | None:
        drawings = placed.drawings[site, year]
        painted = paint_year(drawings, grid.height, grid.width, self.classes, self.overlap)
        self._check_painted(site, year, painted)
        if shapes_of(drawings) and not painted.shapes:
            self.annotations.notes.append(f"{site} {year} is left out: no shape covers a pixel of its image.")
            return None
        self._note_pictures(site, year, placed)
        self._note_gaps(site, year, painted)
        place: dict[str, Any] = {"crs": grid.crs, "transform": grid.transform}
        written = []
        label = self._label_path(site, year)
        if self.classes is None or not label.exists():
            write_label(files, label, painted.label, **place)
            written.append(label)
        if self.classes is not None and painted.components is not None:
            path = self._components_path(site, year)
            table: dict[str, Any] = {"values": self.classes.values, "colours": self.classes.colours}
            write_components(files, path, painted.components, **table, **place)
            written.append(path)
        return _imported(site, year, painted, grid, self.classes, tuple(written))

    def _count_left_out(self) -> None:
        """Count the shapes that cover no pixel of any site, and note those that lie on several."""
        reasons = [reason for key, reason in self.left_out.items() if key not in self.painted]
        self.annotations.lost.update(reasons)
        if shared := sum(times > 1 for times in self.painted.values()):
            self.annotations.notes.append(
                f"{counted(shared, 'shape')} on several sites: each site counts its part of them."
            )

    def _note_gaps(self, site: str, year: int, painted: YearLabels) -> None:
        """Ignore ground without data in the image, and note it."""
        with self.sites[site].open() as scene:
            gaps = scene.read_gaps(year)
        if gaps.any():
            drawn = painted.ignore(gaps)
            words = f", even where mines were drawn ({counted(drawn, 'pixel')})" if drawn else ""
            self.annotations.notes.append(
                f"The image of {site} in {year} has no data on {gaps.mean():.1%} of the site: 255 in the "
                f"label{words}."
            )

    def _check_painted(self, site: str, year: int, painted: YearLabels) -> None:
        self.painted.update(painted.painted)
        self.left_out.update(painted.left_out)
        if painted.overlaps:
            (lower, upper), pixels = painted.overlaps.most_common(1)[0]
            raise AnnotationError(
                f"{self.annotations.source}: found {lower} under {upper} on {pixels} pixels of {site} in "
                f"{year}; expected one class a pixel. Choose a rule: --overlap last, first, classes or keep."
            )

    def _note_pictures(self, site: str, year: int, placed: Placed) -> None:
        notes = self.annotations.notes
        drawings = placed.drawings[site, year]
        missing = placed.parts.get((site, year), len(drawings)) - len(drawings)
        if missing > 0:
            notes.append(
                f"{missing} of the pictures of {site} in {year} are not in the file; their ground is ignored."
            )
        if without := sum(not drawing.shapes for drawing in drawings if len(drawings) > 1):
            notes.append(
                f"{without} of the pictures of {site} in {year} have no shapes; their ground counts as other."
            )
        if (site, year) in placed.digests:
            with self.sites[site].open() as scene:
                if image_digest(image_strips(scene, year)) != placed.digests[site, year]:
                    notes.append(
                        f"The image of {site} in {year} has changed since its picture was made; look at its "
                        "label."
                    )


def _imported(
    site: str,
    year: int,
    painted: YearLabels,
    grid: SiteGrid,
    classes: LabelClasses | None,
    files: tuple[Path, ...],
) -> ImportedYear:
    areas = pixel_areas(grid.crs, grid.transform, grid.height, grid.width)

    def hectares(mask: Any) -> float:
        return float(areas.sums(areas.counts(mask))) / HECTARE

    by_class: dict[str, float] = {}
    if classes is not None and painted.components is not None:
        for name, value in classes.values.items():
            mask = class_mask(painted.components, value)
            if mask.any():
                by_class[name] = hectares(mask)
    mine = painted.label == MINE
    ignored = int((painted.label == IGNORED).sum())
    return ImportedYear(site, year, painted.shapes, int(mine.sum()), hectares(mine), ignored, by_class, files)


def _listed(values: Any, most: int = 6) -> str:
    texts = [str(value) for value in values]
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")
