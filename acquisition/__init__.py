"""From a place to its archive: yearly composites of Sentinel-2 and Sentinel-1 from STAC catalogues."""

from typing import TYPE_CHECKING

from euromine.support.lazy import lazy_names

if TYPE_CHECKING:
    from .acquisition_options import AcquisitionOptions as AcquisitionOptions
    from .acquisition_record import AcquisitionRecord as AcquisitionRecord
    from .acquisition_record import read_acquisition as read_acquisition
    from .many_sites import acquire_sites as acquire_sites
    from .site_acquisition import AcquiredSite as AcquiredSite
    from .site_acquisition import acquire_site as acquire_site

__all__ = [
    "AcquiredSite",
    "AcquisitionOptions",
    "AcquisitionRecord",
    "acquire_site",
    "acquire_sites",
    "read_acquisition",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AcquiredSite": ".site_acquisition",
        "AcquisitionOptions": ".acquisition_options",
        "AcquisitionRecord": ".acquisition_record",
        "acquire_site": ".site_acquisition",
        "acquire_sites": ".many_sites",
        "read_acquisition": ".acquisition_record",
    },
)
