"""The web app on what `euromine series` and `euromine watch` made."""

from euromine.support.lazy import lazy_names

__all__: list[str] = []

__getattr__, __dir__ = lazy_names(__name__, {})
