"""The configuration of a watch: sites, models, rules and recipients."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from euromine.monitoring.mapping.engine_choice import (
    AUTO,
    FLOAT32,
    EngineChoice,
    EngineName,
    PrecisionName,
)
from euromine.support.errors import ArgumentError, missing_extra
from euromine.support.near_names import nearest_name

try:
    from pydantic import (
        BaseModel,
        BeforeValidator,
        ConfigDict,
        Field,
        PrivateAttr,
        field_validator,
        model_validator,
    )
    from pydantic_core import PydanticCustomError
except ImportError as error:
    raise missing_extra("watch", "pydantic", "watch") from error

Event = Literal["suspected", "confirmed", "grown", "resolved"]
# Strict, as `true` would be 1 and "3" be 3.
Number = Annotated[float, Field(strict=True)]
WholeNumber = Annotated[int, Field(strict=True)]
Switch = Annotated[bool, Field(strict=True)]
Hectares = Annotated[Number, Field(gt=0, lt=1e6, description="Hectares.")]
# Capitals alone, as a password in place of a name would reach logs and the state.
VARIABLE = r"^[A-Z_][A-Z0-9_]*$"
Variable = Annotated[str, Field(pattern=VARIABLE, description="The name of an environment variable.")]
ADDRESS = r"^[^@\s,;<>]+@[^@\s,;<>]+$"
Address = Annotated[str, Field(pattern=ADDRESS, description="Such as name@example.org.")]
# Fields that people write where the name of an environment variable belongs.
_SECRETS = {"password": "password_env", "secret": "secret_env", "token": "secret_env", "key": "secret_env"}


class _Part(BaseModel):
    """A part of the configuration: unknown fields are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        for name in given:
            if name in cls.model_fields:
                continue
            if name in _SECRETS and _SECRETS[name] in cls.model_fields:
                raise PydanticCustomError(
                    "secret",
                    "found the field {name}; expected {instead}, the name of an environment variable. "
                    "Secrets do not belong in a file",
                    {"name": str(name), "instead": _SECRETS[name]},
                )
            near = nearest_name(str(name), cls.model_fields)
            raise PydanticCustomError(
                "unknown",
                "found unknown field {name}; expected {fields}{hint}",
                {
                    "name": repr(name),
                    "fields": ", ".join(cls.model_fields),
                    "hint": "" if near is None else f". The nearest is {near}",
                },
            )
        return given


class OutsidePermit(_Part):
    """A new part of a mine outside all outlines of permits."""

    hectares: Hectares = 0.5


class Growth(_Part):
    """A gain of mined ground between two images, the whole site together."""

    hectares: Hectares = 1.0


class WaterGrowth(_Part):
    """More water within the mine than in the image before, by so many hectares and percent at least."""

    hectares: Hectares = 0.5
    percent: Annotated[Number, Field(gt=0, description="Percent of the earlier area.")] = 20.0


class ReclamationStalled(_Part):
    """Ground that was mined, has not recovered, and has gained nothing for three years."""

    hectares: Hectares = 0.5


class NoData(_Part):
    """No usable image for a long time."""

    days: Annotated[WholeNumber, Field(ge=1, le=36500, description="Days since the latest image.")] = 400


class Rules(_Part):
    """The rules of a site. `false` turns a rule off."""

    outside_permit: OutsidePermit | None = OutsidePermit()
    growth: Growth | None = Growth()
    water_growth: WaterGrowth | None = WaterGrowth()
    reclamation_stalled: ReclamationStalled | None = ReclamationStalled()
    no_data: NoData | None = NoData()

    @field_validator("*", mode="before")
    @classmethod
    def _switch(cls, given: Any) -> Any:
        return None if given is False else {} if given is True else given


def _with_values(rules: Any) -> Any:
    """Rules of a file. One without a value, which YAML reads as null, has its defaults."""
    if not isinstance(rules, Mapping):
        return rules
    return {name: True if value is None else value for name, value in rules.items()}


WrittenRules = Annotated[Rules, BeforeValidator(_with_values)]


