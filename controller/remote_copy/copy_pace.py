"""How many copies may be under way on a bridge while hosts wait for updates that go over it too.

An update goes ahead of every copy that waits, but behind those that are under way: on the link, in buffers, in the
other box. So while updates come, copies are kept few: as many as are confirmed hardly later than one that has the
bridge to itself. As long as all are, one more may be under way for each that is confirmed; one that comes later halves
them. No updates for a while: only the window bounds them.
Source: pprc-commands 7.2 (updates are sent ahead of waiting copies); how far ahead: project-defined.
"""

from math import inf

LATELY_S = 10.0  # after an update others may come
AT_FIRST, AT_LEAST = 16, 4  # copies under way
QUEUED_S = 0.005  # what a copy may be confirmed later than the quickest
QUICKEST_OF_S = 10.0  # of these seconds, and as many before


class CopyPace:
    """The copies of one bridge. window: records under way at most."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._limit = min(AT_FIRST, window)
        self._until = -inf  # updates came lately
        self._quickest = self._quickest_now = inf
        self._epoch_ends = -inf
        self._settled = -inf  # copies sent before it were sent by an older limit

    def updated(self, now: float) -> None:
        """A host waits for an update."""
        self._until = now + LATELY_S

    def room(self, under_way: int, now: float) -> bool:
        """May another copy be sent?"""
        return now >= self._until or under_way < self._limit

    def confirmed(self, sent: float, now: float) -> None:
        """A copy that was sent at a time is confirmed."""
        took = now - sent
        if now >= self._epoch_ends:
            self._quickest, self._quickest_now = self._quickest_now, inf
            self._epoch_ends = now + QUICKEST_OF_S
        self._quickest_now = min(self._quickest_now, took)
        late = took > min(self._quickest, self._quickest_now) + QUEUED_S
        if not late:
            self._limit = min(self._limit + 1, self._window)
        elif sent >= self._settled:
            self._limit = max(self._limit // 2, min(AT_LEAST, self._window))
            self._settled = now
