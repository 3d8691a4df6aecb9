"""The construct specification of frames and device-level information fields: what frames.py does, slowly and declared.

Nothing at run time uses it; property tests hold frames.py to it in both directions, in what each accepts and refuses.
The CRC here is computed bit by bit from its definition, so it also checks the library behind crc.py.
"""

from __future__ import annotations

from typing import Any

from construct import (
    Bit,
    BitsInteger,
    BitStruct,
    Byte,
    Bytes,
    Check,
    Checksum,
    Const,
    Construct,
    ConstructError,
    Flag,
    GreedyBytes,
    Int16ub,
    RawCopy,
    Struct,
    Terminated,
    this,
)

from ccw.errors import FormatError
from ccw.escon import (
    CRC,
    FRAME_LENGTH_MIN,
    INFORMATION_LENGTH_MAX,
    LINK_HEADER_LENGTH,
    SENSE_LENGTH_MAX,
    FrameType,
)
from ccw.frames import CommandFrame, ControlFrame, DataFrame, DataRequest, DeviceFrame, Frame, StatusFrame

_LOGICAL = BitStruct("reserved" / Const(0, BitsInteger(4)), "logical_address" / BitsInteger(4))
LINK_HEADER = Struct(
    "destination_link" / Byte * "link address: 01-FE a port, FF to whom it may concern",  # 0
    "destination" / _LOGICAL * "of the channel or control-unit image",                    # 1
    "source_link" / Byte * "link address: 01-FE a port, 00 who am I",                     # 2
    "source" / _LOGICAL * "of the channel or control-unit image",                         # 3
    "link_control" / Byte * "00 device frame, else LinkControl",                          # 4
)
assert LINK_HEADER.sizeof() == LINK_HEADER_LENGTH


def crc_by_definition(data: bytes) -> int:
    """The CRC of crc.py, one bit at a time from the parameters of escon.py."""
    register = CRC.initial
    for byte in data:
        register ^= byte << 8
        for _ in range(8):
            register = register << 1 ^ (CRC.polynomial if register & 0x8000 else 0)
            register &= 0xFFFF
    return register ^ CRC.final_xor


FRAME = Struct(
    "body" / RawCopy(Struct(
        "header" / LINK_HEADER,                                     # 0-4
        "information" / Bytes(this._root._.information_length),     # 5..
    )),
    "crc" / Checksum(Int16ub, crc_by_definition, this.body.data),  # last 2
    Terminated,
)


def _ifi(kind: FrameType, address_specific: Construct, supplementary_status: Construct) -> BitStruct:
    return BitStruct(
        "reserved" / Const(0, BitsInteger(3)), "address_specific" / address_specific,
        "supplementary_status" / supplementary_status, "type" / Const(int(kind), BitsInteger(3)),
    )


def _dhf(**bits: Construct) -> BitStruct:
    names = ("end", "ready", "data_request", "chaining", "early_end", "reserved_5", "reserved_6", "reserved_7")
    return BitStruct(*(name / bits.get(name, Const(0, Bit)) for name in names))


_ON, _OFF = Const(1, Bit), Const(0, Bit)
_ADDRESS = ("address_high" / Const(0, Byte), "unit_address" / Byte)

COMMAND = Struct(
    "ifi" / _ifi(FrameType.COMMAND, _ON, _OFF),                                                    # 0
    *_ADDRESS,                                                                                     # 1-2
    "dhf" / _dhf(chaining=Flag),                                                                   # 3
    "command" / Byte * "command code of the CCW",                                                  # 4
    "flags" / Byte * "bits of CommandCcwFlag",                                                     # 5
    "count" / Int16ub * "bytes",                                                                   # 6-7
    "dib_code" / Byte * "largest data block the channel takes: 2 ** (code + 4) bytes",             # 8
    "data_requests" / Byte * "outstanding requests less one: read high nibble, write low nibble",  # 9
    "reserved_10" / Const(0, Byte),                                                                # 10
    "command_flags" / Byte * "bits of CommandFlag",                                                # 11
)
DATA = Struct(
    "ifi" / _ifi(FrameType.DATA, _ON, _OFF),  # 0
    *_ADDRESS,                                # 1-2
    "dhf" / _dhf(end=Flag, early_end=Flag),   # 3
    Check(lambda frame: frame.dhf.end or not frame.dhf.early_end),
    "data" / GreedyBytes,                     # 4..
    Check(lambda frame: len(frame.data) > 0),
)
DATA_REQUEST = Struct(
    "ifi" / _ifi(FrameType.DATA, _ON, _OFF),               # 0
    *_ADDRESS,                                             # 1-2
    "dhf" / _dhf(data_request=_ON),                        # 3
    "count" / Int16ub * "bytes asked for",                 # 4-5
    "pacing" / Byte * "idles wanted between data frames",  # 6
    "reserved_07" / Const(0, Byte),                        # 7
)
STATUS = Struct(
    "ifi" / _ifi(FrameType.STATUS, _ON, Flag),                  # 0
    *_ADDRESS,                                                  # 1-2
    "dhf" / _dhf(end=Flag),                                     # 3
    "flags" / Byte * "bits of StatusFlag",                      # 4
    "unit_status" / Byte * "bits of UnitStatus",                # 5
    "residual" / Int16ub * "bytes; valid with RESIDUAL_VALID",  # 6-7
    "queue" / Int16ub * "4-bit factor, 12-bit unit",            # 8-9
    "defer" / Int16ub * "4-bit factor, 12-bit unit",            # 10-11
    "sense" / GreedyBytes,                                      # 12..
    Check(lambda frame: len(frame.sense) <= SENSE_LENGTH_MAX),
    Check(lambda frame: bool(frame.sense) == frame.ifi.supplementary_status),
)
CONTROL = Struct(
    "ifi" / _ifi(FrameType.CONTROL, Flag, _OFF),  # 0
    *_ADDRESS,                                    # 1-2
    "dhf" / _dhf(end=Flag, ready=Flag),           # 3
    "function" / Byte * "a ControlFunction",      # 4
    "parameters" / Bytes(3) * "by function",      # 5-7
)
_KINDS: dict[type[Any], Construct] = {
    CommandFrame: COMMAND, DataFrame: DATA, DataRequest: DATA_REQUEST, StatusFrame: STATUS, ControlFrame: CONTROL,
}


