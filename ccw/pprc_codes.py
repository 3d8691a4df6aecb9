"""What the code bytes of PPRC orders, queries and sense mean: states, path status, bridges, reasons.

Pair state bytes are the numbers host software shows (the fields LEVEL and STATE of CQUERY); their use as a wire byte
is assumed. Bridge roles, bridge states and the reasons other than 57 and 5A: assumed, defined by this project.

Source: IBM DS6000 path reason codes, z/OS CQUERY; pprc-commands 2.7, 2.8, 4.11, 4.13, 6.4.
"""

from enum import IntEnum


class PairState(IntEnum):
    """State byte of one side of a pair, in orders and queries (pprc-commands 2.8)."""

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


class PathStatus(IntEnum):
    """Status of a path. 00-1C: the published PPRC path reason codes, 13-1C of Fibre Channel; 20-22 assumed, this
    project's, for paths over a wide-area network (pprc-commands 2.7)."""

    NONE = 0x00
    ESTABLISHED = 0x01
    INITIALISATION_FAILED = 0x02        # too many link rejects of ELP or RID
    TIME_OUT = 0x03
    NO_RESOURCES_PRIMARY = 0x04         # for a further logical path
    NO_RESOURCES_SECONDARY = 0x05
    SERIAL_MISMATCH = 0x06              # or that of the logical subsystem
    SSID_MISMATCH = 0x07                # or the secondary's identity could not be read
    LINK_OFFLINE = 0x08                 # no light
    RETRY_LATER = 0x09                  # when conditions change
    HOST_PATH_PRESENT = 0x0A            # the port cannot become a channel
    SAME_CLUSTER = 0x0B
    CONFIGURATION_ERROR = 0x10
    FCP_ESTABLISHED = 0x13
    FCP_LINK_DOWN = 0x14
    FCP_RETRY_EXCEEDED = 0x15
    FCP_SECONDARY_NOT_CAPABLE = 0x16
    FCP_SECONDARY_NOT_AVAILABLE = 0x17
    FCP_PRIMARY_LOGIN_EXCEEDED = 0x18
    FCP_SECONDARY_LOGIN_EXCEEDED = 0x19
    FCP_PRIMARY_NOT_CONFIGURED = 0x1A
    FCP_DEGRADED = 0x1B
    FCP_REMOVED = 0x1C
    WAN_ESTABLISHED = 0x20
    WAN_REFUSED = 0x21
    WAN_LINK_DOWN = 0x22


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
