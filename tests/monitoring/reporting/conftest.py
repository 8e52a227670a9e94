"""A series and its page."""

import pytest

from euromine.monitoring.reporting.page import render_report
from euromine.monitoring.result import SeriesResult

from .written_series import write_series


@pytest.fixture(scope="session")
def series(tmp_path_factory) -> SeriesResult:
    return SeriesResult(write_series(tmp_path_factory.mktemp("report") / "series"))


@pytest.fixture(scope="session")
def page(series) -> str:
    return render_report(series)
