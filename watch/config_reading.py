"""Reading a watch's configuration: YAML, a sentence for each mistake, and a JSON Schema."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from euromine.support.errors import ConfigError
from euromine.support.model_sources import names_folder
from euromine.support.strict_documents import read_document

from .watch_config import VARIABLE, Rules, WatchConfig

# The expected value in words, by pydantic's kind of mistake.
_EXPECTED = {
    "too_short": "at least {min_length}",
    "string_too_short": "text",
    "string_too_long": "at most {max_length} characters",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
    "string_type": "text",
    "string_pattern_mismatch": "an address such as name@example.org",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "mapping_type": "fields",
    "path_type": "a path",
    "model_type": "fields",
}
_LONGEST_VALUE = 60


def read_config(path: str | os.PathLike[str]) -> WatchConfig:
    """Read the configuration of a watch. Paths in it are relative to its own folder.

    Raises:
        ConfigError: The file is no YAML, or a value does not fit: a sentence for each mistake.
        OSError: It cannot be read.
    """
    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(f"{source}: there is no such file; expected the configuration of a watch.")
    if not source.is_file():
        raise ConfigError(f"{source}: found no regular file; expected the configuration of a watch.")
    document = read_document(source, "the configuration of a watch", ConfigError)
    if not isinstance(document, Mapping):
        raise ConfigError(f"{source}: found no fields; expected sites and a model, such as in docs/watch.md.")
    config = _in_folder(parse_config(document, str(source)), source.absolute().parent)
    return config.with_source(source.resolve())


def parse_config(document: Mapping[str, Any], source: str) -> WatchConfig:
    """The configuration in a parsed document.

    Args:
        document: The document.
        source: Its name, for errors.

    Raises:
        ConfigError: A value does not fit.
    """
    from pydantic import ValidationError

    try:
        return WatchConfig.model_validate(document)
    except ValidationError as error:
        raise ConfigError("\n".join(_sentences(source, error.errors()))) from None


def _sentences(source: str, mistakes: Sequence[Mapping[str, Any]]) -> list[str]:
    """The mistakes that pydantic found, a sentence each."""
    places = [tuple(mistake["loc"]) for mistake in mistakes]
    # A list whose entries are wrong is also reported as too short.
    return [
        _sentence(source, mistake)
        for mistake, place in zip(mistakes, places, strict=True)
        if mistake["type"] != "too_short"
        or not any(other[: len(place)] == place and len(other) > len(place) for other in places)
    ]


def _sentence(source: str, mistake: Mapping[str, Any]) -> str:
    place = (*mistake["loc"], *mistake.get("ctx", {}).get("place", ()))
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    subject = f"{source}, {where.removeprefix('.')}" if where else source
    kind, words = mistake["type"], str(mistake["msg"])
    if kind == "missing":
        return f"{subject}: found nothing; expected a value."
    if kind not in _EXPECTED and "found" in words:  # the validators' own words
        return f"{subject}: {words}."
    pattern = mistake.get("ctx", {}).get("pattern")
    if pattern == VARIABLE:  # perhaps the secret itself
        return f"{subject}: found no name of an environment variable; expected one, such as SMTP_PASSWORD."
    shown = _as_written(mistake["input"])
    expected = _EXPECTED.get(kind, words[:1].lower() + words[1:]).format(**mistake.get("ctx", {}))
    return f"{subject}: found {shown}; expected {expected}."


def _as_written(value: Any) -> str:
    """A value as YAML writes it, shortened."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    shown = repr(value)
    return shown if len(shown) <= _LONGEST_VALUE else f"{shown[: _LONGEST_VALUE - 3]}..."


def _in_folder(config: WatchConfig, folder: Path) -> WatchConfig:
    """The configuration with absolute paths."""

    def placed(path: Path | None) -> Path | None:
        return None if path is None else folder / path

    def model(name: str | None) -> str | None:
        if name is None or not ((folder / name).is_dir() or names_folder(name, folder)):
            return name
        return str(folder / name)

    sites = []
    for site in config.sites:
        acquire = site.acquire
        if acquire is not None:
            acquire = acquire.model_copy(update={"geometry": placed(acquire.geometry)})
        sites.append(
            site.model_copy(
                update={
                    "images": placed(site.images),
                    "acquire": acquire,
                    "permits": placed(site.permits),
                    "model": model(site.model or config.model),
                    "change_model": model(site.change_model or config.change_model),
                    "engine": site.engine or config.engine,
                    "precision": site.precision or config.precision,
                    "force_precision": config.force_precision
                    if site.force_precision is None
                    else site.force_precision,
                    "rules": _merged_rules(config.rules, site.rules),
                }
            )
        )
    return config.model_copy(
        update={"folder": folder / config.folder, "model": model(config.model), "sites": tuple(sites)}
    )


def _merged_rules(common: Rules, own: Rules | None) -> Rules:
    """The rules of a site: its own where it has some, else the common ones."""
    if own is None:
        return common
    return common.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})


def config_schema() -> dict[str, Any]:
    """The JSON Schema of a configuration, by which editors complete and check it."""
    schema = WatchConfig.model_json_schema()
    _allow_switches(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _allow_switches(schema: dict[str, Any]) -> None:
    """Let each rule be true or false, too."""
    for rule in schema["$defs"]["Rules"]["properties"].values():
        rule["anyOf"] = [*rule.get("anyOf", []), {"type": "boolean"}]
