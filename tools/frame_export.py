"""Frames out of the house: JSON lines back to hex or a capture, a capture as FC-SB-3 packets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import click

from ccw.errors import FormatError
from ccw.escon import WAN_INFORMATION_LENGTH_MAX
from ccw.fc_sb3 import LeftOut
from ccw.fc_sb3_converter import Converter
from ccw.frames import decode_frame
from ccw.pcapng import (
    LINKTYPE_FC_2,
    LINKTYPE_USER0,
    Interface,
    Packet,
    encode_interface,
    encode_packet,
    encode_section,
)
from ccw.records import SequenceRecord, decode_record
from tools.bad_input import BadInput
from tools.captures import APPLICATION
from tools.frame_views import FORMS, Given, from_json, objects_of


def encode_lines(source: str, capture: Path | None, fix_crc: bool) -> None:
    """Hex on standard output, or a new capture, of JSON lines. Raises FormatError, BadInput."""
    with ExitStack() as stack:
        try:
            text = stack.enter_context(click.open_file(source, encoding="utf-8"))
            out = None if capture is None else stack.enter_context(_new_file(capture))
        except OSError as error:
            raise BadInput(f"{error.filename}: {error.strerror}") from error
        name = "standard input" if source == "-" else source
        writer = None if out is None else _CaptureWriter(out)
        try:
            for number, value in objects_of(iter(text), name):
                try:
                    given = from_json(value, fix_crc=fix_crc)
                except FormatError as error:
                    raise BadInput(f"{name}: line {number}: {error}") from error
                if writer is None:
                    click.echo(given.characters.hex().upper())
                else:
                    writer.write(given)
        except UnicodeDecodeError as error:
            raise BadInput(f"{name}: not UTF-8 at byte {error.start} of what was read last") from error


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that must not exist yet; an error leaves none behind."""
    with path.open("xb") as out:
        try:
            yield out
        except BaseException:
            path.unlink()
            raise


class _CaptureWriter:
    """A new capture; an interface for each link that occurs."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._numbers: dict[tuple[object, ...], int] = {}
        out.write(encode_section(APPLICATION))

    def write(self, given: Given) -> None:
        key = (given.form, given.port, given.link, given.description)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._numbers)
            self._out.write(encode_interface(FORMS[given.form], given.link, given.description))
        self._out.write(encode_packet(number, given.time_ns, given.data, given.direction))


@dataclass(slots=True)
class ExportReport:
    """What an export did."""

    written: int = 0
    left_out: Counter[LeftOut] = field(default_factory=Counter)

    def figures(self) -> dict[str, object]:
        return {"written": self.written, "left_out": {why.value: count for why, count in self.left_out.items()}}

    def text(self) -> str:
        lines = [f"{self.written:,} packets written"]
        return "\n".join(lines + [f"left out: {count:,} {why.value}" for why, count in self.left_out.items()])


def export_fc_sb3(packets: Iterator[Packet], target: Path, report: ExportReport) -> None:
    """Write `target`; it is replaced only when at least one packet could be converted.

    Raises BadInput (it cannot be written), FormatError (a packet is no record, or not of our link type): what precedes
    that packet is in `target`.
    """
    unfinished = target.with_name(target.name + ".unfinished")
    try:
        try:
            _write_fc_sb3(packets, unfinished, report)
        finally:
            if report.written:
                unfinished.replace(target)
            else:
                unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise BadInput(f"{target}: {error.strerror or error}") from error


def _write_fc_sb3(packets: Iterator[Packet], path: Path, report: ExportReport) -> None:
    with path.open("wb") as out:
        out.write(encode_section(APPLICATION))
        links: dict[int, tuple[Interface, int, Converter]] = {}  # by identity: sections number anew
        for packet in packets:
            interface = packet.interface
            if interface.link_type != LINKTYPE_USER0:
                raise FormatError("capture", f"link type {interface.link_type}, not 147 (USER0)", b"")
            if id(interface) not in links:
                links[id(interface)] = interface, len(links), Converter()
                out.write(encode_interface(LINKTYPE_FC_2, interface.name, interface.description))
            _, number, converter = links[id(interface)]
            data = _converted(packet.data, converter)
            if isinstance(data, LeftOut):
                report.left_out[data] += 1
            else:
                report.written += 1
                comment = f"packet {packet.number}"
                out.write(encode_packet(number, packet.time_ns or 0, data, packet.direction, comment))


def _converted(data: bytes, converter: Converter) -> bytes | LeftOut:
    record = decode_record(data)
    if isinstance(record, SequenceRecord):
        return LeftOut.SEQUENCE
    try:
        frame = decode_frame(record.payload, connect=record.connect, disconnect=record.disconnect, abort=record.abort,
                             information_limit=WAN_INFORMATION_LENGTH_MAX)
    except FormatError:
        return LeftOut.DAMAGED
    return converter.convert(frame)
