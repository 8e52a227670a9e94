"""`euromine publish`: publish a dataset, a model, a metric or the web app on the Hugging Face Hub."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from euromine.hub.contents import Contents
    from euromine.hub.publishing import Plan

app = typer.Typer(no_args_is_help=True)

Repository = Annotated[
    str, typer.Argument(metavar="REPO", help="owner/name; a bare name is in the namespace of your token.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="List the files and the changes; send nothing.")]
Force = Annotated[
    bool,
    typer.Option("--force", help="Replace whatever the repository holds; its history keeps the old files."),
]
Private = Annotated[bool, typer.Option("--private", help="Make a new repository private.")]
Revision = Annotated[
    str | None, typer.Option(metavar="BRANCH", help="Branch to commit to; created if it does not exist.")
]


@app.callback()
def publish() -> None:
    """Publish a dataset, a model, a metric or the web app on the Hugging Face Hub.

    Every file is listed first. If a publication was stopped, run the same command again to continue it. A
    repository that holds something else is refused without --force. The token comes from `hf auth login` or
    HF_TOKEN.
    """


@app.command("dataset")
def publish_dataset(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `euromine build` wrote.")],
    repository: Repository,
    dry_run: DryRun = False,
    force: Force = False,
    private: Private = False,
    revision: Revision = None,
) -> None:
    """Publish a built dataset: its zstd shards, its card and picture, its statistics."""
    from euromine.hub.built_dataset import dataset_contents

    _publish(lambda name: dataset_contents(folder, name), repository, dry_run, force, private, revision)


@app.command("model")
def publish_model(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The output folder of a train script.")],
    repository: Repository,
    dry_run: DryRun = False,
    force: Force = False,
    private: Private = False,
    revision: Revision = None,
) -> None:
    """Publish a trained model: weights, configuration, image processor, remote code, card with scores."""
    from euromine.hub.trained_model import model_contents
    from euromine.support.locks import check_unlocked

    check_unlocked(folder)  # a training would change the files while they are sent
    _publish(lambda name: model_contents(folder, name), repository, dry_run, force, private, revision)


@app.command("app")
def publish_app(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder that `euromine app` shows: series, and a watch.")
    ],
    repository: Repository,
    images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A folder with the sites' images, if they are not below DIR."),
    ] = None,
    without_images: Annotated[
        bool, typer.Option("--without-images", help="Publish no images, only results.")
    ] = False,
    title: Annotated[str, typer.Option(help="Title of the pages.")] = "EuroMine",
    member: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A user or organisation of the Hub who may sign in; repeatable. Everybody by default.",
        ),
    ] = None,
    dry_run: DryRun = False,
    force: Force = False,
    private: Private = False,
    revision: Revision = None,
) -> None:
    """Publish the web app as a Space: sites with their images, alerts, and EuroMine itself.

    The Space only reads: no uploads, no reviews without members, no mail. Names of reviewers and recipients
    stay here.
    """
    from euromine.app.space import space_contents, unsimulated

    contents = space_contents(
        folder,
        images=images,
        title=title,
        members=member or (),
        with_images=not without_images,
    )
    real = unsimulated(contents)
    if real and not (private or member):
        typer.echo(
            f"{len(real)} of the sites {'is' if len(real) == 1 else 'are'} not simulated and will be open to "
            f"everybody: {', '.join(real[:5])}{', ...' if len(real) > 5 else ''}. --private or --member "
            "limits that."
        )
    _publish(lambda _: contents, repository, dry_run, force, private, revision)


@app.command("metric")
def publish_metric(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="ca_tiou, annual_f1, interval_f1 or component_iou.")
    ],
    repository: Repository,
    dry_run: DryRun = False,
    force: Force = False,
    private: Private = False,
    revision: Revision = None,
) -> None:
    """Publish a metric as a Space, from which evaluate.load reads it."""
    from euromine.hub.metric_space import metric_contents

    _publish(
        lambda repository: metric_contents(name, repository), repository, dry_run, force, private, revision
    )


def _publish(
    contents_for: Callable[[str], Contents],
    repository: str,
    dry_run: bool,
    force: bool,
    private: bool,
    revision: str | None,
) -> None:
    from euromine.hub.publishing import check_name, full_name, plan_publication, publish

    for library in ("httpx", "httpx2"):  # both log every request
        logging.getLogger(library).setLevel(logging.WARNING)
    # Local mistakes are reported before the first request.
    check_name(repository)
    contents = contents_for(repository)
    if not dry_run:
        repository = full_name(repository)
        contents = contents_for(repository)
    _list_files(contents, repository)
    try:
        plan = plan_publication(
            contents, full_name(repository), force=force, private=private, revision=revision
        )
    except OSError as error:
        if not dry_run:
            raise
        typer.echo(f"Nothing can be sent: {error}")
        return
    _tell(plan)
    if dry_run or not (plan.changed or plan.new_branch):
        typer.echo("Nothing was sent.")
        return
    try:
        url = publish(plan)
    except KeyboardInterrupt:
        typer.echo(
            f"\nStopped: {plan.repository} is as it was. What was sent is kept; the same command continues.",
            err=True,
        )
        raise typer.Exit(130) from None
    typer.echo(f"Published: {url}")


def _list_files(contents: Contents, repository: str) -> None:
    width = max(len(f"{file.size:,}") for file in contents.files)
    for file in contents.files:
        typer.echo(f"{file.size:>{width},}  {file.path}")
    typer.echo(f"{contents.size:,} bytes in {len(contents.files)} files: {contents.title} to {repository}.")


def _tell(plan: Plan) -> None:
    branch = f", branch {plan.revision}" if plan.revision else ""
    found = {
        "absent": "does not exist yet" + (" and will be private" if plan.private else ""),
        "empty": "is empty",
        "same": "holds an earlier state of it" if plan.changed else "holds all of this already",
        "other": f"holds {plan.held}, which --force replaces",
    }[plan.state]
    typer.echo(f"{plan.url}{branch} {found}.")
    for path in plan.removed:
        typer.echo(f"To be removed there: {path}")
