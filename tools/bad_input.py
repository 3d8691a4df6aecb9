"""Input that cannot be used: one line on stderr, exit status 2, nothing changed."""

from __future__ import annotations

from typing import IO, Any

import click


class BadInput(click.ClickException):
    """What is wrong, where, at which offset; in one line."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"trackbridge: {self.message}", file=file, err=file is None)
