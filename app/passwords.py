"""Passwords: their hashes by scrypt, and the file of users."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from euromine.support.errors import ArgumentError, ConfigError
from euromine.support.files import read_bytes, write_text

LEAST_PASSWORD = 10
# 32 MiB and some 0.3 s a try (OWASP's Password Storage Cheat Sheet, scrypt).
_COST, _BLOCK, _PARALLEL = 2**15, 8, 3
_LARGEST_COST, _LARGEST_PASSWORD, _LARGEST_FILE = 2**20, 1024, 2**20
_NAME = re.compile(r"[\w.@+-]{1,64}")


def password_hash(password: str, cost: int = _COST) -> str:
    """The hash of a password with a salt of its own: `scrypt$cost$block$parallel$salt$hash`.

    Args:
        password: The password.
        cost: The cost of a try (N of RFC 7914), a power of two.

    Raises:
        ArgumentError: The password is too short or too long.
    """
    if not LEAST_PASSWORD <= len(password) <= _LARGEST_PASSWORD:
        raise ArgumentError(
            f"password: found {len(password)} characters; expected {LEAST_PASSWORD} to {_LARGEST_PASSWORD}."
        )
    salt = secrets.token_bytes(16)
    derived = _derived(password, salt, cost, _BLOCK, _PARALLEL)
    numbers = f"{cost}${_BLOCK}${_PARALLEL}"
    return f"scrypt${numbers}${base64.b64encode(salt).decode()}${base64.b64encode(derived).decode()}"


def is_password(password: str, hashed: str) -> bool:
    """Whether a password has a hash; in constant time."""
    if len(password) > _LARGEST_PASSWORD:
        return False
    cost, block, parallel, salt, derived = _parts(hashed)
    return hmac.compare_digest(_derived(password, salt, cost, block, parallel), derived)


def read_users(path: Path) -> dict[str, str]:
    """The users of a file with a line `name:hash` each, and comments after #.

    Raises:
        ConfigError: There is no file or no user, a line does not fit, or a name is there twice.
        OSError: The file cannot be read.
    """
    users: dict[str, str] = {}
    if not path.exists():
        raise ConfigError(
            f"{path}: found no file; expected users. Add one with `euromine app --add-user NAME --auth "
            f"{path}`."
        )
    text = read_bytes(path, _LARGEST_FILE, ConfigError).decode("utf-8", "replace")
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, hashed = line.strip().partition(":")
        if not _NAME.fullmatch(name) or not _is_hash(hashed):
            raise ConfigError(
                f"{path}, line {number}: found no user; expected name:scrypt$... Write it with `euromine "
                f"app --add-user NAME --auth {path}`."
            )
        if name in users:
            raise ConfigError(f"{path}, line {number}: found {name!r} twice; expected each user once.")
        users[name] = hashed
    if not users:
        raise ConfigError(
            f"{path}: found no users; expected at least one. Add one with `euromine app --add-user NAME "
            f"--auth {path}`."
        )
    return users


def add_user(path: Path, name: str, password: str, cost: int = _COST) -> bool:
    """Add a user to a file, or give one a new password. Only the file's owner may read it.

    Args:
        path: The file; made if it is missing.
        name: The user's name.
        password: The password.
        cost: The cost of a try, as for `password_hash`.

    Returns:
        Whether the user is new.

    Raises:
        ArgumentError: The name or the password does not fit.
        ConfigError: The file holds something else.
        OSError: The file cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise ArgumentError(
            f"--add-user: found {name[:80]!r}; expected a name of letters, digits and . _ @ + -, at most 64."
        )
    users = read_users(path) if path.exists() and path.stat().st_size else {}
    is_new = name not in users
    _write_users(path, {**users, name: password_hash(password, cost)})
    return is_new


def _write_users(path: Path, users: Mapping[str, str]) -> None:
    before = os.umask(0o077)
    try:
        write_text(path, "".join(f"{name}:{hashed}\n" for name, hashed in users.items()))
    finally:
        os.umask(before)
    path.chmod(0o600)


def _derived(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    memory = 128 * block * (cost + parallel + 2)
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=block, p=parallel, maxmem=memory, dklen=32)


def _is_hash(hashed: str) -> bool:
    try:
        cost, block, parallel, _, derived = _parts(hashed)
    except ValueError:  # base64's error is one, too
        return False
    is_power = 1 < cost <= _LARGEST_COST and cost & (cost - 1) == 0
    return is_power and 1 <= block <= 32 and 1 <= parallel <= 16 and len(derived) == 32


def _parts(hashed: str) -> tuple[int, int, int, bytes, bytes]:
    kind, cost, block, parallel, salt, derived = hashed.split("$")
    if kind != "scrypt":
        raise ValueError(f"password: found {kind!r}; expected scrypt.")
    decode = base64.b64decode
    return int(cost), int(block), int(parallel), decode(salt, validate=True), decode(derived, validate=True)
