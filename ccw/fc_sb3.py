"""ESCON frames as FC-SB-3 information units, one Fibre Channel frame each: LINKTYPE_FC_2 packets that tshark dissects.

    offset length  field
         0     24  Fibre Channel header
        24     16  SB-3 header and IU header
        40     12  device-information block (DIB), by the type in the low three bits of the IUI
        52      4  LRC
        56    0..  data, sense or path bitmap
      last   0..3  fill; how much, is in the low two bits of F_CTL

    frame                       information unit
    ELP RLP TIN, LPE LPR LACK   type 5: link-control byte, P0..P3, path bitmap. A PPRC header is left out
    LRJ LBY TIR
    command                     type 1: DIB bytes 0-3 and 7
    data                        type 0: count of the unit's data
    status                      type 2: 8 DIB bytes, sense
    control                     type 3: 4 DIB bytes

Left out, because SB-3 has nothing like it: other link-control frames, data requests, accept command response,
sequences, frames that ended with abort or are damaged.

Source: the layouts and R_CTL, TYPE values FC-SB-3 as tshark dissects it; which frame becomes what, D_ID and S_ID
(01, link address, 00), OX_ID per connection and the LRC (XOR of the seven words before it) assumed, defined here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum, IntEnum, IntFlag
from functools import reduce
from operator import xor
from typing import Any

from construct import Byte, Bytes, Int16ub, Int32ub, Struct

from ccw.ccws import UnitStatus
from ccw.errors import FormatError
from ccw.escon import (
    CommandCcwFlag,
    CommandFlag,
    ControlFunction,
    Dhf,
    Ifi,
    LinkControl,
    StatusFlag,
)
from ccw.frames import CommandFrame, DataFrame, DataRequest, DeviceFrame, Frame, StatusFrame
from ccw.frames import decode_device as decode_device_frame
from ccw.layout import Bits, Layout

TYPE_FROM_CHANNEL, TYPE_FROM_CONTROL_UNIT = 0x1B, 0x1C
F_CTL = 0x290000                    # first and last sequence of the exchange's turn, initiative given away
NOT_ASSIGNED = 0xFFFF               # RX_ID
LRC_INITIAL = 0xFFFFFFFF
FIRST_EXCHANGE = 0x1000


class RoutingControl(IntEnum):
    """R_CTL by kind of unit. Source: Fibre Channel's categories of device data; which one for which unit assumed."""

    DATA = 1
    UNSOLICITED_CONTROL = 2
    SOLICITED_CONTROL = 3
    COMMAND = 6
    STATUS = 7


class UnitType(IntEnum):
    """Low three bits of the IUI."""

    DATA = 0
    COMMAND = 1
    STATUS = 2
    CONTROL = 3
    COMMAND_AND_DATA = 4
    LINK_CONTROL = 5


class DhFlag(IntFlag):
    """Flags of the IU header."""

    END = 0x80
    RESERVED_1 = 0x40
    RESERVED_2 = 0x20
    CHAINING = 0x10
    EARLY_END = 0x08
    NO_CRC = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


@dataclass(frozen=True, slots=True)
class FcHeader:
    """A Fibre Channel frame header, 24 bytes."""

    routing_control: int
    destination_id: bytes           # 01, link address, 00
    class_control: int
    source_id: bytes
    type: int
    frame_control: bytes            # F_CTL; low two bits: bytes of fill
    sequence_id: int
    data_field_control: int
    sequence_count: int
    originator_exchange: int
    responder_exchange: int
    parameter: int


FC_HEADER = Layout("Fibre Channel header", FcHeader, Struct(
    "routing_control" / Byte,           # 0: R_CTL
    "destination_id" / Bytes(3),        # 1-3: D_ID
    "class_control" / Byte,             # 4: CS_CTL
    "source_id" / Bytes(3),             # 5-7: S_ID
    "type" / Byte,                      # 8
    "frame_control" / Bytes(3),         # 9-11: F_CTL
    "sequence_id" / Byte,               # 12: SEQ_ID
    "data_field_control" / Byte,        # 13: DF_CTL
    "sequence_count" / Int16ub,         # 14-15: SEQ_CNT
    "originator_exchange" / Int16ub,    # 16-17: OX_ID
    "responder_exchange" / Int16ub,     # 18-19: RX_ID
    "parameter" / Int32ub,              # 20-23
), 24)


@dataclass(frozen=True, slots=True)
class UnitHeader:
    """SB-3 header and IU header, 16 bytes."""

    reserved_00: int
    channel_image: int
    reserved_02: int
    control_unit_image: int
    device_address: int
    reserved_06: bytes
    identifier: int                 # IUI
    flags: int
    ccw_number: int
    reserved_12: int
    token: bytes


