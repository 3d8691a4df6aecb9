"""Transition tables of pairs and bridges; the states themselves are codes on the wire (ccw/pprc_codes.py).

`TABLE` is the one table of pairs: the controller moves along it and refuses by it, a test takes live systems through
every cell, and docs/reference/states.md is drawn from it. Source: pprc-commands 2.9.
"""

from enum import Enum, auto
from typing import NamedTuple

from ccw.pprc_codes import BridgeRole as BridgeRole
from ccw.pprc_codes import BridgeState as BridgeState
from ccw.pprc_codes import PairState as PairState
from ccw.pprc_codes import PathStatus as PathStatus
from ccw.pprc_codes import Reason as Reason

MAX_BRIDGES = 8


class PairEvent(Enum):
    """What can happen to a pair: orders of hosts to either side, and what the boxes meet."""

    ESTABLISH_COPY = auto()
    ESTABLISH_NOCOPY = auto()
    RESYNC = auto()
    ESTABLISH_XD = auto()
    RESYNC_XD = auto()
    GO_TO_SYNC = auto()
    SUSPEND_AT_PRIMARY = auto()
    SUSPEND_AT_SECONDARY = auto()
    HELD_AT_SECONDARY = auto()
    DELETE = auto()
    DELETE_WITHOUT_PATH = auto()
    RECOVER = auto()
    FAILOVER = auto()
    FAILBACK = auto()
    FREEZE = auto()
    RUN = auto()
    COPY_COMPLETE = auto()
    COMMUNICATION_LOST = auto()
    SECONDARY_SIMPLEX = auto()
    SECONDARY_ERROR = auto()
    PRIMARY_ERROR = auto()
    RESTART = auto()


class Cell(NamedTuple):
    """What an event makes of a pair. `primary`, `secondary`: the new states, None where the state stays.

    `reason`: the order is refused, with format 0 message F and this.
    """

    primary: PairState | None = None
    secondary: PairState | None = None
    reason: Reason | None = None


class Row(NamedTuple):
    """One event, by the state of the primary; None: it cannot happen there. All suspended states share a column."""

    simplex: Cell | None
    pending: Cell | None
    duplex: Cell | None
    suspended: Cell | None


def _refused(reason: Reason) -> Cell:
    return Cell(reason=reason)


