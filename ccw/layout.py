"""Fixed-size formats: one `construct` definition each, and a fast codec generated from it.

The construct definition is the specification: order, sizes, constants, the names of all eight bits of a flag byte.
`Layout` binds it to the value that the rest of the program sees (a frozen dataclass whose fields have the same names in
the same order) and derives a `struct.Struct` from it, which does the work: construct takes 15 µs for a 16-byte header,
struct 0.2. `specified_decode`/`specified_encode` run the construct definition itself; property tests compare the two.

A field's meaning is written where the field is defined (`"count" / Int16ub * "bytes wanted"`); from it and the layout
comes the table in the docstring of the value's class, and by tools/formats_reference.py the page in docs/reference.

Offsets and sizes are in bytes. Every error of a format, in either direction, is a FormatError.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Iterator, Sequence
from enum import IntFlag
from operator import attrgetter
from typing import Any, ClassVar, Generic, Self, TypeVar

from construct import Adapter, BitStruct, Bytes, Const, Construct, ConstructError, Flag, FormatField, Renamed, Struct

from ccw.errors import FormatError

T = TypeVar("T")


class Bits(Adapter):  # type: ignore[misc]
    """One flag byte as an int; `names` must name all eight bits (reserved ones too), bit 0 = 80 first."""

    def __init__(self, names: type[IntFlag]) -> None:
        self.members = sorted(names, reverse=True)
        assert [member.value for member in self.members] == [0x80 >> bit for bit in range(8)], names
        self.names = names
        super().__init__(BitStruct(*(str(member.name).lower() / Flag for member in self.members)))

    def _decode(self, obj: Any, context: Any, path: Any) -> int:
        return sum(member.value for member in self.members if obj[str(member.name).lower()])

    def _encode(self, obj: int, context: Any, path: Any) -> dict[str, bool]:
        if not 0 <= obj <= 0xFF:
            raise ConstructError(f"{obj} is no byte", path=path)
        return {str(member.name).lower(): bool(obj & member.value) for member in self.members}


class Nested(Adapter):  # type: ignore[misc]
    """A whole layout as one field of another."""

    def __init__(self, layout: Layout[Any]) -> None:
        self.layout = layout
        super().__init__(layout.definition)

    def _decode(self, obj: Any, context: Any, path: Any) -> Any:
        return self.layout.make(*(obj[name] for name in self.layout.names))

    def _encode(self, obj: Any, context: Any, path: Any) -> dict[str, Any]:
        return dict(zip(self.layout.names, self.layout.take(obj), strict=True))


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a layout, flat or nested. `offset` counts from the start of the layout it belongs to."""

    name: str
    offset: int
    length: int
    form: str                       # struct format of the field, several characters when nested
    constant: bytes | None          # the only bytes allowed; such fields are not part of the value
    nested: Layout[Any] | None
    flags: type[IntFlag] | None     # names of the bits of a flag byte
    meaning: str                    # what the name does not say; may be empty


def _fields(definition: Construct) -> Iterator[Field]:
    offset = 0
    for renamed in definition.subcons:
        assert isinstance(renamed, Renamed) and renamed.name, renamed
        inner, constant = renamed.subcon, None
        while isinstance(inner, Renamed):
            inner = inner.subcon
        if isinstance(inner, Const):
            constant = inner.build(None)
        nested = inner.layout if isinstance(inner, Nested) else None
        if nested is not None:
            assert "x" not in nested.form, "a nested layout has no constants"
            form = nested.form
        elif constant is not None:
            form = f"{len(constant)}x"
        elif isinstance(inner, Bits):
            form = "B"
        elif isinstance(inner, FormatField):
            form = inner.fmtstr[1:]
        else:
            assert isinstance(inner, Bytes), inner
            form = f"{inner.length}s"
        length = struct.calcsize("=" + form)
        assert length == inner.sizeof(), renamed.name
        flags = inner.names if isinstance(inner, Bits) else None
        yield Field(renamed.name, offset, length, form, constant, nested, flags, str(renamed.docs))
        offset += length


