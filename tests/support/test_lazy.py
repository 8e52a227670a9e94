"""Public names of a subpackage are imported when they are first used."""

import subprocess
import sys

import pytest

import euromine.dataset_script
import euromine.simulation

PACKAGES = (euromine.dataset_script, euromine.simulation)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_public_name_is_there_and_listed(package):
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        assert getattr(package, name) is vars(package)[name]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_importing_a_subpackage_loads_no_large_library(package):
    large = {"torch", "rasterio", "transformers", "datasets", "scipy"}
    code = f"import sys, {package.__name__}; print(sorted({large} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout == "[]\n"


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"module 'euromine\.simulation' has no attribute 'nothing'"):
        euromine.simulation.nothing  # noqa: B018