class Acquisition(_Part):
    """A source of yearly composites, as for `euromine acquire`."""

    bbox: tuple[Number, Number, Number, Number] | None = Field(
        default=None, description="West, south, east and north in degrees."
    )
    geometry: Path | None = Field(default=None, description="A vector file with the site's outline.")
    since: WholeNumber = Field(ge=2015, le=2999, description="The first year.")
    months: tuple[Annotated[WholeNumber, Field(ge=1, le=12)], ...] = Field((6, 7, 8), min_length=1)
    catalogue: str = "earth-search"
    level: Literal["l2a", "l1c"] = "l2a"
    scenes: WholeNumber = Field(8, ge=1, le=100, description="Satellite passes for each composite.")
    fill: Literal["least-cloudy", "nodata"] = "least-cloudy"
    margin: Number = Field(500.0, ge=0, description="Metres around the outline.")

    @model_validator(mode="after")
    def _one_place(self) -> Acquisition:
        if (self.bbox is None) == (self.geometry is None):
            found = "neither bbox nor geometry" if self.bbox is None else "bbox and geometry"
            raise PydanticCustomError("place", "found {found}; expected one of them", {"found": found})
        return self


class Site(_Part):
    """A site: images that lie there, or a source of them."""

    name: str = Field(min_length=1, max_length=100)
    images: Path | None = Field(
        default=None, description="A folder with one image per year, such as a site of an archive."
    )
    acquire: Acquisition | None = None
    model: str | None = Field(
        default=None, description="A folder or Hub repository, instead of the common one."
    )
    change_model: str | None = None
    engine: EngineName | None = Field(default=None, description="An engine instead of the common one.")
    precision: PrecisionName | None = Field(
        default=None, description="A precision instead of the common one."
    )
    force_precision: Switch | None = Field(default=None, description="Instead of the common choice.")
    permits: Path | None = Field(default=None, description="A vector file with the outlines of permits.")
    permit_layers: tuple[str, ...] = ()
    minimum_mapping_unit: Number = Field(0.1, ge=0, description="Hectares; smaller polygons are left out.")
    rules: WrittenRules | None = None
    recipients: tuple[str, ...] | None = Field(
        default=None, description="Names of recipients; by default all."
    )

    @field_validator("name")
    @classmethod
    def _folder_name(cls, name: str) -> str:
        if (
            name in (".", "..")
            or not name.isprintable()
            or set(name) & set('\\/:*?"<>|')
            or name != name.strip()
        ):
            raise PydanticCustomError(
                "name",
                "found {name}; expected the name of a folder, such as Germany_12",
                {"name": repr(name)},
            )
        return name

    @property
    def engine_choice(self) -> EngineChoice:
        """The engine and precision of its models, once the common ones were filled in."""
        return EngineChoice(self.engine or AUTO, self.precision or FLOAT32, bool(self.force_precision))

    @model_validator(mode="after")
    def _one_source(self) -> Site:
        if (self.images is None) == (self.acquire is None):
            found = "neither images nor acquire" if self.images is None else "images and acquire"
            raise PydanticCustomError("source", "found {found}; expected one of them", {"found": found})
        return self


