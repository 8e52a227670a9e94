"""The small files beside a dataset's rows, in its folder or its Hub repository."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import LocalEntryNotFoundError, RemoteEntryNotFoundError

from euromine.dataset_script.build_record import BUILD_FILE, BuildRecord, build_record_from_bytes
from euromine.hub.connection import HUB_ERRORS
from euromine.support.errors import DatasetError, one_line

from .arguments import ScriptArguments

logger = logging.getLogger(__name__)

_STATISTICS = "statistics.json"
_NOT_FETCHED: tuple[type[Exception], ...] = (LocalEntryNotFoundError, *HUB_ERRORS)


def band_statistics(script: ScriptArguments) -> Mapping[str, Any] | None:
    """`bands`, `mean` and `std` of a dataset's training sites; None where it has no statistics.

    Raises:
        DatasetError: `statistics.json` is damaged.
    """
    text = _text_of(script, _STATISTICS)
    if text is None:
        return None
    source = f"{script.dataset}, {_STATISTICS}"
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError(
            f"{source}: found text that is not JSON ({error}); expected band statistics."
        ) from None
    if not isinstance(values, dict):
        raise DatasetError(f"{source}: found no JSON object; expected band statistics.")
    found: Mapping[str, Any] | None = values.get("band_statistics")
    return found


def build_record(script: ScriptArguments) -> BuildRecord | None:
    """The record of a dataset's build; None where it has none, so that its images count as real.

    Raises:
        RecordError: `build.json` is damaged.
    """
    text = _text_of(script, BUILD_FILE)
    if text is None:
        return None
    return build_record_from_bytes(text.encode(), f"{script.dataset}, {BUILD_FILE}")


def dataset_revision(script: ScriptArguments) -> str | None:
    """The commit that a Hub repository's name stands for today; None for a folder."""
    if Path(script.dataset).is_dir():
        return None
    try:
        return HfApi().dataset_info(script.dataset, revision=script.dataset_revision).sha
    except HUB_ERRORS as error:
        logger.warning(
            "The commit of %s is unknown (%s): the results name the revision %s.",
            script.dataset,
            one_line(error),
            script.dataset_revision,
        )
        return script.dataset_revision


def _text_of(script: ScriptArguments, name: str) -> str | None:
    """The text of a file beside the rows; None where the dataset has none, or the Hub does not answer."""
    if (folder := Path(script.dataset)).is_dir():
        path = folder / name
        return path.read_text(encoding="utf-8") if path.is_file() else None
    try:
        downloaded = hf_hub_download(
            script.dataset, name, repo_type="dataset", revision=script.dataset_revision
        )
    except RemoteEntryNotFoundError:
        return None
    except _NOT_FETCHED as error:
        logger.warning(
            "%s of %s could not be fetched (%s): training goes on without it.",
            name,
            script.dataset,
            one_line(error),
        )
        return None
    return Path(downloaded).read_text(encoding="utf-8")
