"""The report of a series: one page of maps, areas and changes for readers without GIS software."""

from typing import TYPE_CHECKING

from euromine.support.lazy import lazy_names

if TYPE_CHECKING:
    from .page import render_report as render_report
    from .page import write_report as write_report

__all__ = ["render_report", "write_report"]
__getattr__, __dir__ = lazy_names(__name__, {"render_report": ".page", "write_report": ".page"})
