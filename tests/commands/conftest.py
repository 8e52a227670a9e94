"""The command in this process, which has loaded the libraries already."""

import os
import signal
import sys
from collections.abc import Callable, Iterator

import pytest

from euromine.commands import main


@pytest.fixture
def euromine_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str]]]:
    """A function from arguments and environment variables to the command's exit status and errors."""

    def run(*arguments: object, **environment: str) -> tuple[int, str]:
        monkeypatch.setattr(os, "environ", {**os.environ, **environment})
        monkeypatch.setattr(sys, "argv", ["euromine", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().err

    before = signal.getsignal(signal.SIGINT)
    yield run
    signal.signal(signal.SIGINT, before)
