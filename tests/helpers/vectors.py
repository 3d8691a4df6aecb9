"""Test vectors: hex, the values it means, and where it comes from; and the checks that every format's vectors pass.

A file in tests/vectors is TOML, one [[vector]] after another: `name`, `hex` (blanks do not count), `source`, and
optionally `fields`, attribute paths of the decoded value with what they must be (bytes as hex text).
"""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ccw.errors import FormatError

FOLDER = Path(__file__).parent.parent / "vectors"


class Vector(NamedTuple):
    """One vector. `kind` says which format it is; `fields`: attribute path -> expected value."""

    name: str
    kind: str
    data: bytes
    source: str
    fields: dict[str, Any]


def load_vectors(file: str) -> list[Vector]:
    """All vectors of tests/vectors/`file`.toml."""
    with (FOLDER / f"{file}.toml").open("rb") as stream:
        rows = tomllib.load(stream)["vector"]
    return [_vector(**row) for row in rows]


def _vector(name: str, hex: str, source: str, kind: str = "", fields: dict[str, Any] | None = None) -> Vector:
    return Vector(name, kind, bytes.fromhex("".join(hex.split())), source, fields or {})


def check_fields(value: Any, fields: dict[str, Any]) -> None:
    """Every named attribute (`a.b.0.c` reaches into tuples) equals what the vector says."""
    for path, expected in fields.items():
        found = value
        for part in path.split("."):
            found = found[int(part)] if part.isdigit() else getattr(found, part)
        if isinstance(found, bytes):
            expected = bytes.fromhex(expected)
        assert found == expected, path


def check_exact(decode: Callable[[bytes], Any], encode: Callable[[Any], bytes], data: bytes) -> Any:
    """The checks of every exact format, given one good example; returns its value.

    Whole: decodes and rebuilds the same bytes. Every truncation and one byte more: FormatError that says where. Every
    byte changed in turn: FormatError, or a value that rebuilds exactly the changed bytes, so nothing is dropped.
    """
    value = decode(data)
    assert encode(value) == data
    for length in range(len(data)):
        expect_format_error(decode, data[:length])
    for trailing in (b"\x00", b"\xff", data):
        expect_format_error(decode, data + trailing)
    for position in range(len(data)):
        for change in (0x01, 0x80, 0xFF):
            changed = bytearray(data)
            changed[position] ^= change
            try:
                other = decode(bytes(changed))
            except FormatError:
                continue
            assert encode(other) == changed, f"byte {position} is not kept"
    return value


def expect_format_error(decode: Callable[[bytes], Any], data: bytes) -> FormatError:
    """Decoding `data` must fail with a FormatError whose offset lies in or right behind it."""
    with pytest.raises(FormatError) as caught:
        decode(data)
    error = caught.value
    assert error.offset is None or 0 <= error.offset <= len(data)
    assert "\n" not in str(error)
    return error


def feed_by_bytes(feed: Callable[[bytes], list[Any]], data: bytes) -> list[Any]:
    """What an incremental reader returns when it gets `data` one byte at a time."""
    return [item for position in range(len(data)) for item in feed(data[position : position + 1])]
