"""`--push_to_hub`: the finished model goes to the Hub as `euromine publish model` sends it."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainingArguments
from transformers.trainer_utils import HubStrategy

from euromine.hub.contents import Contents, model_contents, read_json
from euromine.hub.publishing import full_name, make_repository, plan_publication, publish

from .arguments import ScriptArguments

logger = logging.getLogger(__name__)


def prepare_repository(script: ScriptArguments, training: TrainingArguments, digest: str) -> None:
    """Find out before training whether its result can be published, rather than after it.

    Args:
        script: The script's arguments.
        training: transformers' arguments; `hub_model_id` becomes the repository's full name.
        digest: Stands for the data.

    Raises:
        ValueError: Something else than the finished model is asked for, or the name is none.
        FileExistsError: The repository holds another model.
        OSError: The Hub cannot be reached, or does not accept the token.
    """
    if training.hub_strategy != HubStrategy.END:
        raise ValueError(
            f"--hub_strategy {HubStrategy(training.hub_strategy).value}: checkpoints hold optimiser states "
            "and no card, so only the finished model is published; end was expected"
        )
    name = training.hub_model_id or Path(training.output_dir or "").absolute().name
    training.hub_model_id = full_name(name)
    if training.process_index:
        return
    contents = Contents(
        repo_type="model",
        title=f"{script.architecture} trained on these data",
        files=(),
        owned=(),
        identity=("config.json", "metrics.json"),
        difference=lambda found: _difference(script.architecture, digest, found),
    )
    private = bool(training.hub_private_repo)
    make_repository(plan_publication(contents, training.hub_model_id, private=private))


def publish_finished(output_dir: Path, training: TrainingArguments) -> None:
    """Publish a finished run, on the first process.

    Raises:
        SystemExit: It could not be published; the run itself is complete.
    """
    if training.process_index:
        return
    name = str(training.hub_model_id)
    try:
        contents = model_contents(output_dir, name)
        url = publish(plan_publication(contents, name, revision=training.hub_revision))
    except (OSError, ValueError) as error:
        logger.error(
            "%s The model is complete in %s: the same command again publishes it, or euromine publish model.",
            " ".join(str(error).split()),
            output_dir,
        )
        raise SystemExit(1) from None
    logger.info("published: %s", url)


def _difference(architecture: str, digest: str, found: Mapping[str, bytes]) -> str | None:
    """What else a repository holds, as far as it can be said before there is a model."""
    if "config.json" not in found:
        return "no model, but other files"
    results: dict[str, Any] = read_json(found.get("metrics.json")) or {}
    there = results.get("architecture")
    if there != architecture:
        return f"another model ({there})" if there else "a model that none of these scripts trained"
    if results.get("protocol", {}).get("digest") != digest:
        return "the same network trained on other data"
    return None
