"""The contents of a model's repository: all that loads it elsewhere, and nothing about this machine."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from euromine.support.errors import ModelError, RecordError, with_advice
from euromine.support.records import read_record, record_from_bytes, record_to_json
from euromine.support.run_records import RESULTS_FILE, Protocol, RunResults
from euromine.support.weight_files import WEIGHTS_INDEX, weight_files, weights_digest

from .contents import CARD, Contents, PublishedFile, pictures, read_card, read_json, read_json_file

_CONFIG, _PROCESSOR = "config.json", "preprocessor_config.json"
# Absolute, in a home folder, or relative to the folder that training was started in.
_ABSOLUTE = re.compile(r"[/~\\]|\.{1,2}[/\\]|[A-Za-z]:[/\\]")
# Files of `euromine export`, whole ones only.
_EXPORTS = (
    "onnx/README.md",
    "onnx/model.onnx",
    "openvino/README.md",
    "openvino/model.xml",
    "openvino/model.bin",
    "openvino/int8/*/program.*",
)
_WEIGHTS_OF_EXPORT = re.compile(r"weights have the SHA-256 `([0-9a-f]{64})`")
_LONGEST_PATH = 4096
_RELATIVE_IMPORT = re.compile(r"^\s*from \.(\w+) import ", re.MULTILINE)
# Fields of a configuration that depend on the libraries' versions and on how training was started.
_VOLATILE = ("transformers_version", "dtype", "torch_dtype", "_name_or_path", "auto_map", "stem_init")


def model_contents(folder: str | os.PathLike[str], repository: str) -> Contents:
    """The files with which a model loads elsewhere, without this package; no optimiser states.

    Args:
        folder: The output folder of a train script, or of `save_pretrained` with a card beside it.
        repository: Its name on the Hub, which the card's example then loads.

    Raises:
        DataError: The folder, its card or `metrics.json` is incomplete or damaged.
        ModelError: The model is incomplete, truncated or inconsistent.
        OSError: A file cannot be read.
    """
    folder = Path(folder)
    config = read_json_file(folder, _CONFIG)
    if config is None or "bands" not in config:
        raise ModelError(f"{folder}: found no {_CONFIG} that names bands; expected a model of this project.")
    processor = read_json_file(folder, _PROCESSOR)
    if processor is None:
        raise ModelError(
            f"{folder}: found no {_PROCESSOR}; expected the image processor, which holds the normalisation. "
            "Its save_pretrained writes it."
        )
    results = read_record(RunResults, folder / RESULTS_FILE) if (folder / RESULTS_FILE).exists() else None
    card = read_card(folder)
    if results is not None and results.model.folder:
        card = card.replace(f'"{results.model.folder}"', f'"{repository}"')
    files = [
        PublishedFile(CARD, card.encode()),
        *(PublishedFile(name, folder / name) for name in (_CONFIG, _PROCESSOR)),
        *(PublishedFile(path.name, path) for path in weight_files(folder)),
        *(PublishedFile(path.name, path) for path in _remote_code(folder, config, processor)),
        *pictures(folder, card),
        *_exports(folder),
    ]
    if results is not None:
        files.append(PublishedFile(RESULTS_FILE, _without_paths(results, repository)))
    return Contents(
        repo_type="model",
        title=f"the model in {folder}",
        files=tuple(files),
        owned=("model*.safetensors", WEIGHTS_INDEX, *_EXPORTS),
        identity=(_CONFIG, RESULTS_FILE),
        difference=lambda found: _difference(config, results, found),
    )


def _exports(folder: Path) -> Iterator[PublishedFile]:
    """The files that `euromine export` added to a checkpoint.

    Raises:
        ModelError: An export is of other weights than the checkpoint's.
    """
    for name in ("onnx", "openvino"):
        card = folder / name / CARD
        stated = _WEIGHTS_OF_EXPORT.search(card.read_text(encoding="utf-8")) if card.is_file() else None
        if stated is not None and stated[1] != weights_digest(folder):
            raise ModelError(
                with_advice(
                    f"{card.parent}: found an export of other weights; expected one of this checkpoint.",
                    f"`euromine export {folder} --format {name}` makes it again.",
                )
            )
    for pattern in _EXPORTS:
        for path in sorted(folder.glob(pattern)):
            yield PublishedFile(path.relative_to(folder).as_posix(), path)


def results_among(found: Mapping[str, bytes]) -> RunResults | None:
    """The results among the files of a repository; None where none of our train scripts wrote any."""
    try:
        return record_from_bytes(RunResults, found[RESULTS_FILE], RESULTS_FILE)
    except (KeyError, RecordError):
        return None


def _difference(
    config: Mapping[str, Any], results: RunResults | None, found: Mapping[str, bytes]
) -> str | None:
    there = read_json(found.get(_CONFIG))
    if there is None:
        return "no model, but other files"
    ours, theirs = _stable(config), _stable(there)
    if changed := sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name)):
        named = ", ".join(theirs.get("architectures") or [str(theirs.get("model_type", "unknown"))])
        return f"another model ({named}; its {', '.join(changed[:4])} differ)"
    before = results_among(found)
    if before is not None and results is not None:
        # The same network trained on other data is another model, which somebody may be using.
        now = _public_protocol(results.protocol)
        for name in ("dataset", "digest", "simulated"):
            old, new = getattr(before.protocol, name), getattr(now, name)
            if old != new:
                return f"the same network trained on other data ({name} {old} instead of {new})"
    return None


def _stable(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in _VOLATILE and value is not None}


def _without_paths(results: RunResults, repository: str) -> bytes:
    """`metrics.json` for others: without paths of this machine."""
    public = replace(
        results,
        model=replace(results.model, repository=repository, folder=None),
        protocol=_public_protocol(results.protocol),
    )
    return (json.dumps(_with_last_parts(record_to_json(public)), indent=2) + "\n").encode()


def _public_protocol(protocol: Protocol) -> Protocol:
    """The protocol with the name of a local dataset in place of its path."""
    if protocol.dataset_revision:
        return protocol
    return replace(protocol, dataset=Path(protocol.dataset).name)


def _with_last_parts(value: Any) -> Any:
    """The same values with every path of this machine, existing or not, cut to its last part."""
    if isinstance(value, dict):
        return {name: _with_last_parts(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_with_last_parts(entry) for entry in value]
    if isinstance(value, str) and len(value) < _LONGEST_PATH:
        parts = value.split(", ")
        return ", ".join(
            re.split(r"[/\\]", part.rstrip("/\\"))[-1] if _is_path(part) else part for part in parts
        )
    return value


def _is_path(text: str) -> bool:
    return bool(_ABSOLUTE.match(text)) or ("/" in text and Path(text).exists())


def _remote_code(folder: Path, *configs: Mapping[str, Any]) -> list[Path]:
    """The modules that the configurations name, and what these import in turn."""
    references = [str(name) for config in configs for name in (config.get("auto_map") or {}).values()]
    waiting = {reference.rpartition(".")[0].rpartition("--")[2] for reference in references}
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        path = folder / f"{name}.py"
        if not path.is_file():
            raise ModelError(
                f"{folder}: found no {path.name}; expected the code that the model loads with elsewhere. "
                "save_pretrained writes it."
            )
        found.add(name)
        waiting |= set(_RELATIVE_IMPORT.findall(path.read_text(encoding="utf-8"))) - found
    return [folder / f"{name}.py" for name in sorted(found)]
