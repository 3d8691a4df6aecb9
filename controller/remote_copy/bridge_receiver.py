"""The secondary end of one data bridge, and the status bridge back.

Phase 2 (secondary data transfer): a record whose header is good gets CE+DE at once; then its payload is checked,
written to a ring slot of the secondary bridge volume and redirected by pointer to the volume the header names.
Phase 3 (status packet send): when the redirected track is durable, a 32-byte entry goes into a packet on the
primary status bridge volume. Data never waits for status.

Records are worked through strictly in the order of their sequence numbers. A record that must be sent again sets
the expected sequence back; everything received behind it is discarded without status (go-back-N).
Source: pprc-commands 7.4, 8.1-8.3.
"""

import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from ccw.bridge import (
    BridgeHeader,
    EntryFlag,
    PacketFlag,
    PacketType,
    RecordType,
    Result,
    StatusEntry,
    StatusPacket,
    TrackFlag,
)
from ccw.errors import FormatError
from ccw.geometry import Cchh
from ccw.stored_track import CODEC_NONE, CODEC_ZLIB, StoredTrack, expand_track
from ccw.tracks import parse_track
from controller.channel import ChainResult
from controller.remote_copy.bridge_chain import MAX_RECORDS_PER_CHAIN, bridge_chain
from controller.remote_copy.bridge_sender import ahead, following
from controller.remote_copy.ports import ArrayPort, Clock, HardenPort, LinkPort
from controller.remote_copy.refusal import reject
from controller.remote_copy.states import Reason

ENTRIES_PER_PACKET = 16
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


@dataclass(frozen=True, slots=True)
class StatusRoute:
    """Where status packets go."""

    link: LinkPort
    image: int
    device: int  # unit address of the secondary status bridge volume (in the primary box)
    slots: int
    heads: int


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
        self.status_route: StatusRoute | None = None
        self._array = array
        self._hardener = hardener
        self._clock = clock
        self._destination = destination
        self._mark = mark
        self._failed = failed
        self._applied = 0  # highest sequence worked through and durable, in order
        self._entries: deque[tuple[StatusEntry, bool]] = deque()  # (entry, is it about a whole volume)
        self._status_sequence = 1
        self._sending = 0  # entries in the status chain under way
        self._failures = 0
        self._marks: deque[tuple[int, int]] = deque()  # (bridge sequence, array sequence)
        self._since_mark = 0
        self.closed = False
        self.tracks_applied = 0

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
        payload = data[64:]
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
            return
        self.expected = following(header.sequence)
        self._answer_when_durable(header, result)  # refused for good or applied: in the order of the records

    # Phase 2

    def _apply(self, header: BridgeHeader, payload: bytes) -> Result:
        if zlib.crc32(payload) != header.payload_crc and payload:
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
            stored = StoredTrack(header.compression, header.raw_length, payload)
            result = _check_image(stored, bool(header.flags & TrackFlag.COMPRESSED), place, target.track_size)
            if result is not Result.APPLIED:
                return result
            slot = header.sequence % self.route.slots
            self._array.write_stored(self.route.bridge_volume, slot, stored)
            self._array.move(self.route.bridge_volume, slot, target.volume, track)
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
        def hardened(good: bool) -> None:
            self._queue(header, result if good or result is not Result.APPLIED else Result.DEVICE_FAULT)

        self._hardener.when_durable(self._array.appended, hardened)

    def _queue(self, header: BridgeHeader, result: Result) -> None:
        if self.closed:
            return
        message, reason = SENSE_OF_RESULT.get(result, (0, 0))
        again = result in (Result.PAYLOAD_CRC, Result.DECOMPRESSION_FAILED)
        if not again and result is not Result.DUPLICATE:
            self._applied = header.sequence
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
        self._entries.append((entry, header.record_type == RecordType.END_OF_VOLUME))
        self.send_status()

    def send_status(self) -> None:
        """Start the next chain of status packets if the status path is free.

        Entries are sent as soon as the path is free; while a chain is under way they gather, so packets fill up
        under load without the 2 ms wait that the protocol allows.
        """
        if self._sending or not self._entries or self.status_route is None or self.closed:
            return
        packets: list[bytes] = []
        taken = 0
        sequence = self._status_sequence
        while taken < len(self._entries) and len(packets) < MAX_RECORDS_PER_CHAIN:
            about_volume = self._entries[taken][1]
            entries: list[StatusEntry] = []
            while (
                taken < len(self._entries)
                and len(entries) < ENTRIES_PER_PACKET
                and self._entries[taken][1] == about_volume
            ):
                entries.append(self._entries[taken][0])
                taken += 1
            packets.append(self._packet(sequence, entries, about_volume, more=taken < len(self._entries)))
            sequence = following(sequence)
        self._sending = taken
        way = self.status_route
        commands = bridge_chain(0, way.slots, way.heads, packets)
        way.link.start_chain(
            way.image, way.device, commands, lambda result: self._status_sent(result, len(packets)), self._clock.now()
        )

    def _packet(self, sequence: int, entries: list[StatusEntry], about_volume: bool, more: bool) -> bytes:
        return StatusPacket(
            packet_type=PacketType.VOLUME_STATUS if about_volume else PacketType.TRACK_STATUS,
            flags=PacketFlag.MORE_QUEUED if more else 0,
            status_sequence=sequence,
            bridge_number=self.route.number,
            cumulative_ack=self._applied,
            credit=self.route.window,
            entries=tuple(entries),
        ).encode()

    def _status_sent(self, result: ChainResult, packets: int) -> None:
        sent, self._sending = self._sending, 0
        if self.closed:
            return
        if result.completed == packets + 2:
            self._failures = 0
            for _ in range(packets):
                self._status_sequence = following(self._status_sequence)
            for _ in range(sent):
                self._entries.popleft()
        elif result.failure in (None, "timeout") and self._failures < 5:
            self._failures += 1  # the same packets again: entries a primary has seen are ignored there
        else:
            self.close()
            self._failed(f"status path: {result.failure or result.sense[7:9].hex().upper()}")
            return
        self.send_status()

    def close(self) -> None:
        """The bridge is gone; nothing more is accepted or answered."""
        self.closed = True
        self._entries.clear()


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
        parse_track(image)
    except FormatError:
        return Result.TRACK_IMAGE_INVALID
    return Result.APPLIED
