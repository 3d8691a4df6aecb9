"""The information field of every link-control function as a value with named fields.

    function         class               bytes        function         class             bytes
    ELP, LPE         PathRequest         4, or 44     SCN              StateChangeField  4
    LPR, LRJ         LinkReason          4            TIN              ImageNumber       4
    PRJ, PBY         LinkReason          4            TIR              TestResult        36
    LACK             AssignedAddress     4            IDR              NodeDescriptor    32
    RLP, LBY, ALA, RID, ILA  NoContent   4            LIR              LinkIncident      100

`link_control.py` reads any field (missing bytes as zero); here a field has exactly its length. Reserved bytes are kept.

Source: positions of FC-SB-3 where it has them (Wireshark dissector), assumed for ESCON; the others assumed, defined by
this project. Node descriptor and link-incident record: Linux.
"""

from __future__ import annotations

from dataclasses import dataclass

from construct import Byte, Bytes, Int16ub, Struct

from ccw.errors import FormatError
from ccw.escon import LinkControl
from ccw.layout import FixedFormat, Layout, wrong_length
from ccw.link_control import LinkIncident, NodeDescriptor, decode_path_bitmap, encode_path_bitmap
from ccw.pprc_header import HEADER_LENGTH, PPRC_HEADER, PprcHeader


@dataclass(frozen=True, slots=True)
class PathRequest:
    """ELP and LPE; on a PPRC path they carry the header of a PPRC order."""

    flags: int
    ctc_counter: int
    header: PprcHeader | None = None

    def encode(self) -> bytes:
        """4 or 44 bytes. FormatError when a field does not fit."""
        return PATH_REQUEST.encode(self) + (self.header.encode() if self.header is not None else b"")

    @classmethod
    def decode(cls, data: bytes) -> PathRequest:
        """FormatError unless 4 or 44 bytes."""
        if len(data) == PATH_REQUEST.size:
            return PATH_REQUEST.decode(data)
        if len(data) != PATH_REQUEST.size + HEADER_LENGTH:
            raise wrong_length("path request", data, PATH_REQUEST.size + (HEADER_LENGTH if len(data) > 4 else 0))
        head = PATH_REQUEST.decode(data[:4])
        return cls(head.flags, head.ctc_counter, PPRC_HEADER.decode(data[4:]))


PATH_REQUEST = Layout("path request", PathRequest, Struct(
    "flags" / Int16ub * "0080 CTC connection supported, 0001 enhanced CRC (FICON only)",    # 0-1
    "ctc_counter" / Int16ub,                                               # 2-3; on a PPRC path the header follows
), 4)


@dataclass(frozen=True, slots=True)
class LinkReason(FixedFormat):
    """LPR, LRJ, PRJ, PBY: why not. Which enumeration `code` belongs to is the function's: see escon.py."""

    reason: int
    reserved_01: int = 0
    reserved_02: bytes = bytes(2)

    @property
    def code(self) -> int:
        """The reason without its high bit."""
        return self.reason & 0x7F


LinkReason.LAYOUT = Layout("link reason", LinkReason, Struct(
    "reason" / Byte * "LPR: low 4 bits; LRJ: low 7 bits",                   # 0
    "reserved_01" / Byte,                                                   # 1
    "reserved_02" / Bytes(2),                                               # 2-3
), 4)


@dataclass(frozen=True, slots=True)
class AssignedAddress(FixedFormat):
    """LACK; the address only in the answer to ALA."""

    link_address: int
    reserved_01: bytes = bytes(3)


AssignedAddress.LAYOUT = Layout("assigned address", AssignedAddress, Struct(
    "link_address" / Byte * "00 when nothing is assigned",                  # 0
    "reserved_01" / Bytes(3),                                               # 1-3
), 4)


@dataclass(frozen=True, slots=True)
class ImageNumber(FixedFormat):
    """TIN, and the first four bytes of TIR."""

    image: int
    reserved_00: int = 0
    reserved_02: bytes = bytes(2)


ImageNumber.LAYOUT = Layout("image number", lambda reserved_00, image, reserved_02: ImageNumber(
    image, reserved_00, reserved_02), Struct(
    "reserved_00" / Byte,                                                   # 0
    "image" / Byte * "image number",                                        # 1
    "reserved_02" / Bytes(2),                                               # 2-3
), 4, lambda value: (value.reserved_00, value.image, value.reserved_02), describes=ImageNumber)


@dataclass(frozen=True, slots=True)
class TestResult:
    """TIR: the logical paths that are established, one bit each."""

    __test__ = False                # not for pytest

    image: ImageNumber
    paths: frozenset[int]

    def encode(self) -> bytes:
        """36 bytes. FormatError: a path outside 0..255, or a field that does not fit."""
        return self.image.encode() + encode_path_bitmap(set(self.paths))

    @classmethod
    def decode(cls, data: bytes) -> TestResult:
        """FormatError unless 36 bytes."""
        if len(data) != 36:
            raise wrong_length("test-initialisation result", data, 36)
        return cls(ImageNumber.decode(data[:4]), frozenset(decode_path_bitmap(data[4:])))


@dataclass(frozen=True, slots=True)
class StateChangeField(FixedFormat):
    """SCN: the state of a port has changed."""

    link_address: int
    change: int
    reserved_02: bytes = bytes(2)


StateChangeField.LAYOUT = Layout("state change", StateChangeField, Struct(
    "link_address" / Byte * "whose state changed",                          # 0
    "change" / Byte * "0 none, 1 became reachable, 2 became unreachable",   # 1
    "reserved_02" / Bytes(2),                                               # 2-3
), 4)


@dataclass(frozen=True, slots=True)
class NoContent(FixedFormat):
    """RLP, LBY, ALA, RID, ILA: nothing to say."""

    reserved_00: bytes = bytes(4)


NoContent.LAYOUT = Layout("no content", NoContent, Struct(
    "reserved_00" / Bytes(4),                                               # 0-3
), 4)

LinkControlField = (PathRequest | LinkReason | AssignedAddress | ImageNumber | TestResult | StateChangeField
                    | NoContent | NodeDescriptor | LinkIncident)

LINK_CONTROL_FIELDS: dict[int, type[LinkControlField]] = {
    LinkControl.ELP: PathRequest, LinkControl.LPE: PathRequest,
    LinkControl.RLP: NoContent, LinkControl.LPR: LinkReason,
    LinkControl.LACK: AssignedAddress, LinkControl.LRJ: LinkReason, LinkControl.LBY: NoContent,
    LinkControl.TIN: ImageNumber, LinkControl.TIR: TestResult,
    LinkControl.PRJ: LinkReason, LinkControl.PBY: LinkReason, LinkControl.SCN: StateChangeField,
    LinkControl.RID: NoContent, LinkControl.IDR: NodeDescriptor, LinkControl.ALA: NoContent,
    LinkControl.LIR: LinkIncident, LinkControl.ILA: NoContent,
}


def decode_link_control_field(function: int, information: bytes) -> LinkControlField:
    """The value of a link-control frame's information field. FormatError: unknown function, or not its length."""
    kind = LINK_CONTROL_FIELDS.get(function)
    if kind is None:
        raise FormatError("link-control frame", f"function {function:02X}", information)
    return kind.decode(information)
