"""The documentation's examples import names and use options that exist, and the quick ones run."""

import ast
import importlib
import importlib.util
import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import typer

from euromine.commands import app

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
)
RUNNABLE = ("docs/coming_from.md", "docs/metrics/index.md")


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_python_examples_parse_and_import_names_that_exist(page: str) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
                ours = [name for name in names if name.split(".")[0] == "euromine"]
                assert all(importlib.util.find_spec(name) for name in ours)
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "euromine":
                module = importlib.import_module(str(node.module))
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@pytest.mark.parametrize("page", RUNNABLE)
def test_short_examples_run(page: str) -> None:
    assert blocks(page, "python")
    for block in blocks(page, "python"):
        exec(compile(block, f"<example of {page}>", "exec"), {})


def options_of(words: list[str]) -> set[str]:
    """The options of an `euromine` command, such as ["publish", "model"]."""
    command = typer.main.get_command(app)
    options = {"--help"}
    for word in words:
        options |= {option for parameter in command.params for option in parameter.opts}
        if not hasattr(command, "commands"):
            break
        if word.startswith("-"):
            continue
        if word not in command.commands:
            word = getattr(command, "default", word)  # `euromine watch CONFIG.yaml`
        assert word in command.commands, word
        command = command.commands[word]
    return options | {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "console")])
def test_commands_and_options_exist(page: str) -> None:
    for block in blocks(page, "console"):
        for line in block.replace("\\\n", " ").splitlines():
            program, *words = shlex.split(line, comments=True) or [""]
            if program == "euromine":
                used = {word.split("=")[0] for word in words if word.startswith("--")}
                assert used <= options_of(words), line
            for name in re.findall(r"-m (euromine[\w.]+)", line):
                assert importlib.util.find_spec(name), line


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_the_repository_page_lead_to_files(page: str) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    local = [urlsplit(target).path for target in targets if not urlsplit(target).scheme]
    assert [path for path in local if path and not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_source_files_that_a_page_names_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    folders = "|".join(sorted(path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()))
    named = re.findall(rf"`((?:{folders}|accelerate_configs|tests)/[\w/]+(?:\.\w+)?/?)`", text)
    assert [name for name in named if not (ROOT / name).exists()] == []
