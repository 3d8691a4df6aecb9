"""Frames between their delimiters, and the information fields of device frames. The fast codec.

Frame, big-endian:

    offset length  field
         0      1  destination link address
         1      1  bits 0-3 zero, bits 4-7 destination logical address
         2      1  source link address
         3      1  bits 0-3 zero, bits 4-7 source logical address
         4      1  link control: 00 device frame, else a link-control function
         5    0..  information field, at most 1,028 (links over a wide-area network: 32,772)
     last       2  CRC over all that precedes

Information field of a device frame:

         0      1  IFI: 10 address specific, 08 supplementary status, low three bits the type
         1      2  device address: 00, unit address
         3      1  DHF: 80 end, 40 ready, 20 data request, 10 chaining, 08 early end
         4    1..  device-information block (DIB), by type

    command DIB (8)       data request DIB (4)    status DIB (8, then sense)   control DIB (4)
     0 1 command           0 2 byte count          0 1 status flags             0 1 function
     1 1 CCW flags         2 1 pacing              1 1 unit status              1 3 parameters
     2 2 CCW count         3 1 zero                2 2 residual count
     4 1 DIB code                                  4 2 queue parameter
     5 1 data requests                             6 2 defer-time parameter
     6 1 zero                                      8 n sense, 0..32
     7 1 command flags

What decoding refuses (FormatError), because the layout says zero or the parts contradict each other: a wrong CRC or
length; bits 0-3 of octets 1 and 3; bits 0-2 of the IFI and types above 3; AS off except in a control frame; ES on
without sense, or off with it; a device address above 00FF; the DHF bits that the type does not use (command: chaining;
data: end and early end, the latter only with the former; data request: none besides itself; status: end; control: end
and ready); byte 6 of a command DIB; byte 3 of a data request. Everything else is kept and is for the reader to judge:
link-control and function codes, flags, DIB codes, counts. `frames_spec.py` says the same in construct, and property
tests compare the two.

Source: escon.py, constant by constant; layouts assumed (no public document has them), modelled on FC-SB-3.
"""

import struct
from dataclasses import dataclass
from functools import lru_cache

from ccw.crc import crc16
from ccw.errors import FormatError
from ccw.escon import (
    FRAME_LENGTH_MIN,
    INFORMATION_LENGTH_MAX,
    LINK_HEADER_LENGTH,
    LINK_TRAILER_LENGTH,
    SENSE_LENGTH_MAX,
    Dhf,
    FrameType,
    Ifi,
)

_LINK_HEADER = struct.Struct(">HHB")
_TRAILER = struct.Struct(">H")
_DEVICE_HEADER = struct.Struct(">BHB")
_COMMAND = struct.Struct(">BHBBBHBBBB")
_DATA_REQUEST = struct.Struct(">BHBHBB")
_STATUS = struct.Struct(">BHBBBHHH")
_CONTROL = struct.Struct(">BHBB3s")

