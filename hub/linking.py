"""Bare names on this machine: `load_dataset("euromine")` and `evaluate.load("ca_tiou")`.

Both libraries look in their caches for a bare name that they find neither in the working directory nor on
the Hub. The linked files lie in a hidden folder of the cache of `datasets`. The caches themselves only get
symbolic links to it, which no other program writes into by accident and which are removed without a trace.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import datasets

from euromine.dataset_script.build_record import BUILD_FILE
from euromine.metrics.synchronise import FOLDER, METRICS, SHARED_FILES
from euromine.support.errors import DatasetError, one_line
from euromine.support.files import explain_full_disk, link_or_copy, part_of, write_text
from euromine.support.locks import lock_folder
from euromine.support.records import read_record, record_to_json

from .built_dataset import data_files, dataset_contents
from .contents import CARD

NAME = "euromine"
_STORE = ".euromine"
_MANIFEST = "link.json"
_WORK = "work"
_VERSION = "1.0.0"
_INFO = "dataset_info.json"
# The config of the bare name: `datasets` takes the newest. Its time is 2100-01-01, as the results of `filter`
# and `map` that `datasets` keeps beside another config's rows would make that one newer.
_DEFAULT_CONFIG = "annual"
_FAR_FUTURE = 4102444800
# Larger files are recognised by size and time: hashing fifty gigabytes before deleting them takes minutes.
_HASHED_BYTES = 2**20


@dataclass(frozen=True)
class Link:
    """A dataset and the metrics that are linked on this machine.

    Attributes:
        folder: The dataset.
        names: The calls that now work, such as `load_dataset("euromine", "annual")`.
        size: Bytes of the rows as Arrow files.
        shared: Bytes of these in hard links to files that `datasets` had made before.
        existed: Whether everything was linked already.
    """

    folder: Path
    names: tuple[str, ...]
    size: int
    shared: int
    existed: bool


@dataclass(frozen=True)
class Unlinked:
    """The result of `unlink`.

    Attributes:
        folder: The dataset that was linked.
        freed: Bytes of the deleted files.
        left: Files and links that others wrote or changed, which were therefore left.
    """

    folder: Path
    freed: int
    left: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class _Manifest:
    """`link.json`: everything that a link has made, so that it can be removed again.

    Attributes:
        folder: The dataset.
        fingerprint: Hash of its build record and card.
        complete: Whether the link reached its end.
        links: The symbolic links and their targets.
        folders: The folders that were made for them, the innermost first.
        files: The state of each file: its size, and its hash or, of a large one, its time.
        size: As in `Link`.
        shared: As in `Link`.
    """

    folder: str
    fingerprint: str
    complete: bool
    links: dict[str, str]
    folders: list[str]
    files: dict[str, list[int | str]] = field(default_factory=dict)
    size: int = 0
    shared: int = 0


def link(folder: str | os.PathLike[str], *, progress: bool = True) -> Link:
    """Link the bare names to a built dataset and this package's metrics, for every project on this machine.

    `load_dataset` reads Arrow files, so the rows are decompressed once. Where `datasets` has already done
    that for this very folder, its files are shared as hard links. A link that was stopped continues when it
    is started again.

    Args:
        folder: A dataset that `euromine build` wrote; it is not needed afterwards.
        progress: Whether to show a progress bar while rows are decompressed.

    Raises:
        DataError: `folder` holds no whole dataset, or another dataset is linked.
        BusyError: Another run links or unlinks.
        FileExistsError: Something else lies where a link would have to be.
        OSError: The caches cannot be written to, or the disk is full.
    """
    folder = Path(folder).absolute()
    contents = dataset_contents(folder, NAME)  # refuses a folder that is not a whole dataset
    store = _store()
    missing = _missing_parents(_links(store, _fingerprint(folder), tuple(data_files(folder))))
    with lock_folder(store), _explained(store, contents.size):
        _remove_work(store)
        try:
            return _link(folder, store, missing, progress)
        finally:
            _remove_work(store)


def _link(folder: Path, store: Path, missing: list[str], progress: bool) -> Link:
    """As `link`, under the store's lock; `missing` are the folders to make, as listed before locking."""
    fingerprint = _fingerprint(folder)
    before = _read_manifest(store)
    if before is not None and before.fingerprint != fingerprint:
        raise DatasetError(
            f"{folder}: found {before.folder} linked on this machine already; expected no other dataset. "
            "`euromine unlink` removes that link."
        )
    configs = tuple(data_files(folder))
    names = (
        f'load_dataset("{NAME}")',
        *(f'load_dataset("{NAME}", "{config}")' for config in configs),
        *(f'evaluate.load("{name}")' for name in METRICS),
    )
    links = _links(store, fingerprint, configs)
    if before is not None and before.complete and all(_points_to(*each) for each in links.items()):
        _prefer_default(store / fingerprint)
        return Link(folder, names, before.size, before.shared, existed=True)
    for path, target in links.items():
        if os.path.lexists(path) and not _points_to(path, target):
            raise FileExistsError(
                f"{path} exists already and was not made by `euromine link`. It was left alone, and nothing "
                "was linked."
            )
    manifest = _Manifest(
        folder=str(folder),
        fingerprint=fingerprint,
        complete=False,
        links={str(path): str(target) for path, target in links.items()},
        folders=missing if before is None else before.folders,
    )
    _write_manifest(store, manifest)  # before anything is made that `unlink` would have to remove
    manifest = _store_files(folder, configs, store, manifest, progress)
    _write_manifest(store, manifest)
    for path, target in links.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(path):
            path.symlink_to(target, target_is_directory=True)
    _prefer_default(store / fingerprint)
    _write_manifest(store, replace(manifest, complete=True))
    return Link(folder, names, manifest.size, manifest.shared, existed=False)


