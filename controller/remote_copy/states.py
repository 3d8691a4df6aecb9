"""Transition tables of pairs and bridges; the states themselves are codes on the wire (ccw/pprc_codes.py).

Source: pprc-commands 2.9.
"""

from enum import Enum, auto

from ccw.pprc_codes import BridgeRole as BridgeRole
from ccw.pprc_codes import BridgeState as BridgeState
from ccw.pprc_codes import PairState as PairState
from ccw.pprc_codes import PathStatus as PathStatus
from ccw.pprc_codes import Reason as Reason

MAX_BRIDGES = 8


class PairEvent(Enum):
    """What can happen to the primary side of a pair."""

    ESTABLISH_COPY = auto()
    ESTABLISH_NOCOPY = auto()
    RESYNC = auto()
    COPY_COMPLETE = auto()
    SUSPEND_AT_PRIMARY = auto()
    SUSPEND_AT_SECONDARY = auto()
    DELETE = auto()
    COMMUNICATION_LOST = auto()
    SECONDARY_SIMPLEX = auto()
    SECONDARY_ERROR = auto()
    PRIMARY_ERROR = auto()
    FREEZE = auto()
    FAILBACK = auto()
    RESTART = auto()


# (state class, event) -> next state. The suspended states share the rows written with SUSPENDED_INTERNAL.
# A missing row is an illegal request: the caller answers with the reason of `ILLEGAL`.
_P, _D, _S = PairState.DUPLEX_PENDING, PairState.DUPLEX, PairState.SUSPENDED_INTERNAL
NEXT: dict[tuple[PairState, PairEvent], PairState] = {
    (PairState.SIMPLEX, PairEvent.ESTABLISH_COPY): _P,
    (PairState.SIMPLEX, PairEvent.ESTABLISH_NOCOPY): _D,
    (_S, PairEvent.ESTABLISH_COPY): _P,
    (_S, PairEvent.RESYNC): _P,
    (_S, PairEvent.FAILBACK): _P,
    (_D, PairEvent.RESYNC): _D,  # no action
    (_P, PairEvent.COPY_COMPLETE): _D,
    (_P, PairEvent.SUSPEND_AT_PRIMARY): PairState.SUSPENDED_PRIMARY_COMMAND,
    (_D, PairEvent.SUSPEND_AT_PRIMARY): PairState.SUSPENDED_PRIMARY_COMMAND,
    (_P, PairEvent.SUSPEND_AT_SECONDARY): PairState.SUSPENDED_SECONDARY_COMMAND,
    (_D, PairEvent.SUSPEND_AT_SECONDARY): PairState.SUSPENDED_SECONDARY_COMMAND,
    (_P, PairEvent.DELETE): PairState.SIMPLEX,
    (_D, PairEvent.DELETE): PairState.SIMPLEX,
    (_S, PairEvent.DELETE): PairState.SIMPLEX,
    (_P, PairEvent.COMMUNICATION_LOST): PairState.SUSPENDED_INTERNAL,
    (_D, PairEvent.COMMUNICATION_LOST): PairState.SUSPENDED_INTERNAL,
    (_P, PairEvent.SECONDARY_SIMPLEX): PairState.SUSPENDED_SECONDARY_SIMPLEX,
    (_D, PairEvent.SECONDARY_SIMPLEX): PairState.SUSPENDED_SECONDARY_SIMPLEX,
    (_S, PairEvent.SECONDARY_SIMPLEX): PairState.SUSPENDED_SECONDARY_SIMPLEX,
    (_P, PairEvent.SECONDARY_ERROR): PairState.SUSPENDED_SECONDARY_INTERNAL,
    (_D, PairEvent.SECONDARY_ERROR): PairState.SUSPENDED_SECONDARY_INTERNAL,
    (_P, PairEvent.PRIMARY_ERROR): PairState.SUSPENDED_INTERNAL,
    (_D, PairEvent.PRIMARY_ERROR): PairState.SUSPENDED_INTERNAL,
    (_P, PairEvent.FREEZE): PairState.SUSPENDED_FREEZE,
    (_D, PairEvent.FREEZE): PairState.SUSPENDED_FREEZE,
    (_P, PairEvent.RESTART): _P,  # goes on when the bridge is back
    (_D, PairEvent.RESTART): PairState.SUSPENDED_POWER,  # duplex is never assumed after a restart
}


ERRORS = frozenset(
    {
        PairEvent.COMMUNICATION_LOST,
        PairEvent.SECONDARY_SIMPLEX,
        PairEvent.SECONDARY_ERROR,
        PairEvent.PRIMARY_ERROR,
        PairEvent.RESTART,
    }
)  # what takes a pair out of duplex without a command to it


class IllegalTransition(Exception):
    """A request that the pair's state does not allow."""

    def __init__(self, state: PairState, event: PairEvent) -> None:
        self.state = state
        self.event = event
        super().__init__(f"{event.name} in state {state.name}")


def next_state(state: PairState, event: PairEvent) -> PairState:
    """The state after `event`. A suspended pair keeps its code for events that have no row of its own.

    Raises IllegalTransition.
    """
    row = PairState.SUSPENDED_INTERNAL if state.suspended else state
    if (row, event) in NEXT:
        return NEXT[row, event]
    if state.suspended and event not in (PairEvent.ESTABLISH_NOCOPY, PairEvent.COPY_COMPLETE):
        return state
    raise IllegalTransition(state, event)


BRIDGE_NEXT: dict[tuple[BridgeState, str], BridgeState] = {
    (BridgeState.UNDEFINED, "define"): BridgeState.DEFINED,
    (BridgeState.DEFINED, "establish"): BridgeState.ESTABLISHING,
    (BridgeState.FAILED, "establish"): BridgeState.ESTABLISHING,
    (BridgeState.ESTABLISHING, "ready"): BridgeState.IDLE,
    (BridgeState.ESTABLISHING, "fail"): BridgeState.DEFINED,
    (BridgeState.IDLE, "select"): BridgeState.SNAPPING,
    (BridgeState.SNAPPING, "copy"): BridgeState.COPYING,
    (BridgeState.COPYING, "snap"): BridgeState.SNAPPING,
    (BridgeState.COPYING, "drain"): BridgeState.DRAINING,
    (BridgeState.DRAINING, "snap"): BridgeState.SNAPPING,
    (BridgeState.SNAPPING, "release"): BridgeState.IDLE,
    (BridgeState.COPYING, "release"): BridgeState.IDLE,
    (BridgeState.DRAINING, "release"): BridgeState.IDLE,
    (BridgeState.IDLE, "fail"): BridgeState.FAILED,
    (BridgeState.SNAPPING, "fail"): BridgeState.FAILED,
    (BridgeState.COPYING, "fail"): BridgeState.FAILED,
    (BridgeState.DRAINING, "fail"): BridgeState.FAILED,
    (BridgeState.FAILED, "end"): BridgeState.DEFINED,
}
