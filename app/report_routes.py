"""Reports over HTTP: the sections to choose from, and the document."""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from euromine.monitoring.reporting.page import ReportKind
from euromine.monitoring.reporting.report_text import report_text_of
from euromine.monitoring.reporting.sections import SECTIONS
from euromine.support.errors import ArgumentError

from .app_context import AppContext, Limiter
from .report_documents import report_document

_FORM = "application/x-www-form-urlencoded"
_INTRODUCTION = "introduction"
_MEDIA_TYPES: dict[ReportKind, str] = {
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}
# The page holds its styles and pictures, and runs and loads nothing.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'; sandbox allow-same-origin allow-popups allow-modals"
)
_Line = Annotated[str, Field(max_length=200)]
_Note = Annotated[str, Field(max_length=50_000)]
Kind = Annotated[ReportKind, Query(alias="format", description="html, pdf or docx.")]


class ReportWishes(BaseModel):
    """A person's part of a report."""

    model_config = ConfigDict(extra="forbid")

    title: _Line = ""
    author: _Line = ""
    organisation: _Line = ""
    sections: list[_Line] | None = Field(None, max_length=50, description="In their order; all if left out.")
    notes: dict[_Line, _Note] = Field(
        default_factory=dict, description="Markdown by section; `introduction` comes before all of them."
    )


def routes(context: AppContext) -> APIRouter:
    """The routes of reports."""
    router = APIRouter(prefix="/api", tags=["reports"])
    # A document takes seconds and some 500 MB.
    limiter = Limiter(1, waiting=4, longest_wait=120)

    def answer(site: str, kind: ReportKind, wishes: ReportWishes | None) -> Response:
        place = context.catalogue.place(site)
        text = None
        if wishes is not None:
            known = {section.id: section.title for section in SECTIONS}
            fields = wishes.model_dump()
            introduction = fields["notes"].pop(_INTRODUCTION, "")
            text = report_text_of(known, introduction=introduction, **fields)
        with limiter.turn():
            data = report_document(place.series.path, kind, text)
        disposition = "inline" if kind == "html" else "attachment"
        headers = {"Content-Disposition": f'{disposition}; filename="{place.id}_report.{kind}"'}
        if kind == "html":
            headers["Content-Security-Policy"] = _POLICY
        return Response(data, media_type=_MEDIA_TYPES[kind], headers=headers)

    @router.get("/report/sections")
    def sections() -> dict[str, list[dict[str, str]]]:
        """The sections of a report in their usual order."""
        return {"sections": [{"name": section.id, "title": section.title} for section in SECTIONS]}

    @router.get("/sites/{site}/report", response_class=Response)
    def report(site: str, kind: Kind = "html") -> Response:
        """The report of a site, with all sections: a page, a PDF or a Word document."""
        return answer(site, kind, None)

    body = {"content": {"application/json": {"schema": ReportWishes.model_json_schema()}}}

    @router.post("/sites/{site}/report", response_class=Response, openapi_extra={"requestBody": body})
    async def report_with_notes(site: str, request: Request, kind: Kind = "html") -> Response:
        """The report of a site with a title, an author, notes and a choice of sections.

        The same JSON in the field `report` of a form leads a frame to the document.
        """
        wishes = _wishes(await request.body(), request.headers.get("content-type", ""))
        return await run_in_threadpool(answer, site, kind, wishes)

    return router


def _wishes(body: bytes, kind: str) -> ReportWishes:
    """The wishes in a body, JSON or a form.

    Raises:
        ArgumentError: There are none, or they do not fit.
    """
    text = body.decode("utf-8", "replace")
    if kind.startswith(_FORM):
        text = parse_qs(text, max_num_fields=10).get("report", [""])[0]
    try:
        found: Any = json.loads(text)
        return ReportWishes.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "report"
        words = str(first["msg"])
        raise ArgumentError(
            f"{name[:100]}: found {str(first['input'])[:40]!r}; expected another value "
            f"({words[:1].lower()}{words[1:]})."
        ) from None
    except (ValueError, RecursionError):
        raise ArgumentError("report: found no JSON; expected title, sections and notes.") from None
