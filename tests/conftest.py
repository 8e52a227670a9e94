"""Fixtures and paths that several folders' tests share."""

import gc
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from euromine.support.environment import prepare_process

prepare_process()  # before a test loads PyTorch

# Nothing of the suite may reach the network: what it loads it has made.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")

# What runs in the background ignores interrupts, and so would the processes that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Files that share processes and datasets of a session. Each group runs in one process of the suite, so that
# these are made once.
TOGETHER = {
    "tests/hub": ("tests/hub/",),
    "tests/training": ("tests/training/",),
    "networks without the package": (
        "tests/modeling/test_image_processing.py",
        "tests/modeling/test_mask2former.py",
        "tests/modeling/test_native.py",
        "tests/modeling/test_networks.py",
        "tests/modeling/test_post_classification.py",
    ),
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """As `--dist loadfile` does it, but the files of a group count as one."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class GroupScheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = super()._split_scope(nodeid)
            return next((group for group, paths in TOGETHER.items() if path.startswith(paths)), path)

    return GroupScheduling(config, log)


def pytest_collection_finish() -> None:
    """Keep garbage collections away from the libraries.

    Transformers' Trainer collects twice a training, which took half a second, and collections took a tenth of
    the time of an export.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


@pytest.fixture(autouse=True)
def _interrupts_are_exceptions() -> None:
    """A command that was interrupted ends at once on a second Ctrl-C, as would the whole suite after it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


REPOSITORY = Path(__file__).parents[1]
SHARED = REPOSITORY.parent / "shared"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real Sentinel-2 imagery, read in place; without it the test is skipped."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the real imagery in {folder}")
    return folder
