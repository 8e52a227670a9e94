"""Ctrl-C: one line, exit status 130 and no traceback, in programs, their workers and their children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import IO, Any

INTERRUPTED = 130
"""The exit status of a program that Ctrl-C ended."""

RESUME = "Run the same command again to resume."
"""Advice at the end of an interrupted run."""

# Set for a child whose parent answers Ctrl-C.
_ANSWERED = "EUROMINE_INTERRUPT_ANSWERED"

# How long a child may clean up by itself, until it is asked once more, and until it is killed, in seconds.
_BY_ITSELF, _ASKED = 2.0, 60.0
# Between two looks at children, in seconds.
_PAUSE = 0.1


def answer_interrupts_of_imports(module: str, program: str) -> None:
    """Answer Ctrl-C in one line while a program's modules are imported, which may take seconds.

    Call it before the other imports. In a spawned worker, which imports the program's module once more,
    Ctrl-C is left to the parent. Anywhere else nothing is changed.

    Args:
        module: The program's `__name__`.
        program: The program's name in the message.
    """
    if module == "__mp_main__":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if module != "__main__":
        return
    others = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            others(kind, error, traceback)
            return
        say_interrupted(program, str(error))
        sys.stderr.flush()
        os._exit(INTERRUPTED)  # Python itself would end with another status

    sys.excepthook = hook


def say_interrupted(program: str, advice: str = "") -> None:
    """Print one line for a program that was interrupted. Another Ctrl-C ends it at once.

    Args:
        program: The program's name.
        advice: A sentence for the end of the line, such as the text of the `KeyboardInterrupt`.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if os.environ.get(_ANSWERED):
        return
    start = "\n" if sys.stderr.isatty() else ""  # behind the terminal's ^C
    print(f"{start}{program}: interrupted. {advice}".rstrip(" "), file=sys.stderr)


@contextmanager
def resumable(advice: str = RESUME) -> Iterator[None]:
    """Add advice on resuming to Ctrl-C in the block, unless it already has some.

    Args:
        advice: A sentence.

    Raises:
        KeyboardInterrupt: With the advice as its text.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise (interrupt if str(interrupt) else KeyboardInterrupt(advice)) from None


@contextmanager
def uninterrupted_children() -> Iterator[None]:
    """Keep Ctrl-C from processes started in the block; this process receives it when the block ends."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker  # takes longer to import than all of this module

    resource_tracker.ensure_running()  # its own start would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    held: list[int] = []
    handler = signal.getsignal(signal.SIGINT)
    # Only this thread blocks the signal: where another receives it, Python runs the handler here.
    is_deferred = threading.current_thread() is threading.main_thread() and callable(handler)
    if is_deferred:
        signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        if is_deferred:
            signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if held:
            signal.raise_signal(signal.SIGINT)


def run_child(command: Sequence[str], output: IO[str] | None = None) -> int:
    """Run one of our programs. Ctrl-C ends it, too, after it has cleaned up; only this process reports it.

    `subprocess.run` would kill it after a quarter of a second.

    Args:
        command: The program and its arguments.
        output: The file for its output; None for this process's.

    Returns:
        Its exit status.

    Raises:
        KeyboardInterrupt: Once the program has ended, also if Ctrl-C reached only that program.
    """
    with child_beside(command, output) as child:
        return exit_status(child)


def run_child_with(command: Sequence[str], other: subprocess.Popen[bytes]) -> int | None:
    """As `run_child`, beside another program that it needs.

    Args:
        command: The program and its arguments.
        other: The other program, from `child_beside`.

    Returns:
        Its exit status; None if the other program failed first, which ends this one, too.

    Raises:
        KeyboardInterrupt: As `run_child`.
    """
    with child_beside(command) as child:
        while child.poll() is None:
            if other.poll():
                _end(child, by_itself=0)
                return None
            time.sleep(_PAUSE)
        return exit_status(child)


@contextmanager
def child_beside(command: Sequence[str], output: IO[Any] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run one of our programs beside the block, which waits for it at its end.

    An error in the block and Ctrl-C end the program, too, as in `run_child`.

    Args:
        command: The program and its arguments.
        output: The file for its output; None for this process's.
    """
    environment = {**os.environ, _ANSWERED: "1"}
    with subprocess.Popen(command, stdout=output, stderr=output, env=environment) as child:
        try:
            yield child
        except BaseException:
            _end(child)
            raise


def exit_status(child: subprocess.Popen[bytes]) -> int:
    """The exit status of a child, once it has ended.

    Raises:
        KeyboardInterrupt: Ctrl-C ended it.
    """
    if (status := child.wait()) == INTERRUPTED:
        raise KeyboardInterrupt
    return status


def _end(child: subprocess.Popen[bytes], by_itself: float = _BY_ITSELF) -> None:
    try:
        child.wait(by_itself)  # a terminal's Ctrl-C reaches both
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(_ASKED)
        except subprocess.TimeoutExpired:
            child.kill()
