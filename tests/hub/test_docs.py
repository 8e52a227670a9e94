"""The pages on publishing and on use: every block of code in them runs."""

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..app.drawn_app import write_app_folder  # noqa: TID252
from .conftest import Worker
from .server import Hub

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of each block of code."""
    return re.findall(
        r"^```(\w+)\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


@pytest.fixture(scope="module")
def empty_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A Hub on which nobody has published anything yet."""
    hub = Hub(tmp_path_factory.mktemp("hub"))
    yield hub
    hub.close()


@pytest.fixture(scope="module")
def run_blocks(
    start_person: Callable[..., Worker], dataset: Path, save_model: Callable[..., Path], empty_hub: Hub
) -> Callable[[str], list[str]]:
    """Run a page's blocks, in order, where its files lie; the outputs of commands."""
    person = start_person(alone=False, token="hf_writer", HF_ENDPOINT=empty_hub.url)
    (person.cwd / "euromine_built").symlink_to(dataset)
    (person.cwd / "runs").mkdir()
    (person.cwd / "runs" / "tinycd").symlink_to(save_model("fc-ef"))
    write_app_folder(person.cwd / "results")

    def run(page: str) -> list[str]:
        outputs = []
        for language, text in blocks(page):
            if language == "python":
                person.run(text)
                continue
            for line in text.splitlines():
                program, *arguments = shlex.split(line)
                assert program == "euromine"
                # Not by its name in the page: a folder ./euromine would come before any link.
                given = ["euromine_built" if each == "euromine" else each for each in arguments]
                status, output = person.euromine(*given)
                assert status == 0, output
                outputs.append(output)
        return outputs

    return run


def test_the_pages_run_one_after_the_other(run_blocks: Callable[[str], list[str]], empty_hub: Hub) -> None:
    assert len(blocks("publish.md")) == 3
    dry_run, *sent = run_blocks("publish.md")
    assert "Nothing was sent." in dry_run
    assert len(sent) == 5
    for repo_type, name in (
        ("dataset", "mines/euromine"),
        ("model", "mines/tinycd"),
        ("space", "mines/ca_tiou"),
        ("space", "mines/our-mines"),
    ):
        assert empty_hub.exists(repo_type, name)
    assert len(blocks("use.md")) == 9
    linked, unlinked = run_blocks("use.md")
    assert "is linked now" in linked
    assert "is no longer linked" in unlinked
