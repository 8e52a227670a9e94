"""Ranges of bytes from a server on this machine, whose answers the tests write."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from euromine.support.ranged_requests import RangeRequests, UnreadRangeError

DATA = bytes(range(256)) * 4
Answer = tuple[int, dict[str, str], bytes]


class Server:
    """Answers each request by a function from its number, path and range; notes the paths."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.answer: Callable[[int, str, int, int], Answer] = lambda number, path, begin, end: part(
            begin, end
        )


@pytest.fixture
def server() -> Iterator[Server]:
    rules = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            rules.paths.append(self.path)
            begin, end = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
            status, headers, body = rules.answer(len(rules.paths), self.path, begin, end + 1)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    rules.address = f"http://127.0.0.1:{web.server_port}"
    threading.Thread(target=web.serve_forever, daemon=True).start()
    yield rules
    web.shutdown()
    web.server_close()


def part(begin: int, end: int, version: str = "1") -> Answer:
    end = min(end, len(DATA))
    headers = {"Content-Range": f"bytes {begin}-{end - 1}/{len(DATA)}", "ETag": version}
    return 206, headers, DATA[begin:end]


def moved(target: str) -> Answer:
    return 302, {"Location": target}, b""


def ranges(server: Server, waits: tuple[float, ...] = (0.0, 0.0), **options: object) -> RangeRequests:
    session = requests.Session()
    options.setdefault("check_redirection", lambda address, target: None)
    return RangeRequests(lambda: f"{server.address}/first", lambda: session, waits=waits, **options)


def test_ranges_end_with_the_file(server):
    asked = ranges(server)
    assert asked.fetch(3, 10) == DATA[3:10]
    assert asked.fetch(1000, 2000) == DATA[1000:]
    assert (asked.size, asked.version) == (1024, "1")


def test_failures_that_pass_are_asked_for_again(server):
    def answer(number: int, path: str, begin: int, end: int) -> Answer:
        if number == 1:
            return 503, {"Retry-After": "0"}, b""
        status, headers, body = part(begin, end)
        if number == 2:
            return status, {**headers, "Content-Length": str(len(body))}, body[:-1]  # the connection drops
        return status, headers, body

    server.answer = answer
    assert ranges(server).fetch(0, 100) == DATA[:100]
    assert len(server.paths) == 3


def test_a_failure_that_stays_is_told_with_the_number_of_attempts(server):
    server.answer = lambda *_: (404, {}, b"")
    with pytest.raises(UnreadRangeError, match="404") as caught:
        ranges(server).fetch(0, 10)
    assert (caught.value.reason, caught.value.status, caught.value.tries) == ("unexpected", 404, 1)
    with pytest.raises(UnreadRangeError, match="status 404") as caught:
        ranges(server, passing=(404,)).fetch(0, 10)
    assert (caught.value.reason, caught.value.status, caught.value.tries) == ("unavailable", 404, 3)
    assert len(server.paths) == 4


def test_a_whole_file_is_no_range(server):
    server.answer = lambda *_: (200, {}, DATA)
    with pytest.raises(UnreadRangeError, match="200 OK") as caught:
        ranges(server).fetch(0, 10)
    assert (caught.value.reason, caught.value.status) == ("unexpected", 200)


def test_a_file_that_changes_is_noticed(server):
    asked = ranges(server)
    asked.fetch(0, 10)
    server.answer = lambda number, path, begin, end: part(begin, end, version="2")
    with pytest.raises(UnreadRangeError, match="changed") as caught:
        asked.fetch(10, 20)
    assert caught.value.reason == "changed"


def test_each_redirection_is_checked_and_the_last_remembered_until_it_expires(server):
    checked = []

    def answer(number: int, path: str, begin: int, end: int) -> Answer:
        if path == "/first":
            return moved("/second")
        if path == "/second":
            return moved(f"{server.address}/third?signature={number}")
        return (403, {}, b"") if number == 6 else part(begin, end)

    server.answer = answer
    asked = ranges(server, check_redirection=lambda address, target: checked.append(target))
    asked.fetch(0, 10)
    asked.fetch(10, 20)
    assert server.paths == ["/first", "/second", "/third?signature=2", "/third?signature=2"]
    assert checked == [f"{server.address}/second", f"{server.address}/third?signature=2"]
    asked.fetch(20, 30)
    assert server.paths[4:] == ["/third?signature=2"]
    asked.fetch(30, 40)  # has expired
    assert server.paths[5:] == [
        "/third?signature=2",
        "/first",
        "/second",
        "/third?signature=8",
    ]


def test_a_redirection_that_is_refused_or_endless_is_not_followed(server):
    server.answer = lambda number, path, begin, end: moved(f"/{number}")

    def refuse(address: str, target: str) -> None:
        raise OSError(f"{address} leads to {target}")

    with pytest.raises(OSError, match=r"/first leads to .*/1"):
        ranges(server, check_redirection=refuse).fetch(0, 10)
    assert server.paths == ["/first"]
    with pytest.raises(UnreadRangeError, match="more than 5 redirections"):
        ranges(server).fetch(0, 10)
