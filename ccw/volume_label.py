"""What an initialised volume holds: IPL records, volume label, and an empty table of contents (VTOC).

    cylinder 0 head 0   R1 key IPL1, 24 bytes: a PSW and two CCWs; R2 key IPL2, 144 zeros; R3 key VOL1, the label
    the next tracks     the VTOC: a format 4 DSCB that describes it, a format 5 DSCB with the free space, format 0 DSCBs
                        to the end of its last track. A DSCB is a record with a key of 44 bytes and 96 bytes of data

Text is EBCDIC (code page 037). A volume of more than 65,535 tracks has no valid format 5 DSCB: the flag in byte 14 of
the format 4 DSCB says so, and the operating system builds what it uses instead when it first allocates space.

Source: z/OS DFSMSdfp Advanced Services, DSCB formats 0, 4 and 5; label: DFSMS Using Magnetic Tapes and Data Sets.
Observed: volumes made by dasdinit and dasdload (Hercules 3.13). The IPL record of a volume that nobody can load, a
disabled wait PSW with code 0F and two no-operations, is defined by this project.
"""

from dataclasses import dataclass
from enum import IntFlag
from typing import Any

from construct import Byte, Bytes, Const, Int16ub, Struct

from ccw.geometry import CYLINDERS_BEFORE_EXTENDED, Geometry, track_address_bytes
from ccw.layout import Bits, Layout
from ccw.tracks import Record, build_track, standard_record_zero

DSCB_KEY_BYTES = 44
DSCB_DATA_BYTES = 96
VTOC_TRACK = 1
"""The first track of the VTOC, behind the label's."""
_FREE_EXTENTS_IN_KEY = 8
_TRACKS_IN_FORMAT_5 = 0xFFFF
_WAIT_PSW = bytes.fromhex("000A00000000000F")
_NO_OPERATIONS = bytes.fromhex("0300000020000001") * 2
_MODERN_TYPES = (0x3375, 0x3380, 0x3390, 0x9345)


def _layout(what: str, kind: type[Any], definition: Struct, size: int) -> Layout[Any]:
    """A layout of a dataclass whose fields have their own order: those with a usual value come last there."""
    names = tuple(part.name for part in definition.subcons if not isinstance(part.subcon, Const))
    return Layout(
        what,
        lambda *values: kind(**dict(zip(names, values, strict=True))),
        definition,
        size,
        lambda value: tuple(getattr(value, name) for name in names),
        describes=kind,
    )


@dataclass(frozen=True, slots=True)
class VolumeLabel:
    """A standard volume label, 80 bytes. `serial` and `owner` are EBCDIC, padded with blanks.

    vtoc_cc, vtoc_hh, vtoc_record: where the format 4 DSCB is.
    """

    serial: bytes
    vtoc_cc: int
    vtoc_hh: int
    vtoc_record: int
    owner: bytes
    security: int = 0x40
    reserved_16: bytes = b"\x40" * 21
    reserved_51: bytes = b"\x40" * 29

    def encode(self) -> bytes:
        """80 bytes."""
        return VOLUME_LABEL.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> "VolumeLabel":
        """FormatError unless 80 bytes that begin with VOL1."""
        label: VolumeLabel = VOLUME_LABEL.decode(data)
        return label


VOLUME_LABEL = _layout("volume label", VolumeLabel, Struct(
    "identifier" / Const("VOL1".encode("cp037")),   # 0-3
    "serial" / Bytes(6) * "EBCDIC",                 # 4-9
    "security" / Byte,                              # 10
    "vtoc_cc" / Int16ub,                            # 11-12
    "vtoc_hh" / Int16ub,                            # 13-14
    "vtoc_record" / Byte,                           # 15
    "reserved_16" / Bytes(21),                      # 16-36
    "owner" / Bytes(14) * "EBCDIC",                 # 37-50
    "reserved_51" / Bytes(29),                      # 51-79
), 80)  # fmt: skip


