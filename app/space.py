"""The repository of a Space that serves the app: sites, a configuration, and EuroMine itself."""

from __future__ import annotations

import importlib.metadata
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import yaml

from euromine.hub.contents import CARD, Contents, PublishedFile
from euromine.monitoring.history.manifest import NAME
from euromine.support.errors import ArgumentError, DataError
from euromine.support.markdown import escaped
from euromine.watch.alert_pictures import PICTURES
from euromine.watch.watch_state import STATE_FILE, WatchState

from .site_catalogue import SiteCatalogue, SitePlace
from .watch_alerts import WatchAlerts

SITES = "mines"
LARGEST_SPACE = 500 * 2**20
_MARK = "# The web app of EuroMine, written by `euromine publish app`."
_PACKAGE = Path(__file__).parents[1]
_IMPORTED = re.compile(r"^\s*(?:from|import) euromine\.(\w+)", re.MULTILINE)
_SOURCES = {".css", ".csv", ".html", ".jinja", ".js", ".json", ".py", ".svg", ".typed", ".webmanifest"}
# As in pyproject.toml; Gradio is the Space's SDK.
REQUIRED = (
    "affine>=3.0",
    "authlib>=1.6",
    "defusedxml>=0.7.1",
    "django-js-lib-leaflet>=1.9.4.1",
    "geopandas>=1.0",
    "huggingface_hub>=1.31,<3",
    "itsdangerous>=2.2",
    "Jinja2>=3.1",
    "markdown-it-py>=4",
    "matplotlib>=3.9",
    "numpy>=2.1",
    "pandas>=2.2.2",
    "Pillow>=11",
    "pydantic>=2.10",
    "pyogrio>=0.10",
    "pyproj>=3.7",
    "python-docx>=1.2",
    "PyYAML>=6.0.1",
    "rasterio>=1.4.4",
    "requests>=2.32.2",
    "resvg-py>=0.5",
    "scipy>=1.13",
    "shapely>=2.0.6",
    "tqdm>=4.66.3",
    "weasyprint>=68.1",
)
# The libraries of the machine that WeasyPrint needs.
_PACKAGES = "libpango-1.0-0\nlibpangoft2-1.0-0\nlibharfbuzz-subset0\n"
_MEMBER = re.compile(r"[\w-]{1,96}")


def space_contents(
    folder: Path,
    *,
    images: Path | None = None,
    title: str = "EuroMine",
    members: Sequence[str] = (),
    with_images: bool = True,
) -> Contents:
    """The files of a Space that serves the app.

    The Space only reads: no uploads, no reviews without members, no mail. Of a watch it holds the alerts and
    their pictures, and neither reviewers' names and comments nor recipients.

    Args:
        folder: The app's folder.
        images: A folder with the sites' images, if they are not below `folder`.
        title: The title of the pages.
        members: Names of users and organisations on the Hub who may sign in; empty to let everybody in.
        with_images: Whether to publish the sites' images.

    Raises:
        ArgumentError: A member's name is none.
        DataError: There are no sites, or they are larger than 500 MB.
    """
    for member in members:
        if not _MEMBER.fullmatch(member):
            raise ArgumentError(
                f"--member: found {member!r}; expected the name of a user or organisation on the Hub."
            )
    catalogue = SiteCatalogue(folder, images)
    places = list(catalogue.places().values())
    if not places:
        raise DataError(
            f"{folder}: found no finished series; expected some, made by `euromine series`. Run it first."
        )
    data = [file for place in places for file in _site_files(place, with_images)]
    data += _watch_files(WatchAlerts(lambda: catalogue.watch, None, folder))
    size = sum(file.size for file in data)
    if size > LARGEST_SPACE:
        raise DataError(
            f"{folder}: found {size / 2**20:,.0f} MB in {len(places)} sites; expected at most "
            f"{LARGEST_SPACE / 2**20:,.0f} MB. Publish fewer sites, or leave the images out with "
            "--without-images."
        )
    simulated = all(place.series.manifest.simulated for place in places)
    files = (
        PublishedFile(CARD, _card(title, places, simulated, bool(members)).encode()),
        PublishedFile("app.py", _app_file(title, members).encode()),
        PublishedFile("requirements.txt", "".join(f"{each}\n" for each in REQUIRED).encode()),
        PublishedFile("packages.txt", _PACKAGES.encode()),
        *_package_files(),
        *data,
    )
    return Contents(
        repo_type="space",
        title=f"the app of {len(places)} sites in {folder}",
        files=files,
        owned=(f"{SITES}/*", "euromine/*", "euromine-*.dist-info/*"),
        identity=("app.py",),
        difference=_difference,
        space_sdk="gradio",
    )


def unsimulated(contents: Contents) -> list[str]:
    """The names of the sites in a Space whose images are not simulated."""
    manifests = [json.loads(_bytes(file)) for file in contents.files if file.path.endswith(f"/{NAME}")]
    return [str(each["site"]) for each in manifests if not each["simulated"]]


def write_space(contents: Contents, folder: Path) -> None:
    """Write the files of a Space to a folder, as the Hub would check them out."""
    for file in contents.files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_bytes(file))


