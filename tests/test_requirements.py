"""The minimum versions in pyproject.toml are those that `make oldest` installs."""

import re
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
USER_EXTRAS = (
    *("acquire", "annotate", "app", "dask", "docx", "int8", "onnxruntime", "openvino", "pdf", "polygons"),
    "watch",
)


def pins(name: str) -> dict[str, str]:
    lines = (REPOSITORY / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def minima() -> dict[str, str]:
    """Minimum version of each library that the project or one of its extras for users needs."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [extra for name, extra in project["optional-dependencies"].items() if name in USER_EXTRAS]
    found = {}
    for requirement in [*project["dependencies"], *(each for extra in extras for each in extra)]:
        if requirement.startswith("euromine["):
            continue
        name, _, version = re.fullmatch(r"([\w-]+)(>=|==)([\d.]+).*", requirement).groups()
        found[name] = version
    return found


def as_numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def test_every_minimum_is_what_the_oldest_environment_installs():
    oldest = pins("constraints-oldest.txt")
    wanted = minima()
    wanted.pop("torch")  # pinned by the Makefile: older builds bring gigabytes of CUDA packages
    assert set(oldest) == set(wanted)
    for name, version in wanted.items():
        numbers = as_numbers(version)
        assert as_numbers(oldest[name])[: len(numbers)] == numbers, name
        assert not any(as_numbers(oldest[name])[len(numbers) :]), name


def test_what_developers_install_is_pinned_and_new_enough():
    tested = {name.lower().replace("_", "-"): version for name, version in pins("constraints.txt").items()}
    for name, version in minima().items():
        if name != "torch":
            assert as_numbers(tested[name.lower().replace("_", "-")]) >= as_numbers(version), name
