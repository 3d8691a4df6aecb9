"""Every ESCON constant in one place, so that a better source can correct it here and nowhere else.

No public text settles the ESCON code points; each group says where its values come from. Sizes are in bytes, masks are
of one byte, bit 0 is the high-order bit.
"""

from enum import IntEnum, IntFlag
from typing import NamedTuple

# --- delimiters -------------------------------------------------------------------------------------------------------
# Source: assumed, 8B/10B special characters recollected; no public document gives the pairs.
CONNECT_SOF = bytes.fromhex("3CFC")         # K28.1 K28.7
PASSIVE_SOF = bytes.fromhex("BCFC")         # K28.5 K28.7
PASSIVE_EOF = bytes.fromhex("DC9C3C")       # K28.6 K28.4 K28.1
DISCONNECT_EOF = bytes.fromhex("DC3C3C")    # K28.6 K28.1 K28.1
ABORT = bytes.fromhex("9C9C3C")             # K28.4 K28.4 K28.1, instead of an EOF

# --- sequences --------------------------------------------------------------------------------------------------------
# Source: assumed, recollected; each ordered set is K28.5 and the character below.
IDLE_SET = bytes.fromhex("BC")
NOT_OPERATIONAL_SET = bytes.fromhex("BC40")
OFFLINE_SET = bytes.fromhex("BC58")
UNCONDITIONAL_DISCONNECT_SET = bytes.fromhex("BC4F")
UNCONDITIONAL_DISCONNECT_RESPONSE_SET = bytes.fromhex("BC50")
# Source: assumed, the real number is not public.
ORDERED_SETS_TO_RECOGNISE = 8


class Sequence(IntEnum):
    """Sequences as the records of a byte stream name them. Source: assumed, defined by this project."""

    IDLE = 1
    OLS = 2         # offline
    NOS = 3         # not operational
    UD = 4          # unconditional disconnect
    UDR = 5         # unconditional-disconnect response


# --- records over a byte stream ---------------------------------------------------------------------------------------
# Source: assumed, defined by this project.
RECORD_FRAME = 0x01
RECORD_SEQUENCE = 0x02
RECORD_HEADER_LENGTH = 4


class RecordFlag(IntFlag):
    """Flags of a frame record. Source: assumed, defined by this project."""

    RESERVED_0 = 0x80
    RESERVED_1 = 0x40
    RESERVED_2 = 0x20
    RESERVED_3 = 0x10
    RESERVED_4 = 0x08
    ABORT = 0x04
    DISCONNECT = 0x02
    CONNECT = 0x01


# --- CRC --------------------------------------------------------------------------------------------------------------
class CrcParameters(NamedTuple):
    """A 16-bit CRC, most significant bit first, no reflection; sent high byte first."""

    polynomial: int
    initial: int
    final_xor: int


# Source: assumed, polynomial x^16+x^12+x^3+x+1 recollected; initial value and complement defined by this project.
CRC = CrcParameters(polynomial=0x100B, initial=0xFFFF, final_xor=0xFFFF)
CRC_CHECK = 0x4591          # CRC of b"123456789", computed
CRC_RESIDUE = 0xF6AA        # the register, not complemented, after data and CRC, computed

# --- sizes ------------------------------------------------------------------------------------------------------------
LINK_HEADER_LENGTH = 5
LINK_TRAILER_LENGTH = 2
FRAME_LENGTH_MIN = LINK_HEADER_LENGTH + LINK_TRAILER_LENGTH
DEVICE_HEADER_LENGTH = 4
INFORMATION_LENGTH_MAX = 1028       # 4-byte device header and a 1,024-byte block
# Source: assumed, defined by this project for links over a wide-area network: DIB code 0B.
WAN_INFORMATION_LENGTH_MAX = DEVICE_HEADER_LENGTH + 32768
SENSE_LENGTH_MAX = 32               # supplementary status

# --- link addresses ---------------------------------------------------------------------------------------------------
# Source: address range and the director's FE from IBM IOCP messages; 00 and FF assumed, outside that range.
LINK_ADDRESS_FIRST = 0x01
LINK_ADDRESS_LAST = 0xFE
DIRECTOR_LINK_ADDRESS = 0xFE
WHO_AM_I = 0x00                     # source of a facility that has no address yet
TO_WHOM_IT_MAY_CONCERN = 0xFF       # destination of acquire-link-address
LOGICAL_ADDRESS_RESERVED = 0xF0     # bits 0-3 of octets 1 and 3 are zero
# Source: assumed, defined by this project.
DEVICE_FRAME = 0x00                 # link control of a device frame


