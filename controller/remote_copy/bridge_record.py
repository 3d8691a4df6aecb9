"""One record on its way over a data bridge, how it is made, and the ring of the numbers that records have.

Source: pprc-commands 8.1, 8.3.
"""

from collections.abc import Callable
from dataclasses import dataclass

from isal.isal_zlib import crc32

from ccw.bridge import BridgeHeader, RecordType, Result, TrackFlag, VirtualTrackAddress
from ccw.geometry import Cchh, halves_of_cchh
from ccw.stored_track import StoredTrack, expand_track
from ccw.tracks import count_records
from controller.remote_copy.pair import Pair

LAST_SEQUENCE = 0xFFFF_FFFF
_COMPRESSED = int(TrackFlag.COMPRESSED)  # a plain number: every track passes here, enum flags cost ten times as much


def following(sequence: int) -> int:
    """The bridge sequence after this one: FFFFFFFF is followed by 1, zero is never used."""
    return 1 if sequence == LAST_SEQUENCE else sequence + 1


def ahead(sequence: int, reference: int) -> int:
    """How far `sequence` is beyond `reference` on the ring of bridge sequences; negative when behind."""
    distance = (sequence - reference) % LAST_SEQUENCE
    return distance if distance <= LAST_SEQUENCE // 2 else distance - LAST_SEQUENCE


@dataclass(slots=True)
class BridgeRecord:
    """One record under way. `track` is -1 for records about a whole volume."""

    header: BridgeHeader
    payload: bytes
    pair: Pair
    track: int
    local_sequence: int = 0  # array sequence of the host write; 0: nothing to wait for
    reply: Callable[[Result | None], None] | None = None  # None as result: the bridge failed
    generation: int = 0  # of the pair when the record was made
    tries: int = 0
    numbered: float = 0.0  # when
    sent: bool = False
    acknowledged: bool = False
    result: Result | None = None

    @property
    def sequence(self) -> int:
        return self.header.sequence

    @property
    def is_update(self) -> bool:
        """A host waits for it."""
        return self.reply is not None

    @property
    def stale(self) -> bool:
        """Its pair has given back what was under way: what becomes of the record counts for nothing."""
        return self.generation != self.pair.generation

    @property
    def kind(self) -> RecordType:
        return RecordType(self.header.record_type)


def make_record(
    pair: Pair, kind: RecordType, track: int, stored: StoredTrack | None, flags: int, tod: int
) -> BridgeRecord:
    """One unnumbered record. track: -1 for records about the whole volume; stored: None for no payload."""
    cc, hh = halves_of_cchh(Cchh(*divmod(track, pair.heads))) if track >= 0 else (0, 0)
    payload = stored.payload if stored is not None else b""
    header = BridgeHeader(
        record_type=int(kind),
        flags=flags | _COMPRESSED if stored is not None and stored.codec else flags,
        sequence=0,
        bridge_number=0,
        snapshot_id=0 if kind is RecordType.HOST_UPDATE else pair.snapshot_id,
        source=VirtualTrackAddress(*pair.primary[1:], cc, hh),
        destination=VirtualTrackAddress(*pair.secondary[1:], cc, hh),
        pair_id=pair.pair_id,
        raw_length=stored.raw_length if stored is not None else 0,
        payload_length=len(payload),
        compression=stored.codec if stored is not None else 0,
        records=min(255, records_on(stored)) if stored is not None else 0,
        tod=tod,
        payload_crc=crc32(payload) if payload else 0,
    )
    return BridgeRecord(header, payload, pair, track, generation=pair.generation)


def records_on(stored: StoredTrack) -> int:
    """Records on the track without R0."""
    return count_records(expand_track(stored)) - 1
