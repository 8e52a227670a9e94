"""The bare names on this machine: `load_dataset("euromine", "annual")` and `evaluate.load("ca_tiou")`.

Both libraries look for a bare name that they find neither beside them nor on the Hub in their caches. What a
link needs lies in a hidden folder of the cache of `datasets`; the caches themselves get nothing but symbolic
links to it, which other programs cannot write into by accident and which can be taken back without a trace.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets

from euromine.metrics.synchronise import FOLDER, METRICS, SHARED_FILES

from .contents import BUILD_RECORD, CARD, data_files, dataset_contents

NAME = "euromine"
_STORE = ".euromine"
_MANIFEST = "link.json"
_WORK = "work"
_VERSION = "1.0.0"
_INFO = "dataset_info.json"
# Larger files are known again by their size and time: reading fifty gigabytes to delete them helps nobody.
_HASHED_BYTES = 2**20


@dataclass(frozen=True)
class Link:
    """What is linked on this machine.

    Attributes:
        folder: The dataset.
        names: What `load_dataset` and `evaluate.load` now find.
        size: Bytes of the rows as Arrow files.
        shared: Those of them that are hard links to files which `datasets` had made before.
        existed: Whether all of it was there already.
    """

    folder: Path
    names: tuple[str, ...]
    size: int
    shared: int
    existed: bool


@dataclass(frozen=True)
class Unlinked:
    """What `unlink` took back.

    Attributes:
        folder: The dataset that was linked.
        freed: Bytes of the files that are gone.
        left: Files and links that others wrote or changed, and that were therefore left.
    """

    folder: Path
    freed: int
    left: tuple[Path, ...]


def link(folder: str | os.PathLike[str], *, progress: bool = True) -> Link:
    """Make the bare names stand for a built dataset and for this package's metrics, in every project.

    `load_dataset` reads Arrow files, so the rows are decompressed once; where `datasets` has done that for
    this very folder before, its files are shared, by hard links. A link that was stopped goes on when it is
    asked for again.

    Args:
        folder: What `euromine build` wrote; it is not needed afterwards.
        progress: Whether to show a bar while rows are decompressed.

    Raises:
        ValueError: This is no such dataset, or another one is linked.
        FileExistsError: Something that no link made lies where one would have to be.
        OSError: The caches cannot be written to; a full disk is named as such.
    """
    folder = Path(folder).absolute()
    contents = dataset_contents(folder, NAME)  # refuses what is no dataset, or not a whole one
    store = _store()
    fingerprint = _fingerprint(folder)
    before = _read_manifest(store)
    if before is not None and before["fingerprint"] != fingerprint:
        raise ValueError(
            f"{before['folder']} is linked on this machine already; `euromine unlink` takes that back first."
        )
    configs = tuple(data_files(folder))
    names = (
        *(f'load_dataset("{NAME}", "{config}")' for config in configs),
        *(f'evaluate.load("{name}")' for name in METRICS),
    )
    links = _links(store, fingerprint, configs)
    if before is not None and before["complete"] and all(_points_to(*each) for each in links.items()):
        return Link(folder, names, before["size"], before["shared"], existed=True)
    for path, target in links.items():
        if os.path.lexists(path) and not _points_to(path, target):
            raise FileExistsError(
                f"{path} is there already and was not made by `euromine link`: it was left as it is, and "
                "nothing was linked."
            )
    with _disk_full_in_a_sentence(store, contents.size):
        store.mkdir(parents=True, exist_ok=True)
        manifest: dict[str, Any] = {
            "folder": str(folder),
            "fingerprint": fingerprint,
            "complete": False,
            "links": {str(path): str(target) for path, target in links.items()},
            "folders": _missing_parents(links) if before is None else before["folders"],
            "files": {},
            "size": 0,
            "shared": 0,
        }
        _write_manifest(store, manifest)  # before anything is made that it would have to take back
        for config in configs:
            size, shared = _store_config(folder, config, store / fingerprint / config, progress)
            manifest["size"] += size
            manifest["shared"] += shared
        for name in METRICS:
            _store_metric(name, store / fingerprint / name)
        manifest["files"] = {
            str(path): _state_of(path) for path in sorted((store / fingerprint).rglob("*")) if path.is_file()
        }
        _write_manifest(store, manifest)
        for path, target in links.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if not os.path.lexists(path):
                path.symlink_to(target, target_is_directory=True)
        _write_manifest(store, {**manifest, "complete": True})
    return Link(folder, names, manifest["size"], manifest["shared"], existed=False)


def unlink() -> Unlinked | None:
    """Take back what `link` made, and nothing else.

    Returns:
        What was taken back; None where nothing is linked.

    Raises:
        OSError: Something cannot be deleted.
    """
    store = _store()
    manifest = _read_manifest(store)
    if manifest is None:
        return None
    left = []
    for name, target in manifest["links"].items():
        path = Path(name)
        if _points_to(path, Path(target)):
            path.unlink()
        elif os.path.lexists(path):
            left.append(path)
    freed = 0
    own = store / manifest["fingerprint"]
    # Until the first link is there nobody else can have written into the folder.
    files = manifest["files"] or {str(path): _state_of(path) for path in own.rglob("*") if path.is_file()}
    for name, state in files.items():
        path = Path(name)
        if not path.is_file():
            continue
        if _state_of(path) != state:
            left.append(path)
            continue
        freed += path.stat().st_size
        path.unlink()
    for compiled in own.rglob("__pycache__"):
        shutil.rmtree(compiled)  # what Python made of our modules
    shutil.rmtree(store / _WORK, ignore_errors=True)
    left += [path for path in own.rglob("*") if path.is_file() and path not in left]
    _remove_empty([*own.rglob("*"), own])
    _remove_empty(Path(name) for name in manifest["folders"])
    (store / _MANIFEST).unlink()
    _remove_empty([store])
    return Unlinked(Path(manifest["folder"]), freed, tuple(left))


def _store() -> Path:
    return Path(datasets.config.HF_DATASETS_CACHE) / _STORE


def _links(store: Path, fingerprint: str, configs: Sequence[str]) -> dict[Path, Path]:
    """Where both libraries look -> what lies there then."""
    cache = Path(datasets.config.HF_DATASETS_CACHE)
    # Of both libraries: `evaluate`, which takes seconds to import, keeps to the same rule.
    modules = Path(datasets.config.HF_MODULES_CACHE) / "evaluate_modules" / "metrics"
    # evaluate takes folders of 64 characters for versions of a module, the newest of which it loads.
    version = hashlib.sha256(f"{NAME} {fingerprint}".encode()).hexdigest()
    return {
        **{
            cache / NAME / config / _VERSION / fingerprint: store / fingerprint / config for config in configs
        },
        **{modules / f"evaluate-metric--{name}" / version: store / fingerprint / name for name in METRICS},
    }


def _store_config(folder: Path, config: str, target: Path, progress: bool) -> tuple[int, int]:
    """One config's rows as the Arrow files that `datasets` keeps, under the bare name.

    Returns:
        Their bytes, and those of them that are shared with files which were there.
    """
    if (target / _INFO).is_file():  # written last, by a link that was stopped later
        files = list(target.glob("*.arrow"))
        return sum(path.stat().st_size for path in files), sum(
            path.stat().st_size for path in files if path.stat().st_nlink > 1
        )
    if target.exists():
        shutil.rmtree(target)
    work = target.parent.parent / _WORK
    shutil.rmtree(work, ignore_errors=True)
    prepared = datasets.load_dataset_builder(str(folder), config, cache_dir=str(work))
    made = Path(prepared.cache_dir)
    # Where `datasets` itself would have put them.
    known = Path(datasets.config.HF_DATASETS_CACHE) / made.relative_to(work)
    if shares := (known / _INFO).is_file():
        made = known
    else:
        with _progress(progress):
            prepared.download_and_prepare()
    info = json.loads((made / _INFO).read_text(encoding="utf-8"))
    # The sums name the folder's files by their place on this machine, and nobody looks at them again.
    info |= {"dataset_name": NAME, "config_name": config, "download_checksums": None}
    target.mkdir(parents=True)
    size = 0
    for path in sorted(made.glob(f"{prepared.dataset_name}-*.arrow")):
        own = target / f"{NAME}-{path.name.removeprefix(f'{prepared.dataset_name}-')}"
        if shares:
            _hard_link(path, own)
        else:
            path.replace(own)
        size += own.stat().st_size
    (target / _INFO).write_text(json.dumps(info), encoding="utf-8")
    shutil.rmtree(work, ignore_errors=True)
    return size, size if shares else 0


def _store_metric(name: str, target: Path) -> None:
    """A metric's module, with what it imports, as `evaluate` keeps them."""
    target.mkdir(parents=True, exist_ok=True)
    modules = [f"{name}.py", *(each for each in SHARED_FILES if each.endswith(".py") and each != "app.py")]
    for module in modules:
        shutil.copyfile(FOLDER / name / module, target / module)
    (target / "__init__.py").touch()


