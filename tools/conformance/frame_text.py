"""Frames as words, for the cases of the link level.

    c d elp                         link-control frame, connect-SOF and disconnect-EOF; p=00000000 more=HEX
    c cmd unit=E0 code=04 count=32 flags=20 [chained] [cf=01]
    ctl unit=E0 fn=90 p=000000 [end] [ready] [path]
    data unit=E0 HEX [end] [early]
    req unit=E0 count=16
    status unit=E0 us=0C res=0 flags=01 sense=PATTERN [end]
    seq ud                          a sequence: idle ols nos ud udr
    raw HEX                         link header to information field as they are; the CRC is added
    crc / abort                     behind any frame to be sent: a wrong CRC; abort in place of the EOF

Addresses: to=0200 from=0100 (link address, logical address); those of a link without director unless given. An
expected frame is compared in what it names only. Source: escon-frames 1-3 by way of ccw.
"""

from __future__ import annotations

import re
from typing import Any

from ccw import escon
from ccw.crc import crc16
from ccw.errors import FormatError
from ccw.escon import LinkControl, Sequence
from ccw.frames import (
    CommandFrame,
    ControlFrame,
    DataFrame,
    DataRequest,
    DeviceFrame,
    Frame,
    StatusFrame,
    decode_device,
    decode_frame,
    encode_device,
    encode_frame,
)
from ccw.link_control import decode_link_control, link_control_frame
from ccw.records import RawFrame, SequenceRecord, encode_raw
from host_emulator.data_text import Pattern, parse_pattern

HOST, UNIT = 0x0100, 0x0200
_DEVICE = {"cmd", "ctl", "data", "req", "status"}
_LINK = {function.name.lower(): function for function in LinkControl}
_SEQUENCES = {sequence.name.lower(): sequence for sequence in Sequence}
_FLAGS = {"c", "d", "crc", "abort", "chained", "end", "early", "ready", "path"}
_DECIMAL = {"count", "res"}
_DATA = {"p", "more", "sense"}


