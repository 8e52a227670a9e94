"""Local servers that fail on demand: ranges of files, and a small STAC API."""

from __future__ import annotations

import functools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import shapely
from RangeHTTPServer import RangeRequestHandler


@dataclass
class Faults:
    """Faults of requests for files.

    Attributes:
        kind: A status such as 503 or 404, or "drop" for half an answer.
        every: The interval of requests that fail; 0 for none.
        always: Parts of paths whose requests always fail with `status`.
        status: See `always`.
        token: A text that the query of every request must hold; "" for none.
        pause: Seconds to wait before each answer.
        requests: The paths so far.
        failed: The number of requests that failed by `every`.
    """

    kind: int | str = 503
    every: int = 0
    always: tuple[str, ...] = ()
    status: int = 404
    token: str = ""
    pause: float = 0.0
    requests: list[str] = field(default_factory=list)
    failed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, path: str) -> int | str | None:
        """Count a request, and return its fault."""
        with self.lock:
            self.requests.append(path)
            is_faulty = self.every > 0 and len(self.requests) % self.every == 0
            self.failed += is_faulty
        if any(part in path for part in self.always):
            return self.status
        if self.token and self.token not in path:
            return 403
        return self.kind if is_faulty else None


class _Files(RangeRequestHandler):
    faults: Faults

    def __init__(self, *arguments: Any, faults: Faults, **options: Any) -> None:
        self.faults = faults
        super().__init__(*arguments, **options)

    def log_message(self, *_: Any) -> None:
        pass

    def send_head(self) -> Any:
        time.sleep(self.faults.pause)
        fault = self.faults.of(self.path)
        if isinstance(fault, int):
            self.send_error(fault)
            return None
        found = super().send_head()
        self.is_dropped = fault == "drop"
        return found

    def copyfile(self, source: Any, outputfile: Any) -> None:
        if self.is_dropped:
            first, _ = self.range or (0, 0)
            source.seek(first)
            outputfile.write(source.read(50))
            self.close_connection = True
            return
        super().copyfile(source, outputfile)


@contextmanager
def file_server(folder: Path) -> Iterator[tuple[str, Faults]]:
    """Serve the files of a folder by ranges, and yield the address and the faults."""
    faults = Faults()
    with _running(functools.partial(_Files, directory=str(folder), faults=faults)) as address:
        yield address, faults


@dataclass
class Catalogue:
    """A STAC API: its items and its faults.

    Attributes:
        items: All items.
        collections: Names of its collections.
        status: The answer to the next `failures` searches.
        failures: See `status`.
        body: The answer to every request, if not None.
        searches: The bodies of searches so far.
    """

    items: list[dict[str, Any]]
    collections: tuple[str, ...] = ("sentinel-2-l2a",)
    status: int = 502
    failures: int = 0
    body: bytes | None = None
    address: str = ""
    searches: list[dict[str, Any]] = field(default_factory=list)

    def found(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        """The items of a search. Conditions on time are ignored, as by some servers."""
        self.searches.append(asked)
        area = shapely.geometry.shape(asked["intersects"])
        return [
            item
            for item in self.items
            if item["collection"] in asked["collections"]
            and shapely.intersects(shapely.geometry.shape(item["geometry"]), area)
        ]


class _Api(BaseHTTPRequestHandler):
    catalogue: Catalogue

    def __init__(self, *arguments: Any, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        super().__init__(*arguments)

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        here = self.catalogue.address
        if self.path.rstrip("/") == "/collections":
            self._answer(
                {"collections": [_collection(name) for name in self.catalogue.collections], "links": []}
            )
            return
        links = [
            {"rel": "self", "href": here},
            {"rel": "root", "href": here},
            {"rel": "data", "href": f"{here}/collections"},
            {"rel": "search", "href": f"{here}/search", "method": "POST", "type": "application/geo+json"},
        ]
        conforms = [
            f"https://api.stacspec.org/v1.0.0/{part}" for part in ("core", "collections", "item-search")
        ]
        self._answer(
            {
                "type": "Catalog",
                "id": "small",
                "description": "small",
                "stac_version": "1.0.0",
                "links": links,
                "conformsTo": conforms,
            }
        )

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.catalogue.failures:
            self.catalogue.failures -= 1
            self.send_response(self.catalogue.status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._answer({"type": "FeatureCollection", "features": self.catalogue.found(asked), "links": []})

    def _answer(self, values: dict[str, Any]) -> None:
        body = json.dumps(values).encode() if self.catalogue.body is None else self.catalogue.body
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _collection(name: str) -> dict[str, Any]:
    return {
        "type": "Collection",
        "id": name,
        "description": name,
        "license": "other",
        "stac_version": "1.0.0",
        "links": [],
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [["2015-06-27T10:25:31Z", None]]},
        },
    }


@contextmanager
def stac_api(items: list[dict[str, Any]], *collections: str) -> Iterator[Catalogue]:
    """Serve items as a STAC API."""
    catalogue = Catalogue(items, collections or ("sentinel-2-l2a",))
    with _running(functools.partial(_Api, catalogue=catalogue)) as address:
        catalogue.address = address
        yield catalogue


@contextmanager
def _running(handler: Any) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
