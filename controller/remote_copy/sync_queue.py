"""The volume synchronisation queue (FIG. 7): pairs that wait for a bridge, first come first served.

A volume that needs synchronising is queued (700). An idle bridge selects the head of the queue (702); the entry is
removed when the volume's pointers are snapped to the bridge volume (704). The bridges at work on it: sync_worker.py.
Source: patent, claims 1-3 and FIG. 7; pprc-commands 7.2 (reading of step 702 as there).
"""

from collections import deque

from controller.remote_copy.pair import BoxName, Pair

MAX_QUEUE = 1024


class QueueFull(Exception):
    """The queue holds 1,024 entries."""


class SyncQueue:
    """Pairs waiting for a bridge, first come first served."""

    limit = MAX_QUEUE

    def __init__(self) -> None:
        self._entries: deque[Pair] = deque()
        self._selected: set[int] = set()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, pair: Pair) -> bool:
        return any(entry is pair for entry in self._entries)

    def append(self, pair: Pair) -> None:
        if len(self._entries) >= self.limit:
            raise QueueFull
        self._entries.append(pair)

    def put_back(self, pair: Pair) -> None:
        """To the head: its bridge failed while it was being copied, or had only selected it."""
        self.remove(pair)
        self._entries.appendleft(pair)

    def select(self, box: BoxName | None) -> Pair | None:
        """The first entry with its secondary in `box` that no bridge has selected yet.

        It stays queued until it is snapped (claims 2, 3).
        """
        for pair in self._entries:
            if pair.secondary.box == box and pair.pair_id not in self._selected:
                self._selected.add(pair.pair_id)
                return pair
        return None

    def remove(self, pair: Pair) -> None:
        """Take the pair out; nothing happens when it is not queued."""
        self._entries = deque(entry for entry in self._entries if entry is not pair)
        self._selected.discard(pair.pair_id)

    def pairs(self) -> list[Pair]:
        return list(self._entries)

    def position(self, pair: Pair) -> int:
        """1 = next, 0 = not queued."""
        return next((index for index, entry in enumerate(self._entries, 1) if entry is pair), 0)
