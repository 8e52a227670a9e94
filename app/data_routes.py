"""The data of the sites: portfolio, facts, outlines, values of points and areas, files."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, JSONResponse, Response

from euromine.monitoring.history.manifest import NAME
from euromine.monitoring.mapping.colours import outline_colours
from euromine.support.errors import EuroMineError, one_line

from .app_context import AppContext, user_of
from .app_errors import NotFound
from .outlined_areas import area_values, read_area
from .picture_cache import PictureCache
from .picture_layers import ALL_YEARS, layers_of
from .point_values import point_values
from .site_catalogue import SitePlace
from .site_documents import file_of, site_document, site_summary
from .translations import Language, WantedLanguage, translated_facts
from .vector_layers import (
    change_outlines,
    component_outlines,
    footprint_outlines,
    outside_outlines,
    permit_outlines,
    reclamation_outlines,
)

_CACHE_BYTES = 64 * 2**20
# Of values that are no bytes: some of these are larger in memory, most smaller.
_SUMMARY_BYTES, _DOCUMENT_BYTES = 2_000, 400_000
_GEOJSON = "application/geo+json"
_PAIR = re.compile(r"([12]\d{3})-([12]\d{3})")
_AREA_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/geo+json": {"schema": {"type": "object"}}}}
}
_YEAR = re.compile(r"[12]\d{3}")
_MEDIA_TYPES = {
    ".csv": "text/csv; charset=utf-8",
    ".gpkg": "application/geopackage+sqlite3",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".qml": "application/xml",
    ".tif": "image/tiff",
}


class SiteAnswers:
    """The data of the sites as the routes answer them, kept until a series changes.

    Args:
        context: The parts that all routes share.
    """

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._held = PictureCache(_CACHE_BYTES)
        self._alerts = context.watch

    def portfolio(self, request: Request) -> dict[str, Any]:
        """All sites, and a sentence for each that cannot be shown."""
        context = self._context
        problems = list(context.catalogue.problems)
        open_alerts, watch = self._watch(problems)
        sites = []
        for place in context.catalogue.places().values():
            try:
                sites.append(self._summary(place, open_alerts))
            except (EuroMineError, OSError) as error:
                problems.append(one_line(error))
        return {
            "title": context.settings.title,
            "version": version("euromine"),
            "user": user_of(request),
            "sites": sites,
            "problems": [context.public(problem) for problem in problems],
            "watch": watch,
            "features": context.features(request),
            "colours": outline_colours(),
        }

    def site(self, site: str, language: Language) -> dict[str, Any]:
        """The facts of a site, sentences in a language."""
        place = self._context.catalogue.place(site)
        open_alerts, _ = self._watch([])
        # Images may come and go beside a series.
        found = tuple(place.image(year) is not None for year in place.series.years)
        key = place.id, place.version, found
        document = self._held.get(key, lambda: site_document(place), lambda _: _DOCUMENT_BYTES)
        number = open_alerts.get(place.series.manifest.site, 0)
        layers = [layer.to_dict() for layer in layers_of(place)]
        return {**translated_facts(document, language), "open_alerts": number, "layers": layers}

    def outlines(self, site: str, key: tuple[Any, ...], make: Callable[[SitePlace], bytes]) -> Response:
        """Outlines of a site as GeoJSON."""
        place = self._context.catalogue.place(site)

        def made() -> bytes:
            with self._context.limiter.turn():
                return make(place)

        return Response(self._held.get((place.id, place.version, *key), made), media_type=_GEOJSON)

    def _summary(self, place: SitePlace, open_alerts: dict[str, int]) -> dict[str, Any]:
        key = place.id, place.version, "summary"
        summary = self._held.get(key, lambda: site_summary(place), lambda _: _SUMMARY_BYTES)
        return {**summary, "open_alerts": open_alerts.get(place.series.manifest.site, 0)}

    def _watch(self, problems: list[str]) -> tuple[dict[str, int], dict[str, Any] | None]:
        """The number of open alerts by site, and the state of the watch; a problem where it is damaged."""
        try:
            open_alerts, run = self._alerts.open_by_site(), self._alerts.latest_run()
        except (EuroMineError, OSError) as error:
            problems.append(one_line(error))
            return {}, None
        if self._alerts.folder is None:
            return {}, None
        return open_alerts, {"latest_run": run, "open_alerts": sum(open_alerts.values())}


def routes(context: AppContext) -> APIRouter:
    """The routes of the sites' data."""
    router = APIRouter(prefix="/api", tags=["sites"])
    answers = SiteAnswers(context)
    _add_documents(router, answers)
    _add_outlines(router, answers)
    _add_values(router, context)
    _add_files(router, context)
    return router


