"""`trackbridge frames`: frames for people. Hex or a capture in, every field out, and back; FC-SB-3 for tshark."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from ccw.dissect import FieldView, dissect, parse_hex
from ccw.errors import FormatError
from ccw.pcapng import Packet
from tools.bad_input import BadInput
from tools.captures import Place, begin, open_capture, packets_of, pages_of
from tools.frame_columns import candidates
from tools.frame_export import ExportReport, encode_lines, export_fc_sb3
from tools.frame_views import TYPES, Filter, View, as_json, field_as_json, view_packet

BYTES_SHOWN = 32        # of one value in the table; --json shows all
HEX_LENGTH_MAX = 1 << 20
BAD_INPUT = 2


@click.group(context_settings={"help_option_names": ["--help"]})
def frames() -> None:
    """Decode, encode and export ESCON frames."""


def _hex_byte(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    if not re.fullmatch("[0-9A-Fa-f]{1,2}", value):
        raise click.BadParameter(f"{value!r} is not in 00-FF")
    return int(value, 16)


@frames.command()
@click.option("--json", "as_json_lines", is_flag=True, help="Print a JSON object for each packet.")
@click.option("--fields", is_flag=True, help="Of a capture, print every field of each packet.")
@click.option("--link", default="", metavar="TEXT", help="Only links with TEXT in their name or description.")
@click.option("--device", callback=_hex_byte, metavar="HH", help="Only frames for this unit address.")
@click.option("--type", "kind", type=click.Choice(TYPES), help="Only this type.", metavar="TYPE")
@click.option("--command", callback=_hex_byte, metavar="HH", help="Only commands with this code.")
@click.option("--from", "first", default=1, type=click.IntRange(1), metavar="N", help="Begin with packet N.")
@click.option("--to", "last", type=click.IntRange(1), metavar="N", help="End with packet N.")
@click.argument("source", metavar="[HEX|FILE]", required=False, nargs=-1)
def decode(
    as_json_lines: bool, fields: bool, link: str, device: int | None, kind: str | None, command: int | None,
    first: int, last: int | None, source: tuple[str, ...],
) -> None:  # fmt: skip
    """Show every field of one frame, or the packets of a capture.

    HEX is one frame with its delimiters, SOF to EOF, CRC included; blanks and | do not count. FILE is a capture of
    --capture, or a pcapng or pcap file of link type 147 (our records) or 224 (FC-SB-3). Without either, hex or a
    capture is read from standard input. Offsets count from the first byte of the frame. Types: command, data, status,
    control, link-control, sequence, damaged.

    Damaged hex ends with exit status 2; a capture may hold damaged frames, they are shown as such. A damaged or cut
    capture is shown up to there, then the exit status is 2.
    """
    wanted = Filter(link, device, kind or "", command, first, last)
    name = source[0] if len(source) == 1 and os.path.isfile(source[0]) else None
    if len(source) == 1 and name is None and set(source[0]) & set("/."):
        problem = "is a directory" if os.path.isdir(source[0]) else "no such file, and not hexadecimal"
        raise BadInput(f"{source[0]}: {problem}")
    if source and name is None:
        _decode_hex(" ".join(source).encode(), as_json_lines)
        return
    pieces = open_capture(name or "-")
    reader, start = begin(pieces)
    if reader is None:
        for piece in pieces:
            start += piece
            if len(start) > HEX_LENGTH_MAX:
                raise BadInput(f"{name or 'standard input'}: neither a capture nor the hex of one frame")
        _decode_hex(start, as_json_lines)
        return
    _show_capture(_views(name or "standard input", pages_of(reader, start, pieces), wanted), as_json_lines, fields)


def _decode_hex(text: bytes, as_json_object: bool) -> None:
    try:
        views = dissect(parse_hex(_ascii(text)))
    except FormatError as error:
        click.echo(f"frames decode: {error}", err=True)
        sys.exit(BAD_INPUT)
    if as_json_object:
        click.echo(json.dumps({"fields": [field_as_json(view) for view in views]}))
    else:
        _print_table(views)


def _ascii(data: bytes) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise FormatError("hex text", f"byte {data[error.start]:02X}", data, error.start) from error


def _views(name: str, pages: Iterator[list[Packet]], wanted: Filter) -> Iterator[tuple[Packet, View]]:
    """The wanted packets. BadInput where the capture is wrong."""
    at = Place(name)
    with at.named():
        for packet in at.following(_candidates(pages, wanted)):
            view = view_packet(packet)
            if wanted.wants(view):
                yield packet, view


def _candidates(pages: Iterator[list[Packet]], wanted: Filter) -> Iterator[Packet]:
    """Up to the last that is asked for; what comes behind it is not read."""
    for page in pages:
        yield from candidates(page, wanted)
        if wanted.last is not None and page and page[-1].number > wanted.last:
            return


def _show_capture(views: Iterator[tuple[Packet, View]], as_json_lines: bool, fields: bool) -> None:
    if as_json_lines:
        for packet, view in views:
            click.echo(json.dumps(as_json(packet, view)))
        return
    begun: int | None = None
    for packet, view in views:
        if begun is None:
            begun = packet.time_ns or 0
            click.echo(f"{'packet':>8}  {'seconds':>12}  {'link':35} what")
        seconds = "" if packet.time_ns is None else f"{(packet.time_ns - begun) / 1e9:.6f}"
        direction = packet.direction.name.lower() if packet.direction else ""
        name = packet.interface.name or str(packet.interface.number)
        damaged = "damaged: " if view.error else ""
        click.echo(f"{packet.number:>8}  {seconds:>12}  {name:26} {direction:8} {damaged}{view.text}")
        if fields:
            _print_table(view.fields())


@frames.command()
@click.option("--capture", type=click.Path(path_type=Path, dir_okay=False), metavar="OUT",
              help="Write a capture (pcapng) instead of hex; OUT must not exist.")
@click.option("--fix-crc", is_flag=True, help="Compute the CRC of ESCON frames anew: fields may have been changed.")
@click.argument("source", metavar="[FILE]", default="-", type=click.Path(dir_okay=False))
def encode(capture: Path | None, fix_crc: bool, source: str) -> None:
    """Make frames of what `decode --json` printed: one line of hex each, or a capture.

    FILE (default: standard input) holds one JSON object a line. Of each, the values of the fields count, joined;
    in a capture also link, direction and time.
    """
    try:
        encode_lines(source, capture, fix_crc)
    except FormatError as error:
        raise BadInput(str(error)) from error


@frames.command()
@click.option("--fc-sb3", is_flag=True, required=True, help="As FC-SB-3 information units (link type 224).")
@click.option("--json", "as_json_object", is_flag=True, help="Print the counts as one JSON object.")
@click.argument("source", metavar="IN", type=click.Path(dir_okay=False))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path, dir_okay=False))
def export(fc_sb3: bool, as_json_object: bool, source: str, target: Path) -> None:
    """Convert the capture IN into OUT (pcapng, replaced when it exists), which tshark and Wireshark dissect.

    Each packet's comment says which packet of IN it was. What FC-SB-3 has no form for is left out and counted.
    """
    if target.exists() and source != "-" and Path(source).exists() and os.path.samefile(source, target):
        raise BadInput(f"{target}: is the capture that is exported")
    pieces = open_capture(source)
    reader, start = begin(pieces)
    if reader is None:
        raise BadInput(f"{source}: neither pcapng nor pcap")
    report, at = ExportReport(), Place(source)
    try:
        with at.named():
            export_fc_sb3(at.following(packets_of(reader, start, pieces)), target, report)
    finally:
        click.echo(json.dumps(report.figures()) if as_json_object else report.text())


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
