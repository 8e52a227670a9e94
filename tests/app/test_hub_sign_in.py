"""Signing in with the Hub: the way there and back, beside a provider on this machine."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from pytest_httpserver import HTTPServer
from starlette.testclient import TestClient
from werkzeug import Request, Response

from euromine.app.app_settings import AppSettings
from euromine.app.hub_sign_in import hub_sign_in, is_member
from euromine.app.server import create_app
from euromine.support.errors import ArgumentError

KEY = RSAKey.generate_key(2048, {"kid": "1"})


class Provider:
    """A provider of OpenID Connect with one person, who agrees."""

    def __init__(self, server: HTTPServer, person: dict) -> None:
        self.address, self.person = server.url_for("").rstrip("/"), person
        self.nonce = ""
        self.tokens: list[dict[str, list[str]]] = []
        server.expect_request("/.well-known/openid-configuration").respond_with_json(
            {
                "issuer": self.address,
                "authorization_endpoint": f"{self.address}/oauth/authorize",
                "token_endpoint": f"{self.address}/oauth/token",
                "userinfo_endpoint": f"{self.address}/oauth/userinfo",
                "jwks_uri": f"{self.address}/jwks",
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )
        server.expect_request("/jwks").respond_with_json({"keys": [KEY.as_dict(private=False)]})
        server.expect_request("/oauth/userinfo").respond_with_handler(self.userinfo)
        server.expect_request("/oauth/token").respond_with_handler(self.token)

    def userinfo(self, _: Request) -> Response:
        return Response(json.dumps(self.person), mimetype="application/json")

    def token(self, request: Request) -> Response:
        self.tokens.append(parse_qs(request.get_data(as_text=True)))
        now = int(time.time())
        claims = {
            "iss": self.address,
            "aud": "client-1",
            "sub": "1",
            "iat": now,
            "exp": now + 60,
            "nonce": self.nonce,
        }
        values = {
            "access_token": "token",
            "token_type": "bearer",
            "id_token": jwt.encode({"alg": "RS256", "kid": "1"}, claims, KEY),
        }
        return Response(json.dumps(values), mimetype="application/json")


@pytest.fixture
def provider(httpserver: HTTPServer) -> Provider:
    return Provider(httpserver, {"sub": "1", "preferred_username": "anna", "name": "mine-org"})


@pytest.fixture
def visitor(settings: AppSettings, provider: Provider) -> Iterator[TestClient]:
    hub = hub_sign_in(
        ("Anna", "mine-org"),
        {
            "OAUTH_CLIENT_ID": "client-1",
            "OAUTH_CLIENT_SECRET": "secret-1",
            "OPENID_PROVIDER_URL": provider.address,
            "SPACE_HOST": "me-mines.hf.space,mines.example.org",
        },
    )
    app = create_app(replace(settings, is_space=True, host="0.0.0.0", hub=hub))
    with TestClient(app, base_url="https://me-mines.hf.space", follow_redirects=False) as client:
        yield client


def leave(visitor: TestClient, provider: Provider) -> str:
    """Go to the provider, and return the state with which it sends a visitor back."""
    leaving = urlsplit(visitor.get("/sign-in/hub").headers["location"])
    query = {name: values[0] for name, values in parse_qs(leaving.query).items()}
    assert f"{leaving.scheme}://{leaving.netloc}{leaving.path}" == f"{provider.address}/oauth/authorize"
    assert query["redirect_uri"] == "https://me-mines.hf.space/sign-in/hub/back"
    assert query["code_challenge_method"] == "S256"
    assert query["client_id"] == "client-1"
    provider.nonce = query["nonce"]
    return query["state"]


def test_a_member_of_the_hub_is_let_in(visitor: TestClient, provider: Provider) -> None:
    assert visitor.get("/api/portfolio").status_code == 401
    assert 'href="/sign-in/hub"' in visitor.get("/sign-in").text
    state = leave(visitor, provider)
    answer = visitor.get(f"/sign-in/hub/back?code=1&state={state}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = next(
        each for each in answer.headers.get_list("set-cookie") if each.startswith("euromine_session")
    )
    assert all(part in cookie.lower() for part in ("httponly", "secure", "samesite=none"))
    assert visitor.get("/api/portfolio").json()["user"] == "anna"
    assert provider.tokens[0]["code_verifier"]


def test_somebody_else_is_not(visitor: TestClient, provider: Provider) -> None:
    # A display name is anybody's choice.
    provider.person = {"sub": "2", "preferred_username": "mallory", "name": "anna"}
    answer = visitor.get(f"/sign-in/hub/back?code=1&state={leave(visitor, provider)}")
    assert answer.status_code == 403
    assert "no member" in answer.text
    assert visitor.get("/api/portfolio").status_code == 401


def test_a_forged_way_back_is_refused(visitor: TestClient, provider: Provider) -> None:
    assert visitor.get("/sign-in/hub/back?code=1&state=forged").status_code == 401
    leave(visitor, provider)
    assert visitor.get("/sign-in/hub/back?code=1&state=forged").status_code == 401
    assert visitor.get("/sign-in/hub/back?error=access_denied").status_code == 401
    assert provider.tokens == []
    assert visitor.get("/api/portfolio").status_code == 401


@pytest.mark.parametrize(
    ("person", "expected"),
    [
        ({"preferred_username": "anna"}, True),
        ({"preferred_username": "bert", "orgs": [{"preferred_username": "Mine-Org"}]}, True),
        ({"preferred_username": "bert", "orgs": [{"name": "mine-org"}]}, False),
        ({"preferred_username": "bert"}, False),
        ({"name": "anna"}, False),
        ({}, False),
    ],
)
def test_members_are_users_and_organisations(person: dict, expected: bool) -> None:
    assert is_member(person, ("anna", "mine-org")) is expected


def test_a_space_without_oauth_is_told() -> None:
    assert hub_sign_in((), {"OAUTH_CLIENT_ID": "client-1"}) is None
    with pytest.raises(ArgumentError, match="found no OAUTH_CLIENT_ID"):
        hub_sign_in(("anna",), {})
