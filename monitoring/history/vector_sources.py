"""Vector files of unknown origin, checked before GDAL guesses their format: some formats lead elsewhere."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from euromine.support.errors import PermitError
from euromine.support.files import check_regular

# Beginnings of formats that only refer to other files, programs or servers.
_POINTING_SIGNS = (b"<OGRVRTDataSource", b"<OGRWFSDataSource", b"<VRTDataset", b"gdal_streamed_alg")
_HEAD_BYTES = 1 << 16
# GDAL reads these as archives, by their names or their first bytes; what is in them cannot be checked here.
_OTHER_ARCHIVES = (".tar", ".tgz", ".gz", ".7z", ".rar", ".svgz")
_ARCHIVE_HEADS = (b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!")
_MOST_MEMBERS = 10_000
_LARGEST_SOURCE = 8 * 2**30


def check_self_contained(source: Path) -> None:
    """Refuse a vector file that would make GDAL read other files or ask servers, also one in a zip.

    Args:
        source: A file, or a folder such as a file geodatabase, whose files are checked as well.

    Raises:
        PermitError: The file is such a one, is empty, or is an archive other than a zip.
        FileNotFoundError: There is no such file.
    """
    if source.is_dir():
        for path in sorted(source.rglob("*"))[:_MOST_MEMBERS]:
            if not path.is_dir() and path.stat().st_size:
                check_self_contained(path)
        return
    check_regular(source, _LARGEST_SOURCE, PermitError)
    with source.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise PermitError(f"{source}: found an empty file; expected the outlines of permits.")
    if zipfile.is_zipfile(source):
        _check_members(source)
    elif source.name.lower().endswith(_OTHER_ARCHIVES) or head.startswith(_ARCHIVE_HEADS):
        raise PermitError(f"{source}: found an archive; expected an unpacked file or a zip. Unpack it.")
    else:
        _check_head(source, str(source), head)


def _check_members(source: Path) -> None:
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            if len(members) > _MOST_MEMBERS:
                raise PermitError(
                    f"{source}: found {len(members)} files; expected at most {_MOST_MEMBERS} in a zip."
                )
            for member in members:
                with archive.open(member) as file:
                    head = file.read(_HEAD_BYTES)
                _check_head(source, member.filename, head)
                if member.filename.lower().endswith((*_OTHER_ARCHIVES, ".zip", ".kmz")):
                    raise PermitError(
                        f"{source}: found the archive {member.filename} in it; expected the outlines "
                        "themselves. Unpack it."
                    )
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
        # RuntimeError: encrypted. NotImplementedError: compressed by a method that Python does not have.
        raise PermitError(
            f"{source}: found a zip that cannot be read ({error}); expected a whole one without a password."
        ) from error


def _check_head(source: Path, name: str, head: bytes) -> None:
    # Also as UTF-16, which XML readers take.
    plain = head.replace(b"\0", b"")
    if any(sign in plain for sign in _POINTING_SIGNS):
        where = "" if name == str(source) else f" in {name}"
        raise PermitError(
            f"{source}: found references to other files or servers{where}; expected the outlines themselves."
        )
