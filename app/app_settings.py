"""The settings of the app."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from euromine.monitoring.mapping.engine_choice import EngineChoice
from euromine.support.errors import ArgumentError

LOCALHOST, USUAL_PORT = "127.0.0.1", 7860
_PLACEHOLDERS = ("{z}", "{x}", "{y}")


@dataclass(frozen=True)
class Basemap:
    """Tiles of another server, which then learns the places that are looked at.

    Attributes:
        url: Address of a tile with {z}, {x} and {y}, such as "https://tile.openstreetmap.org/{z}/{x}/{y}.png".
        attribution: The credit that its licence asks for.

    Raises:
        ArgumentError: The address is no https address with all three placeholders, or there is no credit.
    """

    url: str
    attribution: str

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme != "https" or not parts.hostname or any(sign in self.url for sign in " ;,'\"<>"):
            raise ArgumentError(f"basemap: found {self.url!r}; expected an address, https://...")
        missing = [each for each in _PLACEHOLDERS if each not in self.url]
        if missing:
            raise ArgumentError(
                f"basemap: found no {' and no '.join(missing)} in {self.url!r}; expected the address of a "
                "tile, such as https://tile.openstreetmap.org/{z}/{x}/{y}.png."
            )
        if not self.attribution.strip():
            raise ArgumentError(
                "basemap_attribution: found no text; expected the credit that the tiles' licence asks for."
            )

    @property
    def host(self) -> str:
        """Scheme, name and port of the server, for the Content-Security-Policy."""
        parts = urlsplit(self.url)
        # {s} stands for a subdomain.
        return f"https://{parts.netloc.replace('{s}', '*')}"


@dataclass(frozen=True)
class HubSignIn:
    """Signing in with the Hugging Face Hub, in a Space with `hf_oauth: true`.

    Attributes:
        client: The id of the Space's OAuth application.
        secret: Its secret.
        provider: The Hub's address.
        members: Names of users and organisations that may sign in.
        host: The Space's host; "" for that of the request.
    """

    client: str
    secret: str = field(repr=False)
    provider: str
    members: tuple[str, ...]
    host: str = ""


@dataclass(frozen=True)
class AppSettings:
    """The settings of the app.

    Attributes:
        folder: The folder of the sites, and of a watch.
        images: A folder with the sites' images; None to look for them in `folder` alone.
        title: The title of the pages.
        host: The address to listen on.
        port: The port to listen on; 0 for any.
        address: The address that visitors use where a proxy is in front, such as "https://mines.example.org".
        users: The hash of the password of each user (`password_hash`); empty without signing in.
        hub: Signing in with the Hub; None without.
        watch: The configuration of the watch, for reviews of its alerts.
        uploads: Whether visitors may upload images.
        largest_upload: The size of all files of an upload in bytes, at most.
        job_memory: Memory in bytes of the process that maps uploaded images, at most; None for half of the
            machine's.
        job_seconds: Its time in seconds, at most.
        models: Folders or Hub repositories of the models for uploaded images.
        engine: Their engine and precision.
        basemap: Tiles of another server; None for no basemap.
        workers: The largest number of pictures and answers computed at the same time; None for the cores.
        is_space: Whether this is a Space on the Hub.
        in_notebook: Whether notebooks of this machine show the app in a frame.
    """

    folder: Path
    images: Path | None = None
    title: str = "EuroMine"
    host: str = LOCALHOST
    port: int = USUAL_PORT
    address: str | None = None
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    hub: HubSignIn | None = None
    watch: Path | None = None
    uploads: bool = False
    largest_upload: int = 2 * 2**30
    job_memory: int | None = None
    job_seconds: float = 6 * 3600.0
    models: tuple[str, ...] = ()
    engine: EngineChoice = field(default_factory=EngineChoice)
    basemap: Basemap | None = None
    workers: int | None = None
    is_space: bool = False
    in_notebook: bool = False

    @property
    def has_sign_in(self) -> bool:
        """Whether visitors have to sign in."""
        return bool(self.users) or self.hub is not None

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the app."""
        return not self.is_space and is_loopback(self.host)

    @property
    def may_change(self) -> bool:
        """Whether reviews and uploads are open to a visitor who is let in: to known people, or locally."""
        return self.has_sign_in or self.is_local


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine alone."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