_COMMAND_IFI = int(Ifi.ADDRESS_SPECIFIC) | FrameType.COMMAND
DATA_IFI = int(Ifi.ADDRESS_SPECIFIC) | FrameType.DATA
_STATUS_IFI = int(Ifi.ADDRESS_SPECIFIC) | FrameType.STATUS
_STATUS_SENSE_IFI = _STATUS_IFI | Ifi.SUPPLEMENTARY_STATUS
_CONTROL_IFI = int(Ifi.ADDRESS_SPECIFIC) | FrameType.CONTROL
_CONTROL_PATH_IFI = int(FrameType.CONTROL)      # address not specific: the whole path
_END, _READY, _REQUEST, _CHAINING, _EARLY_END = (
    int(flag) for flag in (Dhf.END, Dhf.READY, Dhf.DATA_REQUEST, Dhf.CHAINING, Dhf.EARLY_END)
)
_BOTH_ENDS = _END | _EARLY_END


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame between its delimiters. `destination` and `source`: link address * 256 + logical address (0..15)."""

    destination: int
    source: int
    link_control: int               # 0: device frame; else a LinkControl code, known or not
    information: bytes = b""
    connect: bool = False           # connect-SOF, else passive
    disconnect: bool = False        # disconnect-EOF, else passive
    abort: bool = False             # abort in place of the EOF: the receiver discards the frame


@dataclass(frozen=True, slots=True)
class CommandFrame:
    """A command for a device."""

    unit_address: int
    command: int
    flags: int                      # CCW flags: 80 CD, 40 CC, 20 SLI, 08 command retry
    count: int
    chained: bool = False           # continues a chain
    dib_code: int = 6               # largest data block the channel takes: 2 ** (code + 4) bytes
    data_requests: int = 0x77       # outstanding data requests minus one: read in the high nibble, write in the low one
    command_flags: int = 0          # escon.CommandFlag


@dataclass(frozen=True, slots=True)
class DataFrame:
    """Data of a command, at least one byte."""

    unit_address: int
    data: bytes
    end: bool = False               # the last data of this command
    early_end: bool = False         # the sender has less than the count; implies and is sent with `end`


@dataclass(frozen=True, slots=True)
class DataRequest:
    """The receiver of data asks for `count` bytes."""

    unit_address: int
    count: int
    pacing: int = 2                 # idles wanted between data frames


@dataclass(frozen=True, slots=True)
class StatusFrame:
    """Device status, with sense when there is some."""

    unit_address: int
    unit_status: int
    flags: int = 0                  # escon.StatusFlag
    residual: int = 0               # bytes; valid when flags has RESIDUAL_VALID
    queue: int = 0                  # 4-bit factor, 12-bit unit
    defer: int = 0                  # 4-bit factor, 12-bit unit
    sense: bytes = b""              # 0..32 bytes
    end: bool = True                # the operation ends here, no chaining expected


@dataclass(frozen=True, slots=True)
class ControlFrame:
    """A device-level control function."""

    unit_address: int
    function: int                   # escon.ControlFunction, known or not
    parameters: bytes = b"\0\0\0"
    end: bool = False               # last frame of the exchange
    ready: bool = False             # channel is ready to take pending status
    address_specific: bool = True   # False: the whole path, unit address 0


DeviceFrame = CommandFrame | DataFrame | DataRequest | StatusFrame | ControlFrame


def encode_frame(frame: Frame, information_limit: int = INFORMATION_LENGTH_MAX) -> bytes:
    """Link header, information field and CRC; the delimiters are not part of it.

    Raises FormatError when an address has reserved bits, a field does not fit or the information field is longer than
    `information_limit` bytes.
    """
    if (frame.destination | frame.source) & 0xF0:
        raise FormatError("frame", "logical address above 15", frame.information)
    if len(frame.information) > information_limit:
        raise FormatError("frame", f"information field above {information_limit} bytes", frame.information)
    try:
        body = _LINK_HEADER.pack(frame.destination, frame.source, frame.link_control) + frame.information
    except struct.error as error:
        raise FormatError("frame", f"a value that does not fit ({error})", frame.information) from error
    return body + _TRAILER.pack(crc16(body))


def decode_frame(payload: bytes, *, connect: bool = False, disconnect: bool = False, abort: bool = False,
                 information_limit: int = INFORMATION_LENGTH_MAX) -> Frame:
    """The frame that `payload` (link header .. CRC) is, with the delimiters given.

    Raises FormatError: shorter than 7 bytes, information field longer than `information_limit`, wrong CRC, or
    bits 0-3 of a logical-address octet. The CRC is looked at before the reserved bits.
    """
    length = len(payload)
    if length < FRAME_LENGTH_MIN:
        raise FormatError("frame", "cut short", payload, length)
    if length - FRAME_LENGTH_MIN > information_limit:
        raise FormatError("frame", "information field too long", payload, LINK_HEADER_LENGTH + information_limit)
    stop = length - LINK_TRAILER_LENGTH
    if crc16(payload[:stop]) != payload[stop] << 8 | payload[stop + 1]:
        raise FormatError("frame", "CRC", payload, stop)
    destination, source, link_control = _LINK_HEADER.unpack_from(payload)
    if (destination | source) & 0xF0:
        raise FormatError("frame", "reserved bits of a logical address", payload, 1 if destination & 0xF0 else 3)
    return Frame(destination, source, link_control, payload[LINK_HEADER_LENGTH:stop], connect, disconnect, abort)


def encode_device(frame: DeviceFrame) -> bytes:
    """The information field of a device frame. FormatError when a value does not fit or data or sense is too long."""
    try:
        if isinstance(frame, DataFrame):
            return _encode_data(frame)
        if isinstance(frame, StatusFrame):
            return _encode_status(frame)
        if isinstance(frame, CommandFrame):
            return _COMMAND.pack(_COMMAND_IFI, _unit(frame.unit_address), _CHAINING if frame.chained else 0,
                                 frame.command, frame.flags, frame.count, frame.dib_code, frame.data_requests, 0,
                                 frame.command_flags)
        if isinstance(frame, ControlFrame):
            return _encode_control(frame)
        return _DATA_REQUEST.pack(DATA_IFI, _unit(frame.unit_address), _REQUEST, frame.count, frame.pacing, 0)
    except struct.error as error:
        raise FormatError("device frame", f"a value that does not fit ({error})", b"") from error


def _unit(unit_address: int) -> int:
    if not 0 <= unit_address <= 0xFF:
        raise FormatError("device frame", f"unit address {unit_address} outside 0..255", b"")
    return unit_address


def _encode_data(frame: DataFrame) -> bytes:
    if not frame.data:
        raise FormatError("data frame", "no data", b"")
    flags = _BOTH_ENDS if frame.early_end else _END if frame.end else 0
    return _DEVICE_HEADER.pack(DATA_IFI, _unit(frame.unit_address), flags) + frame.data


def _encode_status(frame: StatusFrame) -> bytes:
    if len(frame.sense) > SENSE_LENGTH_MAX:
        raise FormatError("status frame", "sense above 32 bytes", frame.sense)
    ifi = _STATUS_SENSE_IFI if frame.sense else _STATUS_IFI
    return _STATUS.pack(ifi, _unit(frame.unit_address), _END if frame.end else 0, frame.flags, frame.unit_status,
                        frame.residual, frame.queue, frame.defer) + frame.sense


def _encode_control(frame: ControlFrame) -> bytes:
    if len(frame.parameters) != 3:
        raise FormatError("control frame", "parameters are not 3 bytes", frame.parameters)
    flags = (_END if frame.end else 0) | (_READY if frame.ready else 0)
    ifi = _CONTROL_IFI if frame.address_specific else _CONTROL_PATH_IFI
    return _CONTROL.pack(ifi, _unit(frame.unit_address), flags, frame.function, frame.parameters)


def decode_device(information: bytes) -> DeviceFrame:
    """The device frame that an information field is. FormatError as the module's heading says."""
    if len(information) < 5:
        raise FormatError("device frame", "cut short", information, len(information))
    ifi, address, flags = _DEVICE_HEADER.unpack_from(information)
    if address > 0xFF:
        raise FormatError("device frame", "device address above 255", information, 1)
    if ifi == DATA_IFI:
        if flags & _REQUEST:
            return _decode_data_request(information, address, flags)
        if flags & ~_BOTH_ENDS or flags == _EARLY_END:
            raise FormatError("data frame", "device-header flags", information, 3)
        return DataFrame(address, information[4:], flags & _END != 0, flags & _EARLY_END != 0)
    if ifi in (_STATUS_IFI, _STATUS_SENSE_IFI):
        return _decode_status(information, ifi, address, flags)
    if ifi == _COMMAND_IFI:
        return _decode_command(information, flags)
    if ifi in (_CONTROL_IFI, _CONTROL_PATH_IFI):
        return _decode_control(information, ifi, flags)
    raise FormatError("device frame", f"information-field identifier {ifi:02X}", information, 0)