def specified_decode_frame(payload: bytes, *, connect: bool = False, disconnect: bool = False, abort: bool = False,
                           information_limit: int = INFORMATION_LENGTH_MAX) -> Frame:
    """As frames.decode_frame, by the construct definition."""
    information_length = len(payload) - FRAME_LENGTH_MIN
    if not 0 <= information_length <= information_limit:
        raise FormatError("frame", "length", payload)
    try:
        body = FRAME.parse(payload, information_length=information_length).body.value
    except ConstructError as error:
        raise FormatError("frame", str(error.path), payload) from error
    header = body.header
    return Frame(header.destination_link << 8 | header.destination.logical_address,
                 header.source_link << 8 | header.source.logical_address, header.link_control, body.information,
                 connect, disconnect, abort)


def specified_encode_frame(frame: Frame) -> bytes:
    """As frames.encode_frame, by the construct definition."""
    header = {
        "destination_link": frame.destination >> 8, "destination": {"logical_address": frame.destination & 0xFF},
        "source_link": frame.source >> 8, "source": {"logical_address": frame.source & 0xFF},
        "link_control": frame.link_control,
    }
    if len(frame.information) > INFORMATION_LENGTH_MAX:
        raise FormatError("frame", "length", frame.information)
    try:
        built = FRAME.build({"body": {"value": {"header": header, "information": frame.information}}},
                            information_length=len(frame.information))
    except ConstructError as error:
        raise FormatError("frame", str(error.path), b"") from error
    return bytes(built)


def specified_decode_device(information: bytes) -> DeviceFrame:
    """As frames.decode_device, by the construct definitions: exactly one of the five accepts."""
    accepted = []
    for kind, layout in _KINDS.items():
        try:
            accepted.append((kind, Struct("frame" / layout, Terminated).parse(information).frame))
        except ConstructError:
            continue
    if not accepted:
        raise FormatError("device frame", "no layout fits", information)
    (kind, fields), = accepted
    return _value_of(kind, fields)


def _value_of(kind: type[Any], fields: Any) -> DeviceFrame:
    unit = fields.unit_address
    if kind is CommandFrame:
        return CommandFrame(unit, fields.command, fields.flags, fields.count, fields.dhf.chaining, fields.dib_code,
                            fields.data_requests, fields.command_flags)
    if kind is DataFrame:
        return DataFrame(unit, fields.data, fields.dhf.end, fields.dhf.early_end)
    if kind is DataRequest:
        return DataRequest(unit, fields.count, fields.pacing)
    if kind is StatusFrame:
        return StatusFrame(unit, fields.unit_status, fields.flags, fields.residual, fields.queue, fields.defer,
                           fields.sense, fields.dhf.end)
    return ControlFrame(unit, fields.function, fields.parameters, fields.dhf.end, fields.dhf.ready,
                        fields.ifi.address_specific)


def specified_encode_device(frame: DeviceFrame) -> bytes:
    """As frames.encode_device, by the construct definitions."""
    ifi: dict[str, Any] = {}
    dhf: dict[str, Any] = {}
    if isinstance(frame, CommandFrame):
        dhf["chaining"] = frame.chained
    elif isinstance(frame, DataFrame):
        dhf.update(end=frame.end or frame.early_end, early_end=frame.early_end)
    elif isinstance(frame, StatusFrame):
        ifi["supplementary_status"] = bool(frame.sense)
        dhf["end"] = frame.end
    elif isinstance(frame, ControlFrame):
        ifi["address_specific"] = frame.address_specific
        dhf.update(end=frame.end, ready=frame.ready)
    fields = {name: getattr(frame, name) for name in frame.__slots__}
    try:
        return bytes(_KINDS[type(frame)].build({**fields, "ifi": ifi, "dhf": dhf}))
    except ConstructError as error:
        raise FormatError("device frame", str(error.path), b"") from error
