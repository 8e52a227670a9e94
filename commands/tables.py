"""`euromine tables`: the paper's Tables 1, 2 and 3 from any archive."""

from pathlib import Path
from typing import Annotated

import typer


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
) -> None:
    """Tabulate mine area by country and production type, by year, and its change by interval.

    Areas are in km2. For the published archive, the paper's own areas are shown beside ours.
    """
    from euromine.dataset_script.archive import Archive  # rasterio takes a moment to import
    from euromine.dataset_script.area_tables import is_published, make_tables, read_production
    from euromine.dataset_script.labelled_sites import sites_and_years, unlabelled_years
    from euromine.dataset_script.site_areas import CONVENTIONS, measure_archive
    from euromine.support.files import write_text

    kinds = None if production is None else read_production(production)
    source = Archive(archive)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)  # before minutes of measuring
    measured = measure_archive(source, areas, all_sites=all_sites, workers=workers)
    made = make_tables(measured, kinds, beside_paper=is_published(source) and not source.simulated)
    unlabelled = sites_and_years(source.sites, unlabelled_years(source))
    lines = [
        f"# Mine areas of {source.path.name}{' (simulated)' if source.simulated else ''}",
        f"{len(measured)} sites; {CONVENTIONS[areas]}.",
        *([f"Not measured, without labels: {unlabelled}."] if unlabelled else []),
        *(table.to_markdown().rstrip() for table in made),
    ]
    page = "\n\n".join(lines) + "\n"
    typer.echo(page)
    if out is not None:
        for table in made:
            write_text(out / f"{table.name}.csv", table.to_csv())
        write_text(out / "tables.md", page)
        typer.echo(f"{out} holds tables.md and {', '.join(f'{table.name}.csv' for table in made)}.", err=True)
