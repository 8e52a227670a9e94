"""The report of a series: one self-contained HTML page, a PDF, or a Word document."""

from __future__ import annotations

import logging
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

from PIL import ImageFile

from euromine.monitoring.history.file_names import REPORT
from euromine.monitoring.history.folder import SeriesFolder
from euromine.monitoring.mapping.colours import outline_colours
from euromine.support.errors import ArgumentError, MissingExtraError
from euromine.support.files import check_output_file, explain_full_disk, write_bytes
from euromine.support.page_templates import page_template

from .report_data import read_report_data
from .report_text import ReportText, chosen_sections, read_report_text
from .sections import SECTIONS, Section
from .summary import summary
from .word_report import require_word, word_report
from .word_styles import is_written_document

ReportKind = Literal["html", "pdf", "docx"]

_TEMPLATE = "page.html.jinja"
# The marks of an earlier report, which distinguish it from other files.
_GENERATOR = b'<meta name="generator" content="euromine '
_PDF_MARK = b"% Written by euromine report\n"
_HEAD = 4096


def write_report(
    series: SeriesFolder,
    path: str | os.PathLike[str] | None = None,
    *,
    kind: ReportKind = "html",
    text: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    pdf: bool = False,
) -> Path:
    """Write the report of a series.

    Args:
        series: The series.
        path: The file; by default `report.html`, `.pdf` or `.docx` in the folder of the series.
        kind: A page ("html"), a PDF ("pdf") or a Word document ("docx"); the last two need the extra of their
            name.
        text: A Markdown file with title, author, comments and the choice of sections (`report_text`).
        overwrite: Replace a file that is no earlier report, too.
        pdf: The same as `kind="pdf"`.

    Returns:
        The path of the file.

    Raises:
        ArgumentError: There is another file in its place, a folder, or no folder for it; or the kind is
            unknown, or two are asked for.
        DataError: The folder lacks a file of its series, or one is damaged; or the text does not fit.
        MissingExtraError: A library that the kind needs is missing.
        OSError: The file cannot be written.
    """
    kind = _one_kind(kind, pdf)
    target = _default_place(series.path, kind) if path is None else Path(path)
    check_output_file(target, _is_report, overwrite=overwrite)
    if kind == "docx":
        require_word()
    own = None if text is None else read_report_text(text, {one.id: one.title for one in SECTIONS})
    data = report_bytes(series, kind, own)
    with explain_full_disk(target.parent, "the report"):
        write_bytes(target, data)
    return target


def report_bytes(series: SeriesFolder, kind: ReportKind = "html", text: ReportText | None = None) -> bytes:
    """The report of a series as the bytes of a file.

    Args:
        series: The series.
        kind: A page ("html"), a PDF ("pdf") or a Word document ("docx"); the last two need the extra of their
            name.
        text: A person's part of it.

    Raises:
        DataError: The folder lacks a file of its series, or one is damaged.
        MissingExtraError: A library that the kind needs is missing.
    """
    if kind == "docx":
        require_word()
    page = render_report(series, static=kind != "html", text=text)
    if kind == "pdf":
        return _pdf_of(page)
    if kind == "docx":
        by = text or ReportText()
        created = series.manifest.created
        return word_report(page, author=by.author, organisation=by.organisation, created=created)
    return page.encode("utf-8")


def check_report(folder: Path, *, kind: ReportKind = "html", pdf: bool = False) -> None:
    """Check before the work on a series that `write_report` can write its report.

    Args:
        folder: Of the series, which need not exist.
        kind: The kind of the report, as for `write_report`.
        pdf: The same as `kind="pdf"`.

    Raises:
        ArgumentError: There is another file in the report's place; or the kind is unknown, or two are asked
            for.
        MissingExtraError: A library that the kind needs is missing.
    """
    kind = _one_kind(kind, pdf)
    target = _default_place(folder, kind)
    if os.path.lexists(target) and not (target.is_file() and _is_report(target)):
        raise ArgumentError(
            f"{target}: found a file of another kind; expected an earlier report, or nothing yet. Move it "
            "away."
        )
    if kind == "pdf":
        _weasyprint()
    elif kind == "docx":
        require_word()


def _one_kind(kind: ReportKind, pdf: bool) -> ReportKind:
    if kind not in get_args(ReportKind):
        raise ArgumentError(f"kind: found {kind!r}; expected {', '.join(get_args(ReportKind))}.")
    if pdf and kind == "docx":
        raise ArgumentError(
            "docx: found pdf as well; expected one kind of report. Run the command once for each."
        )
    return "pdf" if pdf else kind


def _default_place(folder: Path, kind: ReportKind) -> Path:
    return folder / Path(REPORT).with_suffix(f".{kind}")


def _is_report(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_HEAD)
        if head.startswith(b"PK"):
            return is_written_document(file)
        file.seek(max(0, path.stat().st_size - len(_PDF_MARK)))
        return _GENERATOR in head or (head.startswith(b"%PDF") and file.read() == _PDF_MARK)


def render_report(series: SeriesFolder, *, static: bool = False, text: ReportText | None = None) -> str:
    """The report as HTML.

    Args:
        series: The series.
        static: Whether it is for paper: no checkboxes, and a layout that PDF engines support.
        text: A person's part of it.

    Raises:
        DataError: The folder lacks a file of its series, or one is damaged.
    """
    data = read_report_data(series)
    own = text or ReportText()
    entries = {section.id: section for section in SECTIONS}
    entries |= {anchor: _own_section(anchor, title) for anchor, title in own.titles.items()}
    shown = [entries[anchor] for anchor in chosen_sections(text, [section.id for section in SECTIONS])]
    sections = [{"entry": section, "content": section.content(data)} for section in shown]
    return page_template(Path(__file__).parent, _TEMPLATE).render(
        version=version("euromine"),
        colours=outline_colours(),
        created=data.manifest.created[:10],
        period=data.period,
        summary=summary(data),
        text=own,
        sections=[
            section
            for section, entry in zip(sections, shown, strict=True)
            if section["content"] is not None or entry.id in own.comments
        ],
        static=static,
    )


def _own_section(anchor: str, title: str) -> Section:
    """A section that holds nothing but a person's text."""
    return Section(anchor, title, "own_section.html.jinja", lambda _: ())


def _weasyprint() -> Any:
    # The style sheet is written for browsers: WeasyPrint warns about each rule that it ignores.
    logging.getLogger("weasyprint").setLevel(logging.ERROR)
    truncated_images = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        import weasyprint
    except (ImportError, OSError) as error:  # OSError: Pango is missing
        raise MissingExtraError(
            f"pdf: found no working WeasyPrint ({error}); expected WeasyPrint and Pango. Install "
            "euromine[pdf] and Pango, or print the HTML report to a PDF from a browser."
        ) from error
    finally:  # WeasyPrint makes Pillow accept truncated pictures, in the whole process
        ImageFile.LOAD_TRUNCATED_IMAGES = truncated_images
    return weasyprint


def _pdf_of(page: str) -> bytes:
    weasyprint = _weasyprint()
    # A name in the page may look like a link: nothing but embedded data is ever fetched.
    fetcher = weasyprint.urls.URLFetcher(allowed_protocols=("data",))
    return bytes(weasyprint.HTML(string=page, url_fetcher=fetcher).write_pdf()) + _PDF_MARK