class VtocFlag(IntFlag):
    """Byte 14 of a format 4 DSCB."""

    NO_VALID_FORMAT_5 = 0x80
    RESERVED_40 = 0x40
    RESERVED_20 = 0x20
    STACKED = 0x10
    RESERVED_08 = 0x08
    IN_CONVERSION = 0x04
    RESERVED_02 = 0x02
    INDEXED = 0x01


@dataclass(frozen=True, slots=True)
class VtocDscb:
    """Data of a format 4 DSCB: the device and the extent of the VTOC."""

    free_dscbs: int
    flags: int
    cylinders: int
    heads: int
    track_length: int
    dscbs_per_track: int
    blocks_per_track: int
    device_flags: int
    first_cc: int
    first_hh: int
    last_cc: int
    last_hh: int
    highest_format_1: bytes = bytes(5)
    alternate: bytes = bytes(6)
    overhead: bytes = bytes(3)
    tolerance: int = 0
    extents: int = 1
    reserved_16: bytes = bytes(2)
    reserved_32: bytes = bytes(29)
    extent_type: int = 1
    extent_sequence: int = 0
    reserved_71: bytes = bytes(25)

    def encode(self) -> bytes:
        """96 bytes."""
        return VTOC_DSCB.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> "VtocDscb":
        """FormatError unless 96 bytes that begin with F4."""
        dscb: VtocDscb = VTOC_DSCB.decode(data)
        return dscb


VTOC_DSCB = _layout("format 4 DSCB", VtocDscb, Struct(
    "format" / Const(b"\xf4"),                                              # 0
    "highest_format_1" / Bytes(5) * "CCHHR of the last format 1 DSCB",      # 1-5
    "free_dscbs" / Int16ub,                                                 # 6-7
    "alternate" / Bytes(6) * "CCHH of the next alternate track, how many",  # 8-13
    "flags" / Bits(VtocFlag),                                               # 14
    "extents" / Byte,                                                       # 15
    "reserved_16" / Bytes(2),                                               # 16-17
    "cylinders" / Int16ub,                                                  # 18-19
    "heads" / Int16ub,                                                      # 20-21
    "track_length" / Int16ub,                                               # 22-23
    "overhead" / Bytes(3),                                                  # 24-26
    "device_flags" / Byte,                                                  # 27
    "tolerance" / Int16ub,                                                  # 28-29
    "dscbs_per_track" / Byte,                                               # 30
    "blocks_per_track" / Byte * "directory blocks",                         # 31
    "reserved_32" / Bytes(29),                                              # 32-60
    "extent_type" / Byte,                                                   # 61
    "extent_sequence" / Byte,                                               # 62
    "first_cc" / Int16ub,                                                   # 63-64
    "first_hh" / Int16ub,                                                   # 65-66
    "last_cc" / Int16ub,                                                    # 67-68
    "last_hh" / Int16ub,                                                    # 69-70
    "reserved_71" / Bytes(25),                                              # 71-95
), DSCB_DATA_BYTES)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FreeExtent:
    """An extent of a format 5 DSCB: from relative track `track`, full cylinders and further tracks."""

    track: int
    cylinders: int
    tracks: int


FREE_EXTENT = Layout("free extent", FreeExtent, Struct(
    "track" / Int16ub,      # 0-1
    "cylinders" / Int16ub,  # 2-3
    "tracks" / Byte,        # 4
), 5)  # fmt: skip


def volume_serial(text: str) -> bytes:
    """The 6 EBCDIC bytes of a volume serial. ValueError unless it is 1 to 6 capital letters, digits, $, # or @."""
    if not 0 < len(text) <= 6 or not all(sign in "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789$#@" for sign in text):
        raise ValueError(f"{text!r} is no volume serial: 1 to 6 capital letters, digits, $, # or @")
    return text.ljust(6).encode("cp037")