def unlink() -> Unlinked | None:
    """Remove what `link` made, and nothing else.

    Returns:
        What was removed; None where nothing is linked.

    Raises:
        BusyError: Another run links or unlinks.
        OSError: Something cannot be deleted.
    """
    store = _store()
    if not (store / _MANIFEST).is_file():
        return None
    with lock_folder(store):
        manifest = _read_manifest(store)
        if manifest is None:  # another run has just removed the link
            return None
        unlinked = _unlink(store, manifest)
    _remove_empty([store])
    _remove_empty(Path(name) for name in manifest.folders)
    return unlinked


def _unlink(store: Path, manifest: _Manifest) -> Unlinked:
    left = []
    for name, target in manifest.links.items():
        path = Path(name)
        if _points_to(path, Path(target)):
            path.unlink()
        elif os.path.lexists(path):
            left.append(path)
    freed = 0
    own = store / manifest.fingerprint
    # Before the first link exists nobody else can have written into the folder.
    files = manifest.files or {str(path): _state_of(path) for path in own.rglob("*") if path.is_file()}
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
        shutil.rmtree(compiled)  # of our own modules
    _remove_work(store)
    left += [path for path in own.rglob("*") if path.is_file() and path not in left]
    _remove_empty([*own.rglob("*"), own])
    (store / _MANIFEST).unlink()
    return Unlinked(Path(manifest.folder), freed, tuple(left))


@contextlib.contextmanager
def _explained(store: Path, size: int) -> Iterator[None]:
    """Raise errors of the disk in one sentence, where `datasets` raises a page."""
    advice = (
        f"The disk is full: linking decompresses {size / 1e9:.1f} GB of shards. `euromine unlink` removes "
        "what is there; HF_DATASETS_CACHE puts it on another disk."
    )
    with explain_full_disk(store, "the linked rows", advice):
        try:
            yield
        except datasets.exceptions.DatasetGenerationError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            reason = one_line(error.__cause__)
            raise OSError(f"{store}: the linked rows cannot be written ({reason}).") from error


def _remove_work(store: Path) -> None:
    """Delete the half-written files of a link that was stopped."""
    if (store / _WORK).is_dir():
        shutil.rmtree(store / _WORK)
    part_of(store / _MANIFEST).unlink(missing_ok=True)


def _store() -> Path:
    return Path(datasets.config.HF_DATASETS_CACHE) / _STORE


def _links(store: Path, fingerprint: str, configs: Sequence[str]) -> dict[Path, Path]:
    """The paths where both libraries look, and what each will point to."""
    cache = Path(datasets.config.HF_DATASETS_CACHE)
    # As `evaluate`, which takes seconds to import, computes it.
    modules = Path(datasets.config.HF_MODULES_CACHE) / "evaluate_modules" / "metrics"
    # evaluate takes folders of 64 characters for versions of a module and loads the newest.
    version = hashlib.sha256(f"{NAME} {fingerprint}".encode()).hexdigest()
    return {
        **{
            cache / NAME / config / _VERSION / _hash_of(config, fingerprint): store / fingerprint / config
            for config in configs
        },
        **{modules / f"evaluate-metric--{name}" / version: store / fingerprint / name for name in METRICS},
    }