class Mail(_Part):
    """Mail by SMTP. The password comes from the environment."""

    to: tuple[Address, ...] = Field(min_length=1)
    sender: Address
    host: str = Field(min_length=1)
    port: WholeNumber = Field(587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password_env: Variable | None = None
    timeout: Number = Field(30.0, gt=0, le=600, description="Seconds.")

    @model_validator(mode="after")
    def _safe_password(self) -> Mail:
        if (self.user is None) != (self.password_env is None):
            found = "user without password_env" if self.password_env is None else "password_env without user"
            raise PydanticCustomError("signing", "found {found}; expected both or neither", {"found": found})
        if self.user is not None and self.security == "none":
            raise PydanticCustomError(
                "unencrypted",
                "found security none with a user; expected starttls or tls, as the password "
                "would travel unencrypted",
            )
        return self


class Webhook(_Part):
    """A webhook: CloudEvents by POST, signed if there is a secret."""

    url: str | None = Field(default=None, description="Its address, if it holds no secret.")
    url_env: Variable | None = None
    secret_env: Variable | None = Field(
        default=None, description="The variable with the key of the signature."
    )
    timeout: Number = Field(30.0, gt=0, le=600, description="Seconds.")

    @model_validator(mode="after")
    def _one_address(self) -> Webhook:
        if (self.url is None) == (self.url_env is None):
            found = "neither url nor url_env" if self.url is None else "url and url_env"
            raise PydanticCustomError("address", "found {found}; expected one of them", {"found": found})
        if self.url is not None and (problem := address_problem(self.url)):
            raise PydanticCustomError("address", "url: {problem}", {"problem": problem})
        return self


class Recipient(_Part):
    """A person or program that is told of alerts, by mail or by webhook."""

    name: str = Field(min_length=1, max_length=100)
    mail: Mail | None = None
    webhook: Webhook | None = None
    # Most suspected alerts are false (docs/benchmarks/false_alerts.md).
    events: tuple[Event, ...] = Field(("confirmed", "resolved"), min_length=1)

    @model_validator(mode="after")
    def _one_channel(self) -> Recipient:
        if (self.mail is None) == (self.webhook is None):
            found = "neither mail nor webhook" if self.mail is None else "mail and webhook"
            raise PydanticCustomError("channel", "found {found}; expected one of them", {"found": found})
        return self


class Feed(_Part):
    """The Atom feed of all alerts."""

    title: str = "Alerts of mining sites"
    link: str | None = Field(default=None, description="The address at which the folder is published.")


class WatchConfig(_Part):
    """The configuration of a watch."""

    folder: Path = Field(Path("watch"), description="State, maps, pictures and feeds.")
    model: str | None = Field(default=None, description="A footprint mapper: a folder or a Hub repository.")
    change_model: str | None = None
    engine: EngineName = Field(
        "auto",
        description="What runs the models. auto: the quickest of PyTorch and OpenVINO that is exact.",
    )
    precision: PrecisionName = Field("float32", description="Of the models. Only float32 is exact.")
    force_precision: Switch = Field(
        False, description="Take a precision that was measured to lose more than half a point of F1."
    )
    rules: WrittenRules = Rules()
    sites: tuple[Site, ...] = Field(min_length=1)
    recipients: tuple[Recipient, ...] = ()
    feed: Feed = Feed()
    _source: Path | None = PrivateAttr(default=None)

    @property
    def source(self) -> Path | None:
        """The file that it was read from."""
        return self._source

    def with_source(self, path: Path) -> WatchConfig:
        """The same configuration, as read from a file."""
        copy = self.model_copy()
        copy._source = path
        return copy

    @model_validator(mode="after")
    def _engines(self) -> WatchConfig:
        parts: list[tuple[tuple[str | int, ...], WatchConfig | Site]] = [((), self)]
        parts += [(("sites", number), site) for number, site in enumerate(self.sites)]
        for place, part in parts:
            try:
                EngineChoice(part.engine or self.engine, part.precision or self.precision)
            except ArgumentError as error:
                field, _, problem = str(error).removesuffix(".").partition(": ")
                raise PydanticCustomError(
                    "engine", "{problem}", {"problem": problem, "place": (*place, field)}
                ) from error
        return self

    @model_validator(mode="after")
    def _references(self) -> WatchConfig:
        names = [site.name.casefold() for site in self.sites]
        recipients = [recipient.name for recipient in self.recipients]
        for kind, given in (("site", names), ("recipient", recipients)):
            if twice := [name for place, name in enumerate(given) if name in given[:place]]:
                raise PydanticCustomError(
                    "twice",
                    "found {kind} {name} twice; expected it once",
                    {"kind": kind, "name": repr(twice[0])},
                )
        for site in self.sites:
            if (site.model or self.model) is None:
                raise PydanticCustomError(
                    "model",
                    "found no model for site {name}; expected one, for the site or for all",
                    {"name": repr(site.name)},
                )
            for name in site.recipients or ():
                if name not in recipients:
                    raise PydanticCustomError(
                        "recipient",
                        "found recipient {name} of site {site}; expected one of {known}",
                        {
                            "name": repr(name),
                            "site": repr(site.name),
                            "known": ", ".join(recipients) or "none",
                        },
                    )
        return self


def address_problem(url: str, *, may_hold_secrets: bool = False) -> str | None:
    """The fault of a webhook's address, as found and expected; None in a sound one.

    It holds no part of the address but the scheme, as the address may be a secret.
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises on a port that is no number
    except ValueError:
        return "found text that is no address; expected https://..."
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or parts.scheme not in (("https", "http") if local else ("https",)):
        return f"found {parts.scheme or 'no scheme'}; expected https://..., or http:// of this machine"
    if not may_hold_secrets and (parts.username or parts.password or parts.query):
        return "found a password or parameters in the address; expected url_env, as they are secrets"
    return None
