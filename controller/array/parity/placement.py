"""Where the stripes of a sync go: in place at once, or into the journal first (P1 of format.py)."""

from typing import NamedTuple

from controller.array.parity.journal import Journal
from controller.array.parity.state import Buffer, Ranges, Segment

RANGES_MAX = 64  # a stripe written in more pieces than this between two syncs goes into the journal whole


class Placement(NamedTuple):
    """Stripes that can be put in place, those that go into the journal, and how many pieces and bytes that is there."""

    whole: list[int]
    rest: list[int]
    pieces: int
    length: int


def sort_out(segment: Segment, dirty: list[int], journal: Journal) -> Placement:
    """What becomes of dirty stripes; no more of them than one record of the journal takes, and one more.

    In place at once: every byte was written, and none that was synced before is there now, or the journal has all.
    """
    whole: list[int] = []
    rest: list[int] = []
    length = pieces = 0
    for stripe in dirty:
        buffer = segment.buffers[stripe]
        if not buffer.whole_next and _written(buffer, segment.stripe_length(stripe)):
            whole.append(stripe)
        else:
            ranges = journalled(segment, stripe)
            length += sum(stop - start for start, stop in ranges)
            pieces += len(ranges)
            rest.append(stripe)
        if max(len(whole), pieces) > journal.operations_max or length > journal.data_max:
            break
    return Placement(whole, rest, pieces, length)


def journalled(segment: Segment, stripe: int) -> list[tuple[int, int]]:
    """What of a stripe goes into the journal."""
    buffer = segment.buffers[stripe]
    if buffer.whole_next or len(buffer.dirty.ranges) > RANGES_MAX:
        return [(0, segment.stripe_length(stripe))]
    return buffer.dirty.ranges


def _written(buffer: Buffer, length: int) -> bool:
    if buffer.dirty.covers(length):
        return True
    both = Ranges()
    for start, stop in sorted(buffer.synced.ranges + buffer.dirty.ranges):
        both.add(start, stop)
    return both.covers(length)


def neighbours(stripes: list[int]) -> list[tuple[int, int]]:
    """Half-open runs of neighbours in an ascending list."""
    runs: list[tuple[int, int]] = []
    for stripe in stripes:
        if runs and runs[-1][1] == stripe:
            runs[-1] = (runs[-1][0], stripe + 1)
        else:
            runs.append((stripe, stripe + 1))
    return runs
