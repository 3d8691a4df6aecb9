"""Control unit busy: more is accepted than is durable, so no new chain is taken until some of it is.

A path that is answered status modifier with busy (50) is owed control unit end (20). Source: eckd-commands 1.6, 5.3;
the limit is defined by this project.
"""

from __future__ import annotations

from controller.channel.api import PathId

UNHARDENED_MAX = 256  # outcomes that wait for the array or the other system


class ControlUnitBusy:
    """Counts what waits; remembers who was turned away, by path the unit address that was asked for."""

    def __init__(self, limit: int = UNHARDENED_MAX) -> None:
        self.limit = limit
        self._waiting = 0
        self._owed: dict[PathId, int] = {}

    def refuses(self, path: PathId, unit_address: int) -> bool:
        """True when no new chain can be taken; the path is owed control unit end then."""
        if self._waiting < self.limit:
            return False
        self._owed[path] = unit_address
        return True

    def entered(self) -> None:
        """One more outcome waits."""
        self._waiting += 1

    def left(self) -> tuple[tuple[PathId, int], ...]:
        """One waits no longer: return the paths and units to which control unit end is owed now, each once."""
        self._waiting -= 1
        if not self._owed or self._waiting >= self.limit:
            return ()
        owed, self._owed = tuple(self._owed.items()), {}
        return owed

    def forget(self, path: PathId) -> None:
        """The path was reset or is gone."""
        self._owed.pop(path, None)