def _add_documents(router: APIRouter, answers: SiteAnswers) -> None:
    @router.get("/portfolio")
    def portfolio(request: Request) -> JSONResponse:
        """All sites with their latest areas, and the features that are open to the visitor."""
        return JSONResponse(answers.portfolio(request))

    @router.get("/sites/{site}")
    def site_facts(site: str, language: WantedLanguage = "en") -> JSONResponse:
        """The facts of a site: areas, changes, indices, water, land, permits, layers, downloads."""
        return JSONResponse(answers.site(site, language))


def _add_outlines(router: APIRouter, answers: SiteAnswers) -> None:
    @router.get("/sites/{site}/vectors/components/{group}/{year}.geojson")
    def components(site: str, group: str, year: str) -> Response:
        """The components of a group in a year."""
        number = _year(year)
        return answers.outlines(
            site, ("components", group, number), lambda place: component_outlines(place, group, number)
        )

    @router.get("/sites/{site}/vectors/changes/{years}.geojson")
    def changes(site: str, years: str) -> Response:
        """The gains and losses between two years, such as 2015-2019."""
        pair = _PAIR.fullmatch(years)
        if pair is None:
            raise NotFound(f"years: found {years[:40]!r}; expected a pair of years, such as 2015-2019.")
        first, second = int(pair[1]), int(pair[2])
        return answers.outlines(
            site, ("changes", first, second), lambda place: change_outlines(place, first, second)
        )

    @router.get("/sites/{site}/vectors/footprints/{year}.geojson")
    def footprints(site: str, year: str) -> Response:
        """The mines of a year."""
        number = _year(year)
        return answers.outlines(site, ("footprints", number), lambda place: footprint_outlines(place, number))

    @router.get("/sites/{site}/vectors/outside_permits/{year}.geojson")
    def outside(site: str, year: str) -> Response:
        """The mined ground of a year outside the outlines given."""
        number = _year(year)
        return answers.outlines(site, ("outside", number), lambda place: outside_outlines(place, number))

    @router.get(f"/sites/{{site}}/vectors/permits/{ALL_YEARS}.geojson")
    def permits(site: str) -> Response:
        """The outlines of permits that were given."""
        return answers.outlines(site, ("permits",), permit_outlines)

    @router.get(f"/sites/{{site}}/vectors/reclamation/{ALL_YEARS}.geojson")
    def reclamation(site: str) -> Response:
        """The ground that is not mined any more, and its recovery."""
        return answers.outlines(site, ("reclamation",), reclamation_outlines)


def _add_values(router: APIRouter, context: AppContext) -> None:
    @router.get("/sites/{site}/point")
    def point(site: str, longitude: float, latitude: float) -> JSONResponse:
        """The values of a point over the years."""
        place = context.catalogue.place(site)
        with context.limiter.turn():
            return JSONResponse(point_values(place, longitude, latitude))

    @router.post("/sites/{site}/area", openapi_extra=_AREA_BODY)
    async def area(site: str, request: Request) -> JSONResponse:
        """The values of an area over the years: GeoJSON polygons in degrees, at most 256 KiB."""
        body = await request.body()
        return await run_in_threadpool(_area_answer, context, site, body)


def _area_answer(context: AppContext, site: str, body: bytes) -> JSONResponse:
    place = context.catalogue.place(site)
    with context.limiter.turn():
        return JSONResponse(area_values(place, read_area(body)))


def _add_files(router: APIRouter, context: AppContext) -> None:
    @router.get("/sites/{site}/files/{name}")
    def file(site: str, name: str, request: Request) -> Response:
        """A file of the series, in parts where they are asked for (Range)."""
        place = context.catalogue.place(site)
        digest = file_of(place, name)
        if digest is None:
            raise NotFound(
                f"file: found no {name[:80]!r}; expected a name among the downloads of {place.id}."
            )
        path = place.series.file(name)
        headers = {"Cache-Control": "no-cache, private"}
        if digest:  # "" while a run writes the series anew
            headers["ETag"] = f'"{digest}"'
            if headers["ETag"] in request.headers.get("if-none-match", ""):
                return Response(status_code=304, headers=headers)
        shown = name if name == NAME else f"{place.id}_{name}"
        return FileResponse(path, headers=headers, media_type=_MEDIA_TYPES[path.suffix], filename=shown)


def _year(text: str) -> int:
    """A year of an address.

    Raises:
        NotFound: It is none.
    """
    if not _YEAR.fullmatch(text):
        raise NotFound(f"year: found {text[:40]!r}; expected a year, such as 2019.")
    return int(text)
