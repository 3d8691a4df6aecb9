"""One record on its way over a data bridge, and the ring of the numbers that records have.

Source: pprc-commands 8.1, 8.3.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ccw.bridge import BridgeHeader, RecordType, Result
from controller.remote_copy.pair import Pair

LAST_SEQUENCE = 0xFFFF_FFFF


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
