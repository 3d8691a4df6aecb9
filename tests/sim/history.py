"""What the hosts wrote, record by record: which contents a record may have now, whoever looks.

Each write of a record carries the next number, so its contents name the write they come from. Only one host writes a
volume, and it waits for the end of each program; thus the numbers of a record grow with time. A write that did not end
normally may have happened or not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from struct import Struct
from typing import NamedTuple

from ccw.tracks import parse_track

_LABEL = Struct(">BHBI")  # volume, track, record, number
RECORD_BYTES = (96, 1800, 300)  # of records 1, 2, 3 of every track the hosts use: one frame, two frames, one frame
NOT_THERE = 0  # the number of a record that was never written


class Place(NamedTuple):
    """One record of one volume."""

    volume: int
    track: int
    record: int


def contents(place: Place, number: int) -> bytes:
    """What write `number` puts there; no two writes put the same."""
    label = _LABEL.pack(*place, number)
    return label + Random(label).randbytes(RECORD_BYTES[place.record - 1] - len(label))


class NotOurs(ValueError):
    """Contents that no write has put there."""


def number_in(place: Place, data: bytes) -> int:
    """The number of the write that `data` comes from. Raises NotOurs."""
    number = _LABEL.unpack_from(data)[3] if len(data) >= _LABEL.size else NOT_THERE
    if data != contents(place, int(number)):
        raise NotOurs(f"{place}: {len(data)} bytes {data[:16].hex()}... are no write's")
    return int(number)


def numbers_on(volume: int, track: int, image: bytes | None) -> dict[Place, int]:
    """The numbers of all records of a track image (None: never written). Raises NotOurs, FormatError."""
    there = {record.count[4]: record.data for record in parse_track(image)[1:]} if image is not None else {}
    numbers = {}
    for record in range(1, len(RECORD_BYTES) + 1):
        place = Place(volume, track, record)
        numbers[place] = number_in(place, there[record]) if record in there else NOT_THERE
    return numbers


@dataclass(slots=True)
class RecordHistory:
    """Numbers of the writes of one record."""

    begun: int = NOT_THERE  # the last write that was started
    acknowledged: int = NOT_THERE  # the last that ended normally
    mirrored: int = NOT_THERE  # the last that ended normally while its pair was duplex
    seen: int = NOT_THERE  # the greatest that a read has returned since the primary box started
    exposed: bool = False  # a format write of a record in front of it has begun and none has ended: it may be gone
    exposed_there: bool = False  # the same of the secondary, where it counts only what ended while duplex

    @property
    def floor(self) -> int:
        """Nothing older than this may be read."""
        return max(self.acknowledged, self.seen)


class History:
    """All records that the hosts use."""

    def __init__(self, volumes: tuple[int, ...], tracks: tuple[int, ...]) -> None:
        self.volumes = volumes
        self.tracks = tracks
        self.records = {
            Place(volume, track, record): RecordHistory()
            for volume in volumes
            for track in tracks
            for record in range(1, len(RECORD_BYTES) + 1)
        }
        self.order: list[dict[Place, int]] = []  # writes that depend on each other, in their order
        self.ordered_until = 0  # so many of them have ended well; at most one more has begun

    def __getitem__(self, place: Place) -> RecordHistory:
        return self.records[place]

    def on(self, volume: int, track: int) -> Iterator[Place]:
        """The places on one track."""
        return (Place(volume, track, record) for record in range(1, len(RECORD_BYTES) + 1))

    def begin(self, place: Place) -> int:
        """A write starts: its number."""
        self.records[place].begun += 1
        return self.records[place].begun

    def format_begins(self, volume: int, track: int) -> None:
        """A format write of a whole track begins. Its first record erases the others, at either side."""
        for place in list(self.on(volume, track))[1:]:
            self.records[place].exposed = self.records[place].exposed_there = True

    def format_ended(self, volume: int, track: int, *, mirrored: bool) -> None:
        """It has ended well; mirrored: while its pair was duplex, so the secondary has all of it too."""
        for place in list(self.on(volume, track))[1:]:
            record = self.records[place]
            record.exposed = False
            record.exposed_there = record.exposed_there and not mirrored

    def allowed(self, place: Place, number: int, *, there: bool) -> bool:
        """May the record come from write `number` now? there: in the secondary, which needs what was mirrored only."""
        record = self.records[place]
        least = record.mirrored if there else record.acknowledged
        exposed = record.exposed_there if there else record.exposed
        return least <= number <= record.begun or (exposed and number == NOT_THERE)

    def exchange(self) -> None:
        """The secondary takes the place of the primary; all pairs were duplex. So both have what was acknowledged."""
        for record in self.records.values():
            record.mirrored = record.acknowledged
            record.exposed = record.exposed_there = record.exposed or record.exposed_there
        self.forget_seen()

    def forget_seen(self) -> None:
        """The primary box has crashed: what was read and not acknowledged may be gone."""
        for record in self.records.values():
            record.seen = NOT_THERE
