"""The names that `euromine.metrics` offers."""

import subprocess
import sys

import pytest

import euromine.metrics


def test_importing_the_package_loads_no_large_library():
    libraries = "{'numpy', 'evaluate', 'datasets', 'torch'}"
    program = f"import sys, euromine.metrics; print(*{libraries} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("name", euromine.metrics.__all__)
def test_every_public_name_is_there(name):
    assert name in dir(euromine.metrics)
    assert getattr(euromine.metrics, name).__name__ == name


def test_the_metrics_are_those_that_evaluate_loads():
    metrics = (euromine.metrics.CATIoU, euromine.metrics.AnnualF1, euromine.metrics.IntervalF1)
    assert [metric.metric_name for metric in metrics] == ["ca_tiou", "annual_f1", "interval_f1"]


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"^module 'euromine\.metrics' has no attribute 'CATIOU'$"):
        euromine.metrics.CATIOU  # noqa: B018
