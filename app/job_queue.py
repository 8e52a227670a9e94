"""The queue of jobs: one at work, a bounded number waiting, all of them kept over a restart of the server."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from euromine.support.errors import ArgumentError, BusyError, one_line
from euromine.support.files import is_full_disk
from euromine.support.locks import lock_folder

from .app_errors import NotFound, Overloaded
from .job_limits import FULL_DISK, JobLimits
from .job_records import BUG, JobProgress, JobRecord, State
from .job_runner import Command, End, JobRun, run_to_end, usual_command
from .job_store import JobStore
from .uploaded_images import in_visitors_words

logger = logging.getLogger(__name__)

# A job that ends the whole server is not started for ever.
_MOST_STARTS = 3
_CLOSING_SECONDS = 15.0


class JobQueue:
    """The jobs of an app's folder. Only one server at a time runs them.

    Args:
        folder: The app's folder.
        limits: The limits of uploads and processes.
        command: The command of a job's process.
    """

    def __init__(self, folder: Path, limits: JobLimits, command: Command = usual_command) -> None:
        self.store = JobStore(folder)
        self.limits = limits
        self._command = command
        self._changed = threading.Condition(threading.RLock())
        self._jobs: dict[str, JobRecord] = {}
        self._run: JobRun | None = None
        self._running = ""
        self._thread: threading.Thread | None = None
        self._lock = ExitStack()
        self._is_closing = False

    def open(self) -> None:
        """Take over the folder's jobs and go on with those that have not ended.

        Raises:
            BusyError: Another server runs them.
            OSError: The folder cannot be written to.
        """
        with self._changed:
            if self._thread is not None:
                return
            try:
                self._lock.enter_context(lock_folder(self.store.folder))
            except BusyError:
                raise BusyError(
                    "uploads: found another server at work on the jobs of this folder; expected one. Use "
                    "that one, or end it."
                ) from None
            self._is_closing = False
            atexit.register(self.close)  # where nobody closes it before the server's process ends
            self.store.remove_interrupted_uploads()
            self._jobs = {job.id: job for job in self.store.read_all()}
            for job in list(self._jobs.values()):
                if (result := self.store.published(job)) and not job.has_ended:
                    self._end(replace(job, result=result), "done")
                elif job.state == "running":
                    self._change(job, state="waiting")
                elif job.state == "done" and not result:
                    self.store.remove(job)  # a person deleted the site's folder
                    del self._jobs[job.id]
                elif job.state in ("failed", "cancelled"):
                    self.store.remove_work(job)
            self._thread = threading.Thread(target=self._work, daemon=True, name="euromine-jobs")
            self._thread.start()

    def close(self) -> None:
        """End the job at work, which a later server resumes, and release the folder."""
        with self._changed:
            thread, self._is_closing = self._thread, True
            if self._run is not None:
                self._run.stop()
            self._changed.notify_all()
        if thread is not None:
            thread.join(_CLOSING_SECONDS)
        with self._changed:
            self._thread = None
            self._lock.close()
        atexit.unregister(self.close)

    def check_room(self) -> None:
        """Refuse an upload before it is read.

        Raises:
            Overloaded: Too many jobs wait.
            BusyError: Another server runs the jobs of the folder.
            OSError: The folder cannot be written to.
        """
        self.open()
        with self._changed:
            self._check_waiting()

    def _check_waiting(self) -> None:
        unfinished = sum(not job.has_ended for job in self._jobs.values())
        if unfinished >= self.limits.waiting:
            raise Overloaded(
                f"uploads: found {unfinished} jobs at work or waiting; expected fewer. Try "
                "again when one has ended."
            )

    def check(self, job: JobRecord) -> End:
        """Check the headers of the images of a job that is not accepted yet, in a process of its own.

        Raises:
            OSError: The disk is full.
        """
        folder = self.store.write_draft(job)
        return run_to_end("check", job, folder, self.limits, self._command)

    def add(self, job: JobRecord) -> None:
        """Add a job whose images are in its folder.

        Raises:
            Overloaded: Too many jobs wait.
            OSError: The disk is full.
        """
        with self._changed:
            self._check_waiting()
            self.store.write(job)
            self._jobs[job.id] = job
            self._changed.notify_all()

    def jobs(self) -> list[JobRecord]:
        """All jobs, the oldest first; those of another server as it left them on the disk."""
        with self._changed:
            if self._thread is None:
                return self.store.read_all()
            return sorted(self._jobs.values(), key=lambda job: job.created)

    def job(self, job_id: str) -> JobRecord:
        """A job by its id.

        Raises:
            NotFound: There is none.
        """
        with self._changed:
            job = {job.id: job for job in self.jobs()}.get(job_id)
        if job is None:
            raise NotFound("job: found no job of this id; expected one that /api/jobs lists.")
        return job

    def progress(self, job: JobRecord) -> JobProgress:
        """The progress of a job."""
        if job.state == "done":
            return JobProgress(share=1.0)
        with self._changed:
            if self._run is not None and self._running == job.id:
                return self._run.progress
        return JobProgress()

    def cancel(self, job_id: str) -> None:
        """Cancel a job that has not ended; take other jobs without a site off the list.

        Raises:
            NotFound: There is none.
            BusyError: Another server runs the jobs of the folder.
            ArgumentError: Its result is a site.
        """
        self.open()
        with self._changed:
            job = self.job(job_id)
            if job.state == "done" and self.store.published(job):
                raise ArgumentError(
                    "job: found one that is done; expected one that waits or runs. Its site remains: delete "
                    "the site's folder on the server to remove it."
                )
            if job.has_ended:
                self.store.remove(job)
                del self._jobs[job_id]
                return
            self._end(job, "cancelled")
            if self._running == job_id and self._run is not None:
                self._run.stop()  # its thread cleans up once the process has ended
            elif self._running != job_id:
                self.store.remove_work(job)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._carry_out(job)
            except Exception:  # a bug ends one job, not the queue
                logger.exception("Job %s: this is a bug in EuroMine.", job.id)
                with self._changed:
                    self._end(job, "failed", BUG)
            finally:
                with self._changed:
                    self._run, self._running = None, ""

    def _next(self) -> JobRecord | None:
        with self._changed:
            while not self._is_closing:
                waiting = [job for job in self._jobs.values() if job.state == "waiting"]
                if waiting:
                    job = min(waiting, key=lambda each: each.created)
                    self._running = job.id
                    return job
                self._changed.wait()
            return None

    def _carry_out(self, job: JobRecord) -> None:
        if job.starts >= _MOST_STARTS:
            self._finish(
                job,
                End(f"The server was killed {job.starts} times by this job, perhaps for lack of memory."),
            )
            return
        with self._changed:
            if self._jobs[job.id].state == "cancelled":
                self.store.remove_work(job)
            if self._is_closing or self._jobs[job.id].state != "waiting":
                return
            job = self._change(job, state="running", starts=job.starts + 1)
            try:
                self._run = run = JobRun(
                    "series", job, self.store.folder_of(job.id), self.limits, self._command
                )
            except OSError as error:
                end = End(_system_sentence("The job's process cannot be started", error))
                run = None
        if run is not None:
            end = run.wait()
        self._finish(job, end)

    def _finish(self, job: JobRecord, end: End) -> None:
        """Note the end of a job's process."""
        with self._changed:
            if self._jobs[job.id].state == "cancelled":
                self.store.remove_work(job)
                return
            if self._is_closing and end.was_stopped:
                self._change(job, state="waiting", starts=0)
                return
            if not end.error:
                try:
                    result = self.store.publish(job)
                except OSError as error:
                    end = End(_system_sentence("The result cannot be moved to the sites", error))
                else:
                    self._end(replace(job, result=result), "done")
                    return
            self._end(job, "failed", end.error)
            self.store.remove_work(job)

    def _end(self, job: JobRecord, state: State, error: str = "") -> None:
        sentence = in_visitors_words(error, job.images, self.store.folder_of(job.id))
        self._change(job, state=state, error=sentence, ended=time.time())

    def _change(self, job: JobRecord, **changes: object) -> JobRecord:
        changed = replace(job, **changes)  # type: ignore[arg-type]
        self._jobs[job.id] = changed
        try:
            self.store.write(changed)
        except OSError as error:
            # The job itself goes on: after a restart, it is resumed or found complete.
            logger.warning("The state of a job cannot be written. %s", one_line(error))
        return changed


def _system_sentence(words: str, error: OSError) -> str:
    """A sentence on an error of the system, without the paths that it names."""
    return FULL_DISK if is_full_disk(error) else f"{words} ({error.strerror or 'no reason given'})."