UNIT_HEADER = Layout("SB-3 header", UnitHeader, Struct(
    "reserved_00" / Byte,               # 0
    "channel_image" / Byte,             # 1
    "reserved_02" / Byte,               # 2
    "control_unit_image" / Byte,        # 3
    "device_address" / Int16ub,         # 4-5
    "reserved_06" / Bytes(2),           # 6-7
    "identifier" / Bits(Ifi),           # 8
    "flags" / Bits(DhFlag),             # 9
    "ccw_number" / Int16ub,             # 10-11
    "reserved_12" / Byte,               # 12
    "token" / Bytes(3),                 # 13-15
), 16)


@dataclass(frozen=True, slots=True)
class DataDib:
    """DIB of a data unit, 12 bytes."""

    reserved_00: bytes
    unit_count: int
    data_count: int


@dataclass(frozen=True, slots=True)
class CommandDib:
    """DIB of a command unit, 12 bytes."""

    command: int
    ccw_flags: int
    ccw_count: int
    reserved_04: int
    priority: int
    reserved_06: int
    command_flags: int
    reserved_08: int
    unit_count: int
    data_count: int


@dataclass(frozen=True, slots=True)
class StatusDib:
    """DIB of a status unit, 12 bytes."""

    status_flags: int
    unit_status: int
    residual: int
    queue: int
    defer: int
    reserved_08: int
    unit_count: int
    data_count: int


@dataclass(frozen=True, slots=True)
class ControlDib:
    """DIB of a control unit, 12 bytes."""

    function: int
    parameters: bytes
    reserved_04: bytes
    unit_count: int
    data_count: int


@dataclass(frozen=True, slots=True)
class LinkControlDib:
    """DIB of a link-control unit, 12 bytes."""

    reserved_00: int
    function: int
    information: int
    ctc_counter: int
    reserved_06: bytes
    unit_count: int
    data_count: int


_COUNTS = ("unit_count" / Byte, "data_count" / Int16ub)     # 9, 10-11 of every DIB

DATA_DIB = Layout("SB-3 data", DataDib, Struct("reserved_00" / Bytes(9), *_COUNTS), 12)
COMMAND_DIB = Layout("SB-3 command", CommandDib, Struct(
    "command" / Byte,                       # 0
    "ccw_flags" / Bits(CommandCcwFlag),     # 1
    "ccw_count" / Int16ub,                  # 2-3
    "reserved_04" / Byte,                   # 4
    "priority" / Byte,                      # 5
    "reserved_06" / Byte,                   # 6
    "command_flags" / Bits(CommandFlag),    # 7
    "reserved_08" / Byte,                   # 8
    *_COUNTS,                               # 9-11
), 12)
STATUS_DIB = Layout("SB-3 status", StatusDib, Struct(
    "status_flags" / Bits(StatusFlag),      # 0
    "unit_status" / Bits(UnitStatus),       # 1
    "residual" / Int16ub,                   # 2-3
    "queue" / Int16ub,                      # 4-5
    "defer" / Int16ub,                      # 6-7
    "reserved_08" / Byte,                   # 8
    *_COUNTS,                               # 9-11
), 12)
CONTROL_DIB = Layout("SB-3 control", ControlDib, Struct(
    "function" / Byte,                      # 0
    "parameters" / Bytes(3),                # 1-3
    "reserved_04" / Bytes(5),               # 4-8
    *_COUNTS,                               # 9-11
), 12)
LINK_CONTROL_DIB = Layout("SB-3 link control", LinkControlDib, Struct(
    "reserved_00" / Byte,                   # 0
    "function" / Byte,                      # 1
    "information" / Int16ub,                # 2-3: P0, P1
    "ctc_counter" / Int16ub,                # 4-5: P2, P3
    "reserved_06" / Bytes(3),               # 6-8
    *_COUNTS,                               # 9-11
), 12)
DIBS: dict[int, Layout[Any]] = {
    UnitType.DATA: DATA_DIB, UnitType.COMMAND: COMMAND_DIB, UnitType.STATUS: STATUS_DIB,
    UnitType.CONTROL: CONTROL_DIB, UnitType.COMMAND_AND_DATA: COMMAND_DIB, UnitType.LINK_CONTROL: LINK_CONTROL_DIB,
}
LRC_LENGTH = 4
UNIT_LENGTH_MIN = UNIT_HEADER.size + 12 + LRC_LENGTH
PACKET_LENGTH_MIN = FC_HEADER.size + UNIT_LENGTH_MIN


class LeftOut(Enum):
    """Why a frame has no information unit."""

    LINK_CONTROL = "link-control frames that FC-SB-3 has not"
    DATA_REQUEST = "data requests"
    ACCEPT_COMMAND_RESPONSE = "accept command response"
    SEQUENCE = "sequences"
    ABORT = "frames that ended with abort"
    DAMAGED = "damaged frames"