class FrameText:
    """A frame in words, taken apart: kind, options, flags, data."""

    def __init__(self, text: str) -> None:
        """Raises ValueError for words that mean nothing."""
        self.kind = ""
        self.options: dict[str, Any] = {}
        self.flags: set[str] = set()
        self.data = ""
        for word in text.split():
            self._take(word)
        if not self.kind:
            raise ValueError(f"{text!r} names no frame")

    def _take(self, word: str) -> None:
        name, equals, value = word.partition("=")
        if equals:
            self.options[name] = self._option(name, value)
        elif word in _FLAGS:
            self.flags.add(word)
        elif not self.kind:
            if word not in _DEVICE | set(_LINK) | {"seq", "raw", "silence"}:
                raise ValueError(f"{word!r} is no kind of frame")
            self.kind = word
        elif self.kind == "seq" and word in _SEQUENCES:
            self.options["kind"] = int(_SEQUENCES[word])
        elif self.kind in ("data", "raw"):
            self.data += word
        else:
            raise ValueError(f"{word!r} has no meaning in a frame of kind {self.kind}")

    @staticmethod
    def _option(name: str, value: str) -> int | Pattern:
        if name in _DATA:
            return parse_pattern(value)
        if name in _DECIMAL:
            return int(value)
        if not re.fullmatch("[0-9A-Fa-f]{1,4}", value):
            raise ValueError(f"{name}={value}: not hexadecimal")
        return int(value, 16)

    # To be sent

    def record(self) -> bytes:
        """The record to send. Raises ValueError, FormatError."""
        if self.kind == "seq":
            return bytes((escon.RECORD_SEQUENCE, self.options["kind"], 0, 0))
        if self.kind == "raw":
            body = bytes.fromhex(self.data)
            payload = body + crc16(body).to_bytes(2, "big")
        else:
            payload = encode_frame(self._frame())
        if "crc" in self.flags:
            payload = payload[:-1] + bytes((payload[-1] ^ 0xFF,))
        return encode_raw(RawFrame(payload, "c" in self.flags, "d" in self.flags, "abort" in self.flags))

    def _frame(self) -> Frame:
        to, source = self.options.get("to", UNIT), self.options.get("from", HOST)
        if self.kind in _LINK:
            parameters = self._bytes("p", bytes(4))
            return link_control_frame(_LINK[self.kind], to, source, parameters, self._bytes("more", b""))
        return Frame(to, source, escon.DEVICE_FRAME, encode_device(self._device()))

    def _device(self) -> DeviceFrame:
        get, unit = self.options.get, self.options.get("unit", 0)
        if self.kind == "cmd":
            return CommandFrame(
                unit,
                get("code", 0),
                get("flags", 0),
                get("count", 0),
                chained="chained" in self.flags,
                dib_code=get("dib", escon.DIB_CODE_ESCON),
                data_requests=get("ndf", 0x77),
                command_flags=get("cf", 0),
            )
        if self.kind == "ctl":
            end, ready, path = ("end" in self.flags, "ready" in self.flags, "path" in self.flags)
            return ControlFrame(unit, get("fn", 0), self._bytes("p", bytes(3)), end, ready, not path)
        if self.kind == "data":
            return DataFrame(unit, bytes.fromhex(self.data), "end" in self.flags, "early" in self.flags)
        if self.kind == "req":
            return DataRequest(unit, get("count", 0))
        return StatusFrame(unit, get("us", 0), get("flags", 0), get("res", 0), end="end" in self.flags)

    def _bytes(self, name: str, default: bytes) -> bytes:
        pattern = self.options.get(name)
        return default if pattern is None else pattern.value

    # Expected

    def differences(self, record: RawFrame | SequenceRecord) -> list[str]:
        """In what the record that came is not what these words say; empty when it fits."""
        if isinstance(record, SequenceRecord):
            wanted = self.kind == "seq" and self.options.get("kind") == record.kind
            return [] if wanted else [f"sequence {Sequence(record.kind).name} came"]
        try:
            frame = decode_frame(record.payload, connect=record.connect, disconnect=record.disconnect)
            fields = _fields(frame)
        except FormatError as error:
            return [f"a frame came that cannot be read: {error}"]
        if fields["kind"] != self.kind:
            return [f"{_shown(fields)} came"]
        found = []
        for name, wanted_value in self.options.items():
            value = fields.get(name)
            fits = wanted_value.matches(value or b"") if isinstance(wanted_value, Pattern) else value == wanted_value
            if not fits:
                found.append(f"{name} of {_shown(fields)}")
        found += [f"{flag} is missing in {_shown(fields)}" for flag in sorted(self.flags - fields["flags"])]
        if self.data and not parse_pattern(self.data).matches(fields.get("data", b"")):
            found.append(f"data {fields.get('data', b'').hex().upper()}")
        return found


def _fields(frame: Frame) -> dict[str, Any]:
    """What a received frame says, by the words used here."""
    flags = {name for name, on in (("c", frame.connect), ("d", frame.disconnect)) if on}
    fields: dict[str, Any] = {"to": frame.destination, "from": frame.source, "flags": flags}
    if frame.link_control:
        info = decode_link_control(frame)
        known = frame.link_control in set(LinkControl)
        kind = LinkControl(frame.link_control).name.lower() if known else f"{frame.link_control:02X}"
        return {**fields, "kind": kind, "p": info.parameters, "more": info.trailer}
    device = decode_device(frame.information)
    fields["unit"] = device.unit_address
    if isinstance(device, ControlFrame):
        flags |= {name for name, on in (("end", device.end), ("ready", device.ready)) if on}
        return {**fields, "kind": "ctl", "fn": device.function, "p": device.parameters}
    if isinstance(device, StatusFrame):
        flags |= {"end"} if device.end else set()
        more = {"us": device.unit_status, "res": device.residual, "sense": device.sense}
        return {**fields, **more, "kind": "status", "sf": device.flags}
    if isinstance(device, DataFrame):
        flags |= {name for name, on in (("end", device.end), ("early", device.early_end)) if on}
        return {**fields, "kind": "data", "data": device.data}
    if isinstance(device, DataRequest):
        return {**fields, "kind": "req", "count": device.count}
    return {**fields, "kind": "cmd", "code": device.command, "count": device.count}


def _shown(fields: dict[str, Any]) -> str:
    parts = [fields["kind"]]
    for name, value in fields.items():
        if name not in ("kind", "flags"):
            parts.append(f"{name}={value.hex().upper() if isinstance(value, bytes) else f'{value:02X}'}")
    return " ".join([*parts, *sorted(fields["flags"])])
