"""Signing in and out, and guessing passwords."""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from euromine.app.app_settings import AppSettings
from euromine.app.passwords import add_user, is_password, password_hash, read_users
from euromine.app.server import create_app
from euromine.app.sign_in import COOKIE, Guesses
from euromine.support.errors import ArgumentError, ConfigError

PASSWORD = "correct horse"


@pytest.fixture
def members(settings: AppSettings) -> AppSettings:
    return replace(settings, users={"anna": password_hash(PASSWORD, cost=2)})


@pytest.fixture
def visitor(members: AppSettings) -> Iterator[TestClient]:
    with TestClient(create_app(members), base_url="http://localhost", follow_redirects=False) as client:
        yield client


def sign_in(client: TestClient, name: str = "anna", password: str = PASSWORD, **options):
    return client.post("/sign-in", data={"name": name, "password": password}, **options)


def test_a_member_signs_in_and_out(visitor: TestClient) -> None:
    assert visitor.get("/api/alerts").status_code == 401
    answer = sign_in(visitor)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert visitor.get("/api/alerts").status_code == 200
    cookie = visitor.cookies[COOKIE]
    visitor.post("/sign-out")
    assert visitor.get("/api/alerts").status_code == 401
    # The cookie is worth nothing any more, even to somebody who copied it.
    assert visitor.get("/api/alerts", headers={"Cookie": f"{COOKIE}={cookie}"}).status_code == 401


def test_the_cookie_is_out_of_reach(members: AppSettings, visitor: TestClient) -> None:
    plain = sign_in(visitor).headers["set-cookie"].lower()
    assert "httponly" in plain
    assert "samesite=lax" in plain
    assert "secure" not in plain
    secure = TestClient(create_app(members), base_url="https://localhost", follow_redirects=False)
    assert "; secure" in sign_in(secure).headers["set-cookie"].lower()


def test_a_changed_cookie_is_none(visitor: TestClient) -> None:
    sign_in(visitor)
    value = visitor.cookies[COOKIE]
    visitor.cookies.clear()
    for forged in (value[:-2], f"x{value}", "anna", value.partition(".")[0], ""):
        assert visitor.get("/api/alerts", headers={"Cookie": f"{COOKIE}={forged}"}).status_code == 401


def test_another_server_s_cookie_is_none(members: AppSettings, visitor: TestClient) -> None:
    other = TestClient(create_app(members), base_url="http://localhost")
    sign_in(other)
    value = other.cookies[COOKIE]
    assert visitor.get("/api/alerts", headers={"Cookie": f"{COOKIE}={value}"}).status_code == 401


def test_a_wrong_password_and_an_unknown_name_read_the_same(visitor: TestClient) -> None:
    wrong, unknown = sign_in(visitor, password="wrong"), sign_in(visitor, name="bert")
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.text == unknown.text
    assert "Name or password is wrong." in wrong.text


def test_guessing_has_to_wait(visitor: TestClient) -> None:
    for number in range(5):
        assert sign_in(visitor, name=f"user{number}", password="guess").status_code == 401
    late = sign_in(visitor)  # even with the right password
    assert late.status_code == 429
    assert 0 < int(late.headers["retry-after"]) <= 300
    assert "Wait" in late.text


def test_tries_are_forgotten_after_five_minutes() -> None:
    now = 0.0
    guesses = Guesses(3, lambda: now)
    assert [guesses.try_once("a") for _ in range(4)] == [0.0, 0.0, 0.0, 300.0]
    assert guesses.try_once("b") == 0.0
    now = 299.0
    assert guesses.try_once("a") == 1.0
    now = 301.0
    assert guesses.try_once("a") == 0.0
    guesses.succeeded("a")
    assert [guesses.try_once("a") for _ in range(3)] == [0.0, 0.0, 0.0]


def test_signing_in_leads_to_no_other_site(visitor: TestClient) -> None:
    answer = visitor.post(
        "/sign-in?next=https://evil.example&_target_url=//evil.example",
        data={"name": "anna", "password": PASSWORD, "next": "https://evil.example"},
    )
    assert answer.headers["location"] == "/"


def test_another_site_cannot_sign_a_visitor_in(visitor: TestClient) -> None:
    answer = sign_in(visitor, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert COOKIE not in visitor.cookies


def test_the_page_follows_the_visitor_s_language_and_escapes_the_title(settings: AppSettings) -> None:
    shown = replace(settings, title="<script>", users={"anna": password_hash(PASSWORD, cost=2)})
    client = TestClient(create_app(shown), base_url="http://localhost")
    german = client.get("/sign-in", headers={"Accept-Language": "de-AT,de;q=0.9"})
    assert '<html lang="de">' in german.text
    assert "Passwort" in german.text
    assert "&lt;script&gt;" in german.text
    assert german.headers["cache-control"] == "no-store"


def test_the_hash_is_scrypt_s() -> None:
    kind, cost, block, parallel, salt, derived = password_hash(PASSWORD, cost=4).split("$")
    expected = hashlib.scrypt(
        PASSWORD.encode(), salt=base64.b64decode(salt), n=int(cost), r=int(block), p=int(parallel), dklen=32
    )
    assert (kind, base64.b64decode(derived)) == ("scrypt", expected)
    assert is_password(PASSWORD, f"{kind}${cost}${block}${parallel}${salt}${derived}")
    assert not is_password("correct horsf", f"{kind}${cost}${block}${parallel}${salt}${derived}")


def test_users_are_added_to_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "users"
    assert add_user(path, "anna", PASSWORD, cost=2)
    assert not add_user(path, "anna", "another password", cost=2)
    assert path.stat().st_mode & 0o077 == 0
    assert list(read_users(path)) == ["anna"]
    assert is_password("another password", read_users(path)["anna"])
    assert PASSWORD not in path.read_text()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("anna:secret\n", "line 1: found no user"),
        ("# comment\n\nanna:scrypt$3$8$1$AAAA$AAAA\n", "line 3: found no user"),
        ("anna:scrypt$99999999999$8$1$AAAA$" + "A" * 43 + "=\n", "line 1: found no user"),
        ("", "found no users"),
        ("{0}\n{0}\n", "line 2: found 'anna' twice"),
    ],
)
def test_a_file_of_users_is_checked(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "users"
    path.write_text(text.replace("{0}", f"anna:{password_hash(PASSWORD, cost=2)}"))
    with pytest.raises(ConfigError, match=found):
        read_users(path)


@pytest.mark.parametrize(("name", "password"), [("an na", PASSWORD), ("a:b", PASSWORD), ("anna", "short")])
def test_names_and_passwords_are_checked(tmp_path: Path, name: str, password: str) -> None:
    with pytest.raises(ArgumentError):
        add_user(tmp_path / "users", name, password)
    assert not (tmp_path / "users").exists()
