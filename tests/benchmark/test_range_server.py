"""The server of byte ranges: what it answers, and to whom it listens."""

import multiprocessing
import os
import signal
import time
import urllib.request

from euromine.benchmark.range_server import served


def test_a_range_is_read_after_an_interrupt_of_the_group(tmp_path):
    (tmp_path / "file").write_bytes(b"0123456789")
    others = set(multiprocessing.active_children())  # of earlier tests
    with served(tmp_path, pause=0.0) as address:
        (server,) = set(multiprocessing.active_children()) - others
        assert server.pid is not None
        os.kill(server.pid, signal.SIGINT)
        time.sleep(0.2)  # an interrupted server would have ended
        request = urllib.request.Request(f"{address}/file", headers={"Range": "bytes=2-4"})
        with urllib.request.urlopen(request) as answer:
            assert (answer.status, answer.read()) == (206, b"234")
    assert not server.is_alive()
