"""Bytes, time and memory of the app: first view, pictures, tiles, values, many clients, hours of load.

`python -m euromine.benchmark.app_speed` writes two simulated sites to `--folder` (kept for further runs),
starts the app on a free port of this machine in a process of its own, and prints Markdown tables. Processor
seconds are the server's, which other load on the machine hardly lengthens; wall seconds are the client's.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx

from euromine.benchmark.app_sites import WITH_OVERVIEWS, WITHOUT, YEARS, write_sites
from euromine.benchmark.hardware import processor
from euromine.support.errors import reported_errors
from euromine.support.markdown import table

from .command_line import benchmark_parser, positive

MOST_BYTES, MOST_SECONDS, MOST_MEMORY = 500_000, 2.0, 500 * 2**20
CLIENTS, REQUESTS = 20, 600
_READY = re.compile(r"http://127\.0\.0\.1:(\d+)")
_MODULE = re.compile(r"""(?:from|import)\s*\(?\s*["'](\.{1,2}/[^"']+\.js)["']""")
_LINK = re.compile(r"""(?:src|href)="([^"#?:]+\.(?:js|css|svg|json|webmanifest))(?:\?[^"]*)?\"""")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Cost:
    """The cost of some requests.

    Attributes:
        requests: Their number.
        received: Bytes on the wire.
        processor: The server's processor seconds.
        wall: The client's seconds.
        failures: Requests that were not answered with 200.
    """

    requests: int = 0
    received: int = 0
    processor: float = 0.0
    wall: float = 0.0
    failures: list[str] = field(default_factory=list)


class Server:
    """The app in a process of its own."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "euromine.commands", "app", str(folder), "--port", "0", "--no-open"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.address = self._ready()
        limits = httpx.Limits(max_connections=2 * CLIENTS, max_keepalive_connections=2 * CLIENTS)
        self.client = httpx.Client(base_url=self.address, timeout=600, limits=limits)

    def _ready(self) -> str:
        lines = []
        for line in self._process.stdout or ():
            lines.append(line)
            if found := _READY.search(line):
                return f"http://127.0.0.1:{found[1]}"
        raise RuntimeError(f"the app did not start: {''.join(lines)}")

    def close(self) -> None:
        """End the process."""
        self.client.close()
        self._process.terminate()
        self._process.wait(60)

    @property
    def processor_seconds(self) -> float:
        """The processor time of the process so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory(self, name: str) -> int:
        """Bytes of a line of the process' status, such as VmRSS."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"/proc/{self._process.pid}/status has no line {name}")

    def ask(self, addresses: Sequence[str], clients: int = 1) -> Cost:
        """GET some addresses and return their cost."""
        cost, began, processor_before = Cost(), time.perf_counter(), self.processor_seconds
        if clients == 1:
            answers = [self._get(address) for address in addresses]
        else:
            with ThreadPoolExecutor(clients) as pool:
                answers = list(pool.map(self._get, addresses))
        cost.wall = time.perf_counter() - began
        cost.processor = self.processor_seconds - processor_before
        for address, (status, size) in zip(addresses, answers, strict=True):
            cost.requests += 1
            cost.received += size
            if status != 200:
                cost.failures.append(f"{status} {address}")
        return cost

    def _get(self, address: str) -> tuple[int, int]:
        with self.client.stream("GET", address) as answer:
            for _ in answer.iter_raw():
                pass
            return answer.status_code, answer.num_bytes_downloaded

    def json(self, address: str) -> Any:
        """An answer in JSON."""
        answer = self.client.get(address)
        answer.raise_for_status()
        return answer.json()

    def page(self) -> list[str]:
        """The page, and all scripts and styles that it loads at once."""
        found, waiting = ["/"], _linked("/", self.client.get("/").text)
        while waiting:
            address = waiting.pop()
            if address in found:
                continue
            found.append(address)
            if address.endswith(".js"):
                text = self.client.get(address).text
                waiting += [urljoin(address, name) for name in _MODULE.findall(text) if len(text) < 100_000]
        return found


def _linked(base: str, text: str) -> list[str]:
    return [urljoin(base, name) for name in _LINK.findall(text)]


@contextmanager
def served(folder: Path) -> Iterator[Server]:
    """The app on a folder."""
    server = Server(folder)
    try:
        yield server
    finally:
        server.close()


def first_view(folder: Path, site: str) -> list[list[str]]:
    """Rows on the first view of a site: page, scripts, facts, the picture, the footprint."""
    base, year = f"/api/sites/{site}", YEARS[-1]
    rows = []
    with served(folder) as server:
        page = server.page()  # not counted: a program reads it to learn what a browser asks for
        data = [
            "/api/portfolio",
            base,
            f"{base}/pictures/natural/{year}.jpg?side=1024",
            f"{base}/vectors/footprints/{year}.geojson",
        ]
        seen = [*page, "/static/languages/en.json", *data]
        rows += [_row(f"first view, {name}", server.ask(seen)) for name in ("cold", "warm")]
        rows.append(_row("another year, cold", server.ask([f"{base}/pictures/natural/2020.jpg?side=1024"])))
        rows.append(_row("whole picture, cold", server.ask([f"{base}/pictures/natural/2020.jpg"])))
        rows.append(_row("whole picture, warm", server.ask([f"{base}/pictures/natural/2020.jpg"])))
        for key, at in (("ndvi", 2020), ("first_year", "all")):
            address = f"{base}/pictures/{key}/{at}.png?side=1024"
            rows.append(_row(f"{key}, cold", server.ask([address])))
        west, south, east, north = server.json(base)["bounds"]
        point = f"{base}/point?longitude={(west + east) / 2}&latitude={(south + north) / 2}"
        rows += [_row(f"values of a point, {name}", server.ask([point])) for name in ("cold", "warm")]
        rows.append(_row("printed map", server.ask([f"{base}/map.png?year=2020&footprints=true"])))
        rows.append(_row("timelapse, GIF", server.ask([f"{base}/timelapse.gif?footprints=true"])))
    return rows


def large_site(folder: Path, site: str) -> list[list[str]]:
    """Rows on the tiles of a site of 10,980 pixels a side, of an image with overviews and one without."""
    base, rows = f"/api/sites/{site}", []
    with served(folder) as server:
        layer = next(each for each in server.json(base)["layers"] if each["key"] == "natural")
        west, south, east, north = layer["bounds"]
        for year, words in ((WITH_OVERVIEWS, "overviews"), (WITHOUT, "no overviews")):
            for zoom in (8, 10, layer["max_zoom"]):
                tiles = _view(zoom, (west + east) / 2, (south + north) / 2)
                addresses = [f"{base}/tiles/natural/{year}/{tile}.{layer['format']}" for tile in tiles]
                cost = server.ask(addresses)
                rows.append(_row(f"{len(tiles)} tiles at zoom {zoom}, {words}", cost))
            rows.append(_row(f"the same at zoom {zoom}, warm", server.ask(addresses)))
    return rows


def _view(zoom: int, longitude: float, latitude: float, across: int = 4, down: int = 3) -> list[str]:
    """The tiles of a view around a place, as zoom/x/y."""
    from euromine.app.mercator import tile_at

    x, y = tile_at(zoom, longitude, latitude)
    columns, rows = (
        range(x - across // 2, x - across // 2 + across),
        range(y - down // 2, y - down // 2 + down),
    )
    return [f"{zoom}/{column}/{row}" for row in rows for column in columns]


def many_clients(folder: Path, site: str) -> tuple[list[list[str]], Cost]:
    """Rows on twenty clients at once, on a cold server: first all for one picture, then each for another."""
    base = f"/api/sites/{site}"
    with served(folder) as server:
        same = server.ask([f"{base}/pictures/natural/2015.jpg"] * CLIENTS, CLIENTS)
        others = [
            f"{base}/pictures/{key}/{year}.jpg" for key in ("natural", "false_colour") for year in YEARS
        ]
        apart = server.ask(others, CLIENTS)
    rows = [_row("20 clients, one picture", same), _row("20 clients, 20 pictures", apart)]
    return rows, Cost(failures=same.failures + apart.failures)


def under_load(folder: Path, sites: Sequence[str], requests: int) -> tuple[list[list[str]], Cost]:
    """Memory of the server at rest and over requests of all kinds by eight clients."""
    generator = random.Random(0)
    with served(folder) as server:
        facts = {site: server.json(f"/api/sites/{site}") for site in sites}
        addresses = [_any_address(generator, facts[generator.choice(sites)]) for _ in range(requests)]
        rows = [["at rest", "", "", _megabytes(server.memory("VmRSS"))]]
        failures = []
        for number in range(4):
            part = addresses[number * requests // 4 : (number + 1) * requests // 4]
            cost = server.ask(part, 8)
            failures += cost.failures
            rows.append(
                [
                    f"after {(number + 1) * requests // 4} requests",
                    f"{cost.processor:.0f}",
                    f"{cost.wall:.0f}",
                    _megabytes(server.memory("VmRSS")),
                ]
            )
        rows.append(["peak", "", "", _megabytes(server.memory("VmHWM"))])
    return rows, Cost(failures=failures)


def _any_address(generator: random.Random, site: dict[str, Any]) -> str:
    """A picture, tile, point, map or timelapse of a site."""
    base = f"/api/sites/{site['id']}"
    layer = generator.choice(site["layers"])
    year = generator.choice(layer["years"])
    west, south, east, north = layer["bounds"]
    longitude, latitude = generator.uniform(west, east), generator.uniform(south, north)
    kind = generator.random()
    if kind < 0.03:
        return f"{base}/map.png?layer={layer['key']}&year={year}&width=1200"
    if kind < 0.04 and len(site["years"]) > 2:
        return f"{base}/timelapse.webp?layer=natural"
    if kind < 0.2:
        return f"{base}/point?longitude={longitude}&latitude={latitude}"
    if kind < 0.5 and layer["picture"]:
        return f"{base}/pictures/{layer['key']}/{year}.{layer['format']}"
    zoom = generator.randint(9, layer["max_zoom"])
    tile = _view(zoom, longitude, latitude, 1, 1)[0]
    return f"{base}/tiles/{layer['key']}/{year}/{tile}.{layer['format']}"


def _row(name: str, cost: Cost) -> list[str]:
    return [
        name,
        str(cost.requests),
        f"{cost.received / 1000:.0f}",
        f"{cost.processor:.2f}",
        f"{cost.wall:.2f}",
    ]


def _megabytes(size: int) -> str:
    return f"{size / 2**20:.0f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = benchmark_parser("app_speed", __doc__)
    parser.add_argument(
        "--folder", type=Path, default=Path("build/app_speed"), help="where the sites are written"
    )
    parser.add_argument("--requests", type=positive, default=REQUESTS, help="requests of the load on memory")
    chosen = parser.parse_args(arguments)
    site, large = write_sites(chosen.folder)
    header = ["", "requests", "kB", "processor s", "wall s"]
    print(table(["2,000 x 2,000 pixels, ten years", *header[1:]], first_view(chosen.folder, site)), "\n")
    print(table(["10,980 x 10,980 pixels", *header[1:]], large_site(chosen.folder, large)), "\n")
    rows, crowd = many_clients(chosen.folder, site)
    print(table(["at once", *header[1:]], rows), "\n")
    rows, load = under_load(chosen.folder, (site, large), chosen.requests)
    print(table(["memory of the server", "processor s", "wall s", "MB"], rows), "\n")
    print(f"Measured on {os.cpu_count()} cores of {processor()}, load {os.getloadavg()[0]:.1f}.")
    failures = crowd.failures + load.failures
    if failures:
        print(f"{len(failures)} requests failed, the first: {failures[0]}", file=sys.stderr)
    return bool(failures)


if __name__ == "__main__":
    with reported_errors("app_speed"):
        sys.exit(main())
