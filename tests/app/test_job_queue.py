"""Jobs run one after the other in processes with limits, are cancelled, and survive a restart."""

import os
import re
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from euromine.app.app_errors import NotFound, Overloaded
from euromine.app.job_limits import JobLimits
from euromine.app.job_queue import JobQueue
from euromine.app.job_records import JobImage, JobRecord
from euromine.app.job_runner import overall_share
from euromine.app.job_store import JOB_FILE, image_name
from euromine.support.errors import ArgumentError, BusyError
from euromine.support.records import read_record

from .stand_in_job import command

GIB = 2**30
PATIENCE = 60


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "mines"


@pytest.fixture
def start(folder):
    """Opens queues on the folder, and closes them after the test."""
    opened = []

    def start(**limits):
        queue = JobQueue(folder, JobLimits(**{"memory": GIB, **limits}), command)
        opened.append(queue)
        queue.open()
        return queue

    yield start
    for queue in opened:
        queue.close()


def add(queue, name, **fields):
    """A job with one image of three bytes."""
    place = queue.store.new_folder()
    image = JobImage(file=image_name(place.name, 2016), year=2016, name="My mine.tif", size=3)
    (queue.store.images_of(place) / image.file).write_bytes(b"abc")
    job = JobRecord(id=place.name, name=name, model="m", images=[image], created=time.time(), **fields)
    queue.add(job)
    return job.id


def wait_until(is_so):
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def ended(queue, job_id):
    """A job once it has ended."""
    wait_until(lambda: queue.job(job_id).has_ended and queue._running != job_id)
    return queue.job(job_id)


def images(folder):
    return list(folder.rglob("*_2016.tif"))


def test_a_job_that_is_done_leaves_its_folder_among_the_sites(start, folder):
    queue = start()
    job = ended(queue, add(queue, "at once"))
    assert (job.state, job.error) == ("done", "")
    assert job.result == f"uploads/at-once-{job.id}"
    assert (folder / job.result / "areas.csv").is_file()
    assert (folder / job.result / "image" / f"{job.id}_2016.tif").read_bytes() == b"abc"
    with pytest.raises(ArgumentError, match="one that is done"):
        queue.cancel(job.id)
    assert (folder / job.result).is_dir()


def test_a_job_whose_site_a_person_deleted_leaves_the_list(start, folder):
    queue = start()
    first, second = (ended(queue, add(queue, "at once")) for _ in range(2))
    for job in (first, second):
        shutil.rmtree(folder / job.result)
    queue.cancel(first.id)
    assert [job.id for job in queue.jobs()] == [second.id]
    queue.close()
    assert start().jobs() == []


@pytest.mark.parametrize(
    ("name", "limits", "sentence"),
    [
        ("memory", {}, "memory: found a need of more than 1 GiB; expected less."),
        ("sleep", {"seconds": 0.8}, "time: found a need of more than 0.8 seconds; expected less."),
        ("killed", {}, r"The job's process was ended \(SIGKILL\), perhaps for lack of memory."),
        ("full", {}, "^disk: found no space left; expected some. Ask the person who runs this server"),
        ("bug", {}, "The job failed by a bug in EuroMine."),
        ("no image", {}, "^My mine.tif: found no band B04; expected one, the option bands.$"),
    ],
)
def test_a_job_that_fails_keeps_a_sentence_and_no_files(start, folder, name, limits, sentence):
    queue = start(**limits)
    job_id = add(queue, name)
    job = ended(queue, job_id)
    queue.limits = JobLimits()
    after = add(queue, "at once")
    assert job.state == "failed"
    assert re.search(sentence, job.error), job.error
    assert str(folder) not in job.error
    assert ended(queue, after).state == "done"
    assert [path.name for path in images(folder)] == [f"{after}_2016.tif"]
    left = {path.name for path in queue.store.folder_of(job_id).iterdir()}
    assert left == {"job.json", "log.txt"}


