"""A frame with its delimiters, taken apart field by field.

    SOF (2)   link header (5)   information field   CRC (2)   EOF or abort (3)

`dissect` checks everything that decoding checks, then lists every field with its offset from the first byte of the SOF.
"""

from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any, NamedTuple

from ccw.ccws import UnitStatus
from ccw.describe import command_name, name_of, names_of
from ccw.errors import FormatError
from ccw.escon import (
    ABORT,
    CONNECT_SOF,
    CTC_CONNECTION_SUPPORTED,
    DEVICE_FRAME,
    DIB_CODE_MAX,
    DIRECTOR_LINK_ADDRESS,
    DISCONNECT_EOF,
    FRAME_LENGTH_MIN,
    IFI_TYPE_MASK,
    LINK_HEADER_LENGTH,
    LINK_TRAILER_LENGTH,
    PASSIVE_EOF,
    PASSIVE_SOF,
    TO_WHOM_IT_MAY_CONCERN,
    WAN_INFORMATION_LENGTH_MAX,
    WHO_AM_I,
    CommandCcwFlag,
    CommandFlag,
    ControlFunction,
    Dhf,
    ExceptionCode,
    FrameType,
    Ifi,
    LinkControl,
    PortBusyReason,
    PortRejectReason,
    PurgePathError,
    RejectReason,
    RemovedReason,
    SelectiveReset,
    StateChange,
    StatusFlag,
    data_block_length,
)
from ccw.frames import (
    CommandFrame,
    ControlFrame,
    DataRequest,
    DeviceFrame,
    Frame,
    StatusFrame,
    decode_device,
    decode_frame,
)
from ccw.layout import Layout
from ccw.link_control import LINK_INCIDENT, NODE_DESCRIPTOR
from ccw.pprc import PPRC_HEADER

SOF_LENGTH = len(CONNECT_SOF)
EOF_LENGTH = len(PASSIVE_EOF)
_STARTS = {CONNECT_SOF: "connect-SOF", PASSIVE_SOF: "passive-SOF"}
_ENDS = {PASSIVE_EOF: "passive-EOF", DISCONNECT_EOF: "disconnect-EOF", ABORT: "abort, the receiver discards the frame"}
_REASONS: dict[int, type[IntEnum]] = {
    LinkControl.LPR: RemovedReason, LinkControl.LRJ: RejectReason,
    LinkControl.PRJ: PortRejectReason, LinkControl.PBY: PortBusyReason,
}
_TRAILERS: dict[int, tuple[str, Layout[Any]]] = {
    LinkControl.ELP: ("PPRC header", PPRC_HEADER), LinkControl.LPE: ("PPRC header", PPRC_HEADER),
    LinkControl.IDR: ("node descriptor", NODE_DESCRIPTOR), LinkControl.LIR: ("link-incident record", LINK_INCIDENT),
}


class FieldView(NamedTuple):
    """One field: offset from the SOF and length in bytes, its raw bytes, and what they mean (empty: nothing to add)."""

    offset: int
    length: int
    name: str
    value: bytes
    meaning: str


