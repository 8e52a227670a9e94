"""Simulated archives of any size with known truth."""

from typing import TYPE_CHECKING

from euromine.support.lazy import lazy_names

if TYPE_CHECKING:
    from .simulated_archive import simulate_archive as simulate_archive
    from .simulated_archive import site_names as site_names
    from .simulated_site import SimulatedSite as SimulatedSite
    from .simulated_site import simulate_site as simulate_site
    from .spectra import LandCover as LandCover

__all__ = [
    "LandCover",
    "SimulatedSite",
    "simulate_archive",
    "simulate_site",
    "site_names",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "LandCover": ".spectra",
        "SimulatedSite": ".simulated_site",
        "simulate_archive": ".simulated_archive",
        "simulate_site": ".simulated_site",
        "site_names": ".simulated_archive",
    },
)
