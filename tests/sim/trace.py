"""Everything that happens in one simulated run, as a hash; the last of it as text, for whoever looks for a fault."""

import hashlib
from collections import deque

import trio

KEPT_LINES = 400


class Trace:
    """Lines of (virtual time, what happened). Two runs are the same when their hashes are."""

    def __init__(self, keep: int | None = KEPT_LINES) -> None:
        """keep: how many lines are kept as text; None: all."""
        self._hash = hashlib.sha256()
        self.lines = 0
        self.last: deque[str] = deque(maxlen=keep)

    def add(self, *what: object) -> None:
        """Note something that happened now."""
        line = f"{trio.current_time():.9f} {' '.join(map(str, what))}"
        self._hash.update(line.encode() + b"\n")
        self.lines += 1
        self.last.append(line)

    @property
    def digest(self) -> str:
        """Hash over all lines so far."""
        return self._hash.hexdigest()
