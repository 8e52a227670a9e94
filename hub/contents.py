"""What goes into a Hub repository: the files of a built dataset, a trained model or a metric, all of them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import yaml

from euromine.metrics.synchronise import FOLDER, METRICS, SHARED_FILES

CARD = "README.md"
BUILD_RECORD = "build.json"

_SHARD = re.compile(r"(?P<split>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.parquet")
_MAGIC = b"PAR1"
_PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")
_RELATIVE_IMPORT = re.compile(r"^\s*from \.(\w+) import ", re.MULTILINE)

WEIGHTS = "model.safetensors"
_INDEX = WEIGHTS + ".index.json"
_MODEL_FILES = ("config.json", "preprocessor_config.json")
_RESULTS = "metrics.json"
# Of a configuration, what another version of the libraries or another start of training says otherwise.
_VOLATILE = ("transformers_version", "dtype", "torch_dtype", "_name_or_path", "auto_map", "stem_init")

RepoType = Literal["dataset", "model", "space"]


@dataclass(frozen=True)
class PublishedFile:
    """A file as it will lie in the repository.

    Attributes:
        path: Its place there, with forward slashes.
        source: Where it lies here, or its bytes.
    """

    path: str
    source: Path | bytes

    @property
    def size(self) -> int:
        """Its bytes."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size


@dataclass(frozen=True)
class Contents:
    """All that a repository is to hold.

    Attributes:
        repo_type: The Hub's word for the kind of repository.
        title: What it is, as a sentence calls it.
        files: Its files, the card first.
        owned: Patterns of paths that nothing but such contents puts there: what matches them and is not among
            `files` is left from an earlier state and would be read with the rest, so it is removed.
        identity: Paths of the files that say what a repository holds.
        difference: Those of them that are there, with their bytes -> what else the repository holds, or None
            where it is the same thing in an earlier state.
        space_sdk: What a Space runs on.
    """

    repo_type: RepoType
    title: str
    files: tuple[PublishedFile, ...]
    owned: tuple[str, ...]
    identity: tuple[str, ...]
    difference: Callable[[Mapping[str, bytes]], str | None]
    space_sdk: str | None = None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def dataset_contents(folder: str | os.PathLike[str], repository: str) -> Contents:
    """The files of a dataset that `euromine build` wrote.

    Args:
        folder: The dataset.
        repository: Its name on the Hub, which the card's examples then load.

    Raises:
        ValueError: `folder` is something else, or a shard is missing or cut off.
        OSError: A file cannot be read.
    """
    folder = Path(folder)
    record = _json_file(folder, BUILD_RECORD)
    if record is None or record.get("dataset") != "euromine":
        raise ValueError(
            f"{folder} is no dataset that `euromine build` wrote: it has no {BUILD_RECORD} of it."
        )
    card = _read_card(folder)
    shards = [shard for patterns in data_files(folder).values() for shard in patterns]
    for shard in shards:
        _check_parquet(shard)
    for call in ("load_dataset", "read_dataset"):
        card = card.replace(f'{call}("euromine"', f'{call}("{repository}"')
    others = (BUILD_RECORD, "statistics.json")
    return Contents(
        repo_type="dataset",
        title=f"the dataset in {folder}",
        files=(
            PublishedFile(CARD, card.encode()),
            *(PublishedFile(name, folder / name) for name in others if (folder / name).is_file()),
            *_pictures(folder, card),
            *(PublishedFile(shard.relative_to(folder).as_posix(), shard) for shard in shards),
        ),
        owned=("data/*-?????-of-?????.parquet",),
        identity=(BUILD_RECORD,),
        difference=lambda found: _dataset_difference(record, found),
    )


def data_files(folder: Path) -> dict[str, list[Path]]:
    """The shards of each config that a dataset's card names, complete.

    Raises:
        ValueError: The card names no configs, or a shard that its name or the card promises is missing.
    """
    configs = _front_matter(folder / CARD).get("configs")
    if not isinstance(configs, list) or not configs:
        raise ValueError(
            f"{folder / CARD} names no configs in its front matter, those of a built dataset expected."
        )
    found: dict[str, list[Path]] = {}
    for config in configs:
        shards = []
        for entry in config["data_files"]:
            of_split = sorted(folder.glob(entry["path"]))
            matches = [match for shard in of_split if (match := _SHARD.fullmatch(shard.name))]
            counts = {int(match["count"]) for match in matches}
            if len(counts) != 1 or {int(match["number"]) for match in matches} != set(range(*counts)):
                raise ValueError(
                    f"{folder} holds {len(of_split)} files for {entry['path']}, "
                    f"all the shards {_shard_range(counts)} were expected; build it again."
                )
            shards += of_split
        found[str(config["config_name"])] = shards
    return found