class _Cutter:
    """Hands out consecutive fields of `data`."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0
        self.views: list[FieldView] = []

    def take(self, length: int, name: str, meaning: str | Callable[[int], str] = "") -> int:
        """The next `length` bytes as a field; returns them as a number, which a callable `meaning` is given."""
        value = self.data[self.offset : self.offset + length]
        number = int.from_bytes(value, "big")
        text = meaning(number) if callable(meaning) else meaning
        self.views.append(FieldView(self.offset, length, name, value, text))
        self.offset += length
        return number


def parse_hex(text: str) -> bytes:
    """The bytes of hex digits; blanks, line ends and `|` do not count. FormatError says which character is wrong."""
    digits = []
    for position, character in enumerate(text):
        if character.isspace() or character == "|":
            continue
        if character not in "0123456789abcdefABCDEF":
            raise FormatError("hex text", f"character {character!r}", text.encode(), position)
        digits.append(character)
    if len(digits) % 2:
        raise FormatError("hex text", "half a byte at the end", text.encode(), len(text))
    return bytes.fromhex("".join(digits))


def decode_delimited(data: bytes) -> Frame:
    """One frame with its delimiters. FormatError offsets count from the SOF.

    An information field of up to 32,772 bytes (wide-area links) is taken.
    """
    if len(data) < SOF_LENGTH + FRAME_LENGTH_MIN + EOF_LENGTH:
        raise FormatError("frame", "cut short", data, len(data))
    start, end = data[:SOF_LENGTH], data[-EOF_LENGTH:]
    if start not in _STARTS:
        raise FormatError("frame", "start-of-frame delimiter", data, 0)
    if end not in _ENDS:
        raise FormatError("frame", "end-of-frame delimiter", data, len(data) - EOF_LENGTH)
    try:
        return decode_frame(data[SOF_LENGTH:-EOF_LENGTH], connect=start == CONNECT_SOF,
                            disconnect=end == DISCONNECT_EOF, abort=end == ABORT,
                            information_limit=WAN_INFORMATION_LENGTH_MAX)
    except FormatError as error:
        raise _moved(error, data, SOF_LENGTH) from error


def _moved(error: FormatError, data: bytes, by: int) -> FormatError:
    return FormatError(error.what, error.where, data, None if error.offset is None else error.offset + by)


def dissect(data: bytes) -> list[FieldView]:
    """Every field of one frame with its delimiters. FormatError as decoding has it, its offset counted from the SOF."""
    frame = decode_delimited(data)
    cutter = _Cutter(data)
    cutter.take(SOF_LENGTH, "start of frame", _STARTS[data[:SOF_LENGTH]])
    cutter.take(1, "destination link address", _link_address)
    cutter.take(1, "destination logical address")
    cutter.take(1, "source link address", _link_address)
    cutter.take(1, "source logical address")
    cutter.take(1, "link control", _link_control_name)
    if frame.link_control == DEVICE_FRAME:
        try:
            _device(cutter, decode_device(frame.information))
        except FormatError as error:
            raise _moved(error, data, SOF_LENGTH + LINK_HEADER_LENGTH) from error
    else:
        _link_control(cutter, frame)
    cutter.take(LINK_TRAILER_LENGTH, "CRC", "correct")
    cutter.take(EOF_LENGTH, "end of frame", _ENDS[data[-EOF_LENGTH:]])
    assert cutter.offset == len(data)
    return cutter.views


def _link_address(value: int) -> str:
    return {WHO_AM_I: "none", TO_WHOM_IT_MAY_CONCERN: "to whom it may concern", DIRECTOR_LINK_ADDRESS: "director"}.get(
        value, "port")


def _link_control_name(value: int) -> str:
    if value == DEVICE_FRAME:
        return "device frame"
    try:
        return LinkControl(value).name
    except ValueError:
        return f"unknown link control {value:02X}"


def _link_control(cutter: _Cutter, frame: Frame) -> None:
    function, left = frame.link_control, len(frame.information)
    if function not in (LinkControl.IDR, LinkControl.LIR):
        for index, meaning in enumerate(_parameter_meanings(function)[:left]):
            cutter.take(1, f"P{index}", meaning)
        left -= min(left, 4)
    name, layout = _TRAILERS.get(function, ("", None))
    if layout is not None and left == layout.size:
        cutter.views += _layout_fields(layout, frame, cutter.offset, name)
        cutter.offset += left
    elif left:
        cutter.take(left, "path bitmap" if function == LinkControl.TIR else "information")


def _layout_fields(layout: Layout[Any], frame: Frame, start: int, prefix: str) -> Iterator[FieldView]:
    content = frame.information[start - SOF_LENGTH - LINK_HEADER_LENGTH :]
    for field in layout.fields:
        at, name = start + field.offset, f"{prefix}: {field.name.replace('_', ' ')}"
        if field.nested is not None:
            yield from _layout_fields(field.nested, frame, at, name)
            continue
        value = content[field.offset : field.offset + field.length]
        text = value.decode("cp037") if field.form.endswith("s") else ""
        yield FieldView(at, field.length, name, value, repr(text) if text and text.isprintable() else "")


def _parameter_meanings(function: int) -> tuple[str | Callable[[int], str], ...]:
    reasons = _REASONS.get(function)
    if reasons is not None:
        kind = reasons
        return lambda value: name_of(kind, value & 0x7F), "", "", ""
    if function in (LinkControl.ELP, LinkControl.LPE):
        return "information flags, high byte", _ctc_flag, "CTC counter, high byte", "CTC counter, low byte"
    if function == LinkControl.SCN:
        return "link address whose state changed", lambda value: name_of(StateChange, value), "", ""
    if function == LinkControl.LACK:
        return lambda value: "assigned link address" if value else "", "", "", ""
    if function in (LinkControl.TIN, LinkControl.TIR):
        return "", "image number", "", ""
    return "", "", "", ""


def _ctc_flag(value: int) -> str:
    return "CTC connection supported" if value & CTC_CONNECTION_SUPPORTED else ""


def _device(cutter: _Cutter, device: DeviceFrame) -> None:
    cutter.take(1, "information-field identifier", _ifi)
    cutter.take(2, "device address", lambda value: f"unit address {value:02X}")
    cutter.take(1, "device-header flags", lambda value: names_of(Dhf, value))
    if isinstance(device, CommandFrame):
        _command(cutter)
    elif isinstance(device, DataRequest):
        cutter.take(2, "bytes requested", str)
        cutter.take(1, "pacing", lambda value: f"{value} idles between data frames")
        cutter.take(1, "reserved")
    elif isinstance(device, StatusFrame):
        _status(cutter, device)
    elif isinstance(device, ControlFrame):
        _control(cutter, device)
    else:
        cutter.take(len(device.data), "data", f"{len(device.data)} bytes")


def _ifi(value: int) -> str:
    bits = names_of(Ifi, value & ~IFI_TYPE_MASK)
    return f"{name_of(FrameType, value & IFI_TYPE_MASK)}, {bits}"


def _dib_code(value: int) -> str:
    return f"data blocks up to {data_block_length(value)} bytes" if value <= DIB_CODE_MAX else "out of range"


def _command(cutter: _Cutter) -> None:
    cutter.take(1, "command", command_name)
    cutter.take(1, "CCW flags", lambda value: names_of(CommandCcwFlag, value))
    cutter.take(2, "CCW count", str)
    cutter.take(1, "DIB code", _dib_code)
    cutter.take(1, "data requests", lambda value: f"outstanding: read {(value >> 4) + 1}, write {(value & 15) + 1}")
    cutter.take(1, "reserved")
    cutter.take(1, "command flags", lambda value: names_of(CommandFlag, value))


def _status(cutter: _Cutter, status: StatusFrame) -> None:
    cutter.take(1, "status flags", lambda value: names_of(StatusFlag, value))
    cutter.take(1, "unit status", lambda value: names_of(UnitStatus, value))
    valid = "" if status.flags & StatusFlag.RESIDUAL_VALID else ", not valid"
    cutter.take(2, "residual count", lambda value: f"{value}{valid}")
    cutter.take(2, "queue parameter")
    cutter.take(2, "defer-time parameter")
    if status.sense:
        cutter.take(len(status.sense), "sense", f"{len(status.sense)} bytes")


_FIRST_PARAMETER: dict[int, str | Callable[[int], str]] = {
    ControlFunction.COMMAND_RESPONSE: "pacing count",
    ControlFunction.DEVICE_LEVEL_EXCEPTION: lambda value: f"exception: {name_of(ExceptionCode, value)}",
    ControlFunction.SELECTIVE_RESET: lambda value: names_of(SelectiveReset, value),
    ControlFunction.PURGE_PATH: lambda value: f"error: {name_of(PurgePathError, value)}",
}


def _control(cutter: _Cutter, control: ControlFrame) -> None:
    cutter.take(1, "control function", lambda value: name_of(ControlFunction, value))
    cutter.take(1, "parameter 1", _FIRST_PARAMETER.get(control.function, ""))
    cutter.take(2, "parameters 2-3")
