"""Input that cannot be used: one line on stderr, exit status 2, nothing changed. Which of several errors is told."""

from __future__ import annotations

from typing import IO, Any

import click


class BadInput(click.ClickException):
    """What is wrong, where, at which offset; in one line."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"trackbridge: {self.message}", file=file, err=file is None)


def first_of(error: BaseException) -> BaseException:
    """The first of the errors that a nursery has put together, however deep it is; any other error is itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
