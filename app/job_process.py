"""The process of a job: `python -m euromine.app.job_process TASK FOLDER MEMORY NUMBERS`.

It reads images of strangers, so it limits its own memory before it loads a library. It ends with the server,
which holds the other end of its standard input, and leaves its outcome in a file.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

from euromine.support.environment import prepare_process
from euromine.support.errors import EuroMineError, one_line
from euromine.support.files import is_full_disk
from euromine.support.records import read_record, write_record

from .job_limits import FULL_DISK, is_lack_of_memory, limit_process, memory_sentence
from .job_records import BUG, JobRecord, Outcome
from .job_store import DRAFT_FILE, JOB_FILE, OUTCOME_FILE, RESULT_FOLDER, image_path

Work = Callable[[JobRecord, Path], None]


def carry_out(work: Work, folder: Path, memory: int, record: str = JOB_FILE) -> None:
    """Do a job's work within its limits, and write the outcome into the job's folder.

    Args:
        work: Called with the job and its folder.
        folder: The job's folder.
        memory: The largest memory in bytes.
        record: The file of the job's record.

    Raises:
        OSError: The record cannot be read, or the outcome cannot be written.
    """
    _end_with_server()
    limit_process(memory)
    prepare_process()
    try:
        work(read_record(JobRecord, folder / record), folder)
        outcome = Outcome()
    except Exception as error:  # every end is an outcome; a bug keeps its traceback for the log
        outcome = _failure(error, memory)
        if outcome.is_bug:
            traceback.print_exc()
    write_record(folder / OUTCOME_FILE, outcome)


def _failure(error: Exception, memory: int) -> Outcome:
    if is_lack_of_memory(error):
        return Outcome(error=memory_sentence(memory))
    if is_full_disk(error):
        return Outcome(error=FULL_DISK)
    if isinstance(error, EuroMineError | OSError):
        return Outcome(error=one_line(error))
    return Outcome(error=BUG, is_bug=True)


def _end_with_server() -> None:
    """End this process and its children at once when the server closes the other end of the pipe, or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.read(0, 1):
            pass
        if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def make_series_of(job: JobRecord, folder: Path) -> None:
    """Map a job's images over the years.

    Raises:
        EuroMineError: Model, images and options do not go together.
        OSError: The disk is full, or the model cannot be reached.
    """
    from euromine.monitoring.history.impact_settings import ImpactSettings
    from euromine.monitoring.monitor import MineMonitor
    from euromine.monitoring.scenes.spectral_indices import parse_indices

    options = job.options
    indices = parse_indices(options.indices, "indices") if options.indices else ()
    MineMonitor.from_pretrained(job.model, engine=job.engine).series(
        {image.year: image_path(folder, image) for image in job.images},
        folder / RESULT_FOLDER,
        smoothing=options.smoothing,
        pairs=options.pairs,
        extent=options.extent,
        threshold=options.threshold,
        minimum_mapping_unit=options.minimum_mapping_unit,
        impact=ImpactSettings(indices=indices),
        site=job.name,
        bands=options.bands,
        scale=options.scale,
        offset=options.offset,
        nodata=options.nodata,
        level=options.level,
        override=options.override,
        keep_clouds=options.keep_clouds,
        progress=True,
    )


def main(arguments: list[str]) -> None:
    """Carry out a task: "check" reads the headers of the images, "series" maps them."""
    from .uploaded_images import check_images

    task, folder, memory, numbers = arguments
    tasks: dict[str, tuple[Work, str]] = {
        "check": (partial(check_images, most_numbers=int(numbers)), DRAFT_FILE),
        "series": (make_series_of, JOB_FILE),
    }
    work, record = tasks[task]
    carry_out(work, Path(folder), int(memory), record)


if __name__ == "__main__":
    main(sys.argv[1:])
