"""Fixtures and paths that several folders' tests share."""

import os
import signal
from pathlib import Path

import pytest

from euromine.support.environment import prepare_process

prepare_process()  # before a test loads PyTorch

# Nothing of the suite may reach the network: what it loads it has made.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")

# What runs in the background ignores interrupts, and so would the processes that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
