"""Annotations to labels and back: pictures for annotation tools, and masks from their exports."""

from euromine.support.lazy import lazy_names

__all__: list[str] = []

__getattr__, __dir__ = lazy_names(__name__, {})