def _hard_link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        shutil.copyfile(source, target)  # a file system without hard links


def _points_to(path: Path, target: Path) -> bool:
    return path.is_symlink() and path.readlink() == target


def _missing_parents(links: Mapping[Path, Path]) -> list[str]:
    """The folders that will have to be made for the links, the innermost first."""
    missing = {parent for path in links for parent in path.parents if not parent.exists()}
    return [str(path) for path in sorted(missing, key=lambda path: -len(path.parts))]


def _remove_empty(folders: Any) -> None:
    """Delete those of some folders in which nothing is left, the innermost first."""
    for folder in sorted(set(folders), key=lambda path: -len(path.parts)):
        if folder.is_dir() and not folder.is_symlink():
            with contextlib.suppress(OSError):  # somebody's files lie in it
                folder.rmdir()


def _fingerprint(folder: Path) -> str:
    """Stands for the rows of a dataset; 16 hexadecimal digits, as `datasets` names versions."""
    return hashlib.sha256((folder / BUILD_RECORD).read_bytes() + (folder / CARD).read_bytes()).hexdigest()[
        :16
    ]


def _state_of(path: Path) -> list[Any]:
    """By what a file is known again: its size, and its hash or, of a large one, its time."""
    found = path.stat()
    if found.st_size > _HASHED_BYTES:
        return [found.st_size, found.st_mtime_ns]
    return [found.st_size, hashlib.sha256(path.read_bytes()).hexdigest()]


def _read_manifest(store: Path) -> dict[str, Any] | None:
    path = store / _MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{path} cannot be read ({error}); it says what `euromine link` has made.") from None
    return manifest


def _write_manifest(store: Path, manifest: Mapping[str, Any]) -> None:
    part = store / f".{_MANIFEST}.part"
    part.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    part.replace(store / _MANIFEST)


@contextlib.contextmanager
def _progress(shown: bool) -> Iterator[None]:
    """Show the bars of `datasets`, or do not."""
    if shown or not datasets.utils.is_progress_bar_enabled():
        yield
        return
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()


@contextlib.contextmanager
def _disk_full_in_a_sentence(store: Path, compressed: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        full = OSError(
            f"{store}: the disk is full; linking decompresses {compressed / 1e9:.1f} GB of shards. "
            "`euromine unlink` takes back what is there; HF_DATASETS_CACHE puts it on another disk."
        )
        full.errno = errno.ENOSPC
        raise full from error