def test_progress_is_read_from_the_process(start, folder):
    queue = start()
    job_id = add(queue, "steps")
    wait_until(lambda: queue.progress(queue.job(job_id)).share > 0.7)
    assert queue.progress(queue.job(job_id)).step == "map 2016"
    (queue.store.folder_of(job_id) / "go on").touch()
    assert ended(queue, job_id).state == "done"
    assert queue.progress(queue.job(job_id)).share == 1


def test_shares_of_a_series_grow_from_step_to_step():
    years = [2015, 2016, 2018]
    steps = ["map 2015", "map 2016", "map 2018", "footprints", "changes", "pictures", "polygons", "indices"]
    shares = [overall_share(step, part, years) for step in steps for part in (0.0, 0.5, 1.0)]
    assert shares == sorted(shares)
    assert shares[0] > 0
    assert shares[-1] == 1
    assert overall_share("maps", 1.0, years) == overall_share("footprints", 0.0, years)
    assert overall_share("unknown", 1.0, years) == 0


def test_cancelling_ends_the_process_with_its_children_and_removes_its_files(start, folder):
    queue = start()
    job_id = add(queue, "children")
    log = queue.store.folder_of(job_id) / "log.txt"
    wait_until(lambda: log.exists() and len(log.read_text().split()) == 2)
    processes = [int(number) for number in log.read_text().split()]
    theirs = queue.store.folder_of(job_id) / "result" / "notes.txt"
    theirs.write_text("of a person")
    queue.cancel(job_id)
    wait_until(lambda: not any(map(is_alive, processes)))
    wait_until(lambda: not images(folder))
    assert queue.job(job_id).state == "cancelled"
    assert theirs.read_text() == "of a person"
    queue.cancel(job_id)
    with pytest.raises(NotFound):
        queue.job(job_id)


def is_alive(process):
    with suppress(ProcessLookupError, FileNotFoundError):
        os.kill(process, 0)
        # A zombie waits for init alone.
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    return False


def test_a_waiting_job_is_cancelled_and_a_full_queue_refuses(start, folder):
    queue = start(waiting=2)
    first, second = add(queue, "sleep"), add(queue, "at once")
    with pytest.raises(Overloaded, match="found 2 jobs at work or waiting"):
        queue.check_room()
    queue.cancel(second)
    assert queue.job(second).state == "cancelled"
    queue.check_room()
    assert [path.name for path in images(folder)] == [f"{first}_2016.tif"]


def test_a_restart_shows_ended_jobs_and_goes_on_with_the_others(start, folder):
    queue = start()
    done, running, waiting = add(queue, "at once"), add(queue, "steps"), add(queue, "at once")
    wait_until(lambda: queue.job(running).state == "running")
    upload = queue.store.new_folder()
    (queue.store.images_of(upload) / "part0.tif").write_bytes(b"half")
    queue.close()
    assert read_record(JobRecord, queue.store.folder_of(running) / JOB_FILE).state == "waiting"
    again = start()
    assert again.job(done) == queue.job(done)
    assert not upload.exists()
    (again.store.folder_of(running) / "go on").touch()
    assert ended(again, running).state == ended(again, waiting).state == "done"


def test_a_result_that_was_moved_before_a_crash_is_done(start, folder):
    queue = start()
    job = ended(queue, add(queue, "at once"))
    queue.close()
    queue.store.write(replace(job, state="running", result="", ended=None))
    assert start().job(job.id).state == "done"


def test_a_job_that_ends_the_server_again_and_again_is_given_up(start):
    queue = start()
    job = ended(queue, add(queue, "at once", starts=3))
    assert job.state == "failed"
    assert "killed 3 times" in job.error


def test_a_second_server_refuses_until_the_first_ends(start, folder):
    first = start()
    job = ended(first, add(first, "at once"))
    second = JobQueue(folder, JobLimits(), command)
    with pytest.raises(BusyError, match="found another server at work"):
        second.check_room()
    assert second.job(job.id).state == "done"
    first.close()
    second.check_room()
    second.close()
