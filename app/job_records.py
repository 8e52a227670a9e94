"""Jobs as JSON records: the images, model and options of an upload, and the state of its run."""

from __future__ import annotations

import re
import secrets
import unicodedata
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from euromine.monitoring.mapping.engine_choice import EngineChoice
from euromine.support.errors import ArgumentError, RecordError
from euromine.support.records import values_from_bytes

State = Literal["waiting", "running", "done", "failed", "cancelled"]
ENDED: tuple[State, ...] = ("done", "failed", "cancelled")

# Without digits and vowels: an id in a file's name is taken neither for a year nor for a word.
_ID_LETTERS = "bcdfghjkmnpqrstvwxz"
_ID = re.compile(f"[{_ID_LETTERS}]{{12}}")
_FIRST_YEAR, _LAST_YEAR = 1980, 2100
_LONGEST_NAME = 80
_LONGEST_TEXT = 500

BUG = "The job failed by a bug in EuroMine. The server's log has its traceback; please report it."
"""The sentence of a job that failed by a bug."""


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """The options of a series that a visitor may choose; None for its default.

    Attributes:
        bands: Names of the files' bands in their order, separated by commas; "-" for others.
        scale: 0.0001 for reflectance times 10,000, 1 for reflectance from 0 to 1.
        offset: Added to the files' numbers to get reflectance: -1000 from baseline 04.00 on, else 0.
        nodata: The number that marks pixels without data.
        level: The processing level, "l1c" or "l2a".
        override: Whether these replace the files' own metadata.
        keep_clouds: Whether clouds are mapped as ground.
        indices: Spectral indices, such as "ndvi,mndwi" or "all".
        smoothing: "viterbi", "median" or "none".
        pairs: The pairs of years to compare: "all", "consecutive" or "first-last".
        extent: "intersection" or "union" of the years' ground.
        threshold: The probability above which a pixel is mined.
        minimum_mapping_unit: Hectares; smaller polygons are left out.
    """

    bands: str | None = None
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None
    level: str | None = None
    override: bool = False
    keep_clouds: bool = False
    indices: str | None = None
    smoothing: Literal["viterbi", "median", "none"] | None = None
    pairs: Literal["all", "consecutive", "first-last"] = "all"
    extent: Literal["intersection", "union"] = "intersection"
    threshold: float = 0.5
    minimum_mapping_unit: float = 0.0


@dataclass(frozen=True, kw_only=True)
class JobImage:
    """An uploaded image.

    Attributes:
        file: The name that the app gave the file.
        year: Its year.
        name: The visitor's name for it, for messages only.
        size: Bytes.
    """

    file: str
    year: int
    name: str
    size: int


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """`job.json`: a job and its state.

    Attributes:
        id: Its id.
        name: The name of the site.
        model: The folder or repository of the model.
        images: Of each year, in their order.
        options: The options of the series.
        engine: The engine and precision of the model.
        created: Seconds since 1970.
        state: "waiting", "running", "done", "failed" or "cancelled".
        starts: How often it was started since the server last ended in order.
        error: The reason why it failed, a sentence; "" otherwise.
        result: Folder of its series below the app's folder; "" until it is done.
        ended: Seconds since 1970; None until it ends.
        user: The person who signed in; None without signing in.
    """

    id: str
    name: str
    model: str
    images: list[JobImage]
    options: JobOptions = field(default_factory=JobOptions)
    engine: EngineChoice = field(default_factory=EngineChoice)
    created: float
    state: State = "waiting"
    starts: int = 0
    error: str = ""
    result: str = ""
    ended: float | None = None
    user: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing remains to be done."""
        return self.state in ENDED


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """`outcome.json`: the end of a job's process, written by that process.

    Attributes:
        error: A sentence; "" for success.
        is_bug: Whether the error is one of EuroMine, whose traceback is in the log.
    """

    error: str = ""
    is_bug: bool = False


@dataclass(frozen=True, kw_only=True)
class JobProgress:
    """The progress of a running job.

    Attributes:
        step: The step in words of the series, such as "map 2019"; "" before the first.
        share: The finished share of all steps, 0 to 1, an estimate.
    """

    step: str = ""
    share: float = 0.0


def new_job_id() -> str:
    """A random id that is safe in addresses and names of files."""
    return "".join(secrets.choice(_ID_LETTERS) for _ in range(12))


def is_job_id(text: str) -> bool:
    """Whether a text may be the id of a job."""
    return _ID.fullmatch(text) is not None


def parse_options(text: str) -> JobOptions:
    """The options of a job from JSON.

    Raises:
        ArgumentError: It is no JSON object, or an option is unknown or of another type.
    """
    if not text.strip():
        return JobOptions()
    try:
        given = values_from_bytes(dict[str, Any], text.encode("utf-8", "replace"), "options")
        unknown = sorted(set(given) - set(JobOptions.__dataclass_fields__))
        if unknown:
            raise ArgumentError(
                f"options: found {unknown[0][:40]!r}; expected some of "
                f"{', '.join(JobOptions.__dataclass_fields__)}."
            )
        options: JobOptions = values_from_bytes(JobOptions, text.encode("utf-8", "replace"), "options")
    except RecordError as error:
        raise ArgumentError(str(error)) from None
    long = [name for name, value in asdict(options).items() if len(str(value)) > _LONGEST_TEXT]
    if long:
        raise ArgumentError(f"options: found a long text for {long[0]}; expected a short one.")
    return options


def checked_name(text: str) -> str:
    """The name of a site that a visitor chose, in one line.

    Raises:
        ArgumentError: It is empty, too long, or holds characters that cannot be printed.
    """
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name:
        raise ArgumentError("name: found nothing; expected the name of the site.")
    if len(name) > _LONGEST_NAME:
        raise ArgumentError(
            f"name: found {len(name)} characters; expected at most {_LONGEST_NAME}. Choose a shorter name."
        )
    if any(unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Co", "Cn") for sign in name):
        raise ArgumentError(
            "name: found a character that cannot be printed; expected letters, digits and punctuation."
        )
    return name


def shown_name(text: str) -> str:
    """A visitor's name for a file, shortened and printable, for messages only."""
    last = re.split(r"[/\\]", text)[-1]
    printable = "".join(sign if sign.isprintable() else "?" for sign in last)
    return printable[:_LONGEST_NAME] or "image"


def parse_year(text: str, file: str) -> int:
    """The year of an uploaded image.

    Raises:
        ArgumentError: It is no year.
    """
    digits = text.strip()
    if not (re.fullmatch(r"[0-9]{4}", digits) and _FIRST_YEAR <= int(digits) <= _LAST_YEAR):
        raise ArgumentError(
            f"years: found {digits[:20]!r} for {file}; expected a year from {_FIRST_YEAR} to {_LAST_YEAR}."
        )
    return int(digits)
