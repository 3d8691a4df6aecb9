"""The words behind a mnemonic, and the parameter bytes they become.

    seek 5,2                 cylinder and head, decimal
    lr read n=3 at=5,2,1     operation by name or in hex; named options
    lr 06 n=3 at=5,2,1 @2=01 any parameter byte can be overwritten: @OFFSET=HEX
    rd count=80 sli          what goes into the CCW: count, and the flags sli cd skip pci; mt for multitrack

Layouts: eckd-commands 3.4 (seek), 3.8 (Define Extent), 3.9 and 3.10 (locate), 3.11 (Prefix), 3.12 (orders).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ccw.geometry import Cchh
from ccw.pprc_header import PprcHeader
from host_emulator.data_text import DataError, parse_data
from host_emulator.orders import System

MAX_COUNT = 0xFFFF


class ProgramError(ValueError):
    """A program text that cannot be used. `column` counts from 1 in the text; the message is one line."""

    def __init__(self, column: int, message: str) -> None:
        super().__init__(f"column {column}: {message}")
        self.column, self.message = column, message


@dataclass(slots=True)
class Word:
    """One word of a program text and where it begins, counted from 1."""

    column: int
    text: str


@dataclass(slots=True)
class Words:
    """The words behind one mnemonic. Builders take what they know; what is left is an error."""

    column: int  # of the end of the mnemonic, for what is missing
    positional: list[Word] = field(default_factory=list)
    options: dict[str, Word] = field(default_factory=dict)

    def next(self, what: str) -> Word:
        """The next positional word; it must be there."""
        if not self.positional:
            raise ProgramError(self.column, f"{what} is missing")
        return self.positional.pop(0)

    def data(self, default: bytes | None = None) -> bytes:
        """All positional words that are left, as data."""
        if not self.positional:
            if default is None:
                raise ProgramError(self.column, "data are missing")
            return default
        parts = b"".join(_data(word) for word in self.positional)
        self.positional.clear()
        if len(parts) > MAX_COUNT:
            raise ProgramError(self.column, f"{len(parts)} bytes are more than a CCW moves ({MAX_COUNT})")
        return parts

    def number(self, name: str, default: int, last: int) -> int:
        """A decimal option, 0 to `last`."""
        word = self.options.pop(name, None)
        return default if word is None else number(word, last)

    def hexadecimal(self, name: str, default: int, digits: int) -> int:
        """A hexadecimal option of at most `digits` digits."""
        word = self.options.pop(name, None)
        return default if word is None else hexadecimal(word, digits)

    def octets(self, name: str, default: bytes) -> bytes:
        """An option that holds data."""
        word = self.options.pop(name, None)
        return default if word is None else _data(word)


def number(word: Word, last: int, first: int = 0) -> int:
    """A decimal number. Raises ProgramError."""
    if not re.fullmatch("[0-9]{1,9}", word.text) or not first <= int(word.text) <= last:
        raise ProgramError(word.column, f"{word.text!r} is not a number from {first} to {last}")
    return int(word.text)


def hexadecimal(word: Word, digits: int) -> int:
    """A hexadecimal number of 1 to `digits` digits. Raises ProgramError."""
    if not re.fullmatch(f"[0-9A-Fa-f]{{1,{digits}}}", word.text):
        raise ProgramError(word.column, f"{word.text!r} is not a hexadecimal number of 1 to {digits} digits")
    return int(word.text, 16)


def _data(word: Word) -> bytes:
    try:
        return parse_data(word.text)
    except DataError as error:
        raise ProgramError(word.column + error.column, error.message) from None


def place(word: Word) -> Cchh:
    """`C,H`: cylinder and head, decimal."""
    match = re.fullmatch("([0-9]{1,9}),([0-9]{1,5})", word.text)
    if not match or int(match[1]) >= 1 << 28 or int(match[2]) > 0xFFFF:
        raise ProgramError(word.column, f"{word.text!r} is not CYLINDER,HEAD")
    return Cchh(int(match[1]), int(match[2]))


def packed(address: Cchh) -> bytes:
    """CCHH, 4 bytes; a head above 15 is kept as it is, so that wrong addresses can be sent."""
    if address.head > 15:
        return (address.cylinder & 0xFFFF).to_bytes(2, "big") + address.head.to_bytes(2, "big")
    return address.pack()


def record_id(word: Word) -> bytes:
    """`C,H,R` as CCHHR, 5 bytes."""
    track, _, record = word.text.rpartition(",")
    if not re.fullmatch("[0-9]+,[0-9]+,[0-9]{1,3}", word.text) or int(record) > 255:
        raise ProgramError(word.column, f"{word.text!r} is not CYLINDER,HEAD,RECORD")
    return packed(place(Word(word.column, track))) + bytes((int(record),))


def seek(words: Words) -> bytes:
    """00 00 CC CC HH HH."""
    return bytes(2) + packed(place(words.next("CYLINDER,HEAD")))


def home_address(words: Words) -> bytes:
    """CC CC HH HH."""
    return packed(place(words.next("CYLINDER,HEAD")))


def identifier(words: Words) -> bytes:
    """CC CC HH HH R."""
    return record_id(words.next("CYLINDER,HEAD,RECORD"))


def one_byte(words: Words) -> bytes:
    """One byte in hex."""
    return bytes((hexadecimal(words.next("a byte in hex"), 2),))


def _extent(word: Word) -> bytes:
    """`C,H-C,H`, or one track: CCHH of first and last."""
    first, dash, last = word.text.partition("-")
    low = packed(place(Word(word.column, first)))
    return low + (packed(place(Word(word.column + len(first) + 1, last))) if dash else low)


def define_extent(words: Words) -> bytes:
    """`C,H-C,H`, mask, attr, blk, ext (byte 7), cfw (bytes 4-5): 16 bytes."""
    extent = _extent(words.next("FIRST-LAST"))
    head = bytes((words.hexadecimal("mask", 0, 2), words.hexadecimal("attr", 0xC0, 2)))
    head += words.number("blk", 0, 0xFFFF).to_bytes(2, "big") + words.hexadecimal("cfw", 0, 4).to_bytes(2, "big")
    return head + bytes((0, words.hexadecimal("ext", 0, 2))) + extent


OPERATIONS = {
    "orient": 0x00,
    "write": 0x01,
    "format": 0x03,
    "read": 0x06,
    "writetrack": 0x0B,
    "tracks": 0x0C,
    "readr": 0x16,
    "extended": 0x3F,
}
ORIENTATIONS = {"count": 0x00, "ha": 0x40, "data": 0x80, "index": 0xC0}
EXTENDED = {
    "writeany": 0x09,
    "readany": 0x0A,
    "readset": 0x0E,
    "prestage": 0x10,
    "writeset": 0x11,
    "updateset": 0x13,
}


def _operation(word: Word) -> tuple[int, int]:
    """Operation byte and extended operation: `06`, `read`, `tracks.ha`, `readset`."""
    if re.fullmatch("[0-9A-Fa-f]{2}", word.text):
        return int(word.text, 16), 0
    name, _, orientation = word.text.partition(".")
    base = OPERATIONS.get(name)
    extended = EXTENDED.get(name, 0)
    if base is None and not extended:
        known = ", ".join([*OPERATIONS, *EXTENDED])
        raise ProgramError(word.column, f"{name!r} is not one of {known}, nor a byte in hex")
    if orientation and orientation not in ORIENTATIONS:
        raise ProgramError(word.column, f"{orientation!r} is not one of {', '.join(ORIENTATIONS)}")
    return (0x3F if base is None else base) | ORIENTATIONS[orientation or "count"], extended


def _locate(words: Words, operation: int) -> bytes:
    at = words.options.pop("at", None)
    search = record_id(at) if at else bytes(5)
    seek_word, search_word = words.options.pop("seek", None), words.options.pop("search", None)
    seek_to = packed(place(seek_word)) if seek_word else search[:4]
    search = record_id(search_word) if search_word else search
    length = words.number("tlf", 0, 0xFFFF)
    auxiliary = words.hexadecimal("aux", 0x80 if length else 0, 2)
    count = words.number("n", 1, 255)
    head = bytes((operation, auxiliary, 0, count)) + seek_to + search
    return head + bytes((words.hexadecimal("sector", 0xFF, 2),)) + length.to_bytes(2, "big")


def locate_record(words: Words) -> bytes:
    """Operation, n, at (or seek and search), tlf, aux, sector: 16 bytes."""
    operation, _ = _operation(words.next("the operation"))
    return _locate(words, operation)


def locate_record_extended(words: Words) -> bytes:
    """As `lr`, with x (extended operation) and xp (extended parameters): 20 bytes and those."""
    operation, extended = _operation(words.next("the operation"))
    extended = words.hexadecimal("x", extended, 2)
    parameters = words.octets("xp", b"")
    fixed = _locate(words, operation)
    return fixed + bytes((0, extended)) + len(parameters).to_bytes(2, "big") + parameters


def prefix(words: Words) -> bytes:
    """Define Extent and, where an operation follows, Locate Record Extended: 64 bytes and more."""
    has_locate = len(words.positional) > 1
    form = words.hexadecimal("fmt", 1 if has_locate else 0, 2)
    valid = words.hexadecimal("valid", 0x80, 2)
    base = words.hexadecimal("base", 0, 2)
    auxiliary = words.hexadecimal("paux", 0, 2)
    extent = define_extent(words).ljust(32, b"\0")
    locate = locate_record_extended(words) if has_locate else bytes(20)
    return bytes((form, valid, base, auxiliary)).ljust(12, b"\0") + extent + locate


def count_key_data(words: Words) -> bytes:
    """`C,H,R`, key=DATA, and the data: count area, key, data. dl: another data length in the count area."""
    record = record_id(words.next("CYLINDER,HEAD,RECORD"))
    key = words.octets("key", b"")
    data = words.data(b"")
    if len(key) > 255:
        raise ProgramError(words.column, "a key has at most 255 bytes")
    length = words.number("dl", len(data), 0xFFFF)
    return record + bytes((len(key),)) + length.to_bytes(2, "big") + key + data


def record_zero(words: Words) -> bytes:
    """`C,H` and 8 bytes of data: standard R0."""
    address = packed(place(words.next("CYLINDER,HEAD")))
    return address + b"\0\0\0\x08" + words.data(bytes(8))


def write_home_address(words: Words) -> bytes:
    """`C,H`: flag 00 and CCHH."""
    return b"\0" + packed(place(words.next("CYLINDER,HEAD")))


def plain(words: Words) -> bytes:
    """Data as they are."""
    return words.data()


def path_group(words: Words) -> bytes:
    """A function byte in hex and the id, filled up with zeros to 11 bytes."""
    function = hexadecimal(words.next("the function byte"), 2)
    return bytes((function,)) + words.data(b"").ljust(11, b"\0")


def prepare(words: Words) -> bytes:
    """Order 18: the suborder in hex, lss, vol, and parameters p from byte 7: 12 bytes."""
    suborder = hexadecimal(words.next("the suborder"), 2)
    lss, volume = words.hexadecimal("lss", 0, 2), words.hexadecimal("vol", 0, 2)
    return bytes((0x18, 0, 0, 0, lss, volume, suborder)) + words.octets("p", b"").ljust(5, b"\0")


def release_space(words: Words) -> bytes:
    """Order 81: the device in hex, extents `C,H-C,H` (none: all of it), op (flags), lss: 24 bytes and 8 an extent."""
    device = hexadecimal(words.next("the device"), 2)
    extents = b"".join(_extent(word) for word in words.positional)
    words.positional.clear()
    operation, lss = words.hexadecimal("op", 0x20 if extents else 0, 2), words.hexadecimal("lss", 0, 2)
    count = (len(extents) // 8).to_bytes(2, "big")
    return bytes((0x81, 0, operation, 0, lss, device)) + bytes(14) + count + bytes(2) + extents


def pprc_order(words: Words) -> bytes:
    """A PPRC order: its code, flags, sel, seq, pri and sec (SSID:LSS:SERIAL), dev, sdev, and the body from byte 40."""
    order = hexadecimal(words.next("the order"), 2)
    primary, secondary = _system(words.options.pop("pri", None)), _system(words.options.pop("sec", None))
    flags, selector = words.hexadecimal("flags", 0, 2), words.hexadecimal("sel", 0, 2)
    sequence = words.hexadecimal("seq", 0, 4)
    device, other = words.hexadecimal("dev", 0, 2), words.hexadecimal("sdev", 0, 2)
    body = words.data(b"")
    header = PprcHeader(
        order=order,
        flags=flags,
        length=40 + len(body),
        format=1,
        selector=selector,
        request_sequence=sequence,
        primary_ssid=primary.ssid if primary else 0,
        primary_lss=primary.lss if primary else 0,
        primary_cca=device,
        secondary_ssid=secondary.ssid if secondary else 0,
        secondary_lss=secondary.lss if secondary else 0,
        secondary_cca=other,
        primary_identity=primary.identity if primary else bytes(12),
        secondary_identity=secondary.identity if secondary else bytes(12),
    )
    return header.encode() + body


def _system(word: Word | None) -> System | None:
    if word is None:
        return None
    system = System.of_text(word.text)
    if system is None:
        raise ProgramError(word.column, f"{word.text!r} is not SSID:LSS:SERIAL")
    return system


def patched(data: bytes, patches: Iterable[tuple[Word, int, bytes]]) -> bytes:
    """`data` with bytes overwritten. Raises ProgramError behind its end."""
    changed = bytearray(data)
    for word, offset, replacement in patches:
        if offset + len(replacement) > len(changed):
            raise ProgramError(word.column, f"there are only {len(changed)} parameter bytes")
        changed[offset : offset + len(replacement)] = replacement
    return bytes(changed)


def patch(word: Word) -> tuple[Word, int, bytes]:
    """`@OFFSET=HEX`."""
    match = re.fullmatch("@([0-9]{1,5})=(.+)", word.text)
    if not match:
        raise ProgramError(word.column, f"{word.text!r} is not @OFFSET=HEX")
    return word, int(match[1]), _data(Word(word.column + match.start(2), match[2]))


Builder = Callable[[Words], bytes]