def initial_tracks(geometry: Geometry, serial: str, *, owner: str = "", vtoc_tracks: int = 0) -> dict[int, bytes]:
    """Track number -> image of all tracks of an initialised, empty volume that are not as if never written.

    `vtoc_tracks`: by default the rest of cylinder 0. Raises ValueError for a bad serial or owner, or a VTOC or volume
    of impossible size.
    """
    tracks = vtoc_tracks or geometry.heads - VTOC_TRACK
    if not 0 < tracks <= _primary_tracks(geometry) - VTOC_TRACK:
        raise ValueError(f"a VTOC of {tracks} tracks does not fit a volume of {geometry.tracks}")
    if geometry.cylinders > CYLINDERS_BEFORE_EXTENDED:
        raise ValueError(f"a volume of more than {CYLINDERS_BEFORE_EXTENDED:,} cylinders is not initialised here")
    if len(owner) > 14:
        raise ValueError(f"the owner {owner!r} has more than 14 characters")
    first = geometry.address_of(VTOC_TRACK)
    label = VolumeLabel(volume_serial(serial), first.cylinder, first.head, 1, owner.ljust(14).encode("cp037"))
    images = {0: _label_track(geometry, label)}
    per_track = geometry.records_per_track(DSCB_KEY_BYTES, DSCB_DATA_BYTES)
    for track in range(VTOC_TRACK, VTOC_TRACK + tracks):
        dscbs = [(bytes(DSCB_KEY_BYTES), bytes(DSCB_DATA_BYTES))] * per_track
        if track == VTOC_TRACK:
            dscbs[:2] = [_format_4(geometry, tracks, per_track), _format_5(geometry, VTOC_TRACK + tracks)]
        images[track] = _track(geometry, track, dscbs)
    return images


def _track(geometry: Geometry, track: int, records: list[tuple[bytes, bytes]]) -> bytes:
    """The image of a track of records given by key and data."""
    address = geometry.address_of(track)
    home = track_address_bytes(*address)
    made = [
        Record(home + bytes((number, len(key))) + len(data).to_bytes(2), key, data)
        for number, (key, data) in enumerate(records, 1)
    ]
    return build_track(*address, [standard_record_zero(*address), *made])


def _label_track(geometry: Geometry, label: VolumeLabel) -> bytes:
    records = [("IPL1", _WAIT_PSW + _NO_OPERATIONS), ("IPL2", bytes(144)), ("VOL1", label.encode())]
    return _track(geometry, 0, [(key.encode("cp037"), data) for key, data in records])


def _format_4(geometry: Geometry, vtoc_tracks: int, per_track: int) -> tuple[bytes, bytes]:
    first = geometry.address_of(VTOC_TRACK)
    last = geometry.address_of(VTOC_TRACK + vtoc_tracks - 1)
    dscb = VtocDscb(
        free_dscbs=vtoc_tracks * per_track - 2,
        flags=VtocFlag.NO_VALID_FORMAT_5 if _primary_tracks(geometry) > _TRACKS_IN_FORMAT_5 else 0,
        cylinders=geometry.primary_cylinders,
        heads=geometry.heads,
        track_length=geometry.family.track_length,
        dscbs_per_track=per_track,
        blocks_per_track=geometry.records_per_track(8, 256),
        device_flags=0x30 if geometry.device_type in _MODERN_TYPES else 0,
        first_cc=first.cylinder,
        first_hh=first.head,
        last_cc=last.cylinder,
        last_hh=last.head,
    )
    return b"\x04" * DSCB_KEY_BYTES, dscb.encode()


def _format_5(geometry: Geometry, first_free: int) -> tuple[bytes, bytes]:
    """Free space: one extent from `first_free` to the end of the volume, empty when a format 5 DSCB cannot say it."""
    free = FreeExtent(0, 0, 0)
    tracks = _primary_tracks(geometry)
    if first_free < tracks <= _TRACKS_IN_FORMAT_5:
        rest = -first_free % geometry.heads     # up to the next whole cylinder
        cylinders = (tracks - first_free - rest) // geometry.heads
        free = FreeExtent(first_free, cylinders, rest)
    key = b"\x05" * 4 + FREE_EXTENT.encode(free) + bytes(5 * (_FREE_EXTENTS_IN_KEY - 1))
    return key, b"\xf5" + bytes(DSCB_DATA_BYTES - 1)


def _primary_tracks(geometry: Geometry) -> int:
    return geometry.primary_cylinders * geometry.heads
