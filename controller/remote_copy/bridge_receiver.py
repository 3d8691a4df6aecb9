"""The secondary end of one data bridge, and the status bridge back.

Phase 2 (secondary data transfer): a record whose header is good gets CE+DE at once; then its payload is checked,
written to a ring slot of the secondary bridge volume and redirected by pointer to the volume the header names.
Phase 3 (status packet send, `status_sender`): when the redirected track is durable, a 32-byte entry goes into a packet
on the primary status bridge volume. Data never waits for status.

Records are worked through strictly in the order of their sequence numbers. A record that must be sent again sets
the expected sequence back; everything received behind it is discarded without status (go-back-N).
Source: pprc-commands 7.4, 8.1-8.3.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from isal.isal_zlib import crc32

from ccw.bridge import (
    BridgeHeader,
    EntryFlag,
    RecordType,
    Result,
    StatusEntry,
    TrackFlag,
)
from ccw.errors import FormatError
from ccw.geometry import Cchh
from ccw.stored_track import CODEC_NONE, CODEC_ZLIB, StoredTrack, expand_track
from ccw.tracks import count_records
from controller.remote_copy.bridge_record import ahead, following
from controller.remote_copy.ports import ArrayPort, Clock, HardenPort
from controller.remote_copy.refusal import reject
from controller.remote_copy.states import Reason
from controller.remote_copy.status_sender import StatusSender

RECORD_TYPES = frozenset(int(kind) for kind in RecordType)
TRACKLESS = frozenset({RecordType.END_OF_VOLUME, RecordType.HEARTBEAT, RecordType.ABORT_SNAPSHOT})
SENSE_OF_RESULT = {  # result: (sense byte 7, sense byte 8)
    Result.PAYLOAD_CRC: (0x0F, Reason.PAYLOAD_CRC),
    Result.DESTINATION_UNKNOWN: (0x0F, Reason.NOT_THE_SECONDARY),
    Result.NOT_THE_SECONDARY: (0x0F, Reason.NOT_THE_SECONDARY),
    Result.DECOMPRESSION_FAILED: (0x0F, Reason.DECOMPRESSION),
    Result.TRACK_IMAGE_INVALID: (0x0F, Reason.TRACK_IMAGE),
    Result.SPACE_EXHAUSTED: (0x0F, Reason.SPACE),
    Result.DEVICE_FAULT: (0x10, 0x09),
    Result.DESTINATION_SUSPENDED: (0x0F, Reason.DESTINATION_SUSPENDED),
    Result.INTERNAL_ERROR: (0xF1, 0x00),
}
MARK_EVERY_RECORDS = 256
_COMPRESSED = int(TrackFlag.COMPRESSED)


class Destination(NamedTuple):
    """What the owner says about the volume a header names."""

    result: Result  # APPLIED when the track may be redirected there
    volume: int
    heads: int
    cylinders: int
    track_size: int  # largest image, bytes


@dataclass(frozen=True, slots=True)
class ReceiverRoute:
    """The volumes and the way back of one bridge at the secondary."""

    number: int
    bridge_volume: int  # unit address of S-DB
    slots: int  # its tracks
    heads: int
    window: int


class BridgeReceiver:
    """One data bridge, secondary side, with its status bridge."""

    def __init__(
        self,
        route: ReceiverRoute,
        first_sequence: int,
        array: ArrayPort,
        hardener: HardenPort,
        clock: Clock,
        destination: Callable[[BridgeHeader], Destination],
        mark: Callable[[int], None],
        failed: Callable[[str], None],
    ) -> None:
        self.route = route
        self.expected = first_sequence
        self._array = array
        self._hardener = hardener
        self._clock = clock
        self._destination = destination
        self._mark = mark
        self.status = StatusSender(route.number, route.window, clock, self._status_failed)
        self._failed = failed
        self._answers: deque[tuple[int, BridgeHeader, Result]] = deque()  # not durable yet: (array sequence, ...)
        self._asked = False  # the hardener will tell
        self._marks: deque[tuple[int, int]] = deque()  # (bridge sequence, array sequence)
        self._since_mark = 0
        self.closed = False
        self.tracks_applied = 0

    def _status_failed(self, text: str) -> None:
        self.close()
        self._failed(text)

    # Records

    def record(self, data: bytes) -> None:
        """One Write Full Track: header and payload. Returns for CE+DE; raises Refused for unit check."""
        if self.closed:
            raise reject(Reason.BRIDGE_NOT_ESTABLISHED)
        try:
            header = BridgeHeader.decode(data[:64])
        except FormatError as error:
            reason = Reason.BRIDGE_HEADER_CRC if "CRC" in error.where else Reason.BRIDGE_HEADER
            raise reject(reason, expected=self.expected) from error
        payload = memoryview(data)[64:]  # not copied any more: the array's log takes it as it is
        if header.payload_length != len(payload) or header.bridge_number != self.route.number:
            raise reject(Reason.BRIDGE_HEADER, expected=self.expected)
        distance = ahead(header.sequence, self.expected)
        if distance > 0:
            raise reject(Reason.SEQUENCE_GAP, expected=self.expected)
        if distance < 0:
            self._answer_when_durable(header, Result.DUPLICATE)
            return
        if header.record_type not in RECORD_TYPES:
            raise reject(Reason.BRIDGE_HEADER, expected=self.expected)
        result = self._apply(header, payload)
        if result in (Result.PAYLOAD_CRC, Result.DECOMPRESSION_FAILED):
            self._queue(header, result)  # expected stays: the record comes again
            self.status.send()
            return
        self.expected = following(header.sequence)
        self._answer_when_durable(header, result)  # refused for good or applied: in the order of the records

    # Phase 2

    def _apply(self, header: BridgeHeader, payload: memoryview) -> Result:
        if crc32(payload) != header.payload_crc and payload:
            return Result.PAYLOAD_CRC
        if header.record_type in TRACKLESS:
            return Result.APPLIED
        target = self._destination(header)
        if target.result is not Result.APPLIED:
            return target.result
        place = header.destination.address
        if place.cylinder >= target.cylinders or place.head >= target.heads:
            return Result.TRACK_IMAGE_INVALID
        track = place.cylinder * target.heads + place.head
        if header.record_type == RecordType.NEVER_WRITTEN:
            self._array.release_space(target.volume, track, track + 1)
        else:
            stored = StoredTrack(header.compression, header.raw_length, payload)  # type: ignore[arg-type]  # read as bytes
            result = _check_image(stored, header.flags & _COMPRESSED != 0, place, target.track_size)
            if result is not Result.APPLIED:
                return result
            slot = header.sequence % self.route.slots
            self._array.write_redirected(self.route.bridge_volume, slot, stored, target.volume, track)
        self.tracks_applied += 1
        self._remember(header.sequence)
        return Result.APPLIED

    def _remember(self, sequence: int) -> None:
        """Now and then note which array sequence belongs to which bridge sequence.

        What lies a whole window behind is durable at the primary too (see `bridge_sender`), so after a crash only
        younger tracks can differ there.
        """
        self._since_mark += 1
        if self._since_mark >= MARK_EVERY_RECORDS:
            self._since_mark = 0
            self._marks.append((sequence, self._array.appended))
        if self._marks and ahead(sequence, self._marks[0][0]) > self.route.window:
            self._mark(self._marks.popleft()[1])

    # Phase 3

    def _answer_when_durable(self, header: BridgeHeader, result: Result) -> None:
        """Answer when all that was appended up to now is durable; in the order of the records."""
        self._answers.append((self._array.appended, header, result))
        if not self._asked:
            self._ask()

    def _ask(self) -> None:
        """One question at a time: what it is told of is durable up to there, and mostly further."""
        self._asked = True
        sequence = self._answers[-1][0]
        self._hardener.when_durable(sequence, lambda good: self._hardened(sequence, good))

    def _hardened(self, sequence: int, good: bool) -> None:
        self._asked = False
        if self.closed:
            return
        while self._answers and (self._answers[0][0] <= sequence or not good):
            _, header, result = self._answers.popleft()
            self._queue(header, result if good or result is not Result.APPLIED else Result.DEVICE_FAULT)
        if self._answers:
            self._ask()
        self.status.send()

    def _queue(self, header: BridgeHeader, result: Result) -> None:
        message, reason = SENSE_OF_RESULT.get(result, (0, 0))
        again = result in (Result.PAYLOAD_CRC, Result.DECOMPRESSION_FAILED)
        if not again and result is not Result.DUPLICATE:
            self.status.applied = header.sequence
        entry = StatusEntry(
            sequence=header.sequence,
            destination=header.destination,
            pair_id=header.pair_id,
            result=int(result),
            unit_status=0x0C if result in (Result.APPLIED, Result.DUPLICATE) else 0x0E,
            format_message=message,
            reason=int(reason),
            tod=self._clock.tod(),
            flags=EntryFlag.SEND_AGAIN if again else 0,
        )
        self.status.add(entry, header.record_type == RecordType.END_OF_VOLUME)

    def close(self) -> None:
        """The bridge is gone; nothing more is accepted or answered."""
        self.closed = True
        self._answers.clear()
        self.status.close()


def _check_image(stored: StoredTrack, compressed: bool, place: Cchh, track_size: int) -> Result:
    """Does the payload hold a well-formed image of the track that the header names?"""
    if stored.codec not in (CODEC_NONE, CODEC_ZLIB) or compressed != (stored.codec == CODEC_ZLIB):
        return Result.DECOMPRESSION_FAILED
    try:
        image = expand_track(stored)
    except FormatError:
        return Result.DECOMPRESSION_FAILED if compressed else Result.TRACK_IMAGE_INVALID
    if len(image) > track_size or image[1:5] != place.pack():
        return Result.TRACK_IMAGE_INVALID
    try:
        count_records(image)
    except FormatError:
        return Result.TRACK_IMAGE_INVALID
    return Result.APPLIED