def model_contents(folder: str | os.PathLike[str], repository: str) -> Contents:
    """The files with which a model loads elsewhere, without this package; no optimiser states.

    Args:
        folder: What a train script left, or `save_pretrained` with a card beside it.
        repository: Its name on the Hub, which the card's example then loads.

    Raises:
        ValueError: Something is missing, cut off or inconsistent; it is named.
        OSError: A file cannot be read.
    """
    folder = Path(folder)
    config = _json_file(folder, "config.json")
    if config is None or "bands" not in config:
        raise ValueError(
            f"{folder} holds no model of this project: a config.json that names its bands was expected."
        )
    processor = _json_file(folder, "preprocessor_config.json")
    if processor is None:
        raise ValueError(
            f"{folder} has no preprocessor_config.json: without the image processor nobody can know how its "
            "images were normalised; save_pretrained of the image processor writes it."
        )
    results = _json_file(folder, _RESULTS)
    card = _read_card(folder)
    if results is not None and (name := results["model"]["folder"]):
        card = card.replace(f'"{name}"', f'"{repository}"')
    files = [
        PublishedFile(CARD, card.encode()),
        *(PublishedFile(name, folder / name) for name in _MODEL_FILES),
        *(PublishedFile(path.name, path) for path in _weights(folder)),
        *(PublishedFile(path.name, path) for path in _remote_code(folder, config, processor)),
        *_pictures(folder, card),
    ]
    if results is not None:
        files.append(PublishedFile(_RESULTS, _without_paths(results, repository)))
    return Contents(
        repo_type="model",
        title=f"the model in {folder}",
        files=tuple(files),
        owned=("model*.safetensors", _INDEX),
        identity=("config.json", _RESULTS),
        difference=lambda found: _model_difference(config, results, found),
    )


def metric_contents(name: str, repository: str) -> Contents:
    """The files of a metric's Space.

    Args:
        name: `ca_tiou`, `annual_f1` or `interval_f1`.
        repository: Its name on the Hub, which must end in the metric's, or `evaluate` would not find it.

    Raises:
        ValueError: There is no such metric, or the repository has another name.
    """
    if name not in METRICS:
        raise ValueError(f"There is no metric {name!r}; expected {', '.join(METRICS)}.")
    if repository.rpartition("/")[2] != name:
        raise ValueError(
            f"{repository} cannot hold {name}: evaluate.load looks for a file of the repository's own name, "
            f"so a repository named .../{name} was expected."
        )
    folder = FOLDER / name
    card = (folder / CARD).read_text(encoding="utf-8").replace(f"<organisation>/{name}", repository)
    names = (f"{name}.py", *SHARED_FILES)
    return Contents(
        repo_type="space",
        title=f"the metric {name}",
        files=(
            PublishedFile(CARD, card.encode()),
            *(PublishedFile(each, folder / each) for each in names),
        ),
        owned=(),
        identity=tuple(f"{each}.py" for each in METRICS),
        difference=lambda found: _metric_difference(name, found),
        space_sdk="gradio",
    )


def _dataset_difference(record: Mapping[str, Any], found: Mapping[str, bytes]) -> str | None:
    there = read_json(found.get(BUILD_RECORD))
    if there is None or there.get("dataset") != "euromine":
        return "data that `euromine build` did not make"
    if there == record:
        return None
    if bool(there.get("simulated")) != bool(record.get("simulated")):
        return "a dataset of a simulated archive" if there.get("simulated") else "a dataset of a real archive"
    if there.get("splits") != record.get("splits"):
        return "a dataset with other splits"
    return "a dataset that was built from another archive or in another format"


def _model_difference(
    config: Mapping[str, Any], results: Mapping[str, Any] | None, found: Mapping[str, bytes]
) -> str | None:
    there = read_json(found.get("config.json"))
    if there is None:
        return "no model, but other files"
    ours = _stable(config)
    theirs = _stable(there)
    if changed := sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name)):
        named = ", ".join(theirs.get("architectures") or [str(theirs.get("model_type", "unknown"))])
        return f"another model ({named}; its {', '.join(changed[:4])} differ)"
    scores = read_json(found.get(_RESULTS))
    if scores is not None and results is not None:
        # The same network on other data is another model, which somebody may be using.
        for name in ("dataset", "digest", "simulated"):
            before, now = scores.get("protocol", {}).get(name), _public_protocol(results).get(name)
            if before != now:
                return f"the same network trained on other data ({name} {before} instead of {now})"
    return None


def _metric_difference(name: str, found: Mapping[str, bytes]) -> str | None:
    if f"{name}.py" in found:
        return None
    return f"the metric {Path(next(iter(found))).stem}" if found else "a Space of something else"


