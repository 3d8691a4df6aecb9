"""Statuses that a control unit owes its channels, kept until they are accepted."""

from __future__ import annotations

from dataclasses import dataclass

from ccw.escon import StatusFlag
from ccw.frames import StatusFrame
from controller.channel.api import PathId
from controller.channel.control_unit_states import Chain, UnitKey


@dataclass(slots=True, eq=False)
class Owed:
    """A status to be presented in a connection of the control unit's own."""

    status: int
    sense: bytes = b""
    goes_on: bool = False  # the channel may answer with the next command of `chain`
    chain: Chain | None = None  # whose device end this is
    stacked: bool = False  # only when the channel asks, or has sent a command
    attempts: int = 0

    def frame(self, unit_address: int) -> StatusFrame:
        """The status as a frame; residual count not valid."""
        flags = int(StatusFlag.CHAINING_INDICATION) if self.goes_on else 0
        return StatusFrame(unit_address, self.status, flags, sense=self.sense, end=not self.goes_on)


class OwedQueue:
    """First owed, first presented; at most one item per path and unit, later statuses are added to it.

    Bounded by the number of paths times 256 unit addresses.
    """

    def __init__(self) -> None:
        self._items: dict[UnitKey, Owed] = {}

    def __len__(self) -> int:
        return len(self._items)

    def add(self, key: UnitKey, owed: Owed) -> None:
        """Queue a status, with what waits already for the same path and unit put into it."""
        waiting = self._items.get(key)
        if waiting is not None:
            owed.goes_on = False  # a status that says more than device end ends the chain
            owed.status |= waiting.status
            owed.sense = owed.sense or waiting.sense
            owed.chain = owed.chain or waiting.chain
        self._items[key] = owed

    def take_first(self) -> tuple[UnitKey, Owed] | None:
        """Remove and return the first that is not stacked."""
        for key, owed in self._items.items():
            if not owed.stacked:
                del self._items[key]
                return key, owed
        return None

    def take_for(self, path: PathId, unit_address: int | None) -> tuple[UnitKey, Owed] | None:
        """Remove and return what a unit owes a path, or (None) the first that any unit owes it."""
        for key, owed in self._items.items():
            if covers(path, unit_address, key):
                del self._items[key]
                return key, owed
        return None

    def unstack(self, path: PathId) -> None:
        """The channel of `path` takes statuses again."""
        for key, owed in self._items.items():
            if key[0] == path:
                owed.stacked = False
                owed.attempts = 0

    def discard(self, path: PathId, unit_address: int | None) -> None:
        """Forget what one unit, or (None) every unit, owes a path."""
        for key in [key for key in self._items if covers(path, unit_address, key)]:
            del self._items[key]

    def discard_chain(self, chain: Chain) -> None:
        """Forget the device end of a chain that is over."""
        owed = self._items.get(chain.key)
        if owed is not None and owed.chain is chain:
            del self._items[chain.key]


def covers(path: PathId, unit_address: int | None, key: UnitKey) -> bool:
    """Whether `key` is that unit on that path; unit None: any."""
    return key[0] == path and unit_address in (None, key[1])
