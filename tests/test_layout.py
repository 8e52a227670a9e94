"""The house rules that no linter knows: names of files, public names, and what importing a folder loads."""

import ast
import importlib
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
FOLDERS = (
    "acquisition",
    "annotation",
    "app",
    "benchmark",
    "dataset_script",
    "experiments",
    "hub",
    "metrics",
    "modeling",
    "monitoring",
    "simulation",
    "support",
    "training",
    "watch",
)
WITH_PUBLIC_NAMES = (
    "acquisition",
    "annotation",
    "app",
    "dataset_script",
    "hub",
    "metrics",
    "modeling",
    "monitoring",
    "simulation",
    "training",
    "watch",
)
HEAVY = ("torch", "rasterio", "transformers", "datasets", "pandas", "evaluate", "matplotlib")
# The reason why a file is longer than the others; 400 lines are what a reader takes in at a sitting.
LONGEST = 420


def modules() -> list[Path]:
    """All modules but the commands, which are named after their verbs, and the copies in the Spaces."""
    spaces = {path.parent for path in REPOSITORY.glob("metrics/*/app.py")}
    shared = {path.name for path in REPOSITORY.glob("metrics/*.py")}
    return [
        path
        for folder in FOLDERS
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
        if not path.stem.startswith("__") and not (path.parent in spaces and path.name in shared)
    ]


def test_a_file_name_has_one_meaning():
    places = defaultdict(list)
    for path in modules():
        places[path.name].append(str(path.relative_to(REPOSITORY)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_file_is_longer_than_a_reader_takes_in():
    lengths = {
        str(path.relative_to(REPOSITORY)): len(path.read_text(encoding="utf-8").splitlines())
        for path in [*modules(), *(REPOSITORY / "commands").glob("*.py")]
    }
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST} == {}


@pytest.mark.parametrize("folder", WITH_PUBLIC_NAMES)
def test_every_public_name_can_be_imported(folder):
    package = importlib.import_module(f"euromine.{folder}")
    # A module of the same name would take its place as soon as it is imported.
    assert not {path.stem for path in (REPOSITORY / folder).glob("*.py")} & set(package.__all__)
    for name in package.__all__:
        assert getattr(package, name) is not None
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        package.nothing  # noqa: B018


@pytest.mark.parametrize("folder", WITH_PUBLIC_NAMES)
def test_type_checkers_know_the_same_public_names(folder):
    path = REPOSITORY / folder / "__init__.py"
    (checked,) = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.If)]
    names = [
        alias.name for node in ast.walk(checked) if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    assert sorted(names) == sorted(importlib.import_module(f"euromine.{folder}").__all__)


def test_importing_a_folder_loads_no_large_library():
    code = f"""
import sys
for folder in {(*WITH_PUBLIC_NAMES, "support")}:
    __import__("euromine." + folder)
    loaded = [name for name in {HEAVY} if name in sys.modules]
    assert not loaded, f"{{folder}} loads {{loaded}}"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("package", "names"),
    [
        ("dataset_script", "Archive build_dataset read_dataset"),
        ("metrics", "CATIoU AnnualF1 IntervalF1"),
        ("modeling", "create_model list_models PostClassification AutoModelForChangeDetection"),
        ("monitoring", "MineMonitor SeriesResult"),
    ],
)
def test_the_names_that_the_documentation_promises_are_public(package, names):
    assert set(names.split()) <= set(importlib.import_module(f"euromine.{package}").__all__)
