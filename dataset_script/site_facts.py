"""`site.json`: the type of a site's mine, its material, classes annotated, and whether it is simulated."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

from euromine.support.errors import ArchiveError, EuroMineError
from euromine.support.files import read_bytes
from euromine.support.near_names import nearest_hint
from euromine.support.records import record_from_bytes
from euromine.support.zip_members import ZIP_ERRORS

from .label_groups import component_class

SITE_FILE = "site.json"

MINE_TYPES = ("open-pit", "opencast", "mountain-top")
"""Types of mines: deep pits with benches, strips with the dump behind the front, and removed summits."""

MATERIALS = ("coal", "rock", "metal")
"""Materials of mines: coal and lignite, rock raw materials, metal ores."""

_LARGEST_FILE = 2**16
_ADVICE = 'A whole one is {"mine_type": "open-pit", "material": "coal", "annotated": ["excavation"]}.'


@dataclass(frozen=True, kw_only=True)
class SiteFacts:
    """Facts about a site; None where they are unknown.

    Attributes:
        mine_type: One of `MINE_TYPES`.
        material: One of `MATERIALS`.
        annotated: The component classes that annotators drew; others may be there unseen. None: those that
            the header of each raster of components names.
        simulated: Whether `euromine simulate` made the site; False also where that is unknown.
    """

    mine_type: str | None = None
    material: str | None = None
    annotated: tuple[str, ...] | None = None
    simulated: bool = False


def read_site_facts(archive: Path, member: str) -> SiteFacts:
    """Read a `site.json` of an archive.

    Args:
        archive: The folder or the zip.
        member: The file's path in it, with slashes.

    Raises:
        DataError: The file is damaged, or a type, material or class is unknown.
        OSError: It cannot be read.
    """
    source = f"{archive}/{member}"
    if archive.is_dir():
        data = read_bytes(archive / member, _LARGEST_FILE, ArchiveError)
    else:
        data = _read_member(archive, member, source)
    facts = record_from_bytes(SiteFacts, data, source, advice=_ADVICE)
    _check_known(facts.mine_type, MINE_TYPES, f"{source}: mine_type")
    _check_known(facts.material, MATERIALS, f"{source}: material")
    if facts.annotated is None:
        return facts
    names = tuple(component_class(name, f"{source}: annotated", ArchiveError) for name in facts.annotated)
    if not names or len(set(names)) < len(names):
        raise ArchiveError(f"{source}: annotated: found no class or one twice; expected each class once.")
    return replace(facts, annotated=names)


def _read_member(archive: Path, member: str, source: str) -> bytes:
    try:
        with zipfile.ZipFile(archive) as opened:
            size = opened.getinfo(member).file_size
            if size > _LARGEST_FILE:
                raise ArchiveError(
                    f"{source}: found {size} bytes; expected at most {_LARGEST_FILE}, a few lines of JSON."
                )
            return opened.read(member)
    except EuroMineError:
        raise
    except ZIP_ERRORS as error:
        raise ArchiveError(f"{source}: found a damaged member of a zip; expected a whole zip.") from error


def _check_known(value: str | None, known: tuple[str, ...], where: str) -> None:
    if value is not None and value not in known:
        hint = nearest_hint(value, known)
        raise ArchiveError(f"{where}: found {value[:40]!r}; expected {', '.join(known)} or null{hint}.")
