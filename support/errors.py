"""Errors that a user can mend, and their one-line answer on the command line.

    EuroMineError(ValueError)
    ├── ArgumentError           an option or argument does not fit
    ├── DataError               a file or folder does not hold what was expected
    │   ├── ArchiveError        an archive of yearly images and labels
    │   ├── DatasetError        parquet shards, or a dataset on the Hub
    │   ├── RecordError         a JSON record such as run.json or series.json
    │   ├── SceneError          a user's image
    │   ├── GridError           a coordinate system, or grids that do not go together
    │   ├── PermitError         outlines of permits
    │   ├── AnnotationError     drawings of an annotation tool, or outlines as labels
    │   ├── ConfigError         the configuration of a watch
    │   └── ReportTextError     a person's text for a report
    ├── BusyError               another run is at work in the same folder
    ├── ModelError              a checkpoint cannot be loaded, or does not do what was asked
    └── MissingExtraError       an optional dependency is missing (also an ImportError)

Every message reads `FILE OR ARGUMENT: found X; expected Y.`, followed by the option or command that mends it.
Programs answer `EuroMineError` and `OSError` in one line. Anything else is a bug and shows its traceback.
`modeling` and `metrics` ship alone and raise plain `ValueError`; `as_user_error` translates it where a
user's argument is handed to them.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from .interrupts import INTERRUPTED, say_interrupted

DEBUG_VARIABLE = "EUROMINE_DEBUG"
"""Environment variable that makes every program show tracebacks of user errors, too."""

_BUG = (
    "this is a bug in EuroMine. Please report it with the traceback above and the output of "
    "`euromine --version`; CONTRIBUTING.md says where."
)
# Characters of a long text before and after a name in it.
_SHOWN_AROUND = 200


class EuroMineError(ValueError):
    """Something that the user can mend. The message names the file or argument."""


class ArgumentError(EuroMineError):
    """An option or argument does not fit."""


class DataError(EuroMineError):
    """A file or folder does not hold what was expected."""


class ArchiveError(DataError):
    """An archive of yearly images and labels is incomplete, damaged or laid out differently."""


class DatasetError(DataError):
    """Parquet shards, or a dataset on the Hub, do not hold what was expected."""


class RecordError(DataError):
    """A JSON record that EuroMine writes is damaged, or was written by another version."""


class SceneError(DataError):
    """A user's image cannot be read, lacks a band or does not say what its numbers mean."""


class GridError(DataError):
    """A grid has no usable coordinate system, or grids do not go together."""


class PermitError(DataError):
    """Outlines of permits cannot be read or do not fit the place."""


class AnnotationError(DataError):
    """Drawings of an annotation tool, or outlines as labels, cannot be read or do not fit the archive."""


class ConfigError(DataError):
    """The configuration of a watch is no YAML, or a value does not fit."""


class ReportTextError(DataError):
    """A person's text for a report has an unknown field or section, or a logo that is no picture."""


class BusyError(EuroMineError):
    """Another run is at work in the same folder. The message names the process and its start."""


class ModelError(EuroMineError):
    """A checkpoint cannot be loaded, or does not do what was asked of it."""


class MissingExtraError(EuroMineError, ImportError):
    """An optional dependency is missing; the message names the extra that installs it."""


def missing_extra(extra: str, dependency: str, argument: str | None = None) -> MissingExtraError:
    """The error for a missing dependency.

    Args:
        extra: The extra that installs it.
        dependency: Its name.
        argument: The option or argument that needs it, by default the extra's name.
    """
    return MissingExtraError(
        f"{argument or extra}: found no {dependency} on this machine; expected the extra `{extra}`. "
        f"Install it with pip install 'euromine[{extra}]'."
    )


def with_advice(message: str, advice: str) -> str:
    """A message with a sentence of advice at its end, if there is any."""
    return f"{message} {advice}" if advice else message


@contextmanager
def as_user_error(subject: str, kind: type[EuroMineError] = ArgumentError) -> Iterator[None]:
    """Translate the plain `ValueError` of code that ships alone, or of a library, into a user error.

    Wrap only the call that receives the user's value: any `ValueError` inside becomes the user's mistake.

    Args:
        subject: The option, argument or file that the user gave.
        kind: The error to raise.

    Raises:
        EuroMineError: (`kind`) The code inside raised a `ValueError`. Errors that are user errors already
            pass unchanged.
    """
    try:
        yield
    except EuroMineError:
        raise
    except ValueError as error:
        words = one_line(error)
        raise kind(words if words.startswith(subject) else f"{subject}: {words}") from error


@contextmanager
def reported_errors(program: str, *, debug: bool = False) -> Iterator[None]:
    """Report what ends a program, as its user needs it.

    User errors, errors of the system and a lack of memory are one line on standard error and exit status 1.
    Anything else is a bug: its traceback is followed by a request to report it, exit status 1. Ctrl-C is one
    line, too, with the advice that `resumable` adds, and exit status 130.

    Args:
        program: The program's name, at the beginning of the line.
        debug: Show the traceback of user errors, too; `EUROMINE_DEBUG=1` does the same.

    Raises:
        SystemExit: Something went wrong.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        say_interrupted(program, str(interrupt))
        raise SystemExit(INTERRUPTED) from None
    except (EuroMineError, OSError) as error:
        if debug or debugging():
            traceback.print_exc()
        print(f"{program}: {one_line(error)}", file=sys.stderr)
        raise SystemExit(1) from None
    except MemoryError as error:  # no bug: a size that the user chose, or a machine that is too small
        if debug or debugging():
            traceback.print_exc()
        reason = f" ({one_line(error)})" if str(error) else ""
        print(f"{program}: there is not enough memory{reason}.", file=sys.stderr)
        raise SystemExit(1) from None
    except Exception as error:
        sentence = foreign_name_sentence(error)
        if sentence is None or debug or debugging():
            traceback.print_exc()
        print(f"{program}: {sentence or _BUG}", file=sys.stderr)
        raise SystemExit(1) from None


def foreign_name_sentence(error: BaseException) -> str | None:
    """The sentence for a file name that is not UTF-8, which few libraries take; None for other errors."""
    if not isinstance(error, UnicodeEncodeError) or error.reason != "surrogates not allowed":
        return None
    # Python writes each byte that it cannot decode as a surrogate. A whole record may hold the name.
    around = error.object[max(0, error.start - _SHOWN_AROUND) : error.end + _SHOWN_AROUND]
    name = around.encode("utf-8", "backslashreplace").decode()
    return f"{name}: found a name that is not UTF-8; expected UTF-8. Rename the file or the folder."


def debugging() -> bool:
    """Whether `EUROMINE_DEBUG` asks for tracebacks."""
    return os.environ.get(DEBUG_VARIABLE, "").lower() not in ("", "0", "false", "no")


def one_line(error: BaseException) -> str:
    """An error's message in one line; the system's own words where an `OSError` has them."""
    words = str(error)
    if isinstance(error, OSError) and error.strerror:
        names = [
            os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)
        ]
        words = f"{' -> '.join(names)}: {error.strerror}" if names else error.strerror
    return " ".join(words.split())