class LinkControl(IntEnum):
    """Function codes of link-control frames: bits 0-4 function, 5-6 zero, 7 one.

    Source: the first nine are FC-SB-3 code points (Wireshark dissector), assumed for ESCON; the others assumed,
    free code points chosen by this project.
    """

    ELP = 0x41      # establish logical path
    LPE = 0x51      # logical path established
    RLP = 0x49      # remove logical path
    LPR = 0x59      # logical path removed
    LACK = 0x61     # link-level acknowledgement
    LRJ = 0x11      # link-level reject
    LBY = 0x21      # link-level busy
    TIN = 0x09      # test initialisation
    TIR = 0x01      # test-initialisation result
    PRJ = 0x19      # port reject
    PBY = 0x29      # port busy
    SCN = 0x69      # state-change notification
    RID = 0x81      # request node identifier
    IDR = 0x89      # node-identifier response
    ALA = 0x91      # acquire link address
    LIR = 0x99      # link-incident report
    ILA = 0xA1      # invalid link address


class RemovedReason(IntEnum):
    """Reason of LPR, low four bits of P0. Source: FC-SB-3 code points, assumed for ESCON."""

    ANSWER_TO_REMOVE = 0
    OPTIONAL_FEATURE_CONFLICT = 1
    OUT_OF_RESOURCES = 2
    DEVICE_INITIALISATION_IN_PROGRESS = 3
    NO_SUCH_CONTROL_UNIT_IMAGE = 4


class RejectReason(IntEnum):
    """Reason of LRJ, low seven bits of P0. Source: 06 and 09 FC-SB-3 code points; the others assumed, recollected."""

    TRANSMISSION_ERROR = 0x01
    DESTINATION_ADDRESS_INVALID = 0x05
    LOGICAL_PATH_NOT_ESTABLISHED = 0x06
    RESERVED_FIELD_ERROR = 0x07
    UNRECOGNISED_LINK_CONTROL = 0x08
    PROTOCOL_ERROR = 0x09
    ACQUIRE_LINK_ADDRESS_ERROR = 0x0A
    UNRECOGNISED_DEVICE_LEVEL = 0x0B


class PortRejectReason(IntEnum):
    """Reason of PRJ. Source: assumed, numbers defined by this project."""

    ADDRESS_NOT_VALID = 0x01
    DESTINATION_UNDEFINED = 0x02
    DESTINATION_MALFUNCTION = 0x03
    COMMUNICATION_PROHIBITED = 0x04


class PortBusyReason(IntEnum):
    """Reason of PBY. Source: assumed, numbers defined by this project."""

    DESTINATION_BUSY = 0x01
    SOURCE_BUSY = 0x02


class StateChange(IntEnum):
    """P1 of SCN. Source: assumed, defined by this project."""

    NONE = 0
    BECAME_REACHABLE = 1
    BECAME_UNREACHABLE = 2


# Flags in P0-P1 of ELP and LPE. Source: FC-SB-3 code points; use in ESCON assumed.
CTC_CONNECTION_SUPPORTED = 0x0080
ENHANCED_CRC = 0x0001               # FICON only; ESCON sends zero

# --- device level -----------------------------------------------------------------------------------------------------


class Ifi(IntFlag):
    """Information-field identifier. Source: FC-SB-3 bits, assumed for ESCON; meaning of ES assumed."""

    RESERVED_0 = 0x80
    RESERVED_1 = 0x40
    RESERVED_2 = 0x20
    ADDRESS_SPECIFIC = 0x10
    SUPPLEMENTARY_STATUS = 0x08
    TYPE_4 = 0x04
    TYPE_2 = 0x02
    TYPE_1 = 0x01


IFI_TYPE_MASK = 0x07
IFI_RESERVED = 0xE0


class FrameType(IntEnum):
    """Low three bits of the IFI. Source: FC-SB-3 code points, assumed for ESCON."""

    DATA = 0
    COMMAND = 1
    STATUS = 2
    CONTROL = 3


class Dhf(IntFlag):
    """Device-header flags. Source: E, C, EE FC-SB-3 bits; R and DR assumed, positions defined by this project."""

    END = 0x80
    READY = 0x40
    DATA_REQUEST = 0x20
    CHAINING = 0x10
    EARLY_END = 0x08
    RESERVED_5 = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


class CommandCcwFlag(IntFlag):
    """CCW flags as a command DIB carries them. Source: FC-SB-3 bits, assumed for ESCON; CRR: long name unknown."""

    CD = 0x80
    CC = 0x40
    SLI = 0x20
    RESERVED_3 = 0x10
    CRR = 0x08
    RESERVED_5 = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


