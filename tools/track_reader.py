"""Reads whole tracks record by record over a host session: for control units without Define Extent and Read Track.

Read Home Address, Read R0, and one Read Count, Key and Data for each record, whose number is found out first with Read
Count. The file mask forbids to leave the track, so that a segment of an overflowing record shows itself: it ends with
file protected and operation incomplete. Records on a track that is defective are those of its alternate.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from typing import Any, Protocol

from ccw.ccws import CommandCode
from ccw.geometry import Geometry, track_address_bytes
from host_emulator.channel import InterfaceControlCheck, Response, Start

RECORDS_MAX = 512  # more than fit any track
LONGEST_TRACK_BYTES = 65_535
HOME_ADDRESS_BYTES = 5
END_OF_TRACK = b"\xff" * 8
CHAIN, SUPPRESS_LENGTH = 0x40, 0x20
NORMAL_END, END_OF_FILE = 0x0C, 0x0D
STAY_ON_TRACK = 0x58  # file mask: no writes, no seeks, no next track
OVERFLOW_STOPPED = 0x05  # sense byte 1: file protected, operation incomplete
SEGMENT_FLAG = 0x80


class Session(Protocol):
    """What a host session must offer: carry one channel program, given as a generator, to a device."""

    async def run(self, unit_address: int, program: Generator[Start, Response, Any], /) -> Any:
        """Return what the generator returns."""


async def tracks_by_record(
    session: Session, unit_address: int, geometry: Geometry
) -> AsyncIterator[tuple[int, bytes]]:
    """Yield (track number, image) of every track that can be read."""
    for track in range(geometry.tracks):
        image = await _read_by_record(session, unit_address, geometry, track)
        if image is not None:
            yield track, image


def survey(geometry: Geometry, track: int) -> Generator[Start, Response, tuple[list[bytes], int] | None]:
    """Return home address and R0 of a track, and the number of its user records; None when it cannot be read.

    Read Count passes each record twice before no record is found.
    """
    reads = (CommandCode.READ_HOME_ADDRESS, HOME_ADDRESS_BYTES), (CommandCode.READ_RECORD_ZERO, LONGEST_TRACK_BYTES)
    head = yield from _open(geometry, track, reads)
    if head is None:
        return None
    counts = 0
    while counts < 2 * RECORDS_MAX:
        response = yield from _issue(Start(CommandCode.READ_COUNT, CHAIN | SUPPRESS_LENGTH, 8, b"", True))
        if response is None or response.status != NORMAL_END:
            break
        counts += 1
    return head, counts // 2


def read_records(geometry: Geometry, track: int, skip: int, count: int) -> Generator[Start, Response, list[bytes]]:
    """Read `count` user records behind the first `skip` and return them; fewer when one ends the program.

    A record without data does so (unit exception), and a segment, which is returned with its flag.
    """
    records: list[bytes] = []
    opened = yield from _open(geometry, track, ((CommandCode.READ_COUNT, 8),) * skip)
    while opened is not None and len(records) < count:
        start = Start(CommandCode.READ_COUNT_KEY_AND_DATA, CHAIN | SUPPRESS_LENGTH, LONGEST_TRACK_BYTES, b"", True)
        response = yield from _issue(start)
        if response is None:
            break
        if response.status in (NORMAL_END, END_OF_FILE):
            records.append(response.data)
        elif response.sense is not None and response.sense[1] == OVERFLOW_STOPPED and response.data:
            records.append(bytes((response.data[0] | SEGMENT_FLAG,)) + response.data[1:])
        if response.status != NORMAL_END:
            break
    return records


async def _read_by_record(session: Session, unit_address: int, geometry: Geometry, track: int) -> bytes | None:
    surveyed: tuple[list[bytes], int] | None = await session.run(unit_address, survey(geometry, track))
    if surveyed is None:
        return None
    head, count = surveyed
    records: list[bytes] = []
    while len(records) < count:
        missing = count - len(records)
        more: list[bytes] = await session.run(unit_address, read_records(geometry, track, len(records), missing))
        if not more:
            return None
        records += more
    return b"".join((*head, *records, END_OF_TRACK))


def _open(
    geometry: Geometry, track: int, reads: tuple[tuple[int, int], ...]
) -> Generator[Start, Response, list[bytes] | None]:
    """Seek to a track that is not to be left, then read (code, count). Return what came; None: something did not."""
    seek = b"\0\0" + track_address_bytes(*geometry.address_of(track))
    response = yield from _issue(Start(CommandCode.SEEK, CHAIN, len(seek), seek, False))
    if response is None or response.status != NORMAL_END:
        return None
    response = yield from _issue(Start(CommandCode.SET_FILE_MASK, CHAIN, 1, bytes((STAY_ON_TRACK,)), True))
    if response is None or response.status != NORMAL_END:
        return None
    found: list[bytes] = []
    for code, count in reads:
        response = yield from _issue(Start(code, CHAIN | SUPPRESS_LENGTH, count, b"", True))
        if response is None or response.status != NORMAL_END:
            return None
        found.append(response.data)
    return found


def _issue(start: Start) -> Generator[Start, Response, Response | None]:
    """Issue one command; None when the device is not there any more."""
    try:
        return (yield start)
    except InterfaceControlCheck:
        return None
