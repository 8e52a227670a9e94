"""The process of a job with another task in place of the series: the site's name chooses it."""

import errno
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from euromine.app.job_limits import JobLimits
from euromine.app.job_process import carry_out
from euromine.app.job_records import JobRecord
from euromine.app.job_store import DRAFT_FILE, JOB_FILE, RESULT_FOLDER
from euromine.support.errors import SceneError


def command(task: str, folder: Path, limits: JobLimits) -> list[str]:
    """The command of the process, for `JobQueue`."""
    memory = limits.check_memory if task == "check" else limits.memory
    return [sys.executable, str(Path(__file__)), task, str(folder), str(memory)]


def work(job: JobRecord, folder: Path, task: str) -> None:
    """Play the job that the site's name asks for."""
    result = folder / RESULT_FOLDER
    if task == "check" or job.name == "at once":
        (result / "areas.csv").write_text("year\n")
    elif job.name == "steps":
        print("progress Loading weights|3/3|\r", end="", file=sys.stderr, flush=True)
        for done in (1, 2):
            print(f"progress map 2016|{done}/2|\r", end="", file=sys.stderr, flush=True)
        wait_for(folder / "go on")
    elif job.name == "memory":
        bytes(8 * 2**30)
    elif job.name == "no image":
        raise SceneError(
            f"{result / 'image' / job.images[0].file}: found no band B04; expected one, --bands."
        )
    elif job.name == "full":
        raise OSError(errno.ENOSPC, "No space left on device", str(result / "areas.csv"))
    elif job.name == "bug":
        raise LookupError("a bug")
    elif job.name == "killed":
        os.kill(os.getpid(), 9)
    elif job.name == "children":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (folder / "log.txt").write_text(f"{os.getpid()} {child.pid}")
        time.sleep(600)
    else:
        (result / "footprint_2015.tif").write_bytes(b"a map")
        (result / "series.json").write_text(
            '{"format": "euromine-series", "files": {"footprint_2015.tif": ""}}'
        )
        time.sleep(600)


def wait_for(path: Path) -> None:
    """Wait until there is a file."""
    while not path.exists():
        time.sleep(0.01)


if __name__ == "__main__":
    asked, where, memory = sys.argv[1:]
    record = DRAFT_FILE if asked == "check" else JOB_FILE
    carry_out(partial(work, task=asked), Path(where), int(memory), record)
