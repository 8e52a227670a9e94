"""`euromine tables`: the paper's Tables 1, 2 and 3 from any archive."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

_PAGE = "tables.md"
_HEADING = "# Mine areas of "


def tables(
    archive: Annotated[Path, typer.Argument(help="The archive: a folder of site folders, or the zip.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for tables.md and one CSV file per table; by default the tables are shown only."
        ),
    ] = None,
    production: Annotated[
        Path | None, typer.Option(help="CSV file with the columns site and production (metallic, coal, ...).")
    ] = None,
    areas: Annotated[
        str, typer.Option(help='"true" ground areas, or "paper": 100 m2 per pixel, as in the paper.')
    ] = "true",
    all_sites: Annotated[
        bool,
        typer.Option("--all-sites", help="Include the three sites that the published release leaves out."),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of processes; by default one per core.")
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace files that are no earlier tables, too."),
    ] = False,
) -> None:
    """Tabulate mine area by country and production type, by year, and its change by interval.

    Areas are in km2. For the published archive, the paper's own areas are shown beside ours.
    """
    from euromine.dataset_script.archive import Archive  # rasterio takes a moment to import
    from euromine.dataset_script.area_tables import is_published, make_tables, read_production
    from euromine.dataset_script.labelled_sites import sites_and_years, unlabelled_years
    from euromine.dataset_script.site_areas import CONVENTIONS, measure_archive, unknown_years
    from euromine.support.files import check_output_file, write_text
    from euromine.support.locks import lock_folder

    kinds = None if production is None else read_production(production)
    source = Archive(archive)
    with lock_folder(out) if out is not None else nullcontext():
        if out is not None:  # before minutes of measuring
            check_output_file(out / _PAGE, _is_page, overwrite=overwrite)
        measured = measure_archive(source, areas, all_sites=all_sites, workers=workers)
        made = make_tables(measured, kinds, beside_paper=is_published(source) and not source.simulated)
        unlabelled = sites_and_years(source.sites, unlabelled_years(source))
        unknown = unknown_years(measured)
        lines = [
            f"{_HEADING}{source.path.name}{' (simulated)' if source.simulated else ''}",
            f"{len(measured)} sites; {CONVENTIONS[areas]}.",
            *([f"Not measured, without labels: {unlabelled}."] if unlabelled else []),
            *([f"Not measured, labelled 255 in parts: {unknown}."] if unknown else []),
            *(table.to_markdown().rstrip() for table in made),
        ]
        page = "\n\n".join(lines) + "\n"
        typer.echo(page)
        if out is None:
            return
        names = [f"{table.name}.csv" for table in made]
        is_again = (out / _PAGE).exists()  # the page comes first, and stands for the tables
        for name in names:
            check_output_file(out / name, lambda _: is_again, overwrite=overwrite)
        write_text(out / _PAGE, page)
        for name, table in zip(names, made, strict=True):
            write_text(out / name, table.to_csv())
    typer.echo(f"{out} holds {_PAGE} and {', '.join(names)}.", err=True)


def _is_page(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_HEADING)) == _HEADING.encode()
