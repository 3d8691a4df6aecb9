"""What must come back, as words, and the comparison.

Endings: a unit status in hex, or the name of a condition that stands for status 0E and its sense bytes; then, if any,
IL (incorrect length), PC (program check), PCI:

    0C        4C        0D        0C IL        00 PC        10
    CR 0/4    command reject, format 0 message 4; CR 0/F/67 with the reason in byte 8
    FP NRF EOC ITF   file protected, no record found, end of cylinder, invalid track format
    FP+2      file protected with imprecise ending, two records of the domain left
    WI        write inhibited        TAKEN   the reservation was taken by another host
    PPRC 3, PPRC E    a PPRC order with a short count; a data command to a secondary
    PPRC 4@5  a PPRC order: invalid parameter at byte 5; PPRC F/45 status not as required, reason 45
    ICC       the device could not be asked (not operational, no path)

Source: eckd-commands 4.2-4.4 (24-byte layout), pprc-commands 6.1.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ccw.errors import FormatError
from ccw.geometry import Cchh
from ccw.tracks import parse_track
from host_emulator.channel import ProgramResult
from host_emulator.data_text import DataError, Pattern, parse_data, parse_pattern

SENSE_BYTES = 32
UNIT_CHECK_END = 0x0E
UNIT_CHECK_OR_EXCEPTION = 0x03
INCORRECT_LENGTH, PROGRAM_CHECK, INTERFACE_CONTROL_CHECK, INTERRUPTION = 0x40, 0x20, 0x02, 0x80
MANY_CYLINDERS = 4095

_CHANNEL_STATUS = {"IL": INCORRECT_LENGTH, "PC": PROGRAM_CHECK, "PCI": INTERRUPTION}
_BARE = {"NRF": (0, 0x08, 0), "EOC": (0, 0x20, 0), "ITF": (0, 0x40, 0), "FP": (0, 0x04, 0), "WI": (0x10, 0x02, 0x04)}
_BARE["TAKEN"] = (0x10, 0x00, 0x3F)


class Ending(NamedTuple):
    """How a program must end. `sense`: None where there must be none; `position` bytes are filled in by the step."""

    unit_status: int
    channel_status: int
    sense: Pattern | None


class Place(NamedTuple):
    """Where on the device the sense bytes must point, and what kind of device it is."""

    address: Cchh
    many_cylinders: bool


def parse_ending(text: str) -> Ending:
    """The ending that a text names. Raises ValueError."""
    words = text.split()
    channel_status = 0
    while len(words) > 1 and words[-1] in _CHANNEL_STATUS:
        channel_status |= _CHANNEL_STATUS[words.pop()]
    if words == ["ICC"]:
        return Ending(0, INTERFACE_CONTROL_CHECK, None)
    if len(words) == 1 and re.fullmatch("[0-9A-F]{2}", words[0]):
        return Ending(int(words[0], 16), channel_status, None)
    return Ending(UNIT_CHECK_END, channel_status, _condition(" ".join(words)))


def _condition(text: str) -> Pattern:
    match = re.fullmatch(r"FP\+([0-9]+)", text)
    if match:
        return _compatible(0x00, 0x05, 0x00, remaining=int(match[1]))
    if text in _BARE:
        return _compatible(*_BARE[text])
    match = re.fullmatch("CR ([0-9A-F])/([0-9A-F])(?:/([0-9A-F]{2}))?", text)
    if match:
        return _compatible(0x80, 0x00, int(match[1] + match[2], 16), reason=int(match[3] or "0", 16))
    match = re.fullmatch("PPRC (?:4@([0-9]+)|F/([0-9A-F]{2}))", text)
    if match:
        return _pprc(None if match[1] is None else int(match[1]), match[2])
    match = re.fullmatch("PPRC ([3E])", text)
    if match:
        return parse_wanted(f"80000000......0{match[1]} ..*19 80 ..*4")
    raise ValueError(f"{text!r} is neither a status nor a condition")


def _compatible(byte0: int, byte1: int, message: int, *, reason: int = 0, remaining: int = 0) -> Pattern:
    """The 24-byte layout: everything but the device's address and position is given."""
    value = bytearray(SENSE_BYTES)
    value[0], value[1], value[3], value[7], value[8], value[27] = byte0, byte1, remaining, message, reason, 0x80
    mask = bytearray(b"\xff" * SENSE_BYTES)
    for index in (4, 5, 6, 29, 30, 31):
        mask[index] = 0
    return Pattern(bytes(value), bytes(mask), False)


def _pprc(offset: int | None, reason: str | None) -> Pattern:
    value = bytearray(SENSE_BYTES)
    mask = bytearray(SENSE_BYTES)
    value[0], value[27] = 0x80, 0x80
    value[7], value[8] = (0x0F, int(reason, 16)) if reason else (0x04, 0)
    value[9] = 0xFF if offset is None else offset
    for index in (0, 1, 2, 3, 7, 8, 9, 24, 25, 26, 27):
        mask[index] = 0xFF
    if reason:  # the symptom code, D and the low digit of the order, then the reason
        value[22], mask[22] = 0xD0, 0xF0
        value[23], mask[23] = int(reason, 16), 0xFF
    return Pattern(bytes(value), bytes(mask), False)


