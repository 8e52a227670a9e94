"""The routes of uploaded images: models, jobs, their progress and their end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from euromine.monitoring.mapping.engine_choice import EngineChoice
from euromine.support.errors import ArgumentError, DataError, EuroMineError, one_line
from euromine.support.files import is_full_disk
from euromine.support.sentinel2_products import years_in_name

from .app_context import AppContext, user_of
from .app_errors import NotAllowed, Overloaded, error_answer
from .job_limits import FULL_DISK, JobLimits
from .job_models import OfferedModel, chosen_model, offered_models, refreshed
from .job_queue import JobQueue
from .job_records import JobImage, JobRecord, checked_name, parse_options, parse_year
from .job_runner import Command, usual_command
from .job_store import image_name
from .upload_stream import Received, ReceivedFile, receive_upload
from .uploaded_images import in_visitors_words

logger = logging.getLogger(__name__)

_CREATED, _UNAVAILABLE, _INSUFFICIENT_STORAGE = 201, 503, 507


def routes(
    context: AppContext, limits: JobLimits | None = None, command: Command = usual_command
) -> APIRouter:
    """The routes; none unless uploads are on.

    Args:
        context: The parts of the app.
        limits: The limits of uploads and processes; those of the settings by default.
        command: The command of a job's process.

    Raises:
        ArgumentError: A model is no checkpoint.
    """
    settings = context.settings
    if not settings.uploads:
        return APIRouter()
    limits = limits or JobLimits(memory=settings.job_memory or 0, seconds=settings.job_seconds)
    jobs = _Jobs(context, limits, command)
    router = APIRouter(prefix="/api", tags=["uploads"], lifespan=jobs.lifespan)
    router.add_api_route("/models", jobs.models, methods=["GET"])
    router.add_api_route("/jobs", jobs.listed, methods=["GET"])
    router.add_api_route(
        "/jobs", jobs.upload, methods=["POST"], status_code=_CREATED, openapi_extra={"requestBody": _FORM}
    )
    router.add_api_route("/jobs/{job_id}", jobs.shown, methods=["GET"])
    router.add_api_route("/jobs/{job_id}", jobs.cancel, methods=["DELETE"])
    return router


_FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["files", "name"],
                "properties": {
                    "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                    "years": {"type": "array", "items": {"type": "integer"}},
                    "model": {"type": "string"},
                    "name": {"type": "string"},
                    "options": {"type": "string", "description": "A JSON object: bands, scale, offset, ..."},
                },
            }
        }
    },
}


class _Jobs:
    """The handlers, around one queue.

    Args:
        context: The parts of the app.
        limits: The limits of uploads and processes.
        command: The command of a job's process.
    """

    def __init__(self, context: AppContext, limits: JobLimits, command: Command) -> None:
        self._context, self._limits = context, limits
        self._models = offered_models(context.settings.models)
        self._queue = JobQueue(context.settings.folder, limits, command)
        self._places = asyncio.Semaphore(limits.uploads)

    @asynccontextmanager
    async def lifespan(self, _: object) -> AsyncIterator[None]:
        """Go on with the jobs of the folder while the server runs."""
        try:
            await run_in_threadpool(self._queue.open)
        except (EuroMineError, OSError) as error:  # tried again at each upload
            logger.warning("Uploads are off for now. %s", one_line(error))
        try:
            yield
        finally:
            await run_in_threadpool(self._queue.close)

    def models(self) -> dict[str, Any]:
        """The models for uploaded images, and the limits of an upload."""
        return {
            "models": [model.public() for model in self._offered().values()],
            "limits": {**self._limits.public(), "bytes": self._context.settings.largest_upload},
        }

    def listed(self) -> dict[str, Any]:
        """All jobs, the newest first."""
        with suppress(EuroMineError, OSError):  # the other server may have ended: go on with its jobs
            self._queue.open()
        return {"jobs": [self._answer(job) for job in reversed(self._queue.jobs())]}

    def shown(self, job_id: str) -> dict[str, Any]:
        """A job and its progress."""
        return self._answer(self._queue.job(job_id))

    def cancel(self, job_id: str, request: Request) -> dict[str, Any]:
        """Cancel a job that waits or runs; take one that failed or was cancelled off the list."""
        self._check_allowed()
        self._queue.cancel(job_id)
        logger.info("Job %s is cancelled by %s.", job_id, user_of(request) or "a visitor")
        return {"id": job_id}

    async def upload(self, request: Request) -> Response:
        """Upload a GeoTIFF per year, to be mapped as a new site."""
        self._check_allowed()
        if self._places.locked():
            raise Overloaded("uploads: found too many at once; expected fewer. Try again in some minutes.")
        async with self._places:
            try:
                await run_in_threadpool(self._queue.check_room)
                job = await self._received(request)
            except OSError as error:
                logger.error("An upload was refused. %s", one_line(error))
                if is_full_disk(error):
                    return error_answer(_INSUFFICIENT_STORAGE, FULL_DISK)
                return error_answer(
                    _UNAVAILABLE,
                    "uploads: found a folder that cannot be written to; expected one that can. Ask the "
                    "person who runs this server.",
                )
        return JSONResponse(self._answer(job), _CREATED, headers={"Location": f"/api/jobs/{job.id}"})

    async def _received(self, request: Request) -> JobRecord:
        """Receive, check and queue a job; nothing of it remains if it is refused."""
        store = self._queue.store
        folder = await run_in_threadpool(store.new_folder)
        is_accepted = False
        try:
            received = await receive_upload(request, store.images_of(folder), self._limits)
            job = await run_in_threadpool(self._accepted, received, folder.name, user_of(request))
            is_accepted = True
            return job
        finally:
            if not is_accepted:
                await asyncio.shield(run_in_threadpool(store.remove_upload, folder))

    def _accepted(self, received: Received, job_id: str, user: str | None) -> JobRecord:
        model = chosen_model(self._offered(), received.texts.get("model", ""))
        job = _record(received, job_id, model, self._context.settings.engine, user)
        model.smoothings.check(job.options.smoothing, model.id)
        for file, image in zip(received.files, job.images, strict=True):
            file.path.rename(file.path.with_name(image.file))
        job = replace(job, images=sorted(job.images, key=lambda image: image.year))
        end = self._queue.check(job)
        if end.error:
            folder = self._queue.store.folder_of(job.id)
            raise DataError(in_visitors_words(end.error, job.images, folder))
        self._queue.add(job)
        return job

    def _offered(self) -> dict[str, OfferedModel]:
        """The models, described by those of their files that are on this machine by now."""
        return {name: refreshed(model) for name, model in self._models.items()}

    def _check_allowed(self) -> None:
        if not self._context.settings.may_change:
            raise NotAllowed("uploads: found an open server; expected one where people sign in.")

    def _answer(self, job: JobRecord) -> dict[str, Any]:
        progress = self._queue.progress(job)
        return {
            "id": job.id,
            "name": job.name,
            "state": job.state,
            "progress": round(progress.share, 3),
            "step": progress.step,
            "error": self._context.public(job.error) or None,
            "site": self._site(job),
            "years": [image.year for image in job.images],
            "model": next((each.id for each in self._models.values() if each.source == job.model), None),
            "created": _time(job.created),
            "ended": None if job.ended is None else _time(job.ended),
            "user": job.user,
        }

    def _site(self, job: JobRecord) -> str | None:
        """The id of the site that a job made; None until the catalogue holds it."""
        if not job.result:
            return None
        path = self._queue.store.app_folder / job.result
        places = self._context.catalogue.places().items()
        return next((site for site, place in places if place.series.path.resolve() == path), None)


def _record(
    received: Received, job_id: str, model: OfferedModel, engine: EngineChoice, user: str | None
) -> JobRecord:
    """The record of an upload, its images in the order of the files.

    Raises:
        ArgumentError: Name, years or options do not fit.
    """
    if not received.files:
        raise ArgumentError("files: found none; expected a GeoTIFF for each year.")
    name = checked_name(received.texts.get("name", ""))
    years = list(_years(received))
    images = []
    for file, year in zip(received.files, years, strict=True):
        if years.count(year) > 1:
            raise ArgumentError(f"years: found {year} twice; expected one image per year.")
        images.append(JobImage(file=image_name(job_id, year), year=year, name=file.name, size=file.size))
    return JobRecord(
        id=job_id,
        name=name,
        model=model.source,
        images=images,
        options=parse_options(received.texts.get("options", "")),
        engine=engine,
        created=time.time(),
        user=user,
    )


def _years(received: Received) -> Iterator[int]:
    """The year of each file: the one given, or else the one in its name."""
    given = received.years
    if given and len(given) != len(received.files):
        raise ArgumentError(
            f"years: found {len(given)} for {len(received.files)} files; expected one for each, in "
            "their order."
        )
    for number, file in enumerate(received.files):
        text = given[number].strip() if given else ""
        yield parse_year(text, file.name) if text else _year_in_name(file)


def _year_in_name(file: ReceivedFile) -> int:
    found = years_in_name(file.name.rpartition(".")[0])
    if len(found) != 1:
        words = " and ".join(map(str, found)) or "no year"
        raise ArgumentError(f"years: found {words} in {file.name}; expected its year. Give it in years.")
    return found[0]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