def meaning_of(field: Field) -> str:
    """What a field holds, in one line: its meaning, and what its form says of itself."""
    parts = [field.meaning] if field.meaning else []
    if field.constant is not None:
        parts.append(f"always {field.constant.hex(' ').upper()}")
    if field.nested is not None:
        parts.append(f"as {field.nested.what}")
    if field.flags is not None:
        parts.append(f"bits of {field.flags.__name__}")
    return "; ".join(parts)


def _runs(constants: Sequence[Field]) -> tuple[tuple[int, int, bytes], ...]:
    """Constants as (start, stop, bytes), those that lie one behind the other as one."""
    runs: list[tuple[int, int, bytes]] = []
    for field in constants:
        start, stop, value = field.offset, field.offset + field.length, field.constant or b""
        if runs and runs[-1][1] == start:
            start, value = runs[-1][0], runs.pop()[2] + value
        runs.append((start, stop, value))
    return tuple(runs)


Step = tuple["Layout[Any] | None", int, int]


def _steps(nested: list[Layout[Any] | None], *, flat: bool) -> tuple[tuple[Step, ...], int]:
    """Runs of plain fields and single nested ones as (layout, start, stop), and where the last one stops.

    Positions count single values when `flat`, else fields.
    """
    steps: list[Step] = []
    position = 0
    for layout in nested:
        stop = position + (layout.width if flat and layout else 1)
        if layout is None and steps and steps[-1][0] is None:
            steps[-1] = (None, steps[-1][1], stop)
        else:
            steps.append((layout, position, stop))
        position = stop
    return tuple(steps), position


def wrong_length(what: str, data: bytes, expected: int) -> FormatError:
    """The error for a format of exactly `expected` bytes; its offset is the first missing or first surplus byte."""
    return FormatError(what, "length", data, min(len(data), expected))


