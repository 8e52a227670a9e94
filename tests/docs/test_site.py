"""The site builds without a warning, its links lead somewhere, and it lists all public names."""

import importlib
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
SUBPACKAGES = (
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


class Page(HTMLParser):
    """The anchors of a page and what it refers to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.references: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.references.append(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; every warning of Sphinx is an error."""
    pytest.importorskip("furo")
    pytest.importorskip("myst_nb")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q"]
    # Pages of source code take a quarter of the time, and nothing here reads them.
    command += [
        "-D",
        "extensions=myst_nb,sphinx.ext.autodoc,sphinx.ext.napoleon,sphinx_copybutton,sphinx_design",
    ]
    built = subprocess.run(
        [*command, "-d", str(folder / "doctrees"), str(ROOT / "docs"), str(folder / "html")],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert built.returncode == 0, built.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def test_every_internal_link_leads_to_a_file_and_an_anchor(pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        for reference in page.references:
            parts = urlsplit(reference)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = pages[target].anchors if target in pages else set()
            if not target.is_file() or (parts.fragment and unquote(parts.fragment) not in anchors):
                broken.append(f"{path.name}: {reference}")
    assert len(pages) > 30
    assert not broken


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert 'src="http' not in text, path
        assert 'rel="stylesheet" href="http' not in text, path


@pytest.mark.parametrize("subpackage", SUBPACKAGES)
def test_the_api_reference_has_every_public_name(
    subpackage: str, site: Path, pages: dict[Path, Page]
) -> None:
    anchors = pages[site / "api" / f"{subpackage}.html"].anchors | pages[site / "api" / "errors.html"].anchors
    module = importlib.import_module(f"euromine.{subpackage}")
    missing = []
    for name in module.__all__:
        # Errors are listed once, where they are defined.
        home = getattr(getattr(module, name), "__module__", None)
        anchor = f"{home if home == 'euromine.support.errors' else module.__name__}.{name}"
        if anchor not in anchors:
            missing.append(anchor)
    assert not missing


def test_a_metric_s_page_has_its_formulas_and_not_the_settings_of_its_space(site: Path) -> None:
    text = (site / "metrics" / "ca_tiou.html").read_text(encoding="utf-8")
    assert "<math" in text
    assert "sdk_version" not in text
