"""Information fields of link-control frames, node descriptor, link-incident record.

Information field, except IDR and LIR: P0 P1 P2 P3, then whatever the function adds. Missing bytes read as zero.

    function         P0 P1                                     P2 P3         then
    ELP, LPE         information flags                         CTC counter   on a PPRC path the 40-byte header
    LPR, LRJ         reason in P0                              0             -
    PRJ, PBY         reason in P0                              0             -
    LACK             P0 = assigned link address (answer to ALA) 0            -
    TIN, TIR         P1 = image number                         0             TIR: bitmap, one bit a logical path
    SCN              P0 = link address, P1 = escon.StateChange 0             -
    RLP, LBY, ALA, RID, ILA  0                                 0             -
    IDR              no P bytes: a node descriptor, 32 bytes
    LIR              no P bytes: a link-incident record, 100 bytes

Source: node descriptor and link-incident record: Linux, channel-subsystem driver; the rest assumed, FC-SB-3 positions
where it has them.
"""

from dataclasses import dataclass
from enum import IntFlag

from construct import Byte, Bytes, Int16ub, Struct

from ccw.errors import FormatError
from ccw.escon import LinkControl
from ccw.frames import Frame
from ccw.layout import Bits, Layout, Nested

PARAMETERS_LENGTH = 4
_WITHOUT_PARAMETERS = (LinkControl.IDR, LinkControl.LIR)


@dataclass(frozen=True, slots=True)
class LinkControlInfo:
    """Decoded information field. `parameters`: P0..P3 (zeros for IDR and LIR); `trailer`: what follows them."""

    parameters: bytes
    trailer: bytes

    @property
    def reason(self) -> int:
        """Reason of LPR, LRJ, PRJ, PBY: P0 without its high bit."""
        return self.parameters[0] & 0x7F


def link_control_frame(function: int, destination: int, source: int, parameters: bytes = b"\0\0\0\0",
                       trailer: bytes = b"") -> Frame:
    """A link-control frame in a connection of its own (connect-SOF, disconnect-EOF).

    IDR and LIR have no P bytes: `parameters` is left out. FormatError when `parameters` is not 4 bytes.
    """
    if len(parameters) != PARAMETERS_LENGTH:
        raise FormatError("link-control frame", "parameters are not 4 bytes", parameters)
    information = trailer if function in _WITHOUT_PARAMETERS else parameters + trailer
    return Frame(destination, source, int(function), information, connect=True, disconnect=True)


def decode_link_control(frame: Frame) -> LinkControlInfo:
    """P0..P3 and the rest of a link-control frame; missing bytes are zero. Never raises: any field has a reading."""
    if frame.link_control in _WITHOUT_PARAMETERS:
        return LinkControlInfo(bytes(PARAMETERS_LENGTH), frame.information)
    parameters = frame.information[:PARAMETERS_LENGTH]
    return LinkControlInfo(parameters.ljust(PARAMETERS_LENGTH, b"\0"), frame.information[PARAMETERS_LENGTH:])


def encode_path_bitmap(paths: set[int]) -> bytes:
    """The bitmap of TIR: 32 bytes, first bit = path 0. FormatError for a path outside 0..255."""
    bitmap = bytearray(32)
    for path in paths:
        if not 0 <= path <= 255:
            raise FormatError("TIR bitmap", f"path {path} outside 0..255", b"")
        bitmap[path >> 3] |= 0x80 >> (path & 7)
    return bytes(bitmap)


def decode_path_bitmap(bitmap: bytes) -> set[int]:
    """Numbers of the paths whose bit is on, in a bitmap of any length."""
    return {byte * 8 + bit for byte, value in enumerate(bitmap) for bit in range(8) if value & 0x80 >> bit}


class NodeFlag(IntFlag):
    """Byte 0 of a node descriptor. Bits 0-2 are a number: 0 valid, 1 outdated, 2 not valid."""

    VALIDITY_4 = 0x80
    VALIDITY_2 = 0x40
    VALIDITY_1 = 0x20
    NOT_A_DEVICE = 0x10
    RESERVED_4 = 0x08
    RESERVED_5 = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


@dataclass(frozen=True, slots=True)
class NodeDescriptor:
    """Who is at the other end of a link. Texts are plain strings; on the wire they are EBCDIC, code page 037."""

    flags: int
    parameters: bytes
    node_type: str
    model: str                      # 3
    manufacturer: str               # 3
    plant: str                      # 2
    sequence_number: str            # 12
    tag: int

    def encode(self) -> bytes:
        """32 bytes. FormatError when a field does not fit."""
        return NODE_DESCRIPTOR.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> "NodeDescriptor":
        """FormatError unless 32 bytes."""
        return NODE_DESCRIPTOR.decode(data)


def _node_from_fields(flags: int, parameters: bytes, node_type: bytes, model: bytes, manufacturer: bytes, plant: bytes,
                      sequence_number: bytes, tag: int) -> NodeDescriptor:
    return NodeDescriptor(flags, parameters, node_type.decode("cp037"), model.decode("cp037"),
                          manufacturer.decode("cp037"), plant.decode("cp037"), sequence_number.decode("cp037"), tag)


def _fields_of_node(node: NodeDescriptor) -> tuple[int | bytes, ...]:
    texts = (node.node_type, node.model, node.manufacturer, node.plant, node.sequence_number)
    try:
        return node.flags, node.parameters, *(text.encode("cp037") for text in texts), node.tag
    except UnicodeEncodeError as error:
        raise FormatError("node descriptor", f"not EBCDIC: {error.object!r}", b"") from error


NODE_DESCRIPTOR = Layout("node descriptor", _node_from_fields, Struct(
    "flags" / Bits(NodeFlag),                                                       # 0
    "parameters" / Bytes(3) * "3 bytes; the third is the CHPID of a channel node",  # 1-3
    "node_type" / Bytes(6) * "6 characters, '003990'",                              # 4-9
    "model" / Bytes(3),                                                             # 10-12
    "manufacturer" / Bytes(3),                                                      # 13-15
    "plant" / Bytes(2),                                                             # 16-17
    "sequence_number" / Bytes(12),                                                  # 18-29
    "tag" / Int16ub * "interface identifier, 2 bytes",                              # 30-31
), 32, _fields_of_node, describes=NodeDescriptor)


class IncidentQualifier(IntFlag):
    """Byte 0 of a link-incident record. Bits 4-5: 0 information, 1 degraded, 2 not operational."""

    NULL_RECORD = 0x80
    RESERVED_1 = 0x40
    RESERVED_2 = 0x20
    RESERVED_3 = 0x10
    CLASS_2 = 0x08
    CLASS_1 = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


@dataclass(frozen=True, slots=True)
class LinkIncident:
    """A link-incident record, 100 bytes."""

    qualifier: int
    code: int
    reserved_02: bytes
    incident_node: NodeDescriptor
    attached_node: NodeDescriptor
    specific: bytes                     # 32 bytes

    def encode(self) -> bytes:
        """100 bytes. FormatError when a field does not fit."""
        return LINK_INCIDENT.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> "LinkIncident":
        """FormatError unless 100 bytes."""
        return LINK_INCIDENT.decode(data)


LINK_INCIDENT = Layout("link-incident record", LinkIncident, Struct(
    "qualifier" / Bits(IncidentQualifier),      # 0
    "code" / Byte,                              # 1
    "reserved_02" / Bytes(2),                   # 2-3
    "incident_node" / Nested(NODE_DESCRIPTOR),  # 4-35
    "attached_node" / Nested(NODE_DESCRIPTOR),  # 36-67
    "specific" / Bytes(32),                     # 68-99
), 100)
