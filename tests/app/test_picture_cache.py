"""The cache of pictures: its limit in bytes, and one render for all who ask at once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from euromine.app.picture_cache import PictureCache


def test_the_values_used_last_stay_within_the_limit():
    cache = PictureCache(100)
    for name in "abc":
        cache.get(name, lambda: bytes(40))
    assert cache.held_bytes == 80
    made = []
    cache.get("b", lambda: made.append("b") or bytes(40))
    cache.get("a", lambda: made.append("a") or bytes(40))
    assert made == ["a"]  # a was dropped for c, and now c for a, as b was used later
    cache.get("b", lambda: made.append("b") or bytes(40))
    cache.get("c", lambda: made.append("c") or bytes(40))
    assert made == ["a", "c"]


def test_a_value_above_the_limit_is_given_but_not_kept():
    cache = PictureCache(100)
    cache.get("small", lambda: bytes(60))
    assert len(cache.get("large", lambda: bytes(101))) == 101
    assert cache.held_bytes == 60


def test_twenty_who_ask_at_once_wait_for_one_render():
    cache, asked, made = PictureCache(), threading.Barrier(20), []
    is_asked = threading.Event()

    def make():
        made.append(1)
        assert is_asked.wait(10)
        return b"picture"

    def ask(number):
        asked.wait(10)
        if number == 0:
            threading.Timer(0.05, is_asked.set).start()
        return cache.get("key", make)

    with ThreadPoolExecutor(20) as pool:
        assert {*pool.map(ask, range(20))} == {b"picture"}
    assert len(made) == 1


def test_an_error_reaches_all_who_wait_and_the_next_one_tries_again():
    cache, is_waiting = PictureCache(), threading.Event()

    def fail():
        assert is_waiting.wait(10)
        raise OSError("gone")

    def ask(_):
        with pytest.raises(OSError, match="gone"):
            cache.get("key", fail)
        return True

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask, number) for number in range(3)]
        is_waiting.set()
        assert all(each.result(10) for each in asking)
    assert cache.get("key", lambda: b"here") == b"here"
