"""Alerts over HTTP: list, feeds, pictures before and after, and reviews."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import FileResponse, JSONResponse, Response

from euromine.watch.alerts import feature
from euromine.watch.feeds import atom
from euromine.watch.watch_config import Feed
from euromine.watch.watch_state import StoredAlert

from .app_context import AppContext, user_of
from .app_errors import NotAllowed, NotFound
from .translations import Language, WantedLanguage, translated
from .watch_alerts import is_open

Moment = Literal["before", "after"]
_MOMENTS: tuple[Moment, ...] = ("before", "after")


class Review(BaseModel):
    """A person's verdict on an alert."""

    verdict: Literal["confirmed", "rejected"]
    name: str = Field("", max_length=200, description="The person's name; that of the account if empty.")
    comment: str = Field("", max_length=5000, description="The reason.")


def routes(context: AppContext) -> APIRouter:
    """The routes of alerts."""
    router = APIRouter(tags=["alerts"])
    watch, settings = context.watch, context.settings

    @router.get("/api/alerts")
    def alerts(
        site: Annotated[str | None, Query(description="A site's name or id.")] = None,
        status: Annotated[
            Literal["open", "suspected", "confirmed", "resolved"] | None,
            Query(description="Open: suspected or confirmed, and neither a gain on record nor rejected."),
        ] = None,
        review: Annotated[
            Literal["confirmed", "rejected", "none"] | None, Query(description="The latest verdict.")
        ] = None,
        language: WantedLanguage = "en",
    ) -> dict[str, Any]:
        """All alerts of the watch, the latest changed first."""
        ids = site_ids(context)
        found = [
            alert_values(context, each, ids, language)
            for each in watch.stored()
            if site in (None, each.alert.site, ids.get(each.alert.site))
            and (status in (None, each.alert.status) or (status == "open" and is_open(each)))
            and review in (None, each.reviews[-1]["verdict"] if each.reviews else "none")
        ]
        return {"alerts": found}

    @router.get("/api/alerts.geojson")
    def collection() -> Response:
        """All alerts as GeoJSON features."""
        features = [
            feature(
                each.alert,
                opened=each.opened,
                changed=each.changed,
                reviews=_reviews(context, each),
                pictures=_picture_addresses(context, each),
            )
            for each in watch.stored()
        ]
        values = {"type": "FeatureCollection", "features": features}
        return JSONResponse(values, media_type="application/geo+json")

    @router.get("/alerts.atom")
    def atom_feed() -> Response:
        """All alerts as an Atom feed with GeoRSS."""
        config = watch.config()
        feed = config.feed if config is not None else Feed(title=settings.title, link=settings.address)
        return Response(atom(watch.stored(), feed), media_type="application/atom+xml")

    @router.get("/api/alerts/{identity}")
    def alert(identity: str, language: WantedLanguage = "en") -> dict[str, Any]:
        """An alert."""
        return alert_values(context, watch.one(identity), site_ids(context), language)

    @router.get("/api/alerts/{identity}/pictures/{moment}", response_class=FileResponse)
    def picture(identity: str, moment: Moment) -> Response:
        """The place of an alert before or after, PNG."""
        path = watch.pictures(watch.one(identity)).get(moment)
        if path is None:
            raise NotFound(f"{moment}: found no picture of this alert; expected one that /api/alerts lists.")
        return FileResponse(path, media_type="image/png", headers={"Cache-Control": "no-cache, private"})

    @router.post("/api/alerts/{identity}/review")
    def review_of(
        identity: str, review: Review, request: Request, language: WantedLanguage = "en"
    ) -> dict[str, Any]:
        """Confirm or reject an alert. The watch keeps the verdict, its time, the name and the comment."""
        if not settings.may_change:
            raise NotAllowed(
                "review: found a visitor who is not signed in; expected one. Start the app with --auth FILE."
            )
        user, name = user_of(request), _one_line(review.name)
        # A verdict in somebody else's name shows whose account it came from.
        name = user if user and name in ("", user) else f"{name} ({user})" if user else name
        reviewed = watch.review(identity, review.verdict, name, review.comment.strip())
        return alert_values(context, reviewed, site_ids(context), language)

    return router


def alert_values(
    context: AppContext, stored: StoredAlert, ids: dict[str, str], language: Language = "en"
) -> dict[str, Any]:
    """An alert with its history as JSON values.

    Args:
        context: The app's parts.
        stored: The alert.
        ids: The ids of the app's sites by their names.
        language: The language of its sentences.
    """
    return {
        **stored.alert.to_dict(),
        "sentence": translated(stored.alert.sentence, language),
        "interval": translated(stored.alert.interval, language),
        "title": stored.alert.title,
        "site_id": ids.get(stored.alert.site),
        "opened": stored.opened,
        "changed": stored.changed,
        "open": is_open(stored),
        "rejected": stored.is_rejected,
        "reviews": _reviews(context, stored),
        "pictures": _picture_addresses(context, stored),
    }


def site_ids(context: AppContext) -> dict[str, str]:
    """The ids of the app's sites by their names."""
    ids: dict[str, str] = {}
    for place in context.catalogue.places().values():
        ids.setdefault(place.name, place.id)
    return ids


def _reviews(context: AppContext, stored: StoredAlert) -> list[dict[str, str]]:
    """The verdicts; who decided, and why, is for people who may decide, too."""
    names = ("verdict", "name", "comment", "time") if context.settings.may_change else ("verdict", "time")
    return [{name: review[name] for name in names} for review in stored.reviews]


def _picture_addresses(context: AppContext, stored: StoredAlert) -> dict[str, str | None]:
    found = context.watch.pictures(stored)
    address = f"/api/alerts/{stored.alert.id}/pictures"
    return {moment: f"{address}/{moment}" if moment in found else None for moment in _MOMENTS}


def _one_line(text: str) -> str:
    return " ".join(text.split())