REPEATING_LENGTH_MAX = 64
"""Longest frame, bytes, that is looked for among those seen lately: commands and statuses, of which few differ."""


@lru_cache(1024)
def decode_repeating(payload: bytes, connect: bool, disconnect: bool) -> tuple[Frame, DeviceFrame] | None:
    """A device frame decoded whole, for short ones that come again and again; None: it is not one, or not a good one.

    What is wrong with it `decode_frame` and `decode_device` tell.
    """
    try:
        frame = decode_frame(payload, connect=connect, disconnect=disconnect)
        return (frame, decode_device(frame.information)) if frame.link_control == 0 else None
    except FormatError:
        return None


def _decode_data_request(information: bytes, address: int, flags: int) -> DataRequest:
    if flags != _REQUEST:
        raise FormatError("data request", "device-header flags", information, 3)
    _check_length("data request", information, _DATA_REQUEST.size)
    _, _, _, count, pacing, zero = _DATA_REQUEST.unpack(information)
    if zero:
        raise FormatError("data request", "reserved byte", information, 7)
    return DataRequest(address, count, pacing)


def _decode_status(information: bytes, ifi: int, address: int, flags: int) -> StatusFrame:
    if flags & ~_END:
        raise FormatError("status frame", "device-header flags", information, 3)
    sense = information[_STATUS.size:]
    if len(information) < _STATUS.size or (not sense if ifi == _STATUS_SENSE_IFI else sense):
        raise FormatError("status frame", "length", information, min(len(information), _STATUS.size))
    if len(sense) > SENSE_LENGTH_MAX:
        raise FormatError("status frame", "sense above 32 bytes", information, _STATUS.size + SENSE_LENGTH_MAX)
    _, _, _, status_flags, unit_status, residual, queue, defer = _STATUS.unpack_from(information)
    return StatusFrame(address, unit_status, status_flags, residual, queue, defer, sense, flags != 0)


def _decode_command(information: bytes, flags: int) -> CommandFrame:
    if flags & ~_CHAINING:
        raise FormatError("command frame", "device-header flags", information, 3)
    _check_length("command frame", information, _COMMAND.size)
    _, address, _, command, ccw_flags, count, dib_code, requests, zero, command_flags = _COMMAND.unpack(information)
    if zero:
        raise FormatError("command frame", "reserved byte", information, 10)
    return CommandFrame(address, command, ccw_flags, count, flags != 0, dib_code, requests, command_flags)


def _decode_control(information: bytes, ifi: int, flags: int) -> ControlFrame:
    if flags & ~(_END | _READY):
        raise FormatError("control frame", "device-header flags", information, 3)
    _check_length("control frame", information, _CONTROL.size)
    _, address, _, function, parameters = _CONTROL.unpack(information)
    return ControlFrame(address, function, parameters, flags & _END != 0, flags & _READY != 0, ifi == _CONTROL_IFI)


def _check_length(what: str, information: bytes, length: int) -> None:
    if len(information) != length:
        raise FormatError(what, "length", information, min(len(information), length))
