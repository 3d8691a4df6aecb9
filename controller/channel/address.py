"""Acquiring a link address: ALA until somebody answers.

```
  NEEDED --ALA sent--> ASKING --LACK--> ASSIGNED (by the director)
             ^           |  '---LRJ 0A--> OWN (no director: both ends use what they are configured with)
             '--silence--'
```

Rules, numbered for the tests:
A1. ALA goes from "who am I" to "to whom it may concern", again every second until it is answered.
A2. LACK carries the address in P0 and makes it the only address of this end; nothing but invalid link address (ILA)
    takes it away.
A3. LRJ 0A says that there is no director: the configured addresses are used.
A4. ILA, or an initialisation of the link, makes everything start over.
Source: IBM, acquire-link-address procedure (US 5,276,813, EP 0 472 836); where the address sits is assumed.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from ccw import escon
from ccw.escon import LinkControl, RejectReason
from ccw.frames import Frame
from ccw.link_control import LinkControlInfo, link_control_frame
from controller.channel.timer import Timer


class AddressState(Enum):
    """How this end came by its link address."""

    CONFIGURED = auto()  # nobody is asked
    NEEDED = auto()
    ASKING = auto()  # ALA sent; LACK or LRJ must follow
    ASSIGNED = auto()  # by a director
    OWN = auto()  # there is no director


class AddressEvent(Enum):
    """What can happen to an address."""

    SENT = auto()
    LACK = auto()
    LRJ_0A = auto()
    SILENCE = auto()
    START_OVER = auto()  # ILA, or the link was initialised


_S, _E = AddressState, AddressEvent

TRANSITIONS: dict[tuple[AddressState, AddressEvent], AddressState] = {
    (_S.NEEDED, _E.SENT): _S.ASKING,
    (_S.ASKING, _E.LACK): _S.ASSIGNED,
    (_S.ASKING, _E.LRJ_0A): _S.OWN,
    (_S.ASKING, _E.SILENCE): _S.NEEDED,
    **{(state, _E.START_OVER): _S.NEEDED for state in _S if state is not _S.CONFIGURED},
}


class AddressAcquirer:
    """Keeps asking for a link address. `send` takes the frames; `acquire` False: the configured address is used."""

    def __init__(self, send: Callable[[Frame], None], acquire: bool, retry_s: float) -> None:
        self._send = send
        self._retry_s = retry_s
        self.state = AddressState.NEEDED if acquire else AddressState.CONFIGURED
        self.timer = Timer()

    @property
    def settled(self) -> bool:
        """There is an address to work with."""
        return self.state not in (AddressState.NEEDED, AddressState.ASKING)

    @property
    def acquired(self) -> bool:
        """Somebody was asked for the address and has answered."""
        return self.state in (AddressState.ASSIGNED, AddressState.OWN)

    @property
    def fixed(self) -> bool:
        """A director gave the address: no request of a peer changes it (A2)."""
        return self.state is AddressState.ASSIGNED

    def _apply(self, event: AddressEvent) -> bool:
        following = TRANSITIONS.get((self.state, event))
        if following is None:
            return False
        self.state = following
        return True

    def start_over(self) -> None:
        """The address is gone, if it was acquired at all (A4)."""
        self._apply(AddressEvent.START_OVER)
        self.timer.stop()

    def ask(self) -> None:
        """Send ALA if it is time to; the link is initialised."""
        if self._apply(AddressEvent.SENT):
            self._send(link_control_frame(LinkControl.ALA, escon.TO_WHOM_IT_MAY_CONCERN << 8, escon.WHO_AM_I << 8))
            self.timer.start(self._retry_s)

    def tick(self, now: float) -> None:
        """Arm the timer; after silence `ask` sends again (A1)."""
        if self.timer.expired(now):
            self._apply(AddressEvent.SILENCE)

    def answer(self, function: int, info: LinkControlInfo) -> int | None:
        """Take an answer to ALA: the address that was assigned, 0 for "use your own", None when it was no answer."""
        if function == LinkControl.LACK:
            address = info.parameters[0]
            valid = escon.LINK_ADDRESS_FIRST <= address <= escon.LINK_ADDRESS_LAST
            if not valid or not self._apply(AddressEvent.LACK):
                return None
        elif function == LinkControl.LRJ and info.reason == RejectReason.ACQUIRE_LINK_ADDRESS_ERROR:
            if not self._apply(AddressEvent.LRJ_0A):
                return None
            address = 0
        else:
            return None
        self.timer.stop()
        return address
