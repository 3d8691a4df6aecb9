"""Data as people write them: hex, repetition, EBCDIC text; and patterns with places that may hold anything.

    C1C2        two bytes                     40*80       80 bytes of 40
    e'VOL1'     EBCDIC (code page 037)        C1.2        a pattern: the nibble at the dot may be anything
    ...         a pattern: any further bytes; last only

Parts stand side by side, with blanks or plus signs between them: 80+00*31.
"""

from __future__ import annotations

import re
from typing import NamedTuple

LONGEST_BYTES = 0xFFFF

_PART = re.compile(r"[\s+]*(?:e'(?P<text>[^']*)'|(?P<hex>[0-9A-Fa-f.]+))(?:\*(?P<times>[0-9]{1,5}))?")


class DataError(ValueError):
    """A text that is not data. `column` counts from 0 in the text."""

    def __init__(self, column: int, message: str) -> None:
        super().__init__(message)
        self.column, self.message = column, message


class Pattern(NamedTuple):
    """What data must look like: equal to `value` where `mask` has ones, and as long unless `open_ended`."""

    value: bytes
    mask: bytes
    open_ended: bool

    def matches(self, data: bytes) -> bool:
        """Whether `data` fits."""
        if len(data) < len(self.value) or (len(data) > len(self.value) and not self.open_ended):
            return False
        triples = zip(data, self.value, self.mask, strict=False)
        return all((found ^ wanted) & mask == 0 for found, wanted, mask in triples)

    def text(self) -> str:
        """The pattern in hex, dots where anything goes."""
        digits = "".join(
            f"{value:02X}" if mask == 0xFF else _nibble(value >> 4, mask >> 4) + _nibble(value & 15, mask & 15)
            for value, mask in zip(self.value, self.mask, strict=True)
        )
        return digits + ("..." if self.open_ended else "")


def _nibble(value: int, mask: int) -> str:
    return f"{value:X}" if mask else "."


def parse_data(text: str) -> bytes:
    """The bytes a text stands for. Raises DataError."""
    pattern = parse_pattern(text)
    if pattern.open_ended or any(mask != 0xFF for mask in pattern.mask):
        digits = re.sub("e'[^']*'", lambda match: " " * len(match[0]), text)  # text may have dots of its own
        raise DataError(digits.index("."), "a dot says nothing about what to send")
    return pattern.value


def parse_pattern(text: str) -> Pattern:
    """The pattern a text stands for. Raises DataError."""
    stripped = text.rstrip()
    dots = len(stripped) - len(stripped.rstrip("."))
    open_ended = dots >= 3 and dots % 2 == 1  # an even number of dots are whole bytes
    body = (stripped[:-3] if open_ended else stripped).rstrip()
    value, mask = bytearray(), bytearray()
    position = 0
    while position < len(body):
        match = _PART.match(body, position)
        if match is None:
            raise DataError(position, f"{body[position:].split()[0] if body[position:].split() else ''!r} is not data")
        part_value, part_mask = _part(match)
        times = int(match["times"]) if match["times"] else 1
        if len(value) + len(part_value) * times > LONGEST_BYTES:
            raise DataError(match.start(), f"more than {LONGEST_BYTES} bytes")
        value += part_value * times
        mask += part_mask * times
        position = match.end()
    return Pattern(bytes(value), bytes(mask), open_ended)


def _part(match: re.Match[str]) -> tuple[bytes, bytes]:
    text, digits = match["text"], match["hex"]
    if text is not None:
        try:
            encoded = text.encode("cp037")
        except UnicodeEncodeError:
            raise DataError(match.start("text"), f"{text!r} has characters that EBCDIC lacks") from None
        return encoded, b"\xff" * len(encoded)
    if len(digits) % 2:
        raise DataError(match.start("hex"), f"{digits!r} is not an even number of hexadecimal digits")
    return (
        bytes.fromhex(digits.replace(".", "0")),
        bytes.fromhex(re.sub("[^.]", "F", digits).replace(".", "0")),
    )
