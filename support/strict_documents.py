"""JSON and YAML that a person wrote, in which no key may repeat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .errors import DataError
from .files import read_bytes

_LARGEST_FILE = 2**20


def read_document(path: Path, expected: str, error_class: type[DataError] = DataError) -> Any:
    """Read a small JSON or YAML file.

    Args:
        path: The file, of a megabyte at most.
        expected: Its content in words, for errors: "names and values, such as ...".
        error_class: The error to raise.

    Returns:
        The parsed document. Keys of YAML are text as written, where YAML itself takes `no` for false.

    Raises:
        DataError: (`error_class`) It is neither JSON nor YAML, or a key repeats.
        OSError: The file cannot be read.
    """
    import yaml

    try:
        text = read_bytes(path, _LARGEST_FILE, error_class).decode("utf-8-sig")
        if text.lstrip().startswith(("{", "[")):
            return json.loads(text, object_pairs_hook=unrepeated)
        return yaml.load(text, Loader=_strict_loader())
    except DataError:
        raise
    except RepeatedKeyError as error:
        raise error_class(f"{path}: {error}") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:120].rstrip(".")
        raise error_class(
            f"{path}: found text that is neither JSON nor YAML ({reason}); expected {expected}."
        ) from None


class RepeatedKeyError(ValueError):
    """A key is there twice."""

    def __init__(self, key: Any, place: str = "") -> None:
        super().__init__(f"found the key {key!r} twice{place}; expected it once.")


def unrepeated(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """A dictionary of pairs, for `json.loads` as `object_pairs_hook`.

    Raises:
        RepeatedKeyError: A key repeats.
    """
    values: dict[Any, Any] = {}
    for key, value in pairs:
        if key in values:
            raise RepeatedKeyError(key)
        values[key] = value
    return values


def _strict_loader() -> Any:
    """YAML's safe loader, which refuses repeated keys."""
    import yaml

    class Strict(yaml.SafeLoader):
        pass

    def _key(node: Any) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise ValueError("keys: found a key that is no text; expected text.")
        return str(node.value)  # as written: YAML takes `no` for false

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if (name := _key(key)) in seen:
                raise RepeatedKeyError(name, f", the second time in line {key.start_mark.line + 1}")
            seen.add(name)
        loader.flatten_mapping(node)  # after the check: a key may replace one of `<<`
        return {_key(key): loader.construct_object(value, deep=True) for key, value in node.value}

    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    return Strict
