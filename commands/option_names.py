"""Options in the messages of the `euromine` command, where the library names its parameters."""

from __future__ import annotations

from typing import Any

import typer
import typer.core

from euromine.support.errors import ArgumentError, MissingExtraError


class NamesOptions(typer.core.TyperCommand):
    """A command whose messages begin with `--window:` where the library's begin with `window:`."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command, and raise a mistake in an option under the option's name."""
        try:
            return super().invoke(ctx)
        except (ArgumentError, MissingExtraError) as error:
            subject, colon, rest = str(error).partition(": found ")
            option = self._options().get(subject)
            if option is None:
                raise
            raise type(error)(f"{option}{colon}{rest}") from error

    def _options(self) -> dict[str, str]:
        """The options by the names of their parameters, which are the library's where both have one."""
        options = (each for each in self.params if each.param_type_name == "option")
        return {str(each.name): each.opts[0] for each in options}


def name_options(app: typer.Typer) -> None:
    """Let the messages of all commands of an app name options, and those of the apps in it."""
    for command in app.registered_commands:
        command.cls = NamesOptions
    for group in app.registered_groups:
        if group.typer_instance is not None:
            name_options(group.typer_instance)
