"""The files of jobs, in a hidden folder of the app's folder: records, images, and series in the making.

    .euromine-jobs/ID/job.json          the record, written atomically
    .euromine-jobs/ID/draft.json        the record of an upload whose headers are being checked
    .euromine-jobs/ID/log.txt           the output of its process
    .euromine-jobs/ID/result/image/     the images
    .euromine-jobs/ID/result/           the series, until it is complete
    uploads/NAME-ID/                    the complete series and its images

Only files that the app or its processes wrote are ever deleted.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from euromine.support.errors import RecordError
from euromine.support.files import part_of
from euromine.support.locks import LOCK_NAME
from euromine.support.records import read_record, write_record

from .job_records import JobImage, JobRecord, is_job_id, new_job_id

logger = logging.getLogger(__name__)

JOBS_FOLDER = ".euromine-jobs"
RESULTS_FOLDER = "uploads"
JOB_FILE, DRAFT_FILE, OUTCOME_FILE, LOG_FILE = "job.json", "draft.json", "outcome.json", "log.txt"
RESULT_FOLDER, IMAGE_FOLDER = "result", "image"
_RECEIVED = re.compile(r"part[0-9]{1,4}\.tif")
_UNSAFE = re.compile(r"[^A-Za-z0-9]+")


def image_path(folder: Path, image: JobImage) -> Path:
    """The file of an image in a job's folder."""
    return folder / RESULT_FOLDER / IMAGE_FOLDER / image.file


def image_name(job_id: str, year: int) -> str:
    """The name of a job's image: unique among all jobs, with its year and nothing of the visitor's name."""
    return f"{job_id}_{year}.tif"


class JobStore:
    """The jobs below the app's folder.

    Args:
        folder: The app's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.app_folder = folder.resolve()
        self.folder = self.app_folder / JOBS_FOLDER

    def folder_of(self, job_id: str) -> Path:
        """The folder of a job.

        Raises:
            ValueError: The text is no id.
        """
        if not is_job_id(job_id):
            raise ValueError(job_id)
        return self.folder / job_id

    def images_of(self, folder: Path) -> Path:
        """The folder of the images in a job's folder."""
        return folder / RESULT_FOLDER / IMAGE_FOLDER

    def new_folder(self) -> Path:
        """A new folder of a job, without a record yet: `read_all` takes it for an interrupted upload.

        Raises:
            OSError: It cannot be made.
        """
        folder = self.folder_of(new_job_id())
        (folder / RESULT_FOLDER / IMAGE_FOLDER).mkdir(parents=True)
        return folder

    def write(self, job: JobRecord) -> None:
        """Write the record of a job atomically.

        Raises:
            OSError: The disk is full.
        """
        folder = self.folder_of(job.id)
        write_record(folder / JOB_FILE, job)
        _remove(folder, [DRAFT_FILE])

    def write_draft(self, job: JobRecord) -> Path:
        """Write the record of a job that is not accepted yet.

        Returns:
            The job's folder.

        Raises:
            OSError: The disk is full.
        """
        folder = self.folder_of(job.id)
        write_record(folder / DRAFT_FILE, job)
        return folder

    def read_all(self) -> list[JobRecord]:
        """All jobs, the oldest first."""
        found = []
        for folder in self._folders():
            try:
                job = read_record(JobRecord, folder / JOB_FILE)
            except FileNotFoundError:
                continue  # an upload that is being received
            except (RecordError, OSError) as error:
                logger.warning("A job is left out. %s", error)
                continue
            if job.id == folder.name and all(_is_own_image(job.id, image) for image in job.images):
                found.append(job)
            else:
                logger.warning("%s: found the record of another job; it is left out.", folder / JOB_FILE)
        return sorted(found, key=lambda job: job.created)

    def remove_interrupted_uploads(self) -> None:
        """Delete the images of uploads that did not become a job before a server ended."""
        for folder in self._folders():
            if not (folder / JOB_FILE).exists():
                self.remove_upload(folder)

    def _folders(self) -> list[Path]:
        try:
            found = sorted(self.folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [each for each in found if is_job_id(each.name) and each.is_dir() and not each.is_symlink()]

    def published(self, job: JobRecord) -> str:
        """The folder of a job's complete series below the app's folder; "" if there is none yet."""
        name = _result_name(job)
        return name if (self.app_folder / name).is_dir() else ""

    def publish(self, job: JobRecord) -> str:
        """Move a complete series and its images to where the catalogue finds them.

        Returns:
            Its folder below the app's folder.

        Raises:
            OSError: It cannot be moved.
        """
        name = _result_name(job)
        target = self.app_folder / name
        target.parent.mkdir(exist_ok=True)
        (self.folder_of(job.id) / RESULT_FOLDER).rename(target)
        return name

    def remove_work(self, job: JobRecord) -> None:
        """Delete the images and the unfinished series of a job; its record remains."""
        from euromine.monitoring.history.evidence_store import remove_evidence
        from euromine.monitoring.history.output_files import listed_files, remove_work_files

        folder = self.folder_of(job.id)
        result = folder / RESULT_FOLDER
        if result.is_dir() and not result.is_symlink():
            remove_work_files(result)
            _remove(result, listed_files(result))
            _remove(result, [LOCK_NAME])
            remove_evidence(result)
        _remove(result / IMAGE_FOLDER, [image.file for image in job.images])
        _remove(folder, [OUTCOME_FILE, part_of(folder / OUTCOME_FILE).name])
        _remove_empty(result / IMAGE_FOLDER, result)

    def remove(self, job: JobRecord) -> None:
        """Delete a job with all that it wrote, but for a complete series."""
        self.remove_work(job)
        folder = self.folder_of(job.id)
        _remove(folder, [JOB_FILE, part_of(folder / JOB_FILE).name, LOG_FILE])
        _remove_empty(folder)

    def remove_upload(self, folder: Path) -> None:
        """Delete the images of an upload that did not become a job."""
        images = folder / RESULT_FOLDER / IMAGE_FOLDER
        with suppress(OSError):
            names = [path.name for path in images.iterdir()]
            own = re.compile(rf"{folder.name}_[0-9]{{4}}\.tif")
            _remove(images, [name for name in names if _RECEIVED.fullmatch(name) or own.fullmatch(name)])
        written = (DRAFT_FILE, OUTCOME_FILE, LOG_FILE)
        _remove(folder, [*written, *(part_of(folder / name).name for name in (*written, JOB_FILE))])
        _remove_empty(images, images.parent, folder)


def _result_name(job: JobRecord) -> str:
    plain = _UNSAFE.sub("-", job.name).strip("-")[:40]
    return f"{RESULTS_FOLDER}/{plain or 'site'}-{job.id}"


def _is_own_image(job_id: str, image: JobImage) -> bool:
    return image.file == image_name(job_id, image.year)


def _remove(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        with suppress(OSError):
            (folder / name).unlink()


def _remove_empty(*folders: Path) -> None:
    for folder in folders:
        with suppress(OSError):  # somebody put a file there, or there is none
            folder.rmdir()
