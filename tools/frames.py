"""`trackbridge frames`: frames for people. Hex in, every field out."""

import json
import sys

import click
from rich.console import Console
from rich.table import Table

from ccw.dissect import FieldView, dissect, parse_hex
from ccw.errors import FormatError

BYTES_SHOWN = 32        # of one value in the table; --json shows all
BAD_INPUT = 2


@click.group(context_settings={"help_option_names": ["--help"]})
def frames() -> None:
    """Decode ESCON frames."""


@frames.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.argument("text", metavar="[HEX]", required=False, nargs=-1)
def decode(as_json: bool, text: tuple[str, ...]) -> None:
    """Show every field of one frame.

    HEX is the frame with its delimiters, SOF to EOF, CRC included; blanks and | do not count. Without it the hex is
    read from standard input. Offsets count from the first byte of the SOF. A damaged or cut frame ends with exit
    status 2.
    """
    try:
        views = dissect(parse_hex(" ".join(text) if text else _standard_input()))
    except FormatError as error:
        click.echo(f"frames decode: {error}", err=True)
        sys.exit(BAD_INPUT)
    if as_json:
        click.echo(json.dumps({"fields": [_as_json(view) for view in views]}))
    else:
        _print_table(views)


def _standard_input() -> str:
    data = sys.stdin.buffer.read()
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise FormatError("hex text", f"byte {data[error.start]:02X}", data, error.start) from error


def _as_json(view: FieldView) -> dict[str, int | str]:
    return {**view._asdict(), "value": view.value.hex().upper()}


def _print_table(views: list[FieldView]) -> None:
    table = Table()
    table.add_column("offset", justify="right")
    table.add_column("length", justify="right")
    table.add_column("field")
    table.add_column("value", overflow="fold")
    table.add_column("meaning")
    for view in views:
        value = view.value[:BYTES_SHOWN].hex(" ").upper() + (" ..." if view.length > BYTES_SHOWN else "")
        table.add_row(str(view.offset), str(view.length), view.name, value, view.meaning)
    Console(highlight=False, markup=False).print(table)
