"""Outcomes of a try to deliver."""

from __future__ import annotations

import os


class DeliveryError(Exception):
    """A try to deliver failed. It is noted in the outbox, never shown as an error of the program."""


class TemporaryError(DeliveryError):
    """The try may be repeated.

    Args:
        words: The reason, a sentence.
        wait: Seconds that the receiver asks to wait; None if it does not.
    """

    def __init__(self, words: str, wait: float | None = None) -> None:
        super().__init__(words)
        self.wait = wait


class PermanentError(DeliveryError):
    """A repetition would fail, too."""


def secret_of(variable: str) -> str:
    """A secret from the environment.

    Raises:
        TemporaryError: The variable is not set.
    """
    value = os.environ.get(variable)
    if not value:
        raise TemporaryError(f"The environment variable {variable} is not set.")
    return value
