"""The pages that the server itself writes: signing in, and the API for developers."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI
from starlette.responses import HTMLResponse, Response

from euromine.support.page_templates import page_template

from .app_settings import AppSettings

if TYPE_CHECKING:
    import jinja2

_TEXTS = {
    "en": {
        "sign_in": "Sign in",
        "name": "Name",
        "password": "Password",
        "hub": "Sign in with Hugging Face",
        "wrong": "Name or password is wrong.",
        "wait": "Too many tries. Wait {seconds} s.",
        "member": "This account is no member here.",
        "failed": "The Hub did not confirm the sign-in. Try again.",
    },
    "de": {
        "sign_in": "Anmelden",
        "name": "Name",
        "password": "Passwort",
        "hub": "Mit Hugging Face anmelden",
        "wrong": "Name oder Passwort ist falsch.",
        "wait": "Zu viele Versuche. Bitte {seconds} s warten.",
        "member": "Dieses Konto ist hier kein Mitglied.",
        "failed": "Der Hub hat die Anmeldung nicht bestätigt. Bitte noch einmal versuchen.",
    },
}
_STATUS = {"": 200, "wrong": 401, "wait": 429, "member": 403, "failed": 401}


def sign_in_page(settings: AppSettings, languages: str, problem: str = "", wait: float = 0.0) -> Response:
    """The page to sign in.

    Args:
        settings: The settings.
        languages: The visitor's languages (Accept-Language).
        problem: "wrong", "wait", "member" or "failed"; "" for none.
        wait: Seconds until the next try.
    """
    language = "de" if languages.strip().lower().startswith("de") else "en"
    texts = _TEXTS[language]
    seconds = math.ceil(wait)
    page = _template("sign_in.html.jinja").render(
        language=language,
        title=settings.title,
        texts=texts,
        problem=texts[problem].format(seconds=seconds) if problem else "",
        has_password=bool(settings.users),
        has_hub=settings.hub is not None,
    )
    headers = {"Retry-After": str(seconds)} if wait else {}
    return HTMLResponse(page, _STATUS[problem], {**headers, "Cache-Control": "no-store"})


def developer_routes(app: FastAPI, settings: AppSettings) -> APIRouter:
    """The page of the API: every endpoint of the OpenAPI document, without scripts from elsewhere."""
    router = APIRouter(include_in_schema=False)

    @router.get("/developers")
    def developers() -> Response:
        return HTMLResponse(
            _template("developers.html.jinja").render(
                title=settings.title,
                version=app.version,
                groups=endpoint_groups(app.openapi()),
                has_gradio=hasattr(app, "launch"),
            )
        )

    return router


def endpoint_groups(document: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The endpoints of an OpenAPI document by their tag."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            summary, _, rest = operation.get("description", "").partition("\n\n")
            groups.setdefault((operation.get("tags") or ["other"])[0], []).append(
                {
                    "method": method.upper(),
                    "path": path,
                    "summary": summary or operation.get("summary", ""),
                    "details": rest,
                    "parameters": [_parameter(each) for each in operation.get("parameters", ())],
                }
            )
    return groups


def _parameter(parameter: dict[str, Any]) -> dict[str, str]:
    schema = parameter.get("schema", {})
    kinds = [each.get("type", "") for each in schema.get("anyOf", ())] or [schema.get("type", "")]
    return {
        "name": parameter["name"],
        "kind": " or ".join(kind for kind in kinds if kind not in ("null", "")),
        "need": "required" if parameter.get("required") else "optional",
        "text": parameter.get("description", ""),
    }


@cache
def _template(name: str) -> jinja2.Template:
    return page_template(Path(__file__).parent, name)
