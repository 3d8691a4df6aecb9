"""An FC-SB-3 packet (LINKTYPE_FC_2) taken apart field by field, offsets from its first byte."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

from ccw.ccws import UnitStatus
from ccw.describe import command_name, name_of, names_of
from ccw.dissect import FieldView
from ccw.errors import FormatError
from ccw.escon import IFI_TYPE_MASK, CommandCcwFlag, CommandFlag, ControlFunction, Ifi, LinkControl, StatusFlag
from ccw.fc_sb3 import (
    DIBS,
    FC_HEADER,
    LRC_LENGTH,
    PACKET_LENGTH_MIN,
    TYPE_FROM_CHANNEL,
    TYPE_FROM_CONTROL_UNIT,
    UNIT_HEADER,
    DhFlag,
    RoutingControl,
    UnitType,
    longitudinal_check,
)
from ccw.layout import Layout

_MEANINGS: dict[str, Callable[[int], str]] = {
    "routing_control": lambda value: name_of(RoutingControl, value),
    "type": lambda value: f"{'channel' if value == TYPE_FROM_CHANNEL else 'control unit'} sent it",
    "identifier": lambda value: f"{name_of(UnitType, value & IFI_TYPE_MASK)}, {names_of(Ifi, value & ~IFI_TYPE_MASK)}",
    "command": command_name,
    "ccw_flags": lambda value: names_of(CommandCcwFlag, value),
    "command_flags": lambda value: names_of(CommandFlag, value),
    "status_flags": lambda value: names_of(StatusFlag, value),
    "unit_status": lambda value: names_of(UnitStatus, value),
    "ccw_count": str, "residual": str, "data_count": str, "ccw_number": str, "unit_count": str,
    "device_address": lambda value: f"unit address {value:02X}",
}


class UnitView(NamedTuple):
    """One packet: the type of its unit, one line of text, every field."""

    kind: UnitType
    text: str
    unit_address: int | None        # None: link control
    command: int | None
    fields: list[FieldView]


def view_unit(packet: bytes) -> UnitView:
    """FormatError: too short, another TYPE or unit type, a length that contradicts the data count, or a wrong LRC."""
    if len(packet) < PACKET_LENGTH_MIN:
        raise FormatError("FC-SB-3 packet", "cut short", packet, len(packet))
    fc_header = FC_HEADER.decode(packet[: FC_HEADER.size])
    if fc_header.type not in (TYPE_FROM_CHANNEL, TYPE_FROM_CONTROL_UNIT) or fc_header.routing_control & 0xF0:
        at = 8 if fc_header.type not in (TYPE_FROM_CHANNEL, TYPE_FROM_CONTROL_UNIT) else 0
        raise FormatError("FC-SB-3 packet", "routing control or type", packet, at)
    dib_at = FC_HEADER.size + UNIT_HEADER.size
    header = UNIT_HEADER.decode(packet[FC_HEADER.size : dib_at])
    layout = DIBS.get(header.identifier & IFI_TYPE_MASK)
    if layout is None:
        raise FormatError("FC-SB-3 packet", "type of the unit", packet, FC_HEADER.size + 8)
    kind = UnitType(header.identifier & IFI_TYPE_MASK)
    lrc_at = dib_at + layout.size
    dib = layout.decode(packet[dib_at:lrc_at])
    fill = fc_header.frame_control[2] & 3
    payload_at = lrc_at + LRC_LENGTH
    if payload_at + dib.data_count + fill != len(packet):
        raise FormatError("FC-SB-3 packet", "data count or length", packet, lrc_at - 2)
    if longitudinal_check(packet[FC_HEADER.size : lrc_at]) != packet[lrc_at:payload_at]:
        raise FormatError("FC-SB-3 packet", "LRC", packet, lrc_at)
    fields = [
        *_fields(FC_HEADER, packet, 0), *_fields(UNIT_HEADER, packet, FC_HEADER.size),
        *_fields(layout, packet, dib_at, LinkControl if kind is UnitType.LINK_CONTROL else ControlFunction),
        FieldView(lrc_at, LRC_LENGTH, "LRC", packet[lrc_at:payload_at], "correct"),
    ]
    if dib.data_count:
        name = {UnitType.STATUS: "sense", UnitType.LINK_CONTROL: "path bitmap"}.get(kind, "data")
        data = packet[payload_at : payload_at + dib.data_count]
        fields.append(FieldView(payload_at, len(data), name, data, f"{len(data)} bytes"))
    if fill:
        fields.append(FieldView(len(packet) - fill, fill, "fill", packet[-fill:], ""))
    command = dib.command if kind in (UnitType.COMMAND, UnitType.COMMAND_AND_DATA) else None
    device = None if kind is UnitType.LINK_CONTROL else header.device_address
    names = [field.meaning for field in fields if field.name in ("command", "unit status", "function")]
    unit = "" if device is None else f" {device:02X}"
    text = ": ".join((f"{name_of(UnitType, kind)}{unit}", *names))
    return UnitView(kind, f"{text}, flags {names_of(DhFlag, header.flags)}", device, command, fields)


def _fields(
    layout: Layout[Any], packet: bytes, start: int, functions: type[IntEnum] = ControlFunction
) -> list[FieldView]:
    views = []
    for field in layout.fields:
        at = start + field.offset
        value = packet[at : at + field.length]
        number = int.from_bytes(value, "big")
        if field.name == "function":
            meaning = name_of(functions, number)
        else:
            tell = _MEANINGS.get(field.name)
            meaning = tell(number) if tell else ""
        views.append(FieldView(at, field.length, field.name.replace("_", " "), value, meaning))
    return views
