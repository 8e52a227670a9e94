"""The feed, read by feedparser, and the GeoJSON."""

import json

import feedparser
import pytest

from euromine.watch.feeds import ATOM, atom, write_feeds
from euromine.watch.watch_config import Feed
from euromine.watch.watch_state import FEED_FILE, StoredAlert

OPENED, CHANGED = "2026-03-01T06:00:00.000000+00:00", "2026-04-01T06:00:00.000000+00:00"


@pytest.fixture
def stored(alert):
    """Two alerts: one with a wicked name, one without a place."""
    verdict = {"verdict": "rejected", "name": "A. Person", "comment": "a quarry", "time": CHANGED}
    return [
        StoredAlert(alert(site="<script>\r\n&\x00"), OPENED, CHANGED, (verdict,)),
        StoredAlert(
            alert(id="f" * 16, rule="no_data", longitude=None, latitude=None, geometry=None), OPENED, OPENED
        ),
    ]


def test_a_reader_of_feeds_understands_it(stored) -> None:
    found = feedparser.parse(atom(stored, Feed(title="Mines & more", link="https://example.org/watch/")))
    assert not found.bozo
    assert found.version == "atom10"
    assert found.feed.title == "Mines & more"
    assert found.feed.updated == CHANGED
    first, second = found.entries
    assert first.title.startswith("New mining outside the outlines given: ")
    assert "<script>" in first.title_detail.value or "&lt;script&gt;" in first.title_detail.value
    assert first.where == {"type": "Point", "coordinates": (14.1, 51.5)}
    assert [tag.term for tag in first.tags] == ["outside_permit", "suspected", "rejected"]
    assert first.link == "https://example.org/watch/#0123456789abcdef"
    assert (first.published, first.updated) == (OPENED, CHANGED)
    assert "where" not in second
    assert first.id != second.id
    assert first.id.startswith("urn:uuid:")


def test_without_an_address_entries_have_a_content_as_rfc_4287_asks(stored) -> None:
    first, _ = feedparser.parse(atom(stored, Feed())).entries
    assert first.content[0].value == first.summary


def test_a_second_image_and_a_persons_verdict_are_told_apart(stored, alert) -> None:
    seen_again = StoredAlert(alert(id="e" * 16, status="confirmed"), OPENED, CHANGED)
    rejected, awaited, confirmed = feedparser.parse(atom([*stored, seen_again], Feed())).entries
    assert rejected.summary.endswith(" Seen in one image. Rejected by a person.")
    assert awaited.summary.endswith(" Waits for an image.")
    assert confirmed.summary.endswith(" Seen again in a second image.")
    assert [tag.term for tag in confirmed.tags] == ["outside_permit", "confirmed"]


def test_the_same_alerts_give_the_same_bytes(stored, tmp_path) -> None:
    write_feeds(stored, Feed(), tmp_path, tmp_path / "pictures")
    before = [(tmp_path / name).read_bytes() for name in (ATOM, FEED_FILE)]
    write_feeds(stored, Feed(), tmp_path, tmp_path / "pictures")
    assert [(tmp_path / name).read_bytes() for name in (ATOM, FEED_FILE)] == before


def test_the_geojson_has_history_and_pictures(stored, tmp_path) -> None:
    picture = tmp_path / "pictures" / "0123456789abcdef" / "after_2026.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"x")
    write_feeds(stored, Feed(), tmp_path, tmp_path / "pictures")
    first, second = json.loads((tmp_path / FEED_FILE).read_text())["features"]
    assert first["properties"]["pictures"] == {"after": "pictures/0123456789abcdef/after_2026.png"}
    assert first["properties"]["reviews"] == [{"verdict": "rejected", "time": CHANGED}]
    assert "A. Person" not in (tmp_path / "alerts.geojson").read_text() + (tmp_path / ATOM).read_text()
    assert first["properties"]["opened"] == OPENED
    assert (second["geometry"], second["properties"]["pictures"]) == (None, {})


def test_a_feed_without_alerts_is_a_feed() -> None:
    found = feedparser.parse(atom([], Feed()))
    assert not found.bozo
    assert found.entries == []
