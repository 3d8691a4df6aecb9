"""Statuses that a control unit owes its channels, kept until they are accepted."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from ccw.ccws import UnitStatus
from ccw.escon import StatusFlag
from ccw.frames import StatusFrame
from controller.channel.api import PathId
from controller.channel.control_unit_states import Chain, UnitKey
from controller.channel.ending import device_end_goes_on, solicited_sense
from controller.commands.outcome import Outcome


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
    """First owed, first presented. For each path and unit at most two items: the device end of a chain, and what no
    chain asked for; later statuses are added to the item of their kind.

    The two are never put together, and the second waits while a chain is at work (`working`): its status would pass
    for the chain's device end. Bounded by twice the number of paths times 256 unit addresses.
    """

    def __init__(self, working: Container[UnitKey]) -> None:
        self._working = working
        self._items: dict[tuple[UnitKey, bool], Owed] = {}  # by unit, and whether a chain's

    def __len__(self) -> int:
        return len(self._items)

    def add(self, key: UnitKey, owed: Owed) -> None:
        """Queue a status, with what waits already of its kind for the same path and unit put into it."""
        place = key, owed.chain is not None
        waiting = self._items.get(place)
        if waiting is not None:
            owed.goes_on = False  # a status that says more than device end ends the chain
            owed.status |= waiting.status
            owed.sense = owed.sense or waiting.sense
        self._items[place] = owed

    def _may_go(self, place: tuple[UnitKey, bool]) -> bool:
        key, of_chain = place
        return of_chain or key not in self._working

    def take_first(self) -> tuple[UnitKey, Owed] | None:
        """Remove and return the first that is not stacked and may go."""
        for place, owed in self._items.items():
            if not owed.stacked and self._may_go(place):
                del self._items[place]
                return place[0], owed
        return None

    def take_for(self, path: PathId, unit_address: int | None) -> tuple[UnitKey, Owed] | None:
        """Remove and return what a unit owes a path, or (None) the first that any unit owes it."""
        for place, owed in self._items.items():
            if covers(path, unit_address, place[0]) and self._may_go(place):
                del self._items[place]
                return place[0], owed
        return None

    def take_attention(self, key: UnitKey) -> Owed | None:
        """Remove and return what a unit owes a path, if there is attention in it."""
        owed = self._items.get((key, False))
        if owed is None or not owed.status & UnitStatus.ATTENTION:
            return None
        return self._items.pop((key, False))

    def unstack(self, path: PathId) -> None:
        """The channel of `path` takes statuses again."""
        for (key, _), owed in self._items.items():
            if key[0] == path:
                owed.stacked = False
                owed.attempts = 0

    def discard(self, path: PathId, unit_address: int | None) -> None:
        """Forget what one unit, or (None) every unit, owes a path."""
        for place in [place for place in self._items if covers(path, unit_address, place[0])]:
            del self._items[place]

    def discard_chain(self, chain: Chain) -> None:
        """Forget the device end of a chain that is over."""
        owed = self._items.get((chain.key, True))
        if owed is not None and owed.chain is chain:
            del self._items[chain.key, True]


def owed_device_end(chain: Chain, outcome: Outcome) -> Owed:
    """Device end of a chain whose channel end was given."""
    goes_on = device_end_goes_on(chain.command, outcome)
    goes_on = goes_on or (chain.retrying and outcome.status == UnitStatus.DEVICE_END)
    return Owed(int(outcome.status), solicited_sense(chain.command, outcome), goes_on, chain)


def owed_stacked(chain: Chain) -> Owed:
    """The ending status of a chain, which the channel cannot take now, or the attention that was given with busy."""
    if chain.pending:
        pending, chain.pending = chain.pending, 0
        return Owed(pending, stacked=True)
    assert chain.last_status is not None
    return Owed(chain.last_status.unit_status, chain.last_status.sense, chain=chain, stacked=True)


def covers(path: PathId, unit_address: int | None, key: UnitKey) -> bool:
    """Whether `key` is that unit on that path; unit None: any."""
    return key[0] == path and unit_address in (None, key[1])
