"""Optional files beside a model's weights: in its folder, or in its Hub repository."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import cast

from huggingface_hub import hf_hub_download, is_offline_mode, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
)

logger = logging.getLogger(__name__)

# All errors of the HTTP library below the Hub's, which is httpx or httpx2 by version. Not all are OSErrors.
HTTP_ERROR = cast("type[Exception]", HfHubHTTPError.__mro__[1])


def checkpoint_file(source: str, name: str, *, otherwise: str) -> Path | None:
    """An optional file beside a model's weights.

    A Hub that cannot be asked (no connection, no access) is logged as a warning. In offline mode the files in
    the cache are all there is.

    Args:
        source: The model's folder or Hub repository.
        name: The file's name.
        otherwise: The consequence of doing without the file, as the end of the warning: "areas have no
            confidence interval".

    Returns:
        The file, or a folder or broken link of its name; None if the checkpoint has none, or if the Hub
        cannot be asked.
    """
    folder = Path(source)
    if folder.is_dir():
        path = folder / name
        return path if path.exists() or path.is_symlink() else None
    try:
        return Path(hf_hub_download(source, name))
    except HFValidationError:
        return None  # neither a folder nor a repository: the model was made in memory
    except LocalEntryNotFoundError as error:
        if is_offline_mode():
            return None
        reason: BaseException = error.__cause__ or error
    except EntryNotFoundError:
        return None
    except (HTTP_ERROR, OSError) as error:
        reason = error
    first_line = str(reason).strip().partition("\n")[0].rstrip(".")
    logger.warning(
        "%s of %s could not be fetched from the Hub (%s), so %s. Run again once the Hub can be reached.",
        name,
        source,
        first_line or type(reason).__name__,
        otherwise,
    )
    return None


def local_file(source: str, name: str) -> Path | None:
    """A file of a checkpoint that is on this machine; the Hub is not asked.

    Args:
        source: The model's folder or Hub repository.
        name: The file's name.

    Returns:
        The file in the folder, or in the Hub's cache; None if it is not there.
    """
    if Path(source).is_dir():
        path = Path(source) / name
        return path if path.is_file() else None
    found = _in_cache(source, name)
    return Path(found) if isinstance(found, str) else None


def may_have_file(source: str, name: str) -> bool:
    """Whether a checkpoint has a file, as far as this machine knows; the Hub is not asked.

    Args:
        source: The model's folder or Hub repository.
        name: The file's name.

    Returns:
        False if the folder lacks it, or the Hub was asked before and had none, or will not be asked.
    """
    if Path(source).is_dir():
        return local_file(source, name) is not None
    found = _in_cache(source, name)
    return isinstance(found, str) or (found is None and not is_offline_mode())


def _in_cache(repository: str, name: str) -> object:
    """The path of a file in the Hub's cache, the cache's mark of a file that does not exist, or None."""
    try:
        return try_to_load_from_cache(repository, name)
    except HFValidationError:
        return None
