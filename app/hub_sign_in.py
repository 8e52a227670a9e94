"""Signing in with the Hugging Face Hub (OpenID Connect), in a Space with `hf_oauth: true`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import RedirectResponse, Response

from euromine.support.errors import ArgumentError, missing_extra

from .app_settings import AppSettings, HubSignIn
from .server_pages import sign_in_page
from .sign_in import SignInSessions

logger = logging.getLogger(__name__)

BACK = "/sign-in/hub/back"
_ON_THE_WAY = 600  # seconds


def hub_sign_in(members: Sequence[str], environment: Mapping[str, str]) -> HubSignIn | None:
    """The sign-in of a Space with members, from the variables that the Hub sets; None without members.

    Raises:
        ArgumentError: There are members, and the Space has no OAuth.
    """
    if not members:
        return None
    if not environment.get("OAUTH_CLIENT_ID") or not environment.get("OAUTH_CLIENT_SECRET"):
        raise ArgumentError(
            "members: found no OAUTH_CLIENT_ID in the environment; expected a Space with `hf_oauth: true`. "
            "Publish it with `euromine publish app --member NAME`."
        )
    return HubSignIn(
        environment["OAUTH_CLIENT_ID"],
        environment["OAUTH_CLIENT_SECRET"],
        environment.get("OPENID_PROVIDER_URL", "https://huggingface.co"),
        tuple(members),
        environment.get("SPACE_HOST", "").partition(",")[0].strip(),
    )


def add_hub_sign_in(app: FastAPI, settings: AppSettings, sessions: SignInSessions) -> None:
    """Add the way to the Hub and back.

    Raises:
        MissingExtraError: Authlib is missing.
    """
    hub = settings.hub
    if hub is None:
        return
    try:
        from authlib.integrations.base_client.errors import OAuthError
        from authlib.integrations.starlette_client import OAuth
    except ImportError as error:
        raise missing_extra("app", "Authlib", "members") from error
    client = OAuth().register(
        "hub",
        client_id=hub.client,
        client_secret=hub.secret,
        server_metadata_url=f"{hub.provider}/.well-known/openid-configuration",
        client_kwargs={"scope": "openid profile", "code_challenge_method": "S256"},
    )
    router = APIRouter(include_in_schema=False)

    @router.get("/sign-in/hub")
    async def leave(request: Request) -> Response:
        address = f"https://{hub.host}{BACK}" if hub.host else f"{request.base_url}{BACK[1:]}"
        return await client.authorize_redirect(request, address)

    @router.get(BACK)
    async def back(request: Request) -> Response:
        languages = request.headers.get("accept-language", "")
        try:
            token = await client.authorize_access_token(request)
            person = await client.userinfo(token=token)  # with the organisations
        except OAuthError as error:
            logger.warning("The Hub did not confirm a sign-in: %s", error)
            return sign_in_page(settings, languages, "failed")
        request.session.clear()
        if not is_member(person, hub.members):
            return sign_in_page(settings, languages, "member")
        response = RedirectResponse("/", 303)
        sessions.begin(response, str(person["preferred_username"]), request, settings)
        return response

    app.include_router(router)
    app.add_middleware(
        SessionMiddleware,
        secret_key=sessions.key,
        session_cookie="euromine_on_the_way",
        max_age=_ON_THE_WAY,
        same_site="none" if settings.is_space else "lax",
        https_only=settings.is_space,
    )


def is_member(person: Mapping[str, Any], members: Sequence[str]) -> bool:
    """Whether a person, or an organisation of theirs, is among the members.

    Args:
        person: The Hub's userinfo.
        members: Names.
    """
    name = person.get("preferred_username")
    if not isinstance(name, str) or not name:
        return False
    organisations = [each.get("preferred_username") for each in person.get("orgs") or ()]
    known = {member.casefold() for member in members}
    return any(isinstance(each, str) and each.casefold() in known for each in (name, *organisations))
