"""Captured packets for people and machines: what each one is, filters, JSON and its inverse."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ccw.crc import crc16
from ccw.delimited import EOF_LENGTH, SOF_LENGTH, delimited, record_of
from ccw.describe import describe
from ccw.dissect import FieldView, decode_delimited, dissect
from ccw.errors import FormatError
from ccw.escon import FRAME_LENGTH_MIN, WAN_INFORMATION_LENGTH_MAX, Sequence
from ccw.fc_sb3 import UnitType
from ccw.fc_sb3_fields import view_unit
from ccw.frames import (
    CommandFrame,
    ControlFrame,
    StatusFrame,
    decode_device,
)
from ccw.pcapng import LINKTYPE_FC_2, LINKTYPE_USER0, Direction, Packet
from ccw.records import SequenceRecord, decode_record, encode_raw

TYPES = ("command", "data", "status", "control", "link-control", "sequence", "damaged")
FORMS = {"escon": LINKTYPE_USER0, "fc-sb3": LINKTYPE_FC_2}
PAYLOAD_MAX = FRAME_LENGTH_MIN + WAN_INFORMATION_LENGTH_MAX
_UNIT_TYPES = {
    UnitType.DATA: "data", UnitType.COMMAND: "command", UnitType.COMMAND_AND_DATA: "command",
    UnitType.STATUS: "status", UnitType.CONTROL: "control", UnitType.LINK_CONTROL: "link-control",
}


@dataclass(frozen=True, slots=True)
class View:
    """What a packet is. `fields` cover it without a gap; `error`: why it is damaged."""

    form: str                               # of FORMS
    kind: str                               # of TYPES
    text: str
    unit: int | None                        # the device it is for; None: none
    command: int | None                     # command code, of a command
    fields: Callable[[], list[FieldView]]   # made when asked for
    error: str = ""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which packets are wanted; None and "": all."""

    link: str = ""                          # part of the link's name or description
    device: int | None = None
    kind: str = ""
    command: int | None = None
    first: int = 1
    last: int | None = None

    @property
    def looks_inside(self) -> bool:
        """Whether it asks for more than number and link."""
        return bool(self.kind) or self.device is not None or self.command is not None

    def wants_packet(self, packet: Packet) -> bool:
        """Judged without looking into it."""
        if packet.number < self.first or (self.last is not None and packet.number > self.last):
            return False
        interface = packet.interface
        return self.link in interface.name or self.link in interface.description

    def wants(self, view: View) -> bool:
        """Judged by what it is."""
        return (
            (self.device is None or view.unit == self.device)
            and self.kind in ("", view.kind)
            and (self.command is None or view.command == self.command)
        )


def view_packet(packet: Packet) -> View:
    """FormatError: of a link type that is not ours, or no record."""
    if packet.interface.link_type == LINKTYPE_USER0:
        return view_record(packet.data)
    if packet.interface.link_type == LINKTYPE_FC_2:
        return _view_fc(packet.data)
    raise FormatError("capture", f"link type {packet.interface.link_type}, not 147 (USER0) or 224 (FC-2)", b"")


def view_record(data: bytes) -> View:
    """What a record is. FormatError: it is none, or more than one."""
    record = decode_record(data)
    characters = delimited(record)
    if isinstance(record, SequenceRecord):
        name = Sequence(record.kind).name
        return View("escon", "sequence", name, None, None,
                    lambda: [FieldView(0, len(characters), "ordered set", characters, name)])
    try:
        frame = decode_delimited(characters)
        text = describe(frame)
        if frame.link_control:
            return View("escon", "link-control", text, None, None, lambda: dissect(characters))
        device = decode_device(frame.information)
    except FormatError as error:
        return View("escon", "damaged", str(error), None, None, lambda: _undissected(characters), str(error))
    kind, command = "data", None
    if isinstance(device, CommandFrame):
        kind, command = "command", device.command
    elif isinstance(device, StatusFrame):
        kind = "status"
    elif isinstance(device, ControlFrame):
        kind = "control"
    return View("escon", kind, text, device.unit_address, command, lambda: dissect(characters))


def _undissected(characters: bytes) -> list[FieldView]:
    stop = len(characters) - EOF_LENGTH
    return [
        FieldView(0, SOF_LENGTH, "start of frame", characters[:SOF_LENGTH], ""),
        FieldView(SOF_LENGTH, stop - SOF_LENGTH, "contents", characters[SOF_LENGTH:stop], ""),
        FieldView(stop, EOF_LENGTH, "end of frame", characters[stop:], ""),
    ]


