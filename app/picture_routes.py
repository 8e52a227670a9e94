"""Pictures, tiles, printed maps and timelapses over HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from .app_context import AppContext
from .app_errors import NotFound
from .layer_pictures import LayerYear, Picture, whole_picture
from .map_tiles import SIDES, map_tile
from .picture_layers import ALL_YEARS, MOST_SIDE, Layer, layer_of, year_of
from .printed_maps import LEAST_WIDTH, MOST_WIDTH, USUAL_WIDTH, MapRequest, printed_map
from .site_catalogue import SitePlace
from .timelapse import LEAST_SECONDS, MOST_SECONDS, timelapse
from .translations import WantedLanguage

# Grows when the same data give another picture.
_VERSION = 1
_NAME = r"^[A-Za-z0-9_-]{1,100}$"
Name = Annotated[str, Path(pattern=_NAME)]


class SitePictures:
    """The pictures of the sites, each made once and by as many threads as there are cores.

    Args:
        context: The parts that all routes share.
    """

    def __init__(self, context: AppContext) -> None:
        self.context = context

    def shown(self, site: str, key: str, year: str) -> LayerYear:
        """A layer of a site in a year.

        Raises:
            NotFound: There is no such site, layer or year.
        """
        place = self.context.catalogue.place(site)
        layer = layer_of(place, key)
        return LayerYear(place, layer, year_of(layer, year), self.context.pictures)

    def answer(
        self, request: Request, key: tuple[Hashable, ...], make: Callable[[], Picture], name: str = ""
    ) -> Response:
        """A picture, or 304 where the visitor holds it already.

        Args:
            request: The request.
            key: Stands for everything that the picture depends on.
            make: Makes the picture.
            name: The name of the file under which a browser saves it.
        """
        tag = f'"{hashlib.sha256(repr((_VERSION, key)).encode()).hexdigest()[:24]}"'
        headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)

        def made() -> Picture:
            with self.context.limiter.turn():
                return make()

        picture = self.context.pictures.get(key, made)
        if name:
            headers["Content-Disposition"] = f'inline; filename="{name}"'
        return Response(picture.data, media_type=picture.media_type, headers=headers)


def routes(context: AppContext) -> APIRouter:
    """The routes of pictures."""
    router = APIRouter(tags=["pictures"])
    pictures = SitePictures(context)

    @router.get("/api/sites/{site}/pictures/{key}/{year}.{suffix}", response_class=Response)
    def picture(
        request: Request,
        site: Name,
        key: Name,
        year: Name,
        suffix: Literal["jpg", "png", "webp"],
        side: Annotated[
            int, Query(ge=64, le=MOST_SIDE, description="Pixels on the longer side.")
        ] = MOST_SIDE,
    ) -> Response:
        """A layer of a whole site in Web Mercator, within the layer's bounds, in the layer's format."""
        shown = pictures.shown(site, key, year)
        _check_suffix(shown.layer, suffix)
        return pictures.answer(request, ("picture", side, *shown.key), lambda: whole_picture(shown, side))

    @router.get("/api/sites/{site}/tiles/{key}/{year}/{z}/{x}/{y}.{suffix}", response_class=Response)
    def tile(
        request: Request,
        site: Name,
        key: Name,
        year: Name,
        z: int,
        x: int,
        y: int,
        suffix: Literal["jpg", "png", "webp"],
        side: Annotated[
            int, Query(ge=SIDES[0], le=SIDES[-1], multiple_of=SIDES[0], description="Pixels on a side.")
        ] = SIDES[0],
    ) -> Response:
        """A tile of a layer: an image as JPEG inside and as WebP at its edges, else PNG."""
        shown = pictures.shown(site, key, year)
        _check_suffix(shown.layer, suffix)
        key_of = ("tile", side, z, x, y, *shown.key)
        return pictures.answer(request, key_of, lambda: map_tile(shown, z, x, y, side))

    @router.get("/api/sites/{site}/map.png", response_class=Response)
    def printed(
        request: Request,
        site: Name,
        layer: Annotated[str, Query(pattern=_NAME)] = "natural",
        year: Annotated[str | None, Query(pattern=_NAME, description="By default the layer's last.")] = None,
        compare: Annotated[str, Query(description="Another year, beside the first.")] = "",
        footprints: bool = False,
        permits: bool = False,
        width: Annotated[int, Query(ge=LEAST_WIDTH, le=MOST_WIDTH, description="Pixels.")] = USUAL_WIDTH,
        language: WantedLanguage = "en",
    ) -> Response:
        """A map to print: title, coordinates, scale bar, north, legend, attribution; PNG."""
        place = context.catalogue.place(site)
        chosen = layer_of(place, layer)
        years = [
            LayerYear(place, chosen, year_of(chosen, text), context.pictures)
            for text in (compare, year or str(chosen.years[-1]))
            if text
        ]
        wanted = MapRequest(tuple(years), footprints, permits, width, language)
        name = f"{place.id}_{layer}_{years[-1].year}.png"
        return pictures.answer(request, ("map", *wanted.key), lambda: printed_map(wanted), name)

    @router.get("/api/sites/{site}/timelapse.{suffix}", response_class=Response)
    def years_in_turn(
        request: Request,
        site: Name,
        suffix: Literal["gif", "webp"],
        layer: Annotated[str, Query(pattern=_NAME)] = "natural",
        footprints: bool = False,
        seconds: Annotated[
            float, Query(ge=LEAST_SECONDS, le=MOST_SECONDS, description="Of each year.")
        ] = 1.0,
        language: WantedLanguage = "en",
    ) -> Response:
        """The years of a layer one after another, with the year and the attribution in the picture."""
        place = context.catalogue.place(site)
        frames = _years(context, place, layer_of(place, layer))
        key = ("timelapse", suffix, footprints, seconds, language, *(each.key for each in frames))
        name = f"{place.id}_{layer}.{suffix}"

        def moving() -> Picture:
            return timelapse(frames, suffix, seconds, footprints, language)

        return pictures.answer(request, key, moving, name)

    return router


def _check_suffix(layer: Layer, suffix: str) -> None:
    if suffix != layer.format:
        raise NotFound(f"suffix: found {suffix}; expected {layer.format} for the layer {layer.key}.")


def _years(context: AppContext, place: SitePlace, layer: Layer) -> list[LayerYear]:
    if layer.years == (ALL_YEARS,) or not all(isinstance(year, int) for year in layer.years):
        raise NotFound(f"layer: found {layer.key}, which has no single years; expected one that has them.")
    return [LayerYear(place, layer, year, context.pictures) for year in layer.years]
