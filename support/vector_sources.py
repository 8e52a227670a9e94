"""Vector files of unknown origin, checked before GDAL guesses their format: some formats name other files."""

from __future__ import annotations

import zipfile
from pathlib import Path

from .errors import DataError, EuroMineError
from .files import check_regular
from .zip_members import ZIP_ERRORS

# Beginnings of formats that only refer to other files, programs or servers.
_POINTING_SIGNS = (b"<OGRVRTDataSource", b"<OGRWFSDataSource", b"<VRTDataset", b"gdal_streamed_alg")
_HEAD_BYTES = 1 << 16
# GDAL reads these as archives, by their names or their first bytes; their contents cannot be checked here.
_OTHER_ARCHIVES = (".tar", ".tgz", ".gz", ".7z", ".rar", ".svgz")
_ARCHIVE_HEADS = (b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!")
_MOST_MEMBERS = 10_000
_LARGEST_SOURCE = 8 * 2**30
# A zip is read into memory as a whole by some formats, and may hold a thousand times its size.
_LARGEST_UNPACKED = 2 * 2**30


def check_self_contained(source: Path, error_class: type[EuroMineError] = DataError) -> None:
    """Refuse a vector file that would make GDAL read other files or ask servers, also one in a zip.

    Args:
        source: A file, or a folder such as a file geodatabase, whose files are checked as well.
        error_class: The error to raise.

    Raises:
        DataError: (`error_class`) The file refers elsewhere, is empty, or is an archive other than a zip.
        FileNotFoundError: There is no such file.
    """
    if source.is_dir():
        for path in sorted(source.rglob("*"))[:_MOST_MEMBERS]:
            if not path.is_dir() and path.stat().st_size:
                check_self_contained(path, error_class)
        return
    check_regular(source, _LARGEST_SOURCE, error_class)
    with source.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise error_class(f"{source}: found an empty file; expected outlines.")
    if zipfile.is_zipfile(source):
        _check_members(source, error_class)
    elif source.name.lower().endswith(_OTHER_ARCHIVES) or head.startswith(_ARCHIVE_HEADS):
        raise error_class(f"{source}: found an archive; expected an unpacked file or a zip. Unpack it.")
    else:
        _check_head(source, str(source), head, error_class)


def _check_members(source: Path, error_class: type[EuroMineError]) -> None:
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            if len(members) > _MOST_MEMBERS:
                raise error_class(
                    f"{source}: found {len(members)} files; expected at most {_MOST_MEMBERS} in a zip."
                )
            unpacked = sum(member.file_size for member in members)
            if unpacked > _LARGEST_UNPACKED:
                raise error_class(
                    f"{source}: found {unpacked // 2**20} MB when unpacked; expected at most "
                    f"{_LARGEST_UNPACKED // 2**20} MB."
                )
            for member in members:
                with archive.open(member) as file:
                    head = file.read(_HEAD_BYTES)
                _check_head(source, member.filename, head, error_class)
                if member.filename.lower().endswith((*_OTHER_ARCHIVES, ".zip", ".kmz")):
                    raise error_class(
                        f"{source}: found the archive {member.filename} in it; expected the outlines "
                        "themselves. Unpack it."
                    )
    except ZIP_ERRORS as error:
        raise error_class(
            f"{source}: found a zip that cannot be read ({error}); expected a whole one without a password."
        ) from error


def _check_head(source: Path, name: str, head: bytes, error_class: type[EuroMineError]) -> None:
    # Also as UTF-16, which XML readers take.
    plain = head.replace(b"\0", b"")
    if any(sign in plain for sign in _POINTING_SIGNS):
        where = "" if name == str(source) else f" in {name}"
        raise error_class(
            f"{source}: found references to other files or servers{where}; expected the outlines themselves."
        )
