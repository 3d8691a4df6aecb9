"""Everything that happens in one simulated run, as a hash; the last of it as text, for whoever looks for a fault."""

import hashlib
from collections import deque
from collections.abc import Iterable
from struct import Struct

import trio

KEPT_LINES = 400
_TIME = Struct(">d")


class Trace:
    """Lines of (virtual time, what happened). Two runs are the same when their hashes are."""

    def __init__(self, keep: int | None = KEPT_LINES) -> None:
        """keep: how many lines are kept as text; None: all."""
        self._hash = hashlib.sha256()
        self.lines = 0
        self._last: deque[tuple[float, tuple[object, ...]]] = deque(maxlen=keep)

    def add(self, *what: object) -> None:
        """Note something that happened now."""
        words = tuple(map(str, what))
        self._note(" ".join(words).encode(), words)

    def sent(self, what: str, name: str, record: bytes) -> None:
        """Note what became of a record. There are so many of these that nothing is made text before somebody asks."""
        self._note(record, (what, name, record))

    def _note(self, data: bytes, what: tuple[object, ...]) -> None:
        now = trio.current_time()
        self._hash.update(_TIME.pack(now) + data)
        self.lines += 1
        self._last.append((now, what))

    @property
    def last(self) -> list[str]:
        """The lines that are kept; of a record its length and its beginning."""
        return [f"{when:.9f} {' '.join(_text(what))}" for when, what in self._last]

    @property
    def digest(self) -> str:
        """Hash over all lines so far."""
        return self._hash.hexdigest()


def _text(what: tuple[object, ...]) -> Iterable[str]:
    return (f"{len(word)} {word[:40].hex()}" if isinstance(word, bytes) else str(word) for word in what)
