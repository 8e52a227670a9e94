"""Run the process of a job: its limits of time, its progress, and its end."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from euromine.support.errors import RecordError
from euromine.support.records import read_record

from .job_limits import JobLimits, memory_sentence
from .job_records import JobProgress, JobRecord, Outcome
from .job_store import LOG_FILE, OUTCOME_FILE

logger = logging.getLogger(__name__)

Command = Callable[[str, Path, JobLimits], list[str]]
"""From a task, "check" or "series", a job's folder and the limits to the command of its process."""

# tqdm takes its defaults from variables of the environment.
_BARS = {"TQDM_BAR_FORMAT": "progress {desc}|{n_fmt}/{total_fmt}|", "TQDM_MININTERVAL": "0.3"}
_BAR = re.compile(r"progress (?P<step>[^|]*)\|(?P<done>\d+)/(?P<whole>\d+)\|")
# The shares at which the steps of a series begin, by experience; maps of the years are before them.
_BEGINS = {"footprints": 0.78, "changes": 0.8, "pictures": 0.9, "polygons": 0.93, "indices": 0.97}
_MAPS_BEGIN, _MAPS_END = 0.05, 0.78
_LONGEST_LINE = 4096
_LARGEST_LOG = 256 * 2**10
# How long a process may take to die.
_PATIENCE = 10.0


def usual_command(task: str, folder: Path, limits: JobLimits) -> list[str]:
    """The command of a job's process."""
    memory = limits.check_memory if task == "check" else limits.memory
    module = "euromine.app.job_process"
    # -P: no folder of data named euromine in the current folder hides the package.
    return [sys.executable, "-P", "-m", module, task, str(folder), str(memory), str(limits.numbers)]


@dataclass(frozen=True)
class End:
    """The end of a job's process.

    Attributes:
        error: A sentence; "" for success.
        was_stopped: Whether `JobRun.stop` ended it.
    """

    error: str = ""
    was_stopped: bool = False


class JobRun:
    """A job's process at work.

    Args:
        task: "check" or "series".
        job: The job.
        folder: Its folder.
        limits: Its limits.
        command: The command of the process.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(
        self, task: str, job: JobRecord, folder: Path, limits: JobLimits, command: Command = usual_command
    ) -> None:
        self.progress = JobProgress()
        self._task, self._folder, self._limits = task, folder, limits
        self._is_stopped = False
        self._years = [image.year for image in job.images]
        (folder / OUTCOME_FILE).unlink(missing_ok=True)
        self._log = (folder / LOG_FILE).open("wb")
        try:
            self._process = subprocess.Popen(
                command(task, folder, limits),
                stdin=subprocess.PIPE,  # held open: its end is the end of the process
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={**_without_secrets(os.environ), **_BARS},
                start_new_session=True,
            )
        except BaseException:
            self._log.close()
            raise
        self._reader = threading.Thread(target=self._read, daemon=True, name=f"euromine-job-{job.id}")
        self._reader.start()

    def wait(self) -> End:
        """Wait for the end of the process, and end it when its time is over."""
        seconds = self._limits.check_seconds if self._task == "check" else self._limits.seconds
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._kill()
            return End(self._time_sentence(seconds), self._is_stopped)
        finally:
            self._close()
        if self._is_stopped:
            return End("", was_stopped=True)
        return End(self._error(status))

    def stop(self) -> None:
        """End the process and its children."""
        self._is_stopped = True
        self._kill()

    def _kill(self) -> None:
        if hasattr(os, "killpg"):
            # The group may outlive its first process, so its id is not taken by another one.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)

    def _close(self) -> None:
        """Release the pipes, and end the children of the process that are left."""
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        self._kill()
        self._reader.join(_PATIENCE)

    def _error(self, status: int) -> str:
        try:
            outcome = read_record(Outcome, self._folder / OUTCOME_FILE)
        except (RecordError, OSError):
            return self._death(status)
        if outcome.is_bug:
            logger.error("A job failed by a bug in EuroMine:\n%s", self._tail())
        if not outcome.error and status:
            return self._death(status)
        return outcome.error

    def _death(self, status: int) -> str:
        """The sentence for a process that left no outcome."""
        logger.error("The process of a job ended with status %d:\n%s", status, self._tail())
        memory = self._limits.check_memory if self._task == "check" else self._limits.memory
        if status < 0:
            name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
            return (
                f"The job's process was ended ({name}), perhaps for lack of memory. {memory_sentence(memory)}"
            )
        return f"The job's process ended without a result (status {status}). The server's log explains it."

    def _time_sentence(self, seconds: float) -> str:
        words = f"{seconds / 3600:.3g} hours" if seconds >= 3600 else f"{seconds:.3g} seconds"
        return (
            f"time: found a need of more than {words}; expected less. Upload a smaller ground, or fewer "
            "years."
        )

    def _tail(self) -> str:
        with suppress(OSError):
            return (self._folder / LOG_FILE).read_text(encoding="utf-8", errors="replace")[-4000:]
        return ""

    def _read(self) -> None:
        """Read the process's output: bars become progress, the rest goes to its log."""
        stream, written, rest = self._process.stderr, 0, b""
        if stream is None:
            return
        with self._log, stream:
            while data := os.read(stream.fileno(), 65536):
                *lines, rest = re.split(rb"[\r\n]+", rest + data)
                rest = rest[-_LONGEST_LINE:]
                for line in lines:
                    if self._has_progress(line.decode("utf-8", "replace")) or not line.strip():
                        continue
                    if written < _LARGEST_LOG:
                        with suppress(OSError):  # a full disk is the job's to report
                            written += self._log.write(line + b"\n")
                            self._log.flush()

    def _has_progress(self, line: str) -> bool:
        found = _BAR.search(line)
        if found is None:
            return False
        step, part = found["step"], int(found["done"]) / max(1, int(found["whole"]))
        if share := overall_share(step, part, self._years):  # else a bar of another library
            self.progress = JobProgress(step=step, share=max(self.progress.share, share))
        return True


def _without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables for a process that reads images of strangers; a token of the Hub may fetch its model."""
    return {
        name: value
        for name, value in environment.items()
        if not any(word in name.upper() for word in ("SECRET", "PASSWORD"))
    }


def overall_share(step: str, part: float, years: list[int]) -> float:
    """The finished share of a series, an estimate; 0 for a bar that is none of a series.

    Args:
        step: The name of a progress bar, such as "map 2019" or "polygons".
        part: The finished part of that step.
        years: The years of the series.
    """
    part = min(1.0, max(0.0, part))
    if step.startswith("map"):
        year = step.removeprefix("map").removeprefix("s").strip()
        order = sorted(years)
        if year.isdecimal() and int(year) in order:
            part = (order.index(int(year)) + part) / len(order)
        return _MAPS_BEGIN + (_MAPS_END - _MAPS_BEGIN) * part
    if step not in _BEGINS:
        return 0.0
    following = min((begin for begin in _BEGINS.values() if begin > _BEGINS[step]), default=1.0)
    return _BEGINS[step] + (following - _BEGINS[step]) * part


def run_to_end(
    task: str, job: JobRecord, folder: Path, limits: JobLimits, command: Command = usual_command
) -> End:
    """Run a short process of a job, such as the check of its headers."""
    return JobRun(task, job, folder, limits, command).wait()