def at_place(sense: Pattern, place: Place) -> Pattern:
    """The pattern with the position filled in: bytes 5-6 and 29-31."""
    value, mask = bytearray(sense.value), bytearray(sense.mask)
    address = place.address
    packed = address.pack()
    value[29:32] = packed[0], packed[1], packed[3]
    value[5:7] = (0xFF, 0xFF) if place.many_cylinders else (packed[1], (address.cylinder >> 8) << 4 | address.head)
    for index in (5, 6, 29, 30, 31):
        mask[index] = 0xFF
    return Pattern(bytes(value), bytes(mask), False)


def ending_text(unit_status: int, channel_status: int) -> str:
    """Two bytes as a person reads them."""
    return f"{unit_status:02X}.{channel_status:02X}"


def compare_ending(wanted: Ending, result: ProgramResult) -> list[str]:
    """What of the ending differs, a line each."""
    found = (result.unit_status, result.channel_status)
    if result.unit_status & UNIT_CHECK_OR_EXCEPTION:  # then channels differ in whether they show incorrect length
        found = (found[0], found[1] & ~INCORRECT_LENGTH)
    if wanted.channel_status == INTERFACE_CONTROL_CHECK:
        return [] if result.channel_status & INTERFACE_CONTROL_CHECK else [f"status {ending_text(*found)}, wanted none"]
    problems = []
    if found != (wanted.unit_status, wanted.channel_status):
        more = f" ({result.problem})" if result.problem else f" sense {result.sense.hex()}" if result.sense else ""
        problems.append(f"status {ending_text(*found)}, wanted {ending_text(*wanted[:2])}{more}")
    if wanted.sense is not None and not wanted.sense.matches(result.sense or b""):
        problems.append(f"sense {(result.sense or b'').hex().upper()}, wanted {wanted.sense.text()}")
    return problems


def compare_data(wanted: Pattern, data: bytes) -> list[str]:
    """What of the data differs: at most one line."""
    if wanted.matches(data):
        return []
    if len(data) != len(wanted.value) and not wanted.open_ended:
        return [f"{len(data)} bytes of data, wanted {len(wanted.value)}; begins {data[:32].hex().upper()}"]
    for index, (found, value, mask) in enumerate(zip(data, wanted.value, wanted.mask, strict=False)):
        if (found ^ value) & mask:
            return [f"data byte {index} is {found:02X}, wanted {wanted.text()[2 * index : 2 * index + 2]}"]
    return [f"{len(data)} bytes of data, wanted at least {len(wanted.value)}"]


class TrackRecord(NamedTuple):
    """A record as a fixture or an expectation says it: number, key, data."""

    number: int
    key: bytes
    data: bytes


def parse_records(text: str) -> list[TrackRecord]:
    """`1=01*16, 2=C1C2/02*16, 3=`: number, key before a slash, data. Raises ValueError."""
    records = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        number, equals, content = part.partition("=")
        if not equals or not number.isdecimal() or int(number) > 255:
            raise ValueError(f"{part!r} is not NUMBER=DATA")
        key, slash, data = content.rpartition("/")
        try:
            records.append(TrackRecord(int(number), parse_data(key) if slash else b"", parse_data(data)))
        except DataError as error:
            raise ValueError(f"{part!r}: {error.message}") from None
    return records


def compare_track(address: Cchh, wanted: list[TrackRecord], track: bytes) -> list[str]:
    """`track`: what Read Track gave, R0 to the end mark. At most one line."""
    try:
        records = parse_track(b"\0" + address.pack() + track)
    except FormatError as error:
        return [f"track {address.cylinder},{address.head}: {error}"]
    found = [TrackRecord(record.count[4], record.key, record.data) for record in records[1:]]
    expected = [TrackRecord(*record) for record in wanted]
    if found == expected:
        return []
    return [f"track {address.cylinder},{address.head} holds {_shown(found)}, wanted {_shown(expected)}"]


def _shown(records: list[TrackRecord]) -> str:
    texts = []
    for number, key, data in records[:6]:
        content = f"{len(data)} x {data[:1].hex().upper()}" if len(set(data)) == 1 else data[:20].hex().upper()
        texts.append(f"R{number} {key.hex().upper() + '/' if key else ''}{content or 'empty'}")
    return "; ".join(texts + (["..."] if len(records) > 6 else [])) or "no records"


def parse_wanted(text: str) -> Pattern:
    """A data pattern. Raises ValueError."""
    try:
        return parse_pattern(text)
    except DataError as error:
        raise ValueError(f"{text!r}: {error.message}") from None
