"""Alerts: what a rule found at a place, from the first image that shows it until it is gone."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from euromine.support.records import record_from

Status = Literal["suspected", "confirmed", "resolved"]
EventKind = Literal["suspected", "confirmed", "grown", "resolved", "rejected"]

SUSPECTED, CONFIRMED, RESOLVED, GROWN = "suspected", "confirmed", "resolved", "grown"
ACTIVE = (SUSPECTED, CONFIRMED)
# Once confirmed, a gain has happened: it stays on record, and nothing about it is open.
_GAINS = ("growth", "water_growth")

MOST_CORNERS = 2000
"""Corners of an outline in a delivery: some 50 KB, as many receivers refuse more than a few hundred."""
# Tolerances of coarser outlines in degrees, each twice the one before: from some 10 m to some 600 m.
_FINEST, _COARSER = 1e-4, 7

RULE_TITLES = {
    "outside_permit": "New mining outside the outlines given",
    "growth": "Mined area has grown",
    "water_growth": "Water within the mine has grown",
    "reclamation_stalled": "Recovery has stalled",
    "no_data": "No usable image",
}
STATUS_WORDS: dict[Status, str] = {
    "suspected": "Seen in one image",
    "confirmed": "Seen again in a second image",
    "resolved": "No longer seen",
}


@dataclass(frozen=True, kw_only=True)
class Alert:
    """An alert.

    Attributes:
        id: Hash of site, rule and place. Growth of the area leaves it unchanged.
        site: The site's name.
        rule: "outside_permit", "growth", "water_growth", "reclamation_stalled" or "no_data".
        status: "suspected" in one image, "confirmed" in a second, or "resolved".
        year: The year of the first image that shows it.
        last_year: The year of the latest image that shows it.
        before_year: The year of the image before the first; None without one.
        sentence: The finding in words.
        area_ha: Its area in hectares; None where it has none.
        low_ha: Lower end of the area's interval.
        high_ha: Upper end.
        interval: The meaning of the interval in words; "" without one.
        longitude: Of a point in it, in degrees; None without a place.
        latitude: Of the same point.
        geometry: Its outline as GeoJSON in degrees; None without one.
        images: The images that show it, by name and the beginning of their SHA-256.
        evidence: Hashes of the maps of these images. An image that was only written anew keeps its own.
        models: The models' names and the beginning of their digests.
        permits: The file of the outlines given and the beginning of its SHA-256; "" without one.
        reported_ha: The area in the latest event.
        simulated: Whether the images are simulated.
    """

    id: str
    site: str
    rule: str
    status: Status
    year: int
    last_year: int
    before_year: int | None
    sentence: str
    area_ha: float | None = None
    low_ha: float | None = None
    high_ha: float | None = None
    interval: str = ""
    longitude: float | None = None
    latitude: float | None = None
    geometry: dict[str, Any] | None = None
    images: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    permits: str = ""
    reported_ha: float | None = None
    simulated: bool = False

    @property
    def title(self) -> str:
        """The rule and the site in words."""
        return f"{RULE_TITLES[self.rule]}: {self.site}"

    @property
    def status_words(self) -> str:
        """The status in words that no reader takes for a person's verdict."""
        if self.rule == "no_data":  # a missing image is seen in none
            return "An image has come" if self.status == "resolved" else "Waits for an image"
        return STATUS_WORDS[self.status]

    @property
    def is_active(self) -> bool:
        """Whether it is suspected or confirmed."""
        return self.status in ACTIVE

    @property
    def is_recorded(self) -> bool:
        """Whether it is a confirmed gain, which stays on record."""
        return self.status == CONFIRMED and self.rule in _GAINS

    def resolved(self, sentence: str | None = None) -> Alert:
        """The alert, closed, perhaps with the reason in place of the finding."""
        return replace(self, status="resolved", sentence=sentence or self.sentence)

    def to_dict(self) -> dict[str, Any]:
        """Its fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any], source: str) -> Alert:
        """The alert of `to_dict`.

        Raises:
            RecordError: A field is missing or of a wrong type.
        """
        return record_from(cls, values, source)


@dataclass(frozen=True)
class AlertEvent:
    """A change of an alert that recipients may want to know.

    Attributes:
        kind: "suspected", "confirmed", "grown", "resolved", or "rejected" by a person.
        alert: The alert after it.
    """

    kind: EventKind
    alert: Alert


def alert_id(site: str, rule: str, place: str) -> str:
    """The identity of an alert.

    Args:
        site: The site's name.
        rule: The rule.
        place: Coordinates, or a year for rules without a place.
    """
    return hashlib.sha256("\n".join((site, rule, place)).encode()).hexdigest()[:16]


def with_few_corners(geometry: dict[str, Any], most: int = MOST_CORNERS) -> dict[str, Any]:
    """An outline that a message can carry: itself, a coarser one, or its bounding box.

    Args:
        geometry: GeoJSON in degrees.
        most: The largest number of corners.
    """
    import shapely

    outline = shapely.geometry.shape(geometry)
    if shapely.get_num_coordinates(outline) <= most:
        return geometry
    for step in range(_COARSER):
        coarse = outline.simplify(_FINEST * 2**step)
        if shapely.get_num_coordinates(coarse) <= most:
            return dict(shapely.geometry.mapping(coarse))
    return dict(shapely.geometry.mapping(shapely.box(*outline.bounds)))


def feature(alert: Alert, **properties: Any) -> dict[str, Any]:
    """An alert as a GeoJSON feature (RFC 7946).

    Args:
        alert: The alert.
        **properties: Further properties.
    """
    values = alert.to_dict()
    geometry = values.pop("geometry")
    if geometry is None and alert.longitude is not None:
        geometry = {"type": "Point", "coordinates": [alert.longitude, alert.latitude]}
    return {
        "type": "Feature",
        "id": alert.id,
        "geometry": geometry,
        "properties": {"title": alert.title, **values, **properties},
    }
