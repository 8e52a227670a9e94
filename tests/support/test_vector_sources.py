"""Vector files that lead elsewhere are found before GDAL opens them."""

import os
import zipfile
from pathlib import Path

import pytest

from euromine.support.errors import DataError
from euromine.support.vector_sources import check_self_contained

VRT = b'<OGRVRTDataSource><OGRVRTLayer name="p"><SrcDataSource>/vsicurl/http://x/a.json</SrcDataSource>'
WFS = b"<OGRWFSDataSource><URL>http://x/wfs</URL></OGRWFSDataSource>"


def zipped(folder: Path, **members: bytes) -> Path:
    path = folder / "permits.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return path


@pytest.mark.parametrize("text", [VRT, WFS, VRT.decode().encode("utf-16"), b"<?xml?>" + b" " * 5000 + WFS])
def test_references_to_other_places_are_found_in_files_and_zips(tmp_path: Path, text: bytes) -> None:
    plain = tmp_path / "permits.geojson"
    plain.write_bytes(text)
    with pytest.raises(DataError, match="found references to other files or servers; expected"):
        check_self_contained(plain)
    with pytest.raises(DataError, match=r"found references to other files or servers in p\.shp; expected"):
        check_self_contained(zipped(tmp_path, a__dbf=b"", p__shp=text))
    disguised = zipped(tmp_path, p__shp=text).rename(tmp_path / "permits.shp.zip")
    with pytest.raises(DataError, match="references"):
        check_self_contained(disguised)
    with pytest.raises(DataError, match="references"):
        check_self_contained(tmp_path)


def test_archives_that_cannot_be_checked_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found the archive inner\.zip in it"):
        check_self_contained(zipped(tmp_path, inner__zip=b"PK"))
    packed = tmp_path / "permits.json"
    packed.write_bytes(b"\x1f\x8b" + b"0" * 40)
    with pytest.raises(DataError, match="found an archive; expected an unpacked file or a zip"):
        check_self_contained(packed)
    whole = zipped(tmp_path, a__geojson=b"{}" * 999).read_bytes()
    broken = tmp_path / "broken.zip"
    broken.write_bytes(whole[:35] + b"\xff\xff\xff" + whole[38:])
    with pytest.raises(DataError, match="found a zip that cannot be read"):
        check_self_contained(broken)


def test_a_pipe_is_refused_and_outlines_pass(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gpkg")
    with pytest.raises(DataError, match="found a pipe or device; expected an ordinary file"):
        check_self_contained(tmp_path / "pipe.gpkg")
    outlines = tmp_path / "outlines.geojson"
    outlines.write_bytes(b'{"type": "FeatureCollection", "features": []}')
    check_self_contained(outlines)
    check_self_contained(zipped(tmp_path, a__geojson=outlines.read_bytes()))


def test_a_zip_that_expands_is_refused_by_its_table_of_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("euromine.support.vector_sources._LARGEST_UNPACKED", 2 * 2**20)
    path = zipped(tmp_path, a__shp=bytes(2**20), b__shp=bytes(2**20))
    check_self_contained(path)
    with pytest.raises(DataError, match=r"permits\.zip: found 3 MB when unpacked; expected at most 2 MB"):
        check_self_contained(zipped(tmp_path, a__shp=bytes(3 * 2**20)))