def _hash_of(config: str, fingerprint: str) -> str:
    """The version of a linked config; to `datasets`, a bare name is ambiguous if configs share one."""
    return hashlib.sha256(f"{config} {fingerprint}".encode()).hexdigest()[:16]


def _prefer_default(own: Path) -> None:
    """Make the default config the newest, which `datasets` takes where no config is named."""
    os.utime(own / _DEFAULT_CONFIG, (_FAR_FUTURE, _FAR_FUTURE))


def _store_files(
    folder: Path, configs: Sequence[str], store: Path, manifest: _Manifest, progress: bool
) -> _Manifest:
    """Store the rows of all configs and the metrics; the manifest with what was stored."""
    own = store / manifest.fingerprint
    sizes = [_store_config(folder, config, own / config, progress) for config in configs]
    for name in METRICS:
        _store_metric(name, own / name)
    return replace(
        manifest,
        size=sum(size for size, _ in sizes),
        shared=sum(shared for _, shared in sizes),
        files={str(path): _state_of(path) for path in sorted(own.rglob("*")) if path.is_file()},
    )


def _store_config(folder: Path, config: str, target: Path, progress: bool) -> tuple[int, int]:
    """Store a config's rows as the Arrow files that `datasets` keeps, under the bare name.

    Returns:
        Their bytes, and the bytes among them that are shared with files of `datasets`.
    """
    if (target / _INFO).is_file():  # written last: a link that was stopped later has stored this config
        files = list(target.glob("*.arrow"))
        return sum(path.stat().st_size for path in files), sum(
            path.stat().st_size for path in files if path.stat().st_nlink > 1
        )
    if target.exists():
        shutil.rmtree(target)
    work = target.parent.parent / _WORK
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
    # The checksums name the folder's files by their paths on this machine, and are not read again.
    info |= {"dataset_name": NAME, "config_name": config, "download_checksums": None}
    target.mkdir(parents=True)
    size = 0
    for path in sorted(made.glob(f"{prepared.dataset_name}-*.arrow")):
        own = target / f"{NAME}-{path.name.removeprefix(f'{prepared.dataset_name}-')}"
        if shares:
            link_or_copy(path, own)
        else:
            path.replace(own)
        size += own.stat().st_size
    (target / _INFO).write_text(json.dumps(info), encoding="utf-8")
    _remove_work(work.parent)
    return size, size if shares else 0


def _store_metric(name: str, target: Path) -> None:
    """Store a metric's module and its imports as `evaluate` keeps them."""
    target.mkdir(parents=True, exist_ok=True)
    modules = [f"{name}.py", *(each for each in SHARED_FILES if each.endswith(".py") and each != "app.py")]
    for module in modules:
        shutil.copyfile(FOLDER / name / module, target / module)
    (target / "__init__.py").touch()


def _points_to(path: Path, target: Path) -> bool:
    return path.is_symlink() and path.readlink() == target


def _missing_parents(links: Mapping[Path, Path]) -> list[str]:
    """The folders that have to be made for the links, the innermost first."""
    missing = {parent for path in links for parent in path.parents if not parent.exists()}
    return [str(path) for path in sorted(missing, key=lambda path: -len(path.parts))]


def _remove_empty(folders: Any) -> None:
    """Delete the empty ones of some folders, the innermost first."""
    for folder in sorted(set(folders), key=lambda path: -len(path.parts)):
        if folder.is_dir() and not folder.is_symlink():
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()


def _fingerprint(folder: Path) -> str:
    """Hash of a dataset's build record and card: 16 hexadecimal digits, as `datasets` names versions."""
    return hashlib.sha256((folder / BUILD_FILE).read_bytes() + (folder / CARD).read_bytes()).hexdigest()[:16]


def _state_of(path: Path) -> list[int | str]:
    """The values that a file is recognised by: its size, and its hash or, of a large one, its time."""
    found = path.stat()
    if found.st_size > _HASHED_BYTES:
        return [found.st_size, found.st_mtime_ns]
    return [found.st_size, hashlib.sha256(path.read_bytes()).hexdigest()]


def _read_manifest(store: Path) -> _Manifest | None:
    try:
        return read_record(_Manifest, store / _MANIFEST)
    except FileNotFoundError:
        return None


def _write_manifest(store: Path, manifest: _Manifest) -> None:
    write_text(store / _MANIFEST, json.dumps(record_to_json(manifest), indent=1))


@contextlib.contextmanager
def _progress(shown: bool) -> Iterator[None]:
    """Show or hide the progress bars of `datasets`."""
    if shown or not datasets.utils.is_progress_bar_enabled():
        yield
        return
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()
