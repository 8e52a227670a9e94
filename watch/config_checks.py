"""Checks of a configuration's models, images, places and permits, without network and without making maps."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from euromine.acquisition.site_acquisition import site_outline
from euromine.monitoring.history.series_plan import plan_series
from euromine.monitoring.history.yearly_images import find_scenes
from euromine.monitoring.mapping.engine_choice import EngineChoice, check_installed
from euromine.monitoring.mapping.engines import on_engine
from euromine.monitoring.mapping.loading import LoadedModel, load_model
from euromine.monitoring.scenes.scene import open_scene
from euromine.support.errors import EuroMineError, ModelError, one_line
from euromine.support.model_sources import check_model_source

from .site_checks import acquisition_options, maps_folder, series_settings
from .site_inputs import check_inputs, check_mapper, check_permits_on, in_fields
from .watch_config import Recipient, Site, WatchConfig
from .watch_runs import Clock, utc_now

_Models = Mapping[tuple[str, EngineChoice], LoadedModel]


@dataclass(frozen=True)
class ConfigFindings:
    """The outcome of a check.

    Attributes:
        mistakes: A sentence for each mistake, beginning with the name of the site, model or field.
        notes: A sentence for each thing that only a run can find out.
    """

    mistakes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check_config(config: WatchConfig, clock: Clock = utc_now) -> ConfigFindings:
    """Check models, images, places and permits as a run would, but for the network.

    Args:
        config: The configuration.
        clock: The time.

    Returns:
        The mistakes and notes.
    """
    found = ConfigFindings()
    models = _on_engines(config, _models(config, found), found)
    if config.folder.exists() and not config.folder.is_dir():
        found.mistakes.append(f"folder: found {config.folder}, a file; expected a folder, or nothing yet.")
    for site in config.sites:
        try:
            _check_site(site, config.folder, models, clock)
        except (EuroMineError, OSError) as error:
            found.mistakes.append(f"{site.name}: {one_line(error)}")
    for recipient in config.recipients:
        found.notes.extend(
            f"{recipient.name}: the environment variable {name} is not set here."
            for name in _variables(recipient)
            if not os.environ.get(name)
        )
    return found


def _models(config: WatchConfig, found: ConfigFindings) -> dict[str, LoadedModel]:
    """The models in folders, by name; those of the Hub are noted."""
    loaded = {}
    for name in dict.fromkeys(name for site in config.sites for name in _names(site)):
        try:
            if Path(name).is_dir():
                loaded[name] = load_model(name)
            else:
                _check_repository(name)
                found.notes.append(f"{name}: no folder of this name here; a run takes it from the Hub.")
        except (EuroMineError, OSError) as error:
            found.mistakes.append(one_line(error))
    return loaded


def _on_engines(config: WatchConfig, loaded: Mapping[str, LoadedModel], found: ConfigFindings) -> _Models:
    """The models in folders on the sites' engines, by name and engine.

    Of the engine of another model, only the packages can be checked.
    """
    ready, mistakes = {}, []
    for name, choice in dict.fromkeys(
        (name, site.engine_choice) for site in config.sites for name in _names(site)
    ):
        try:
            check_installed(choice.engine)
            if name in loaded:
                ready[name, choice] = on_engine(loaded[name], choice)
        except (EuroMineError, OSError) as error:
            mistakes.append(in_fields(one_line(error)))
    found.mistakes.extend(dict.fromkeys(mistakes))
    return ready


def _names(site: Site) -> list[str]:
    return [name for name in (site.model, site.change_model) if name is not None]


def _check_repository(name: str) -> None:
    check_model_source(name)
    try:
        validate_repo_id(name)
    except HFValidationError:
        raise ModelError(
            f"{name}: found no such folder; expected the folder of a checkpoint, or a repository on the Hub "
            "such as organisation/model."
        ) from None


def _check_site(site: Site, folder: Path, models: _Models, clock: Clock) -> None:
    used = [models.get((name, site.engine_choice)) for name in _names(site)]
    if used and used[0] is not None:
        check_mapper(used[0])
    if site.acquire is not None:
        acquisition_options(site.acquire, clock())
        outline = site_outline(site.acquire.bbox, site.acquire.geometry)
        if site.permits is not None:
            check_permits_on(site, outline, "EPSG:4326")
        return
    assert site.images is not None, "a site has one of the two"
    scenes = find_scenes(site.images)
    check_inputs(site, scenes)
    known = [model for model in used if model is not None]
    if len(known) < len(used):
        return
    with ExitStack() as files:
        opened = {year: files.enter_context(open_scene(path)) for year, path in sorted(scenes.items())}
        plan_series(known, opened, maps_folder(folder, site.name), series_settings(site))


def _variables(recipient: Recipient) -> list[str]:
    """The environment variables that a recipient needs."""
    mail, webhook = recipient.mail, recipient.webhook
    names = [mail.password_env] if mail is not None else []
    names += [webhook.url_env, webhook.secret_env] if webhook is not None else []
    return [name for name in names if name is not None]
