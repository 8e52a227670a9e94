"""STAC catalogues of Sentinel imagery: their addresses, their links and the signatures of links."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from euromine.support.errors import ArgumentError, MissingExtraError, SceneError, missing_extra
from euromine.support.processing_levels import Level

EARTH_SEARCH = "https://earth-search.aws.element84.com/v1"
PLANETARY_COMPUTER = "https://planetarycomputer.microsoft.com/api/stac/v1"

RADAR_COLLECTION = "sentinel-1-rtc"
"""Backscatter with terrain corrected (gamma nought), as power, in UTM."""

_COLLECTIONS: dict[Level, tuple[str, ...]] = {
    # Collection 1 is reprocessed consistently, but has gaps that the older collection fills.
    "L2A": ("sentinel-2-c1-l2a", "sentinel-2-l2a"),
    "L1C": ("sentinel-2-l1c",),
}
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Catalogue:
    """A STAC API and the collections to search in it.

    Attributes:
        name: Its name in messages and records.
        url: The root of its API.
        collections: Searched together; duplicates are removed later.
        checks_collections: Whether to look up first which of the collections it has.
    """

    name: str
    url: str
    collections: tuple[str, ...]
    checks_collections: bool = False

    @property
    def needs_signature(self) -> bool:
        """Whether its links need a token."""
        return urlsplit(self.url).hostname == urlsplit(PLANETARY_COMPUTER).hostname


def optical_catalogues(name: str, level: Level) -> tuple[Catalogue, ...]:
    """The catalogues to search for scenes of a year, in turn until one has some.

    Args:
        name: "earth-search", "planetary-computer" or the URL of a STAC API.
        level: The processing level of the scenes.

    Raises:
        ArgumentError: There is no such catalogue, or it has no scenes of this level that can be read.
    """
    if name not in ("earth-search", "planetary-computer"):
        return (_own_catalogue(name, _COLLECTIONS[level]),)
    if level == "L1C":
        raise ArgumentError(
            f"level: found l1c with {name}, which offers it as JPEG 2000 behind a paywall or not at all; "
            "expected l2a. Give --catalogue the URL of a STAC API with L1C as cloud-optimised GeoTIFFs."
        )
    known = (
        Catalogue("earth-search", EARTH_SEARCH, _COLLECTIONS["L2A"]),
        Catalogue("planetary-computer", PLANETARY_COMPUTER, ("sentinel-2-l2a",)),
    )
    return known if name == "earth-search" else known[::-1]


def radar_catalogue(name: str) -> Catalogue:
    """The catalogue to search for backscatter: Planetary Computer, or the user's own.

    Args:
        name: As for `optical_catalogues`.

    Raises:
        ArgumentError: There is no such catalogue.
    """
    if name in ("earth-search", "planetary-computer"):
        return Catalogue("planetary-computer", PLANETARY_COMPUTER, (RADAR_COLLECTION,))
    return _own_catalogue(name, (RADAR_COLLECTION,))


def _own_catalogue(url: str, collections: Sequence[str]) -> Catalogue:
    if not is_trusted(url, host_of(url)):
        raise ArgumentError(
            f"catalogue: found {url!r}; expected earth-search, planetary-computer, or the URL of a STAC API "
            "that begins with https://."
        )
    return Catalogue(url.rstrip("/"), url.rstrip("/"), tuple(collections), checks_collections=True)


def check_link(href: Any, item: str, catalogue: Catalogue) -> str:
    """The link of an item's file, if it may be followed.

    Links must be https, so that none of a catalogue's links reads a local file, a VRT or an archive. Plain
    http is for links to this machine from a catalogue on it.

    Args:
        href: The link.
        item: The item, for the error.
        catalogue: Where the item was found.

    Raises:
        SceneError: The link leads elsewhere.
    """
    if not isinstance(href, str) or not is_trusted(href, host_of(catalogue.url)):
        raise SceneError(
            f"{item}: found the link {str(href)[:100]!r}; expected one that begins with https://."
        )
    return href


def is_trusted(url: str, known_host: str | None) -> bool:
    """Whether to send requests to an address: https to the public network or to a host that the user chose.

    Args:
        url: The address.
        known_host: The host of the catalogue, or of a trusted link. If it is this machine, all of its servers
            are trusted, also without https.
    """
    if any(sign.isspace() or not sign.isprintable() for sign in url):
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port  # raises ValueError for an invalid port
    except ValueError:
        return False
    if parts.username or parts.password or not host:
        return False
    if host in _LOOPBACK_NAMES:
        return known_host in _LOOPBACK_NAMES and parts.scheme in ("http", "https")
    return parts.scheme == "https" and (host == known_host or not _is_private(host))


def host_of(url: str) -> str | None:
    """The host of an address; None where it has none."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _is_private(host: str) -> bool:
    """Whether a host is an IP address outside the public network."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def signed_link(href: str, needs_signature: bool) -> str:
    """A link with a token, where it needs one. Tokens last some 45 minutes, so sign just before opening.

    Args:
        href: A link that `check_link` has passed.
        needs_signature: `Catalogue.needs_signature`.

    Raises:
        MissingExtraError: planetary-computer is not installed.
        OSError: Planetary Computer issues no token.
    """
    if not needs_signature:
        return href
    try:
        import planetary_computer
    except ImportError as error:
        raise missing_acquire(error) from None
    import requests

    try:
        return str(planetary_computer.sign_url(href))  # reuses a token until it expires
    except requests.RequestException as error:
        raise OSError(
            f"Planetary Computer gives out no token for {urlsplit(href).hostname} ({type(error).__name__}). "
            "Try again later, or set PC_SDK_SUBSCRIPTION_KEY to a key of your own."
        ) from error


def missing_acquire(error: ImportError) -> MissingExtraError:
    """The error for a missing dependency of acquisition."""
    return missing_extra("acquire", error.name or "pystac-client")
