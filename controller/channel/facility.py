"""The link-level facility: which sequence answers which, and whether a connection exists.

```
  LINK_FAILURE --NOS/OLS--> OFFLINE/RECOVERY --UD/UDR--> INACTIVE <--connect/disconnect--> CONNECTED
  (sends NOS)               (OLS)    (UD)                (idle)                            |
        ^--- recovery given up ---------'^------------------- timeout: sends UD -----------'
```

WORKING_NO_ADDRESS stands beside INACTIVE: sequences are as there, but only link control is exchanged until the link
address is acquired (address.py). docs/reference/states.md draws the table.

Rules, numbered for the tests:
F1. NOS is answered by OLS, OLS by UD, UD by UDR, UDR by idle; idle ends a recovery.
F2. Receipt of NOS, OLS, UD, or UDR while CONNECTED drops the connection; so does a timeout.
F3. In LINK_FAILURE and OFFLINE no logical path exists; frames are discarded there and in RECOVERY.
F4. UD is repeated every `recovery_s`, at most `recovery_tries` times; then the state is LINK_FAILURE, where NOS is
    repeated every `sync_s`, as is OLS in OFFLINE.
F5. In WORKING_NO_ADDRESS no connection is made: CONNECT has no row.
Source: assumed, the minimum set that this project defines; the standard's chapters are not public.
"""

from __future__ import annotations

from enum import IntEnum, auto  # hashed in C: a frame looks several of them up
from typing import NamedTuple

from ccw.escon import Sequence
from controller.channel.api import LinkSettings


class LinkState(IntEnum):
    """State of the link as this end sees it."""

    LINK_FAILURE = auto()  # no signal, or none that can be understood
    OFFLINE = auto()  # the peer sees no signal from here
    RECOVERY = auto()  # unconditional disconnect under way
    INACTIVE = auto()  # no connection
    CONNECTED = auto()
    WORKING_NO_ADDRESS = auto()  # as inactive, but the link address is not acquired yet


class LinkEvent(IntEnum):
    """What can happen to the link level."""

    NOS = auto()
    OLS = auto()
    UD = auto()
    UDR = auto()
    IDLE = auto()
    ATTACH = auto()  # the medium is there
    DETACH = auto()  # the medium is gone
    CONNECT = auto()  # connect-SOF sent or accepted
    DISCONNECT = auto()  # disconnect-EOF sent or accepted
    TIMEOUT = auto()  # a frame that must follow did not
    GIVE_UP = auto()  # recovery was repeated often enough
    ADDRESS_NEEDED = auto()  # there is no link address, or it was declared invalid
    ADDRESS_ASSIGNED = auto()  # by a director, or by this end where there is none


class Step(NamedTuple):
    """One row: the next state and the sequence to send."""

    state: LinkState
    send: Sequence | None = None


_S, _E = LinkState, LinkEvent

_ANYWHERE: dict[LinkEvent, Step] = {
    _E.NOS: Step(_S.OFFLINE, Sequence.OLS),
    _E.OLS: Step(_S.RECOVERY, Sequence.UD),
    _E.UD: Step(_S.INACTIVE, Sequence.UDR),
    _E.ATTACH: Step(_S.INACTIVE, Sequence.IDLE),
    _E.DETACH: Step(_S.LINK_FAILURE),
    _E.GIVE_UP: Step(_S.LINK_FAILURE, Sequence.NOS),
}

TRANSITIONS: dict[tuple[LinkState, LinkEvent], Step] = {
    **{(state, event): step for state in LinkState for event, step in _ANYWHERE.items()},
    (_S.LINK_FAILURE, _E.UDR): Step(_S.LINK_FAILURE),
    (_S.LINK_FAILURE, _E.IDLE): Step(_S.LINK_FAILURE),
    (_S.OFFLINE, _E.UDR): Step(_S.OFFLINE),
    (_S.OFFLINE, _E.IDLE): Step(_S.OFFLINE),
    (_S.RECOVERY, _E.UDR): Step(_S.INACTIVE, Sequence.IDLE),
    (_S.RECOVERY, _E.IDLE): Step(_S.INACTIVE),
    (_S.INACTIVE, _E.UDR): Step(_S.INACTIVE, Sequence.IDLE),
    (_S.INACTIVE, _E.IDLE): Step(_S.INACTIVE),
    (_S.INACTIVE, _E.CONNECT): Step(_S.CONNECTED),
    (_S.INACTIVE, _E.DISCONNECT): Step(_S.INACTIVE),
    (_S.INACTIVE, _E.TIMEOUT): Step(_S.RECOVERY, Sequence.UD),
    (_S.CONNECTED, _E.UDR): Step(_S.INACTIVE, Sequence.IDLE),
    (_S.CONNECTED, _E.IDLE): Step(_S.CONNECTED),
    (_S.CONNECTED, _E.CONNECT): Step(_S.CONNECTED),
    (_S.CONNECTED, _E.DISCONNECT): Step(_S.INACTIVE),
    (_S.CONNECTED, _E.TIMEOUT): Step(_S.RECOVERY, Sequence.UD),
    (_S.INACTIVE, _E.ADDRESS_NEEDED): Step(_S.WORKING_NO_ADDRESS),
    (_S.CONNECTED, _E.ADDRESS_NEEDED): Step(_S.WORKING_NO_ADDRESS),
    (_S.WORKING_NO_ADDRESS, _E.ADDRESS_ASSIGNED): Step(_S.INACTIVE),
    (_S.WORKING_NO_ADDRESS, _E.UD): Step(_S.WORKING_NO_ADDRESS, Sequence.UDR),
    (_S.WORKING_NO_ADDRESS, _E.UDR): Step(_S.WORKING_NO_ADDRESS, Sequence.IDLE),
    (_S.WORKING_NO_ADDRESS, _E.IDLE): Step(_S.WORKING_NO_ADDRESS),
}

