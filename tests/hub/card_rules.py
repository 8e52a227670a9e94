"""The rules by which the Hub takes a card's front matter, from its public documentation.

Licences: huggingface.co/docs/hub/repositories-licenses; model cards: modelcard.md and dataset cards:
datasetcard.md of huggingface/hub-docs; Spaces: docs/hub/spaces-config-reference; tasks: the list of
huggingface.js, packages/tasks (the parts that can concern images).
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

LICENSES = {
    *(
        "apache-2.0",
        "mit",
        "openrail",
        "bigscience-openrail-m",
        "creativeml-openrail-m",
        "bigcode-openrail-m",
    ),
    *(
        "bigscience-bloom-rail-1.0",
        "afl-3.0",
        "artistic-2.0",
        "bsl-1.0",
        "bsd",
        "bsd-2-clause",
        "bsd-3-clause",
    ),
    *("bsd-3-clause-clear", "c-uda", "cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0"),
    *("cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0"),
    *("cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
    *("cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "wtfpl", "ecl-2.0", "epl-1.0"),
    *(
        "epl-2.0",
        "etalab-2.0",
        "eupl-1.1",
        "agpl-3.0",
        "gfdl",
        "gpl",
        "gpl-2.0",
        "gpl-3.0",
        "lgpl",
        "lgpl-2.1",
    ),
    *("lgpl-3.0", "isc", "lppl-1.3c", "ms-pl", "mpl-2.0", "odc-by", "odbl", "openrail++", "osl-3.0"),
    *("postgresql", "ofl-1.1", "ncsa", "unlicense", "zlib", "pddl", "lgpl-lr", "deepfloyd-if-license"),
    *("llama2", "gemma", "unknown", "other"),
}
TASKS = {
    *("image-segmentation", "image-classification", "image-feature-extraction", "image-to-image"),
    *("object-detection", "mask-generation", "depth-estimation", "zero-shot-image-classification", "other"),
}
SIZES = {"n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B"}
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def errors_of(content: str, repo_type: str) -> list[str]:
    """What the Hub would find wrong with a card, in sentences; nothing where it would take it."""
    parts = content.split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        return []
    try:
        card = yaml.safe_load(parts[1])
    except yaml.YAMLError as error:
        return [f"Invalid YAML: {error}"]
    if not isinstance(card, dict):
        return ["The metadata is no mapping"]
    return [*_common(card), *{"model": _model, "dataset": _dataset, "space": _space}[repo_type](card)]


def missing_from(content: str, repo_type: str) -> list[str]:
    """What a complete card has and this one lacks: the Hub would only warn."""
    wanted = {
        "model": ("license", "library_name", "pipeline_tag", "tags", "model-index"),
        "dataset": ("license", "pretty_name", "task_categories", "size_categories", "tags", "configs"),
        "space": (
            "title",
            "emoji",
            "colorFrom",
            "colorTo",
            "sdk",
            "sdk_version",
            "app_file",
            "license",
            "tags",
        ),
    }
    card = yaml.safe_load(content.split("---\n", 2)[1])
    return [name for name in wanted[repo_type] if not card.get(name)]


def _common(card: dict[str, Any]) -> Iterator[str]:
    for license_id in _as_list(card.get("license", [])):
        if license_id not in LICENSES:
            yield f'"license" must be one of the known identifiers, not {license_id}'
    if card.get("license") == "other" and not card.get("license_name"):
        yield '"license_name" is required with license: other'
    name, link = card.get("license_name"), card.get("license_link")
    if name is not None and not re.fullmatch(r"[a-z0-9][a-z0-9-.]*", str(name)):
        yield f'"license_name" must be lower case, digits, - and ., not {name}'
    if link is not None and link not in ("LICENSE", "LICENSE.md") and not str(link).startswith("https://"):
        yield f'"license_link" must be LICENSE, LICENSE.md or a URL, not {link}'
    if not _strings(card.get("tags", [])):
        yield '"tags" must be an array of strings'


def _model(card: dict[str, Any]) -> Iterator[str]:
    if "pipeline_tag" in card and card["pipeline_tag"] not in TASKS:
        yield f'"pipeline_tag" is unknown: {card["pipeline_tag"]}'
    for name in ("base_model", "datasets"):
        for repository in _as_list(card.get(name, [])):
            if not isinstance(repository, str) or not _REPOSITORY.fullmatch(repository):
                yield f'"{name}" with value "{repository}" is not valid. Use a model id from the Hub'
    for place, model in enumerate(card.get("model-index", [])):
        at = f'"model-index[{place}]'
        if not isinstance(model.get("name"), str):
            yield f'{at}.name" is required'
        if not model.get("results"):
            yield f'{at}.results" is required'
        for number, result in enumerate(model.get("results", [])):
            inside = f"{at}.results[{number}]"
            for path in (("task", "type"), ("dataset", "type"), ("dataset", "name")):
                if not isinstance(result.get(path[0], {}).get(path[1]), str):
                    yield f'{inside}.{".".join(path)}" is required'
            for metric in result.get("metrics") or [{}]:
                if not isinstance(metric.get("type"), str):
                    yield f'{inside}.metrics.type" is required'
                if not isinstance(metric.get("value"), int | float) or metric["value"] != metric["value"]:
                    yield f'{inside}.metrics.value" must be a number'


def _dataset(card: dict[str, Any]) -> Iterator[str]:
    for task in card.get("task_categories", []):
        if task not in TASKS:
            yield f'"task_categories" has the unknown {task}'
    for size in card.get("size_categories", []):
        if size not in SIZES:
            yield f'"size_categories" has the unknown {size}'
    names = [config.get("config_name") for config in card.get("configs", [])]
    if len(set(names)) != len(names) or None in names:
        yield '"configs" must have a config_name each, all different'
    if sum(bool(config.get("default")) for config in card.get("configs", [])) > 1:
        yield '"configs" has more than one default'
    for config in card.get("configs", []):
        for entry in config.get("data_files", []):
            if not {"split", "path"} <= set(entry):
                yield '"configs.data_files" must have split and path'


def _space(card: dict[str, Any]) -> Iterator[str]:
    if card.get("sdk") not in ("gradio", "docker", "static"):
        yield '"sdk" must be one of gradio, docker, static'
    for name in ("colorFrom", "colorTo"):
        if name in card and card[name] not in COLOURS:
            yield f'"{name}" must be one of {", ".join(sorted(COLOURS))}'
    if len(str(card.get("short_description", ""))) > 60:
        yield '"short_description" must have 60 characters at most'
    if "app_file" in card and "/" in card["app_file"] and card["app_file"].startswith("/"):
        yield '"app_file" must be relative'


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
