"""From a place to its archive: yearly Sentinel-2 composites and Sentinel-1 backscatter from STAC catalogues."""

from euromine.support.lazy import lazy_names

__all__: list[str] = []

__getattr__, __dir__ = lazy_names(__name__, {})
