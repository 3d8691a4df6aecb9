"""The construct definitions made quick enough for ten million buffers, without letting anything else define the bytes.

Three things are done to a definition; `test_ccw_equivalence.py` holds the result to the original, refusals included:

* A part of one byte (the eight named bits of a flag byte, a nibble and its neighbour) has 256 inputs. Construct is
  asked for all of them once, and its answers are looked up from then on (`Tabulated`). Nothing is left to prove there.
* The CRC goes by bytes: the definition is asked for each of the 256 values of the byte that leaves the register.
* A fixed layout is parsed by the code that construct itself generates from it (`Construct.compile`). Only parsing: the
  generated builders do not check what they are given, so building stays with the definition.
"""

from __future__ import annotations

from io import BytesIO
from types import FunctionType
from typing import Any

from construct import BitStruct, Checksum, Construct, ConstructError, Flag, RawCopy, Renamed, Struct

from ccw import frames_spec
from ccw.errors import FormatError
from ccw.escon import CRC
from ccw.layout import Bits, Layout, Nested, wrong_length


class Tabulated(Construct):  # type: ignore[misc]
    """A construct of exactly one byte, by its own answers to all 256 of them; what it builds is asked for once."""

    def __init__(self, original: Construct) -> None:
        super().__init__()
        assert original.sizeof() == 1
        self.original = original
        self.flagbuildnone = original.flagbuildnone
        self.answers = [self._answer(value) for value in range(256)]
        self.built: dict[Any, tuple[bytes, Any]] = {}

    def _answer(self, value: int) -> Any:
        try:
            return self.original.parse(bytes((value,)))
        except ConstructError as error:
            return error

    def _parse(self, stream: Any, context: Any, path: Any) -> Any:
        data = stream.read(1)
        found = self.answers[data[0]] if data else ConstructError("nothing is left")
        if isinstance(found, ConstructError):
            raise ConstructError(str(found), path=path)
        return found

    def _build(self, obj: Any, stream: Any, context: Any, path: Any) -> Any:
        key = tuple(obj.items()) if isinstance(obj, dict) else obj
        known = self.built.get(key)
        if known is None:
            output = BytesIO()
            result = self.original._build(obj, output, context, path)  # ConstructError goes through, and is not kept
            known = output.getvalue(), result
            if len(self.built) < 4096:
                self.built[key] = known
        stream.write(known[0])
        return known[1]

    def _sizeof(self, context: Any, path: Any) -> int:
        return 1


_BIT_STRUCT = type(BitStruct("bit" / Flag))


def quick(definition: Construct, *, compiled: bool = False) -> Construct:
    """`definition` with its one-byte parts tabulated; `compiled` (only for parsing): nested layouts by made code."""
    if isinstance(definition, Renamed):
        return definition.name / quick(definition.subcon, compiled=compiled)
    if isinstance(definition, RawCopy):
        return RawCopy(quick(definition.subcon, compiled=compiled))
    if isinstance(definition, Checksum):
        return Checksum(definition.checksumfield, crc_by_bytes, definition.bytesfunc)
    if isinstance(definition, Struct):
        return Struct(*(quick(part, compiled=compiled) for part in definition.subcons))
    if isinstance(definition, Nested):
        nested = Nested(definition.layout)
        nested.subcon = quick(definition.subcon, compiled=compiled)
        if compiled:
            nested.subcon = nested.subcon.compile()
        return nested
    if isinstance(definition, Bits | _BIT_STRUCT) and definition.sizeof() == 1:
        return Tabulated(definition)
    return definition


def _leaving(byte: int) -> int:
    register = byte << 8
    for _ in range(8):
        register = (register << 1 ^ (CRC.polynomial if register & 0x8000 else 0)) & 0xFFFF
    return register


_LEAVING = [_leaving(byte) for byte in range(256)]


def crc_by_bytes(data: bytes) -> int:
    """frames_spec.crc_by_definition, eight bits at a time."""
    register = CRC.initial
    for byte in data:
        register = (register << 8 & 0xFFFF) ^ _LEAVING[register >> 8 ^ byte]
    return register ^ CRC.final_xor


def _with_quick_definitions(function: Any) -> Any:
    """A function of frames_spec that finds the quick definitions under the names of the others."""
    known = vars(frames_spec)
    kinds = {kind: quick(layout) for kind, layout in frames_spec._KINDS.items()}
    made = FunctionType(function.__code__, {**known, "FRAME": quick(frames_spec.FRAME), "_KINDS": kinds})
    made.__kwdefaults__ = function.__kwdefaults__
    return made


quick_decode_frame = _with_quick_definitions(frames_spec.specified_decode_frame)
quick_encode_frame = _with_quick_definitions(frames_spec.specified_encode_frame)
quick_decode_device = _with_quick_definitions(frames_spec.specified_decode_device)
quick_encode_device = _with_quick_definitions(frames_spec.specified_encode_device)


class QuickLayout:
    """`specified_decode` and `specified_encode` of a layout, quicker."""

    def __init__(self, layout: Layout[Any]) -> None:
        self.layout = layout
        self.parser = quick(layout.definition, compiled=True).compile()
        self.builder = quick(layout.definition)

    def decode(self, data: bytes) -> Any:
        """As Layout.specified_decode."""
        layout = self.layout
        if len(data) != layout.size:
            raise wrong_length(layout.what, data, layout.size)
        try:
            container = self.parser.parse(data)
        except ConstructError as error:
            raise FormatError(layout.what, "construct", data) from error
        return layout.make(*(container[name] for name in layout.names))

    def encode(self, value: Any) -> bytes:
        """As Layout.specified_encode."""
        layout = self.layout
        try:
            return bytes(self.builder.build(dict(zip(layout.names, layout.take(value), strict=True))))
        except ConstructError as error:
            raise FormatError(layout.what, "construct", b"") from error
