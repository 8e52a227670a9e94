"""Find the sites and years of annotated pictures."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from euromine.dataset_script.site_scene import Site
from euromine.support.errors import AnnotationError, ArgumentError
from euromine.support.near_names import nearest_name
from euromine.support.wording import counted

from .annotated_shapes import Annotations, Picture, Shape
from .label_painting import Drawing
from .picture_names import is_part, site_and_year, stem
from .task_record import SiteGrid, TaskPicture, TaskRecord
from .year_rules import YearRule

NOT_CHOSEN = "shapes of sites that were not chosen"


@dataclass
class Placed:
    """Drawings by site and year.

    Attributes:
        drawings: Those of each site and year, also without a shape.
        digests: The hashes of the images that the pictures were made of.
        parts: The number of pictures that `tasks.json` lists for each site and year.
    """

    drawings: dict[tuple[str, int], list[Drawing]] = field(default_factory=lambda: defaultdict(list))
    digests: dict[tuple[str, int], str] = field(default_factory=dict)
    parts: dict[tuple[str, int], int] = field(default_factory=dict)


def place_pictures(
    annotations: Annotations,
    sites: Mapping[str, Site],
    grids: Mapping[str, SiteGrid],
    tasks: TaskRecord | None,
    rule: YearRule | None,
    others: Collection[str] = (),
) -> Placed:
    """Find the site, year and place of each picture.

    Args:
        annotations: Counts the shapes of pictures without a site or year.
        sites: The chosen sites.
        grids: The grid of each site.
        tasks: The record of the pictures; without it, names are SITE_YEAR and pictures show whole sites.
        rule: Source of the years, if neither the record nor the names.
        others: Names of sites that were not chosen.

    Raises:
        AnnotationError: A picture has another size than its site, the site's grid has changed, or two
            pictures show the same site and year.
        ArgumentError: Both the record and `rule` give the years.
    """
    if tasks is not None:
        _check_no_rule(rule)
        return _by_record(annotations, sites, grids, tasks, others)
    placed = Placed()
    strange: Counter[str] = Counter()
    for picture in annotations.pictures:
        site, year = _site_and_year(picture, {*sites, *others}, rule)
        if site in others:
            annotations.lost[NOT_CHOSEN] += len(picture.shapes)
            continue
        if site is None:
            annotations.lost["shapes of sites that the archive lacks"] += len(picture.shapes)
            strange[site_and_year(picture.name)[0]] += 1
            continue
        scale = _scale(picture, grids[site], annotations)
        whole = (0, 0, grids[site].height, grids[site].width)
        for found, shapes in _by_year(picture, year, rule, annotations).items():
            if rule is None or rule.attribute is None:
                _check_first(picture, site, found, placed, annotations)
            placed.drawings[site, found].append(Drawing(picture.name, shapes, whole, whole, scale))
    parts = [name for name in strange if is_part(name)]
    if parts:
        number = sum(strange.pop(name) for name in parts)
        annotations.notes.append(
            f"{counted(number, 'picture')} left out: {parts[0]} shows a part of a site. Name the "
            "folder of the pictures with --tasks."
        )
    for name, number in strange.items():
        near = nearest_name(name, sites)
        hint = f" The nearest is {near}." if near else ""
        annotations.notes.append(
            f"{counted(number, 'picture')} left out: the archive has no site {name!r}.{hint}"
        )
    return placed


def _check_no_rule(rule: YearRule | None) -> None:
    """Refuse a rule that would be ignored: the record ties each picture to its year."""
    if rule is not None and not rule.by_name:
        found = rule.year or f"attribute:{rule.attribute}"
        raise ArgumentError(
            f"--year: found {found} with tasks.json, which has the year of each picture; expected one of the "
            "two. Leave --year out."
        )


def _check_first(picture: Picture, site: str, year: int, placed: Placed, annotations: Annotations) -> None:
    """Refuse a second picture of a site and year: its shapes may be those of another year."""
    if (site, year) in placed.drawings:
        first = placed.drawings[site, year][0].name
        raise AnnotationError(
            f"{annotations.source}: found {first} and {picture.name}, both of {site} in {year}; expected one "
            "picture for each year. If their names hold the years, leave --year out."
        )


def _by_record(
    annotations: Annotations,
    sites: Mapping[str, Site],
    grids: Mapping[str, SiteGrid],
    tasks: TaskRecord,
    others: Collection[str],
) -> Placed:
    placed = Placed(parts=Counter((each.site, each.year) for each in tasks.pictures))
    listed = {stem(each.name): each for each in tasks.pictures}
    seen: set[str] = set()
    unlisted: list[str] = []
    for picture in annotations.pictures:
        entry = listed.get(stem(picture.name))
        if entry is not None and entry.site in others:
            annotations.lost[NOT_CHOSEN] += len(picture.shapes)
            continue
        if entry is None or entry.site not in sites:
            annotations.lost["shapes of pictures that tasks.json does not list"] += len(picture.shapes)
            unlisted.append(picture.name)
            continue
        if entry.name in seen:
            raise AnnotationError(
                f"{annotations.source}: found {picture.name} twice; expected each picture once."
            )
        seen.add(entry.name)
        _check_grid(entry, tasks.grids[entry.site], grids[entry.site], annotations)
        top, left, bottom, right = entry.window
        expected = ((bottom - top) * tasks.scale, (right - left) * tasks.scale)
        if picture.size not in (None, expected):
            raise _wrong_size(annotations, picture, f"{expected[0]} x {expected[1]} as in tasks.json")
        drawing = Drawing(picture.name, picture.shapes, entry.window, entry.own, tasks.scale)
        placed.drawings[entry.site, entry.year].append(drawing)
        placed.digests[entry.site, entry.year] = entry.digest
    if unlisted:
        annotations.notes.append(
            f"{counted(len(unlisted), 'picture')} left out: tasks.json does not list {unlisted[0]}"
            f"{' and others' if len(unlisted) > 1 else ''}."
        )
    return placed


def _check_grid(entry: TaskPicture, then: SiteGrid, now: SiteGrid, annotations: Annotations) -> None:
    if then != now:
        differs = [
            name
            for name, values in {
                "coordinate system": (then.crs, now.crs),
                "size": ((then.height, then.width), (now.height, now.width)),
                "transform": (then.transform, now.transform),
            }.items()
            if values[0] != values[1]
        ]
        raise AnnotationError(
            f"{annotations.source}: found {entry.name}, a picture of {entry.site} on another grid than the "
            f"archive's (its {' and '.join(differs)} changed); expected the grid of the pictures. Draw on "
            "new ones, from `euromine annotate tasks`."
        )


def _site_and_year(
    picture: Picture, sites: Collection[str], rule: YearRule | None
) -> tuple[str | None, int | None]:
    """The site of a picture, and its year unless it comes from an attribute."""
    given = rule.year if rule else None
    if stem(picture.name) in sites:
        return stem(picture.name), given
    name, year = site_and_year(picture.name)
    return (name if name in sites else None), given or year


def _scale(picture: Picture, grid: SiteGrid, annotations: Annotations) -> int:
    if picture.size is None:
        if picture.shapes:
            raise AnnotationError(
                f"{annotations.source}: found no size of {picture.name}; expected one, to know its scale. "
                "Name the folder of the pictures with --tasks."
            )
        return 1
    height, width = picture.size
    scale = height // grid.height
    if scale < 1 or (height, width) != (grid.height * scale, grid.width * scale):
        raise _wrong_size(
            annotations,
            picture,
            f"{grid.height} x {grid.width} as its site, or a whole multiple. Name the folder of the pictures "
            "with --tasks",
        )
    return scale


def _wrong_size(annotations: Annotations, picture: Picture, expected: str) -> AnnotationError:
    height, width = picture.size or (0, 0)
    return AnnotationError(
        f"{annotations.source}: found {picture.name} of {height} x {width} pixels; expected {expected}."
    )


def _by_year(
    picture: Picture, year: int | None, rule: YearRule | None, annotations: Annotations
) -> dict[int, tuple[Shape, ...]]:
    """The shapes of a picture by year. Attributes of a shape go before those of its picture."""
    if rule is None or rule.attribute is None:
        if year is None:
            annotations.lost["shapes without a year"] += len(picture.shapes)
            annotations.notes.append(
                f"{picture.name} is left out: its name holds no year. Name it SITE_YEAR.png, or use --year."
            )
            return {}
        return {year: picture.shapes}
    of_picture = rule.of_attributes(picture.attributes)
    found: dict[int, list[Shape]] = {of_picture: []} if of_picture else {}
    for shape in picture.shapes:
        of_shape = rule.of_attributes(shape.attributes) or of_picture
        if of_shape is None:
            annotations.lost[f"shapes without a year in their attribute {rule.attribute}"] += 1
        else:
            found.setdefault(of_shape, []).append(shape)
    return {key: tuple(shapes) for key, shapes in found.items()}


def shapes_of(drawings: Iterable[Drawing]) -> int:
    """The number of shapes of several drawings."""
    return sum(len(each.shapes) for each in drawings)