_P, _D, _S = PairState.DUPLEX_PENDING, PairState.DUPLEX, PairState.SUSPENDED_INTERNAL
_STAYS, _COPY, _GONE = Cell(), Cell(_P, _P), Cell(PairState.SIMPLEX, PairState.SIMPLEX)
_STATE, _NO_PAIR, _BLOCKED = map(_refused, (Reason.STATE, Reason.NOT_IN_PAIR, Reason.PATHS_BLOCKED))
_SUSPENDED = Cell(PairState.SUSPENDED_PRIMARY_COMMAND, PairState.SUSPENDED_BY_PRIMARY_CONTROL)
_AT_SECONDARY = PairState.SUSPENDED_SECONDARY_COMMAND
_FROZEN = Cell(PairState.SUSPENDED_FREEZE)  # the secondary is not told
_RECOVERED = Cell(secondary=PairState.SIMPLEX)  # the primary hears of it later: SECONDARY_SIMPLEX
_FAILED_OVER = Cell(secondary=PairState.SUSPENDED_PRIMARY_COMMAND)  # a primary from now on
_FAILED = Cell(_S, _S)  # the secondary is told where a path works
_SIMPLEX_THERE = Cell(PairState.SUSPENDED_SECONDARY_SIMPLEX, PairState.SIMPLEX)
_ERROR_THERE = Cell(PairState.SUSPENDED_SECONDARY_INTERNAL, _S)
TABLE: dict[PairEvent, Row] = {
    PairEvent.ESTABLISH_COPY: Row(_COPY, _STATE, _STATE, _COPY),
    PairEvent.ESTABLISH_NOCOPY: Row(Cell(_D, _D), _STATE, _STATE, _STATE),
    PairEvent.RESYNC: Row(_NO_PAIR, _STATE, _STAYS, _COPY),
    PairEvent.ESTABLISH_XD: Row(_COPY, _STATE, _STATE, _COPY),
    PairEvent.RESYNC_XD: Row(_NO_PAIR, _STATE, _STATE, _COPY),
    PairEvent.GO_TO_SYNC: Row(None, _STAYS, None, None),  # of a pair that is pending with extended distance
    PairEvent.SUSPEND_AT_PRIMARY: Row(_NO_PAIR, _SUSPENDED, _SUSPENDED, _STAYS),
    PairEvent.SUSPEND_AT_SECONDARY: Row(
        _NO_PAIR, Cell(_AT_SECONDARY, _AT_SECONDARY), Cell(_AT_SECONDARY, _AT_SECONDARY), Cell(None, _AT_SECONDARY)
    ),
    # A primary that would go on by itself after a failure finds that its secondary was suspended by command.
    PairEvent.HELD_AT_SECONDARY: Row(None, None, None, Cell(_AT_SECONDARY, _AT_SECONDARY)),
    PairEvent.DELETE: Row(_NO_PAIR, _GONE, _GONE, _GONE),
    PairEvent.DELETE_WITHOUT_PATH: Row(_NO_PAIR, _BLOCKED, _BLOCKED, _BLOCKED),
    PairEvent.RECOVER: Row(_refused(Reason.NOT_A_SECONDARY), _RECOVERED, _RECOVERED, _RECOVERED),
    PairEvent.FAILOVER: Row(_NO_PAIR, _FAILED_OVER, _FAILED_OVER, _FAILED_OVER),
    PairEvent.FAILBACK: Row(_NO_PAIR, _STATE, _STATE, _COPY),
    PairEvent.FREEZE: Row(_STAYS, _FROZEN, _FROZEN, _STAYS),
    PairEvent.RUN: Row(_STAYS, _STAYS, _STAYS, _STAYS),
    PairEvent.COPY_COMPLETE: Row(None, Cell(_D, _D), None, None),
    PairEvent.COMMUNICATION_LOST: Row(None, _FAILED, _FAILED, _STAYS),
    PairEvent.SECONDARY_SIMPLEX: Row(None, _SIMPLEX_THERE, _SIMPLEX_THERE, _SIMPLEX_THERE),
    PairEvent.SECONDARY_ERROR: Row(None, _ERROR_THERE, _ERROR_THERE, _STAYS),
    PairEvent.PRIMARY_ERROR: Row(None, _FAILED, _FAILED, _STAYS),
    # A pending pair goes on when the bridge is back; duplex is never assumed after a restart.
    PairEvent.RESTART: Row(None, _STAYS, Cell(PairState.SUSPENDED_POWER), _STAYS),
}
_COLUMNS = {PairState.SIMPLEX: 0, _P: 1, _D: 2}
# The primary's side of it as arrows; those of suspended states are written once, with SUSPENDED_INTERNAL.
NEXT: dict[tuple[PairState, PairEvent], PairState] = {
    (state, event): cell.primary
    for event, row in TABLE.items()
    for state, cell in zip((PairState.SIMPLEX, _P, _D, _S), row, strict=True)
    if cell is not None and cell.primary is not None
}


FAILED = frozenset({PairState.SUSPENDED_INTERNAL, PairState.SUSPENDED_SECONDARY_INTERNAL, PairState.SUSPENDED_POWER})
# what a primary shows that no command has suspended

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
    """Something that the pair's state does not allow. `reason`: what a host hears that ordered it."""

    def __init__(self, state: PairState, event: PairEvent, reason: Reason) -> None:
        self.state = state
        self.event = event
        self.reason = reason
        super().__init__(f"{event.name} in state {state.name}")


def next_state(state: PairState, event: PairEvent) -> PairState:
    """The state of the primary after `event`. Raises IllegalTransition."""
    cell = TABLE[event][_COLUMNS.get(state, 3)]
    if cell is None or cell.reason is not None:
        raise IllegalTransition(state, event, Reason.STATE if cell is None or cell.reason is None else cell.reason)
    return state if cell.primary is None else cell.primary


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
