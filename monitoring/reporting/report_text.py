"""A person's part of a report: title, author, logo, comments by section, and the choice of sections.

The text is Markdown with a YAML head:

    ---
    title: Inspection of the pit
    author: A. Person
    organisation: Mining office
    logo: logo.png
    sections: [map, areas, permits, Conclusions]
    ---
    An introduction.

    ## areas
    A comment on this section.

    ## Conclusions
    A section of its own, as `sections` names it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from PIL import Image, UnidentifiedImageError

from euromine.support.errors import ReportTextError, one_line
from euromine.support.files import read_bytes
from euromine.support.near_names import nearest_name

from .pictures import data_uri

_LARGEST_FILE, _LARGEST_LOGO = 2**20, 5 * 2**20
_LOGO_SIZE, _MOST_LOGO_PIXELS = (480, 160), 50_000_000
_FIELDS = ("title", "author", "organisation", "logo", "sections")
_HEAD = re.compile(r"---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)", re.DOTALL)
_HEADING = re.compile(r"^## +(.+?)[ #]*$", re.MULTILINE)
_LONGEST = 200
# A section of that likeness is misspelt; others are titles of sections of the person's own.
_MISSPELT = 0.75


@dataclass(frozen=True)
class ReportText:
    """A person's part of a report.

    Attributes:
        title: The title; None for the report's own.
        author: The author's name; "" without.
        organisation: The organisation; "" without.
        logo: A picture as a `data:` URI; "" without.
        introduction: HTML before all sections; "" without.
        sections: The anchors of the sections in their order; None for all. Others are sections of the text.
        comments: HTML by the anchor of its section.
        titles: The titles of the text's own sections by their anchors.
    """

    title: str | None = None
    author: str = ""
    organisation: str = ""
    logo: str = ""
    introduction: str = ""
    sections: tuple[str, ...] | None = None
    comments: Mapping[str, str] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)


def read_report_text(path: str | os.PathLike[str], known: Mapping[str, str]) -> ReportText:
    """Read a person's part of a report.

    Raw HTML in it is shown as text, links other than http, https and mailto are none, and pictures are left
    out, as the report loads nothing.

    Args:
        path: The Markdown file.
        known: The titles of the report's sections by their anchors.

    Raises:
        ReportTextError: The head is no YAML, a field or a section is unknown, or the logo is no picture.
        OSError: A file cannot be read.
    """
    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"{source}: there is no such file; expected the text of a report.")
    try:
        text = read_bytes(source, _LARGEST_FILE, ReportTextError).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ReportTextError(f"{source}: found {one_line(error)}; expected UTF-8 text.") from None
    match = _HEAD.match(text)
    head = _read_head(source, match[1] if match else "")
    own: dict[str, str] = {}
    sections = None
    if "sections" in head:
        sections = tuple(_anchor(source, name, known, own) for name in head["sections"])
        if len(set(sections)) < len(sections):
            raise ReportTextError(f"{source}, sections: found a section twice; expected each once.")
    introduction, *rest = _HEADING.split(text[match.end() if match else 0 :])
    comments: dict[str, str] = {}
    for title, body in zip(rest[::2], rest[1::2], strict=True):
        anchor = _known_anchor(title, {**known, **own})
        if anchor is None:
            raise ReportTextError(
                f"{source}: found the heading '## {title}', which is no section; expected one of "
                f"{', '.join(known)}, or one that `sections` names{_suggestion(title.casefold(), known)}."
            )
        if anchor in comments:
            raise ReportTextError(f"{source}: found the heading '## {title}' twice; expected it once.")
        comments[anchor] = _rendered(body)
    return ReportText(
        title=head.get("title"),
        author=head.get("author", ""),
        organisation=head.get("organisation", ""),
        logo=_logo(source, head["logo"]) if head.get("logo") else "",
        introduction=_rendered(introduction),
        sections=sections,
        comments=comments,
        titles=own,
    )


def report_text_of(
    known: Mapping[str, str],
    *,
    title: str = "",
    author: str = "",
    organisation: str = "",
    introduction: str = "",
    sections: Sequence[str] | None = None,
    notes: Mapping[str, str] | None = None,
) -> ReportText:
    """A person's part of a report, from the fields of a form.

    Args:
        known: The titles of the report's sections by their anchors.
        title: The title; "" for the report's own.
        author: The author's name.
        organisation: The organisation.
        introduction: Markdown before all sections.
        sections: The sections in their order, by anchor or title; None for all.
        notes: Markdown by the anchor or title of its section.

    Raises:
        ReportTextError: A section is unknown or there twice.
    """

    def anchor(name: str) -> str:
        found = _known_anchor(name, known)
        if found is None:
            raise ReportTextError(f"sections: found {name[:80]!r}; expected {', '.join(known)}.")
        return found

    chosen = None if sections is None else tuple(anchor(name) for name in sections)
    if chosen is not None and len(set(chosen)) < len(chosen):
        raise ReportTextError("sections: found a section twice; expected each once.")
    return ReportText(
        title=title.strip() or None,
        author=author.strip(),
        organisation=organisation.strip(),
        introduction=_rendered(introduction),
        sections=chosen,
        comments={anchor(name): _rendered(note) for name, note in (notes or {}).items() if note.strip()},
    )


def _read_head(source: Path, text: str) -> dict[str, Any]:
    """The checked fields of the head."""
    try:
        head = yaml.safe_load(text) or {}
    except (yaml.YAMLError, RecursionError) as error:
        raise ReportTextError(
            f"{source}: found no YAML in the head ({one_line(error)}); expected it."
        ) from None
    if not isinstance(head, dict):
        raise ReportTextError(f"{source}: found no fields in the head; expected {', '.join(_FIELDS)}.")
    for name, value in head.items():
        if name not in _FIELDS:
            raise ReportTextError(
                f"{source}: found unknown field {name!r}; expected {', '.join(_FIELDS)}"
                f"{_suggestion(str(name), _FIELDS)}."
            )
        if name == "sections":
            if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
                raise ReportTextError(f"{source}, sections: found {value!r}; expected a list of sections.")
        elif not isinstance(value, str) or not 0 < len(value) <= _LONGEST:
            raise ReportTextError(
                f"{source}, {name}: found {str(value)[:40]!r}; expected text, at most {_LONGEST} characters."
            )
    return head


def _suggestion(name: str, known: Iterable[str]) -> str:
    near = nearest_name(name, known)
    return "" if near is None else f" (did you mean {near}?)"


def _anchor(source: Path, name: str, known: Mapping[str, str], own: dict[str, str]) -> str:
    """The anchor of a section in `sections`. A new one is a section of the text, if it looks like a title."""
    anchor = _known_anchor(name, known)
    if anchor is not None:
        return anchor
    near = nearest_name(name.casefold(), known, _MISSPELT)
    if near or not name.strip():
        likely = f"{near}, or another of " if near else ""
        raise ReportTextError(f"{source}, sections: found {name!r}; expected {likely}{', '.join(known)}.")
    anchor = f"own-{len(own) + 1}"
    own[anchor] = name.strip()
    return anchor


def _known_anchor(name: str, known: Mapping[str, str]) -> str | None:
    """The anchor of a section, given by anchor or title."""
    wanted = name.strip().casefold()
    return next((anchor for anchor, title in known.items() if wanted in (anchor, title.casefold())), None)


def _rendered(text: str) -> str:
    """Markdown as HTML without anything that could run or load."""
    if not text.strip():
        return ""
    from markdown_it import MarkdownIt

    class SafeMarkdown(MarkdownIt):
        def validateLink(self, url: str) -> bool:  # noqa: N802 - the library's name
            return re.match(r"(https?|mailto):", url.strip().casefold()) is not None

    parser = SafeMarkdown("commonmark", {"html": False}).enable("table").disable("image")
    return str(parser.render(text))


def _logo(source: Path, name: str) -> str:
    """A logo as a small PNG; whatever else the file holds is left out."""
    path = source.parent / name
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; expected the logo of {source.name}.")
    read_bytes(path, _LARGEST_LOGO, ReportTextError)
    try:
        with Image.open(path, formats=("PNG", "JPEG", "GIF", "WEBP")) as picture:
            if picture.width * picture.height > _MOST_LOGO_PIXELS:
                raise ReportTextError(
                    f"{path}: found {picture.width} x {picture.height} pixels; expected a logo's usual size."
                )
            small = picture.convert("RGBA")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise ReportTextError(
            f"{path}: found no picture that can be read ({one_line(error)}); expected PNG, JPEG, GIF or WebP."
        ) from None
    small.thumbnail(_LOGO_SIZE)
    return data_uri(small, "PNG")


def chosen_sections(text: ReportText | None, anchors: Sequence[str]) -> list[str]:
    """The anchors of the sections to show, in their order."""
    if text is None or text.sections is None:
        return list(anchors)
    return list(text.sections)
