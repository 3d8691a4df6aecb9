"""States and transition tables of pairs, paths and bridges.

Pair state bytes are the numbers host software shows (the fields LEVEL and STATE of CQUERY); their use as a
wire byte is inferred. Path status codes are the published PPRC path reason codes; 20-22 are project-defined.
Source: pprc-commands 2.7, 2.8, 2.9.
"""

from enum import Enum, IntEnum, auto


class PairState(IntEnum):
    """State byte of one side of a pair."""

    SIMPLEX = 0x00
    DUPLEX_PENDING = 0x01
    DUPLEX = 0x02
    SUSPENDED_PRIMARY_COMMAND = 0x03
    SUSPENDED_SECONDARY_COMMAND = 0x04
    SUSPENDED_BY_PRIMARY_CONTROL = 0x05  # secondary only
    SUSPENDED_INTERNAL = 0x06
    SUSPENDED_SECONDARY_SIMPLEX = 0x07  # primary only
    SUSPENDED_SECONDARY_INTERNAL = 0x08  # primary only
    SUSPENDED_POWER = 0x09
    SUSPENDED_FREEZE = 0x0A  # primary only

    @property
    def suspended(self) -> bool:
        return self >= PairState.SUSPENDED_PRIMARY_COMMAND


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
    RESTART = auto()


# (state class, event) -> next state. The suspended states share the rows written with SUSPENDED_INTERNAL.
# A missing row is an illegal request: the caller answers with the reason of `ILLEGAL`.
_P, _D, _S = PairState.DUPLEX_PENDING, PairState.DUPLEX, PairState.SUSPENDED_INTERNAL
NEXT: dict[tuple[PairState, PairEvent], PairState] = {
    (PairState.SIMPLEX, PairEvent.ESTABLISH_COPY): _P,
    (PairState.SIMPLEX, PairEvent.ESTABLISH_NOCOPY): _D,
    (_S, PairEvent.ESTABLISH_COPY): _P,
    (_S, PairEvent.RESYNC): _P,
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
    (_P, PairEvent.SECONDARY_ERROR): PairState.SUSPENDED_SECONDARY_INTERNAL,
    (_D, PairEvent.SECONDARY_ERROR): PairState.SUSPENDED_SECONDARY_INTERNAL,
    (_P, PairEvent.PRIMARY_ERROR): PairState.SUSPENDED_INTERNAL,
    (_D, PairEvent.PRIMARY_ERROR): PairState.SUSPENDED_INTERNAL,
    (_P, PairEvent.FREEZE): PairState.SUSPENDED_FREEZE,
    (_D, PairEvent.FREEZE): PairState.SUSPENDED_FREEZE,
    (_P, PairEvent.RESTART): _P,  # goes on when the bridge is back
    (_D, PairEvent.RESTART): PairState.SUSPENDED_POWER,  # duplex is never assumed after a restart
}


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


class PathStatus(IntEnum):
    """Path status codes of pprc-commands 2.7."""

    NONE = 0x00
    ESTABLISHED = 0x01
    INITIALISATION_FAILED = 0x02
    TIME_OUT = 0x03
    NO_RESOURCES_PRIMARY = 0x04
    NO_RESOURCES_SECONDARY = 0x05
    SERIAL_MISMATCH = 0x06
    SSID_MISMATCH = 0x07
    LINK_OFFLINE = 0x08
    RETRY_LATER = 0x09
    HOST_PATH_PRESENT = 0x0A
    SAME_CLUSTER = 0x0B
    CONFIGURATION_ERROR = 0x10


class BridgeRole(IntEnum):
    """Role of a bridge volume, as Define Bridge Volume (D8) names it."""

    UNDEFINED = 0x00
    PRIMARY_DATA = 0x01
    SECONDARY_DATA = 0x02
    PRIMARY_STATUS = 0x03
    SECONDARY_STATUS = 0x04


class BridgeState(IntEnum):
    """State byte of a bridge in the queue query (pprc-commands 4.13, scope 03)."""

    UNDEFINED = 0
    DEFINED = 1
    ESTABLISHING = 2
    IDLE = 3
    SNAPPING = 4
    COPYING = 5
    DRAINING = 6
    FAILED = 7


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
}


class Reason(IntEnum):
    """Reason codes in sense byte 8 with format 0 message F. Project-defined except 57 and 5A (pprc-commands 6.4)."""

    NOT_ENABLED = 0x40
    ALREADY_PRIMARY = 0x41
    ALREADY_SECONDARY = 0x42
    NOT_IN_PAIR = 0x43
    NOT_THE_ONE_NAMED = 0x44
    STATE = 0x45
    NO_PATH_SET = 0x46
    NO_WORKING_PATH = 0x47
    IDENTITY = 0x48
    GEOMETRY = 0x49
    SECONDARY_ONLINE = 0x4A
    SECONDARY_RESERVED = 0x4B
    BRIDGE_VOLUME = 0x4C
    NOT_DEFINED_AS_BRIDGE = 0x4D
    BRIDGE_NUMBER = 0x4E
    TWO_PATHS_NEEDED = 0x4F
    NO_STATUS_BRIDGE = 0x50
    QUEUE_FULL = 0x51
    SNAPSHOT_CONFLICT = 0x52
    FREEZE = 0x53
    RUN_WITHOUT_FREEZE = 0x54
    NOT_A_SECONDARY = 0x55
    VOLUME_SERIAL = 0x56
    CRITICAL = 0x57
    PATH_COUNT = 0x59
    PATHS_BLOCKED = 0x5A
    PEER_REFUSED = 0x5B
    PEER_TIME_OUT = 0x5C
    SEQUENCE_REPLAYED = 0x5D
    PATHS_IN_USE = 0x5E
    SAME_IMAGE = 0x5F
    BRIDGE_HEADER = 0x60
    BRIDGE_HEADER_CRC = 0x61
    NOT_THE_SECONDARY = 0x62
    SEQUENCE_GAP = 0x63
    DECOMPRESSION = 0x64
    TRACK_IMAGE = 0x65
    PAYLOAD_CRC = 0x66
    BRIDGE_NOT_ESTABLISHED = 0x67
    NO_CREDIT = 0x68
    DESTINATION_SUSPENDED = 0x69
    SPACE = 0x6A
    SNAPSHOT_ID = 0x6B
    STATUS_PACKET = 0x6C