class Layout(Generic[T]):
    """A fixed-size format bound to the value it describes. All its numbers are big-endian, or all little-endian.

    `make` gets the fields that are not constants, in order; `take` gives them back. By default both are the dataclass.
    The table of the layout is added to the docstring of `describes`, by default `make` when that is a class.
    """

    def __init__(self, what: str, make: Callable[..., T], definition: Struct, size: int,
                 take: Callable[[T], tuple[Any, ...]] | None = None, *, little_endian: bool = False,
                 describes: type[T] | None = None) -> None:
        self.what = what
        self.definition = definition
        self.make = make
        self.fields = tuple(_fields(definition))
        self.form = "".join(field.form for field in self.fields)
        self.codec = struct.Struct(("<" if little_endian else ">") + self.form)     # constants are pad bytes in it
        self.size = size
        assert self.codec.size == definition.sizeof() == size, (what, self.codec.size)
        variable = tuple(field for field in self.fields if field.constant is None)
        self.names = tuple(field.name for field in variable)
        self.take = take or _taker(what, make, self.names)
        self._constants = tuple(field for field in self.fields if field.constant is not None)
        self._runs = _runs(self._constants)
        self._nested = any(field.nested for field in variable)
        self._texts = tuple((index, field.length) for index, field in enumerate(variable)
                            if field.form.endswith("s") and not field.nested)
        self._plain = self.take is tuple and not self._nested and not self._texts  # a value is what the codec packs
        self._decode_steps, self.width = _steps([field.nested for field in variable], flat=True)
        self._encode_steps, _ = _steps([field.nested for field in variable], flat=False)
        self.describes = describes or (make if isinstance(make, type) and dataclasses.is_dataclass(make) else None)
        if self.describes is not None:
            self.describes.__doc__ = f"{self.describes.__doc__}\n\n{self.table()}"

    def table(self) -> str:
        """The layout as text, one line a field: offset, length, name, meaning."""
        rows = [f"    {field.offset:6} {field.length:6}  {field.name:<28} {meaning_of(field)}".rstrip()
                for field in self.fields]
        return "\n".join(("    offset length  name                         meaning", *rows))

    def offset_of(self, name: str) -> int:
        """Offset of a field in bytes; `a.b` reaches into a nested layout. KeyError when there is no such field."""
        head, _, rest = name.partition(".")
        for field in self.fields:
            if field.name == head:
                return field.offset + (field.nested.offset_of(rest) if rest and field.nested else 0)
        raise KeyError(name)

    def decode(self, data: bytes) -> T:
        """The value of exactly `size` bytes. FormatError: other length, or a constant that differs."""
        if len(data) != self.size:
            raise wrong_length(self.what, data, self.size)
        for start, stop, constant in self._runs:
            if data[start:stop] != constant:
                self._refuse(data)
        return self._build(self.codec.unpack(data))

    def _refuse(self, data: bytes) -> None:
        """Raise FormatError for the first constant that differs."""
        for field in self._constants:
            if data[field.offset : field.offset + field.length] != field.constant:
                raise FormatError(self.what, field.name.replace("_", " "), data, field.offset)

    def encode(self, value: T) -> bytes:
        """`size` bytes. FormatError when a field of `value` does not fit."""
        try:
            data = self.codec.pack(*self._flatten(value))
        except struct.error as error:
            raise FormatError(self.what, f"a value that does not fit ({error})", b"") from error
        for start, stop, constant in self._runs:
            data = data[:start] + constant + data[stop:]
        return data

    def _build(self, values: tuple[Any, ...]) -> T:
        if not self._nested:
            return self.make(*values)
        arguments: list[Any] = []
        for nested, start, stop in self._decode_steps:
            if nested is None:
                arguments += values[start:stop]
            elif nested._nested:
                arguments.append(nested._build(values[start:stop]))
            else:
                arguments.append(nested.make(*values[start:stop]))
        return self.make(*arguments)

    def _flatten(self, value: T) -> Sequence[Any]:
        items = self.take(value)
        for index, length in self._texts:
            if len(items[index]) != length:     # struct would cut it or fill it up
                raise FormatError(self.what, f"{self.names[index]}: {len(items[index])} bytes, {length} wanted", b"")
        if not self._nested:
            return items
        values: list[Any] = []
        for nested, start, stop in self._encode_steps:
            if nested is None:
                values += items[start:stop]
            elif nested._plain:
                values += items[start]
            else:
                values += nested._flatten(items[start])
        return values

    def specified_decode(self, data: bytes) -> T:
        """As decode, by the construct definition alone."""
        if len(data) != self.size:
            raise wrong_length(self.what, data, self.size)
        try:
            container = self.definition.parse(data)
        except ConstructError as error:
            raise FormatError(self.what, str(error.path), data) from error
        return self.make(*(container[name] for name in self.names))

    def specified_encode(self, value: T) -> bytes:
        """As encode, by the construct definition alone."""
        try:
            return bytes(self.definition.build(dict(zip(self.names, self.take(value), strict=True))))
        except ConstructError as error:
            raise FormatError(self.what, str(error.path), b"") from error


class FixedFormat:
    """A format of fixed length: a frozen dataclass whose fields are those of LAYOUT that are no constants."""

    __slots__ = ()
    LAYOUT: ClassVar[Layout[Any]]

    def encode(self) -> bytes:
        """Exactly LAYOUT.size bytes. FormatError when a field does not fit."""
        return self.LAYOUT.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """FormatError unless `data` has exactly LAYOUT.size bytes, with the constants where they belong."""
        value: Self = cls.LAYOUT.decode(data)
        return value


def _taker(what: str, make: Any, names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    assert [field.name for field in dataclasses.fields(make)][: len(names)] == list(names), (what, names)
    if len(names) == 1:
        getter = attrgetter(names[0])
        return lambda value: (getter(value),)
    return attrgetter(*names)