@dataclass(frozen=True, slots=True)
class Place:
    """What the unit of a frame needs beside the frame: who sent it, and its place among the others."""

    from_channel: bool
    sequence_id: int = 0            # 0-255
    exchange: int = FIRST_EXCHANGE
    ccw_number: int = 0


_CHANNEL_ASKS = (LinkControl.ELP, LinkControl.RLP, LinkControl.TIN)
_IN_SB3 = (*_CHANNEL_ASKS, LinkControl.LPE, LinkControl.LPR, LinkControl.LACK, LinkControl.LRJ, LinkControl.LBY,
           LinkControl.TIR)
_KEPT_FLAGS = int(Dhf.END | Dhf.CHAINING | Dhf.EARLY_END)
_WORDS = struct.Struct(">7I")
_Unit = tuple[RoutingControl, int, int, int, bytes, bytes]     # R_CTL, IUI, DH flags, device address, DIB, payload


def encode_unit(frame: Frame, place: Place) -> bytes | LeftOut:
    """The LINKTYPE_FC_2 packet of a frame, or why there is none."""
    if frame.abort:
        return LeftOut.ABORT
    if frame.link_control:
        unit: _Unit | LeftOut = _link_control_unit(frame)
    else:
        try:
            unit = _device_unit(frame, decode_device_frame(frame.information))
        except FormatError:
            return LeftOut.DAMAGED
    if isinstance(unit, LeftOut):
        return unit
    routing, identifier, flags, device, dib, payload = unit
    channel, control_unit = frame.source, frame.destination
    if not place.from_channel:
        channel, control_unit = control_unit, channel
    header = UNIT_HEADER.encode(UnitHeader(0, channel & 0xF, 0, control_unit & 0xF, device, b"\0\0", identifier, flags,
                                           place.ccw_number, 0, bytes(3)))
    fill = -len(payload) % 4
    fc_header = FC_HEADER.encode(FcHeader(
        routing, _port(frame.destination), 0, _port(frame.source),
        TYPE_FROM_CHANNEL if place.from_channel else TYPE_FROM_CONTROL_UNIT, (F_CTL | fill).to_bytes(3, "big"),
        place.sequence_id, 0, 0, place.exchange, NOT_ASSIGNED, 0,
    ))
    return b"".join((fc_header, header, dib, longitudinal_check(header + dib), payload, bytes(fill)))


def longitudinal_check(words: bytes) -> bytes:
    """The LRC over the seven words before it: their XOR, begun with all ones."""
    return reduce(xor, _WORDS.unpack(words), LRC_INITIAL).to_bytes(LRC_LENGTH, "big")


def _port(address: int) -> bytes:
    return bytes((1, address >> 8, 0))


def _link_control_unit(frame: Frame) -> _Unit | LeftOut:
    function = frame.link_control
    if function not in _IN_SB3:
        return LeftOut.LINK_CONTROL
    routing = RoutingControl.UNSOLICITED_CONTROL if function in _CHANNEL_ASKS else RoutingControl.SOLICITED_CONTROL
    given = frame.information[:4].ljust(4, b"\0")
    payload = frame.information[4:] if function == LinkControl.TIR else b""
    dib = LINK_CONTROL_DIB.encode(LinkControlDib(0, function, int.from_bytes(given[:2], "big"),
                                                 int.from_bytes(given[2:], "big"), bytes(3), 0, len(payload)))
    return routing, UnitType.LINK_CONTROL, 0, 0, dib, payload


def _device_unit(frame: Frame, device: DeviceFrame) -> _Unit | LeftOut:
    routing, payload = RoutingControl.SOLICITED_CONTROL, b""
    if isinstance(device, CommandFrame):
        routing = RoutingControl.COMMAND
        dib = COMMAND_DIB.encode(CommandDib(device.command, device.flags, device.count, 0, 0, 0, device.command_flags,
                                            0, 0, 0))
    elif isinstance(device, DataFrame):
        routing, payload = RoutingControl.DATA, device.data
        dib = DATA_DIB.encode(DataDib(bytes(9), 1, len(payload)))
    elif isinstance(device, StatusFrame):
        routing, payload = RoutingControl.STATUS, device.sense
        dib = STATUS_DIB.encode(StatusDib(device.flags, device.unit_status, device.residual, device.queue,
                                          device.defer, 0, 0, len(payload)))
    elif isinstance(device, DataRequest):
        return LeftOut.DATA_REQUEST
    elif device.function == ControlFunction.ACCEPT_COMMAND_RESPONSE:
        return LeftOut.ACCEPT_COMMAND_RESPONSE
    else:
        dib = CONTROL_DIB.encode(ControlDib(device.function, device.parameters, bytes(5), 0, 0))
    flags = frame.information[3] & _KEPT_FLAGS
    return routing, frame.information[0], flags, device.unit_address, dib, payload
