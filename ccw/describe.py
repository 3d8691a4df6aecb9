"""One line of text for a frame, for logs and messages. Names come from the enumerations; nothing here raises."""

from enum import IntEnum, IntFlag

from ccw.ccws import CommandCode, UnitStatus, command_class
from ccw.errors import FormatError
from ccw.escon import CommandCcwFlag, ControlFunction, LinkControl, RejectReason, RemovedReason, StatusFlag
from ccw.frames import (
    CommandFrame,
    DataFrame,
    DataRequest,
    DeviceFrame,
    Frame,
    StatusFrame,
    decode_device,
)
from ccw.link_control import decode_link_control

_MULTITRACK_CLASSES = ("read", "write")
_ABBREVIATIONS = {"CC", "CD", "CRR", "FFC", "ID", "IPL", "RC", "REX", "RO", "RU", "SLI"}


def words(name: str) -> str:
    """An enumeration member's name as words: CHANNEL_END -> channel end."""
    return " ".join(word if word in _ABBREVIATIONS else word.lower() for word in name.split("_"))


def name_of(kind: type[IntEnum], value: int) -> str:
    """The name of a code in words, `unknown XX` when it has none."""
    try:
        return words(kind(value).name)
    except ValueError:
        return f"unknown {value:02X}"


def names_of(kind: type[IntFlag], value: int) -> str:
    """The names of the bits that are on, joined by +; `none` when there are none."""
    names = [words(str(bit.name)) for bit in kind if value & bit]
    return "+".join(names) if names else "none"


def command_name(code: int) -> str:
    """A command in words; the multitrack form of a read or search is marked MT."""
    try:
        return words(CommandCode(code).name)
    except ValueError:
        pass
    single = code & 0x7F
    if code & 0x80 and single in CommandCode._value2member_map_ and command_class(code) in _MULTITRACK_CLASSES:
        return f"{words(CommandCode(single).name)} MT"
    return f"unknown {code:02X}"


def address(value: int) -> str:
    """A 16-bit link address and logical address: 60.2."""
    return f"{value >> 8:02X}.{value & 0xFF:X}"


def describe(frame: Frame) -> str:
    """A frame in one line: delimiters, addresses, what it is.

    `C 40.1>60.2 P command 10: read data count 16 (SLI)`; C and P before: connect- or passive-SOF; D, P and A after the
    addresses: disconnect-, passive-EOF, abort.
    """
    start = "C" if frame.connect else "P"
    stop = "A" if frame.abort else "D" if frame.disconnect else "P"
    route = f"{start} {address(frame.source)}>{address(frame.destination)} {stop}"
    if frame.link_control:
        return f"{route} {_link_control(frame)}"
    try:
        return f"{route} {describe_device(decode_device(frame.information))}"
    except FormatError as error:
        return f"{route} device frame in error: {error}"


def _link_control(frame: Frame) -> str:
    try:
        function = LinkControl(frame.link_control)
    except ValueError:
        return f"link control {frame.link_control:02X}"
    info = decode_link_control(frame)
    if function is LinkControl.LPR:
        return f"LPR {name_of(RemovedReason, info.reason)}"
    if function is LinkControl.LRJ:
        return f"LRJ {name_of(RejectReason, info.reason)}"
    trailer = f" +{len(info.trailer)}" if info.trailer else ""
    return f"{function.name} {info.parameters.hex()}{trailer}"


def describe_device(frame: DeviceFrame) -> str:
    """A device frame in a few words, without its addresses on the link."""
    unit = f"{frame.unit_address:02X}"
    if isinstance(frame, CommandFrame):
        chained = " chained" if frame.chained else ""
        flags = f" ({names_of(CommandCcwFlag, frame.flags)})" if frame.flags else ""
        return f"command {unit}: {command_name(frame.command)} count {frame.count}{flags}{chained}"
    if isinstance(frame, DataFrame):
        end = " early end" if frame.early_end else " end" if frame.end else ""
        return f"data {unit}: {len(frame.data)} bytes{end}"
    if isinstance(frame, DataRequest):
        return f"data request {unit}: {frame.count} bytes"
    if isinstance(frame, StatusFrame):
        return f"status {unit}: {_status(frame)}"
    end = " end" if frame.end else ""
    parameters = f" {frame.parameters.hex()}" if any(frame.parameters) else ""
    return f"control {unit}: {name_of(ControlFunction, frame.function)}{parameters}{end}"


def _status(frame: StatusFrame) -> str:
    parts = [names_of(UnitStatus, frame.unit_status)]
    if frame.flags & StatusFlag.RESIDUAL_VALID:
        parts.append(f"residual {frame.residual}")
    if frame.flags & StatusFlag.CHAINING_INDICATION:
        parts.append("chaining")
    if frame.flags & StatusFlag.LONG_RECORD:
        parts.append("long record")
    if frame.sense:
        parts.append(f"sense {frame.sense.hex()}")
    if frame.end:
        parts.append("end")
    return " ".join(parts)