def _bytes(file: PublishedFile) -> bytes:
    return file.source if isinstance(file.source, bytes) else file.source.read_bytes()


def _site_files(place: SitePlace, with_images: bool) -> Iterator[PublishedFile]:
    """The files that the series' manifest lists, and the images behind it."""
    folder, manifest = f"{SITES}/{place.id}", place.series.manifest
    for name in (NAME, *sorted(manifest.files)):
        path = place.series.path / name
        if path.is_file():
            yield PublishedFile(f"{folder}/{name}", path)
    if not with_images:
        return
    for year in manifest.years:
        image = place.image(year)
        if image is not None:
            yield PublishedFile(f"{folder}/image/{image.name}", image)


def _watch_files(alerts: WatchAlerts) -> Iterator[PublishedFile]:
    """The alerts of a watch with their pictures, without the names of reviewers and recipients."""
    if alerts.folder is None:
        return
    run = alerts.latest_run()
    with tempfile.TemporaryDirectory() as folder:
        with WatchState(Path(folder)) as state:
            if run is not None:
                started = datetime.fromisoformat(run["started"])
                state.begin_run(started)
                if run["finished"]:
                    state.end_run(started, datetime.fromisoformat(run["finished"]), [])
            for stored in reversed(alerts.stored()):
                opened, changed = (datetime.fromisoformat(each) for each in (stored.opened, stored.changed))
                with state.transaction():
                    state.put_alert(stored.alert, opened)
                    state.put_alert(stored.alert, changed)
                    for review in stored.reviews:
                        time = datetime.fromisoformat(review["time"])
                        state.review(stored.alert.id, review["verdict"], "", "", time)  # type: ignore[arg-type]
        yield PublishedFile(f"{SITES}/watch/{STATE_FILE}", (Path(folder) / STATE_FILE).read_bytes())
    for stored in alerts.stored():
        for path in alerts.pictures(stored).values():
            yield PublishedFile(f"{SITES}/watch/{PICTURES}/{stored.alert.id}/{path.name}", path)


def _package_files() -> Iterator[PublishedFile]:
    """EuroMine's own modules: a Space installs only what `requirements.txt` names, and that from PyPI."""
    for name in app_folders():
        folder = _PACKAGE / name
        for path in sorted(folder.rglob("*")):
            if path.suffix in _SOURCES and "__pycache__" not in path.parts and path.is_file():
                yield PublishedFile(f"euromine/{name}/{path.relative_to(folder).as_posix()}", path)
    version = importlib.metadata.version("euromine")
    metadata = f"Metadata-Version: 2.1\nName: euromine\nVersion: {version}\n"
    yield PublishedFile(f"euromine-{version}.dist-info/METADATA", metadata.encode())


def app_folders() -> list[str]:
    """The folders of EuroMine that the app needs: its own, and all that it imports, lazily or not."""
    needed: set[str] = set()
    waiting = {"app"}
    while waiting:
        name = waiting.pop()
        needed.add(name)
        for path in (_PACKAGE / name).rglob("*.py"):
            waiting.update(set(_IMPORTED.findall(path.read_text(encoding="utf-8"))) - needed)
    return sorted(needed)


def _card(title: str, places: Sequence[SitePlace], simulated: bool, has_members: bool) -> str:
    head = {
        "title": title,
        "emoji": "⛏️",
        "colorFrom": "gray",
        "colorTo": "blue",
        "sdk": "gradio",
        "sdk_version": importlib.metadata.version("gradio"),
        "app_file": "app.py",
        "pinned": False,
        "short_description": "Mining sites over the years, from Sentinel-2",
        "tags": ["euromine", "mining", "remote-sensing", "sentinel-2"],
        **({"hf_oauth": True} if has_members else {}),
    }
    front = yaml.safe_dump(head, allow_unicode=True, sort_keys=False)
    data = (
        "Images and results are **simulated**." if simulated else "See each site for its images and models."
    )
    names = "\n".join(f"- {escaped(place.name)}" for place in places)
    return (
        f"---\n{front}---\n\n# {escaped(title)}\n\nMaps, areas, changes and alerts of mining sites, served "
        f"by EuroMine. {data} Nothing can be uploaded or changed here"
        f"{' without signing in' if has_members else ''}.\n\nSites:\n\n{names}\n\n"
        "The app is also an API: `/developers` lists its endpoints, and `gradio_client` calls `/sites`, "
        "`/site`, `/point_values`, `/area_values` and `/alerts`.\n"
    )


def _app_file(title: str, members: Sequence[str]) -> str:
    return (
        f"{_MARK}\n"
        "from pathlib import Path\n\n"
        "from euromine.app.space_server import run_space\n\n"
        'if __name__ == "__main__":\n'
        f'    run_space(Path(__file__).parent / "{SITES}", title={title!r}, members={list(members)!r})\n'
    )


def _difference(found: Mapping[str, bytes]) -> str | None:
    if found.get("app.py", b"").startswith(_MARK.encode()):
        return None
    return "a Space of something else"
