"""`euromine annotate`: pictures for annotation tools, and labels from their exports."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from euromine.support.errors import ArgumentError

from .simulate import Years, parse_years

if TYPE_CHECKING:
    from euromine.annotation.label_import import ImportReport
    from euromine.dataset_script.site_scene import Site

app = typer.Typer(no_args_is_help=True)

Classes = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="JSON or YAML of classes and their values, such as excavation: 1."),
]
Sites = Annotated[
    list[str] | None,
    typer.Option("--site", metavar="SITE", help="A site; repeat for several. By default all."),
]


@app.callback()
def annotate() -> None:
    """Label mines of your own in CVAT, Label Studio or a GIS, and bring the labels into an archive."""


@app.command("tasks")
def write_tasks(
    archive: Annotated[Path, typer.Argument(help="An archive, such as `euromine acquire` makes.")],
    out: Annotated[Path, typer.Option(help="New folder for the pictures.")],
    site: Sites = None,
    years: Years = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Start from the maps of this checkpoint: a folder, or on the Hub."),
    ] = None,
    from_labels: Annotated[
        bool, typer.Option("--from-labels", help="Start from the labels that the archive has.")
    ] = False,
    scale: Annotated[int, typer.Option(help="Pixels of a picture to a pixel of the image.")] = 4,
    form: Annotated[
        str, typer.Option("--as", metavar="mask|polygon", help="Whether to start from masks or polygons.")
    ] = "mask",
    classes: Classes = None,
) -> None:
    """Write enlarged pictures of an archive, and labels to start from.

    Upload images/ and labels.json to CVAT, then one of the prelabels as annotations.

    Keep tasks.json: `euromine annotate import` needs it.
    """
    from euromine.annotation import task_pictures
    from euromine.annotation.prelabels import parse_form
    from euromine.dataset_script.archive import Archive
    from euromine.support.wording import counted

    if model is not None and from_labels:
        raise ArgumentError("--model: found --from-labels, too; expected one of them.")
    found = Archive(archive)
    with tempfile.TemporaryDirectory() as maps:
        footprint = None
        if model is not None:
            footprint = _mapped_by(model, Path(maps), archive)
        elif from_labels:
            footprint = _labels_of
        summary = task_pictures.write_tasks(
            found,
            out,
            sites=site or (),
            years=None if years is None else parse_years(years),
            scale=scale,
            form=parse_form(form),
            classes=classes,
            footprint=footprint,
            progress=True,
        )
    typer.echo(
        f"Wrote {counted(summary.pictures, 'picture')} of {counted(summary.years, 'image')} from "
        f"{counted(summary.sites, 'site')} to {summary.folder}."
    )
    if footprint is not None:
        typer.echo(f"{summary.prelabelled} of them have shapes to start from: prelabels_cvat.xml.")


def _mapped_by(model: str, maps: Path, archive: Path) -> Callable[[Site, int], Any]:
    """The footprint maps of a model."""
    if archive.is_file():
        raise ArgumentError(f"{archive}: found a zip with --model; expected a folder. Unpack it.")
    import rasterio

    from euromine.monitoring.mapping import scene_maps
    from euromine.monitoring.mapping.loading import load_model

    loaded = load_model(model, task="segmentation")
    told = _Once()

    def footprint(site: Site, year: int) -> Any:
        with site.open() as scene:
            if scene.read_gaps(year).all():  # which predict_scene refuses
                return None
        folder = maps / site.name
        folder.mkdir(exist_ok=True)
        with _quiet(scene_maps.logger, told):
            path = scene_maps.predict_scene(
                loaded.model, loaded.image_processor, site.image_paths[year], folder
            )
        with rasterio.open(path, driver="GTiff") as dataset:
            return dataset.read(1)

    return footprint


class _Once(logging.Filter):
    """Passes each warning once, of whichever image: its messages begin with the image."""

    def __init__(self) -> None:
        super().__init__()
        self._told: set[tuple[Any, ...]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        arguments = record.args if isinstance(record.args, tuple) else ()
        message = (record.msg, *map(str, arguments[1:]))
        is_new = record.levelno >= logging.WARNING and message not in self._told
        self._told.add(message)
        return is_new


@contextmanager
def _quiet(logger: logging.Logger, told: _Once) -> Iterator[None]:
    """Drop the lines that mapping logs for each image, beside the progress bar."""
    logger.addFilter(told)
    try:
        yield
    finally:
        logger.removeFilter(told)


def _labels_of(site: Site, year: int) -> Any:
    """The label in the archive; None without one."""
    if year not in site.label_paths:
        return None
    with site.open() as scene:
        return scene.read_label(year)


@app.command("import")
def import_labels(
    file: Annotated[
        Path,
        typer.Argument(
            help="Export of CVAT or Label Studio, GeoPackage, shapefile, GeoJSON or .osm; also zipped."
        ),
    ],
    archive: Annotated[Path, typer.Argument(help="Folder of the archive to label.")],
    classes: Classes = None,
    year: Annotated[
        str | None,
        typer.Option(
            metavar="name|attribute:NAME|YYYY",
            help="Source of the years. By default the names of pictures; of outlines, the attribute 'year', "
            "else the name of the layer or file.",
        ),
    ] = None,
    overlap: Annotated[
        str | None,
        typer.Option(
            metavar="last|first|classes|keep",
            help="With --classes, the class of pixels under several shapes: the upper shape's, the lower "
            "one's, the later one of FILE, or all of them as bits.",
        ),
    ] = None,
    class_attribute: Annotated[
        str | None, typer.Option(metavar="NAME", help="Attribute with the class of outlines.")
    ] = None,
    tasks: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the pictures; by default where FILE is."),
    ] = None,
    site: Sites = None,
    empty: Annotated[
        bool, typer.Option("--empty", help="Label pictures without shapes as ground without mines.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace labels that are there.")] = False,
) -> None:
    """Bring annotations into an archive as labels, SITE/label/Year2021.tif: 0 other, 1 mine, 255 ignored.

    A shape of any class is mine. 'ignore' and 'unknown' make 255, 'background' cuts a hole.

    With --classes, the classes themselves go to SITE/components/Year2021.tif, and labels that are there stay.

    A pixel belongs to the polygon that holds its centre.
    """
    from euromine.annotation import label_import
    from euromine.annotation.label_painting import parse_overlap

    report = label_import.import_labels(
        file,
        archive,
        classes=classes,
        year=year,
        overlap=parse_overlap(overlap),
        class_attribute=class_attribute,
        sites=site or (),
        tasks=tasks,
        empty=empty,
        replace=replace,
    )
    _print_report(report)


def _print_report(report: ImportReport) -> None:
    from euromine.support.wording import counted

    width = max(4, *(len(each.site) for each in report.years))
    typer.echo(f"{report.format}, imported as labels:")
    typer.echo(f"{'site':<{width}}  year  shapes  mine pixels  mine ha  ignored pixels")
    for each in report.years:
        typer.echo(
            f"{each.site:<{width}}  {each.year}  {each.shapes:>6}  {each.mine_pixels:>11}  "
            f"{each.mine_ha:>7.2f}  {each.ignored_pixels:>14}"
        )
        for name, hectares in each.classes.items():
            typer.echo(f"{'':<{width}}        {name}: {hectares:.2f} ha")
    if report.mine_labels:
        typer.echo(f"Counted as mine: {', '.join(report.mine_labels)}.")
    if report.repaired:
        typer.echo(f"Repaired, as their outlines crossed themselves: {counted(report.repaired, 'shape')}.")
    if report.lost:
        listed = "; ".join(f"{kind}: {number}" for kind, number in report.lost.items())
        typer.echo(f"Left out: {listed}.")
    for note in report.notes:
        typer.echo(note)