class CommandFlag(IntFlag):
    """Byte 7 of a command DIB. Source: FC-SB-3 bits, assumed for ESCON."""

    RESERVED_0 = 0x80
    RESERVED_1 = 0x40
    RESERVED_2 = 0x20
    DATA_CHAINING_UPDATE = 0x10
    CONTINUATION_OF_CHAINING = 0x08
    SYNCHRONOUS_RESPONSE = 0x04
    REX = 0x02
    SOLICIT_SUPPLEMENTARY_STATUS = 0x01


class StatusFlag(IntFlag):
    """Byte 0 of a status DIB; FFC (bits 0-2) is a number. Source: FC-SB-3 bits, assumed for ESCON."""

    FFC_4 = 0x80
    FFC_2 = 0x40
    FFC_1 = 0x20
    CHAINING_INDICATION = 0x10
    RESERVED_4 = 0x08
    COMMAND_RETRY = 0x04
    LONG_RECORD = 0x02
    RESIDUAL_VALID = 0x01


FFC_QUEUING_VALID = 1
FFC_RESETTING_EVENT = 2


class ControlFunction(IntEnum):
    """Byte 0 of a control DIB. Source: FC-SB-3 code points, assumed for ESCON; 60 and 90 assumed, its two gaps."""

    CONTROL_END = 0x00
    COMMAND_RESPONSE = 0x10
    STACK_STATUS = 0x20
    CANCEL = 0x30
    SYSTEM_RESET = 0x40
    SELECTIVE_RESET = 0x50
    REQUEST_CONNECT = 0x60
    REQUEST_STATUS = 0x70
    DEVICE_LEVEL_EXCEPTION = 0x80
    ACCEPT_COMMAND_RESPONSE = 0x90
    STATUS_ACCEPTED = 0xA0
    DEVICE_LEVEL_ACKNOWLEDGEMENT = 0xB0
    PURGE_PATH = 0xC1
    PURGE_PATH_RESPONSE = 0xD0


class SelectiveReset(IntFlag):
    """First parameter byte of selective reset. Source: FC-SB-3 bits; the byte that holds them assumed."""

    RC = 0x80
    RU = 0x10
    RO = 0x08


class ExceptionCode(IntEnum):
    """P1 of device-level exception. Source: 1 an FC-SB-3 code point; 2 assumed, defined by this project."""

    ADDRESS = 1
    PATH_GROUP_OR_STATE = 2


class PurgePathError(IntEnum):
    """P1 of purge path, and the response code of its answer (0: none). FICON only. Source: FC-SB-3 code points."""

    NOT_SUPPORTED = 0x00
    PROTOCOL_TIMEOUT = 0x01
    LINK_FAILURE = 0x02
    LOGICAL_PATH_TIMEOUT = 0x03             # responses only
    OFFLINE = 0x04
    FC_LINK_FAILURE = 0x05
    LENGTH_ERROR = 0x06
    LRC_ERROR = 0x07
    CRC_ERROR = 0x08
    IU_COUNT_ERROR = 0x09
    LINK_LEVEL_PROTOCOL_ERROR = 0x0A
    DEVICE_LEVEL_PROTOCOL_ERROR = 0x0B
    ABTS_RECEIVED = 0x0C
    CANCEL_TIMEOUT = 0x0D
    ABNORMAL_EXCHANGE_END = 0x0E
    PATH_NOT_ESTABLISHED = 0x0F             # responses only
    TEST_INITIALISATION_RESULT_ERROR = 0x10 # responses only


# Source: assumed, coding defined by this project; that a DIB size is agreed: IBM ESS host attachment guide.
DIB_CODE_ESCON = 6                  # 2 ** (6 + 4) = 1,024 bytes
DIB_CODE_MAX = 11                   # 32,768 bytes, wide-area links
# Source: IBM ESS host attachment guide (eight data requests outstanding); place in the frame assumed.
DATA_REQUESTS_EIGHT = 0x77          # read in the high nibble, write in the low one, each minus one
# Source: IBM ESS host attachment guide (pacing 02 asked on writes); place assumed.
PACING_DEFAULT = 2

# --- timers, seconds --------------------------------------------------------------------------------------------------
# Source: assumed, defined by this project.
LINK_TIMEOUT_S = 1.5
CONNECTION_RECOVERY_S = 0.1
ACQUIRE_LINK_ADDRESS_RETRY_S = 1.0
LOSS_OF_SYNC_S = 1.0


def data_block_length(dib_code: int) -> int:
    """Bytes of the largest data block that a DIB code allows: 0 (16 bytes) to 11 (32,768)."""
    return 1 << (dib_code + 4)