def _stable(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in _VOLATILE and value is not None}


def _read_card(folder: Path) -> str:
    path = folder / CARD
    if not path.is_file():
        raise ValueError(f"{folder} has no {CARD}: nothing is published without a card that says what it is.")
    _front_matter(path)
    return path.read_text(encoding="utf-8")


def _front_matter(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    parts = text.split("---\n", 2)
    try:
        found = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else None
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: its front matter is no YAML ({' '.join(str(error).split())}).") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} has no front matter, which says what it is between two lines of ---.")
    return found


def _pictures(folder: Path, card: str) -> Iterator[PublishedFile]:
    """The pictures that a card shows from beside itself."""
    for name in dict.fromkeys(_PICTURE.findall(card)):
        if "://" in name:
            continue
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            raise ValueError(f"{folder / CARD} shows the picture {name}, which is not there.")
        yield PublishedFile(path.relative_to(folder.resolve()).as_posix(), path)


def _weights(folder: Path) -> list[Path]:
    """The file of the weights, or the index and its files, whole."""
    index = _json_file(folder, _INDEX)
    if index is not None:
        names = sorted(set(index["weight_map"].values()))
        paths = [folder / name for name in names]
    else:
        paths = [folder / WEIGHTS]
    for path in paths:
        if not path.is_file():
            raise ValueError(f"{folder} has no {path.name}: the weights are missing, or are no safetensors.")
        _check_safetensors(path)
    return [*([folder / _INDEX] if index is not None else []), *paths]


def _check_safetensors(path: Path) -> None:
    """Refuse a file that is shorter or longer than its own header says."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            header = json.loads(file.read(min(length, size)))
            data = max(
                (entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"),
                default=0,
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f"{path} is no safetensors file, or is cut off.") from None
    if size != 8 + length + data:
        raise ValueError(
            f"{path} has {size} bytes, its header promises {8 + length + data}: it was not written whole."
        )


def _check_parquet(path: Path) -> None:
    """Refuse a shard without the mark that ends a parquet file."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        if file.tell() < 2 * len(_MAGIC):
            raise ValueError(f"{path} is no parquet file, or is cut off; build the dataset again.")
        file.seek(-len(_MAGIC), os.SEEK_END)
        if file.read() != _MAGIC:
            raise ValueError(f"{path} is no parquet file, or is cut off; build the dataset again.")


def _remote_code(folder: Path, *configs: Mapping[str, Any]) -> list[Path]:
    """The modules that the configurations name, and what these import in turn."""
    references = [str(name) for config in configs for name in (config.get("auto_map") or {}).values()]
    waiting = {reference.rpartition(".")[0].rpartition("--")[2] for reference in references}
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        path = folder / f"{name}.py"
        if not path.is_file():
            raise ValueError(
                f"{folder} has no {path.name}, which the model loads by elsewhere; save_pretrained writes it."
            )
        found.add(name)
        waiting |= set(_RELATIVE_IMPORT.findall(path.read_text(encoding="utf-8"))) - found
    return [folder / f"{name}.py" for name in sorted(found)]


def _without_paths(results: Mapping[str, Any], repository: str) -> bytes:
    """The results as others may read them: where things lay on this machine concerns nobody else."""
    public = {
        **results,
        "model": {**results["model"], "repository": repository, "folder": None},
        "protocol": _public_protocol(results),
    }
    return (json.dumps(public, indent=2) + "\n").encode()


def _public_protocol(results: Mapping[str, Any]) -> dict[str, Any]:
    protocol = dict(results["protocol"])
    if not protocol["dataset_revision"]:
        protocol["dataset"] = Path(protocol["dataset"]).name
    if protocol["pretrained"] and Path(protocol["pretrained"]).exists():
        protocol["pretrained"] = Path(protocol["pretrained"]).name
    return protocol


def _json_file(folder: Path, name: str) -> dict[str, Any] | None:
    """A JSON object of a folder, or None where there is no such file."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder.")
    path = folder / name
    if not path.is_file():
        return None
    found = read_json(path.read_bytes())
    if found is None:
        raise ValueError(f"{path} is no JSON object.")
    return found


def read_json(data: bytes | None) -> dict[str, Any] | None:
    """A JSON object from its bytes; None where there are none, or they hold something else."""
    try:
        found = json.loads(data or b"")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _shard_range(counts: Iterable[int]) -> str:
    return " or ".join(f"0 to {count - 1}" for count in sorted(counts)) or "-00000-of-..."


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether a path matches one of the patterns, in which * stands for slashes as well."""
    return any(fnmatchcase(path, pattern) for pattern in patterns)