def _view_fc(data: bytes) -> View:
    try:
        unit = view_unit(data)
    except FormatError as error:
        return View("fc-sb3", "damaged", str(error), None, None,
                    lambda: [FieldView(0, len(data), "contents", data, "")], str(error))
    return View("fc-sb3", _UNIT_TYPES[unit.kind], unit.text, unit.unit_address, unit.command, lambda: unit.fields)


# --- JSON -------------------------------------------------------------------------------------------------------------


def field_as_json(view: FieldView) -> dict[str, int | str]:
    """One field; its value as hexadecimal digits."""
    return {**view._asdict(), "value": view.value.hex().upper()}


def as_json(packet: Packet, view: View) -> dict[str, Any]:
    """All of a packet; `from_json` takes it back."""
    interface = packet.interface
    return {
        "packet": packet.number,
        "time_ns": packet.time_ns,
        "link": interface.name,
        "port": interface.number,
        "description": interface.description,
        "direction": packet.direction.name.lower(),
        "form": view.form,
        "type": view.kind,
        "device": None if view.unit is None else f"{view.unit:02X}",
        "command": None if view.command is None else f"{view.command:02X}",
        "text": view.text,
        "error": view.error or None,
        "fields": [field_as_json(field) for field in view.fields()],
    }


@dataclass(frozen=True, slots=True)
class Given:
    """A packet that was described in JSON. `data` as it is captured; `characters` as hex shows it."""

    form: str
    data: bytes
    characters: bytes
    link: str
    port: int
    description: str
    direction: Direction
    time_ns: int


def objects_of(lines: Iterator[str], name: str) -> Iterator[tuple[int, Any]]:
    """(line number, value) of JSON lines. FormatError names line and column."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line.rstrip())
        except (ValueError, RecursionError) as error:
            column = getattr(error, "colno", 1)
            raise FormatError(name, f"line {number}, column {column}: not JSON", line.encode()) from error


def from_json(value: Any, *, fix_crc: bool = False) -> Given:
    """The packet that `as_json` described: its fields' values, joined. FormatError: it is none.

    `fix_crc`: the CRC is computed anew, for frames whose fields were changed.
    """
    if not isinstance(value, dict) or not isinstance(value.get("fields"), list):
        raise FormatError("packet", "no object with a list of fields", b"")
    characters = b"".join(_value(index, field) for index, field in enumerate(value["fields"]))
    form = _member(value, "form", str, "escon")
    if form not in FORMS:
        raise FormatError("packet", f"form is not one of {', '.join(FORMS)}", b"")
    data = characters
    if form == "escon":
        record = record_of(characters)
        if fix_crc and not isinstance(record, SequenceRecord):
            if len(record.payload) < FRAME_LENGTH_MIN:
                raise FormatError("frame", "cut short", characters, len(characters))
            body = record.payload[:-2]
            record = record._replace(payload=body + crc16(body).to_bytes(2, "big"))
            characters = delimited(record)
        if not isinstance(record, SequenceRecord) and len(record.payload) > PAYLOAD_MAX:
            raise FormatError("frame", "length", characters, SOF_LENGTH + PAYLOAD_MAX)
        data = encode_raw(record)
    return Given(
        form, data, characters, _member(value, "link", str, ""), _member(value, "port", int, 0),
        _member(value, "description", str, ""), _direction(value), _time(value),
    )


def _value(index: int, field: Any) -> bytes:
    try:
        return bytes.fromhex(field["value"])
    except (TypeError, KeyError, ValueError) as error:
        raise FormatError("packet", f"field {index} has no value in hexadecimal digits", b"") from error


def _member(value: dict[str, Any], name: str, kind: type, default: Any) -> Any:
    found = value.get(name)
    if found is None:
        return default
    if not isinstance(found, kind):
        raise FormatError("packet", f"{name} is no {kind.__name__}", b"")
    return found


def _direction(value: dict[str, Any]) -> Direction:
    name = _member(value, "direction", str, "unknown")
    try:
        return Direction[name.upper()]
    except KeyError as error:
        raise FormatError("packet", f"direction {name!r}", b"") from error


def _time(value: dict[str, Any]) -> int:
    time_ns: int = _member(value, "time_ns", int, 0)
    if not 0 <= time_ns < 1 << 64:
        raise FormatError("packet", f"time_ns {time_ns}", b"")
    return time_ns
