"""Paths that are obtained for one chain and given back: who asks first is served first, by whatever path is free.

Source: pprc-commands 7.3 (request-connect on all good paths, the first grant wins).
"""

from collections import deque
from collections.abc import Callable

from controller.remote_copy.pair import BoxName
from controller.remote_copy.paths import PathEntry, PathTable

Grant = Callable[[PathEntry | None], None]  # None: no path works


class PathPool:
    """The paths of a box, each used by one chain at a time."""

    def __init__(self, paths: PathTable) -> None:
        self._paths = paths
        self._taken: set[int] = set()  # SAIDs
        self._waiting: deque[tuple[BoxName, Grant]] = deque()

    def obtain(self, box: BoxName, grant: Grant) -> None:
        """Call `grant` with a path to `box` when one is free; `release` must follow. With None when none works."""
        self._waiting.append((box, grant))
        self._serve()

    def release(self, entry: PathEntry) -> None:
        """The chain is over."""
        self._taken.discard(entry.said)
        self._serve()

    def _serve(self) -> None:
        for asked in list(self._waiting):
            if asked not in self._waiting:
                continue  # served by a grant within this loop
            box, grant = asked
            found = self._paths.get(box)
            good = found.good() if found is not None else []
            entry = next((path for path in good if path.said not in self._taken), None)
            if entry is None and good:
                continue  # all at work
            self._waiting.remove(asked)
            if entry is not None:
                self._taken.add(entry.said)
            grant(entry)
