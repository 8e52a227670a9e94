"""Items of a STAC catalogue over a place and a time, by pystac-client."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from euromine.support.errors import DataError, EuroMineError

from .catalogues import RADAR_COLLECTION, Catalogue, missing_acquire

logger = logging.getLogger(__name__)

_TIMEOUT = 30.0  # seconds without a byte
_RETRIES = 5
_RETRIED = (429, 500, 502, 503, 504)
_PAUSE = 0.5  # seconds before the third try; doubled before each further one
_LONGEST_WAIT = 60.0
# A season has some 40 satellite passes, each with up to four tiles. More is not the season of one site.
_MOST_ITEMS = 2000


def search_items(catalogue: Catalogue, area: Any, days: tuple[str, str]) -> list[dict[str, Any]]:
    """The items of a catalogue's collections that touch an area.

    The request has no further conditions: servers understand different ones, and some ignore the others. The
    caller filters.

    Args:
        catalogue: Where to search.
        area: A shapely geometry in degrees.
        days: The first and the last day, "2021-06-01" and "2021-08-31".

    Returns:
        The items as parsed JSON. They are GeoJSON features with properties; nothing else is checked.

    Raises:
        OSError: The catalogue does not answer, or not as a STAC API does.
        DataError: It has none of the collections, or answers without end.
        MissingExtraError: pystac-client is not installed.
    """
    import shapely

    try:
        import pystac_client
        import requests
    except ImportError as error:
        raise missing_acquire(error) from None
    try:
        client = _client(catalogue)
        search = client.search(
            collections=list(_collections(client, catalogue)),
            intersects=shapely.geometry.mapping(area),
            datetime=f"{days[0]}/{days[1]}",
            limit=100,
            max_items=_MOST_ITEMS + 1,
        )
        items = [item for item in search.items_as_dicts() if _is_feature(item)]
    except (pystac_client.exceptions.APIError, requests.RequestException) as error:
        raise OSError(
            f"{catalogue.url} does not answer as a STAC catalogue does ({_reason(error)}). Try again later; "
            "what was acquired is kept."
        ) from error
    except EuroMineError:
        raise
    except _broken_answers() as error:
        raise DataError(
            f"{catalogue.url}: found an answer that is no STAC API's ({_reason(error)}); expected the root "
            "of one, such as https://earth-search.aws.element84.com/v1."
        ) from error
    if len(items) > _MOST_ITEMS:
        raise DataError(
            f"{catalogue.url}: found more than {_MOST_ITEMS} items from {days[0]} to {days[1]}; expected "
            "those of one site. Give a smaller site or fewer --months."
        )
    return items


def _client(catalogue: Catalogue) -> Any:
    from pystac_client import Client
    from pystac_client.stac_api_io import StacApiIO
    from urllib3 import Retry

    class PatientRetry(Retry):
        """Retries that wait as long as a server asks, within reason."""

        def get_retry_after(self, response: Any) -> float | None:
            asked: float | None = super().get_retry_after(response)
            return None if asked is None else min(asked, _LONGEST_WAIT)

    # A search is a POST, which pystac-client does not retry by default.
    retry = PatientRetry(
        total=_RETRIES, status_forcelist=_RETRIED, allowed_methods=None, backoff_factor=_PAUSE
    )
    return Client.open(catalogue.url, stac_io=StacApiIO(max_retries=retry, timeout=_TIMEOUT))


def _collections(client: Any, catalogue: Catalogue) -> tuple[str, ...]:
    """The collections to search, in a user's catalogue those that it lists. It may refuse others."""
    if not catalogue.checks_collections:
        return catalogue.collections
    there = sorted(collection.id for collection in client.get_collections())
    found = tuple(name for name in catalogue.collections if name in there)
    if found:
        return found
    listed = ", ".join(there[:12]) or "none"
    is_radar = catalogue.collections == (RADAR_COLLECTION,)
    if is_radar and any("grd" in name for name in there):
        raise DataError(
            f"{catalogue.url}: found the collections {listed}; expected {RADAR_COLLECTION}, as GRD is in "
            "radar geometry and cannot be laid over a map. Take radar from --catalogue planetary-computer, "
            "or leave --radar out."
        )
    raise DataError(
        f"{catalogue.url}: found the collections {listed}; expected {' or '.join(catalogue.collections)}. "
        f"Give another --catalogue{' or leave --radar out' if is_radar else ''}."
    )


def _broken_answers() -> tuple[type[Exception], ...]:
    """Errors that pystac raises for JSON that is not STAC, and for text that is not JSON."""
    from pystac import STACError, STACTypeError
    from pystac_client.errors import ClientTypeError

    return (STACError, STACTypeError, ClientTypeError, KeyError, TypeError, AttributeError, ValueError)


def _is_feature(item: Any) -> bool:
    return isinstance(item, Mapping) and isinstance(item.get("properties"), Mapping)


def _reason(error: Exception) -> str:
    """The reason of a failure in a word or two. pystac-client wraps it in an error of its own."""
    if status := getattr(error, "status_code", None):
        return f"status {status}"
    return type(error.__context__ or error).__name__