# The sequence that is repeated while the state lasts.
REPEATED: dict[LinkState, Sequence] = {
    _S.LINK_FAILURE: Sequence.NOS,
    _S.OFFLINE: Sequence.OLS,
    _S.RECOVERY: Sequence.UD,
}

RECEIVED: dict[Sequence, LinkEvent] = {
    Sequence.NOS: _E.NOS,
    Sequence.OLS: _E.OLS,
    Sequence.UD: _E.UD,
    Sequence.UDR: _E.UDR,
    Sequence.IDLE: _E.IDLE,
}


class Change(NamedTuple):
    """What an event did."""

    send: Sequence | None
    dropped: bool  # a connection that existed, or was being made, is gone
    down: bool  # logical paths are gone


class LinkFacility:
    """State of one end of a link. `attached` says whether there is a medium at all."""

    def __init__(self, settings: LinkSettings) -> None:
        self._settings = settings
        self.state = LinkState.LINK_FAILURE
        self.attached = False
        self._repeat_at: float | None = None
        self._repeats = 0

    @property
    def operational(self) -> bool:
        """Whether connections may exist."""
        return self.state in (LinkState.INACTIVE, LinkState.CONNECTED)

    @property
    def initialised(self) -> bool:
        """Whether frames are looked at; without a link address only link control is answered."""
        return self.operational or self.state is LinkState.WORKING_NO_ADDRESS

    @property
    def next_wake(self) -> float | None:
        """When `repeat` wants to be called."""
        return self._repeat_at

    def apply(self, event: LinkEvent, now: float) -> Change:
        """Advance; events without a row (a frame delimiter outside operation) change nothing."""
        if event is LinkEvent.ATTACH:
            self.attached = True
        elif event is LinkEvent.DETACH:
            self.attached = False
        before = self.state
        step = TRANSITIONS.get((before, event))
        if step is None:
            return Change(None, dropped=False, down=False)
        self.state = step.state
        if step.state is not before or event is LinkEvent.OLS:
            self._repeats = 0
        self._schedule(now)
        ended_by = (LinkEvent.UDR, LinkEvent.ADDRESS_NEEDED)
        dropped = event in _DROPPING or (event in ended_by and before is LinkState.CONNECTED)
        down = step.state in (LinkState.LINK_FAILURE, LinkState.OFFLINE) and before is not step.state
        return Change(step.send, dropped=dropped, down=down or event in _PATHS_GONE)

    def repeat(self, now: float) -> Change:
        """The time of `next_wake` has come: send the state's sequence again, or give the recovery up."""
        self._repeats += 1
        if self.state is LinkState.RECOVERY and self._repeats >= self._settings.recovery_tries:
            return self.apply(LinkEvent.GIVE_UP, now)
        self._schedule(now)
        return Change(REPEATED.get(self.state), dropped=False, down=False)

    def _schedule(self, now: float) -> None:
        if not self.attached or self.initialised:
            self._repeat_at = None
        elif self.state is LinkState.RECOVERY:
            self._repeat_at = now + self._settings.recovery_s
        else:
            self._repeat_at = now + self._settings.sync_s


_DROPPING = frozenset(
    {_E.NOS, _E.OLS, _E.UD, _E.ATTACH, _E.DETACH, _E.TIMEOUT, _E.GIVE_UP}
)
_PATHS_GONE = frozenset({_E.ATTACH, _E.OLS, _E.ADDRESS_NEEDED})
