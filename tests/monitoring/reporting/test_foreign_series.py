"""A series that somebody handed over: its report asks no server, reads no other file and runs no program."""

import json
import os
import shutil
import sqlite3
from contextlib import closing

import pytest
from PIL import Image

from euromine.monitoring.reporting.page import render_report
from euromine.monitoring.result import SeriesResult
from euromine.support.errors import DataError, RecordError


def hostile(series, tmp_path, **fields):
    """A copy of a series with other fields in its manifest."""
    folder = tmp_path / "hostile"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(series.path, folder)
    manifest = json.loads((folder / "series.json").read_text())
    (folder / "series.json").write_text(json.dumps({**manifest, **fields}))
    return folder


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"crs": "http://127.0.0.1:9/crs.wkt"}, "the coordinate system 'http://"),
        ({"crs": "/etc/hostname"}, "the coordinate system '/etc"),
        ({"crs": "ESRI::http://127.0.0.1:9/a"}, "the coordinate system 'ESRI"),
        ({"years": []}, r"images of .* for the years \[\]"),
        ({"scenes": []}, "images of"),
        ({"transform": [0] * 6}, "no usable geotransform"),
        ({"width": 0}, "a grid of 0 x"),
        ({"pairs": [[1999, 2001]]}, "a pair of years"),
        ({"models": []}, "no model"),
        ({"settings": {"smoothing": "viterbi", "rates": []}}, "a list in rates"),
        ({"settings": {"threshold": "x"}}, '"x" in threshold'),
        ({"settings": {"window": [1]}}, "a list in window"),
    ],
)
def test_a_manifest_whose_numbers_are_none_is_refused(series, tmp_path, fields, found):
    with pytest.raises(RecordError, match=rf"series\.json.*: found {found}.*; expected .* again\.$"):
        SeriesResult(hostile(series, tmp_path, **fields))


def test_a_picture_in_another_format_than_png_is_never_decoded(series, tmp_path, monkeypatch):
    folder = hostile(series, tmp_path)
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tools / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)
    (folder / "quicklook_2018.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    )
    with pytest.raises(DataError, match=r"quicklook_2018\.png: found a damaged picture"):
        render_report(SeriesResult(folder))
    assert not (tmp_path / "ran").exists()


def test_a_link_out_of_the_folder_and_a_pipe_are_refused(series, tmp_path):
    folder = hostile(series, tmp_path)
    picture = folder / "quicklook_2018.png"
    picture.rename(tmp_path / "private.png")
    picture.symlink_to(tmp_path / "private.png")
    with pytest.raises(
        DataError, match=r"quicklook_2018\.png: found a link to .*private\.png; expected a file"
    ):
        render_report(SeriesResult(folder))
    (folder / "areas.csv").unlink()
    os.mkfifo(folder / "areas.csv")
    with pytest.raises(DataError, match=r"areas\.csv: found a pipe or device; expected an ordinary file"):
        render_report(SeriesResult(folder))


@pytest.mark.parametrize("kind", ["vrt", "wfs", "virtual"])
def test_polygons_in_another_format_than_geopackage_are_never_opened(series, tmp_path, kind):
    pytest.importorskip("geopandas")
    folder = hostile(series, tmp_path)
    texts = {"vrt": "<OGRVRTDataSource>", "wfs": "<OGRWFSDataSource><URL>http://127.0.0.1:9/</URL>"}
    for name in ("permits.gpkg", "permit_outlines.gpkg"):
        if kind in texts:
            (folder / name).write_text(texts[kind])
            continue
        with closing(sqlite3.connect(folder / name)) as database:
            database.execute(f"PRAGMA application_id = {int.from_bytes(b'GPKG')}")
            database.execute("CREATE VIRTUAL TABLE permits USING fts5(a)")
    with pytest.raises(DataError, match=r"permits\.gpkg: found another format than GeoPackage"):
        render_report(SeriesResult(folder))


def test_a_picture_that_expands_is_refused_before_it_is_decoded(series, tmp_path):
    folder = hostile(series, tmp_path)
    Image.new("1", (8000, 8000)).save(folder / "quicklook_2018.png")
    with pytest.raises(DataError, match=r"quicklook_2018\.png: found 8000 x 8000 pixels; expected at most"):
        render_report(SeriesResult(folder))
