"""All alerts as GeoJSON and as an Atom feed with GeoRSS."""

from __future__ import annotations

import os
import uuid
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from euromine.support.files import write_bytes, write_json

from .alert_pictures import picture_paths
from .alerts import feature
from .watch_config import Feed
from .watch_state import FEED_FILE, StoredAlert

ATOM = "alerts.atom"
_ATOM, _GEORSS = "http://www.w3.org/2005/Atom", "http://www.georss.org/georss"
_NEVER = "1970-01-01T00:00:00+00:00"


def write_feeds(alerts: Sequence[StoredAlert], feed: Feed, folder: Path, pictures: Path) -> None:
    """Write `alerts.geojson` and `alerts.atom`, each at once. The same alerts give the same bytes.

    Args:
        alerts: All alerts, the latest changed first.
        feed: Title and address of the feed.
        folder: The watch's folder.
        pictures: The folder of all pictures.

    Raises:
        OSError: A file cannot be written.
    """
    write_json(
        folder / FEED_FILE,
        {"type": "FeatureCollection", "features": [alert_feature(each, folder, pictures) for each in alerts]},
    )
    write_bytes(folder / ATOM, atom(alerts, feed))


def alert_feature(stored: StoredAlert, folder: Path, pictures: Path) -> dict[str, Any]:
    """An alert with its history as a GeoJSON feature; pictures are paths relative to the folder."""
    shown = {
        moment: Path(os.path.relpath(path, folder)).as_posix()
        for moment, path in picture_paths(pictures, stored.alert).items()
    }
    return feature(
        stored.alert,
        opened=stored.opened,
        changed=stored.changed,
        # The folder may be published: who decided, and why, stays in the state.
        reviews=[{name: review[name] for name in ("verdict", "time")} for review in stored.reviews],
        pictures=shown,
    )


def atom(alerts: Iterable[StoredAlert], feed: Feed) -> bytes:
    """The Atom feed (RFC 4287) of alerts, with their places in GeoRSS."""
    ElementTree.register_namespace("", _ATOM)
    ElementTree.register_namespace("georss", _GEORSS)
    entries = list(alerts)
    root = ElementTree.Element(f"{{{_ATOM}}}feed")
    _text(root, "id", _urn(feed.link or feed.title))
    _text(root, "title", feed.title)
    _text(root, "updated", max((each.changed for each in entries), default=_NEVER))
    author = ElementTree.SubElement(root, f"{{{_ATOM}}}author")
    _text(author, "name", "EuroMine")
    if feed.link:
        ElementTree.SubElement(root, f"{{{_ATOM}}}link", {"rel": "alternate", "href": feed.link})
    for each in entries:
        alert = each.alert
        entry = ElementTree.SubElement(root, f"{{{_ATOM}}}entry")
        _text(entry, "id", _urn(alert.id))
        _text(entry, "title", alert.title)
        _text(entry, "published", each.opened)
        _text(entry, "updated", each.changed)
        summary = _summary(each)
        _text(entry, "summary", summary)
        if not feed.link:  # RFC 4287 asks for a link or a content
            _text(entry, "content", summary)
        for term in (alert.rule, alert.status, *(("rejected",) if each.is_rejected else ())):
            ElementTree.SubElement(entry, f"{{{_ATOM}}}category", {"term": term})
        if feed.link:
            address = f"{feed.link.rstrip('/')}/#{alert.id}"
            ElementTree.SubElement(entry, f"{{{_ATOM}}}link", {"rel": "alternate", "href": address})
        if alert.longitude is not None:
            # GeoRSS has latitude first.
            point = ElementTree.SubElement(entry, f"{{{_GEORSS}}}point")
            point.text = f"{alert.latitude} {alert.longitude}"
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, "utf-8", xml_declaration=True)) + b"\n"


def _summary(stored: StoredAlert) -> str:
    """The finding, its status and the latest verdict of a person, a sentence each."""
    sentences = [stored.alert.sentence, f"{stored.alert.status_words}."]
    if stored.reviews:
        sentences.append(f"{stored.reviews[-1]['verdict'].capitalize()} by a person.")
    return " ".join(sentences)


def _text(parent: ElementTree.Element, name: str, text: str) -> None:
    """Add an element with text, without the control characters that XML cannot hold."""
    shown = "".join(sign if sign.isprintable() else " " for sign in text)
    ElementTree.SubElement(parent, f"{{{_ATOM}}}{name}").text = shown


def _urn(identity: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"urn:euromine:alert:{identity}").urn
