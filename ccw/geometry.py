"""Track addresses, device geometry, track capacity, sector numbers.

Cylinder and head, 4 bytes, in two packings:

    classic   CC = cylinder 0..65,535, HH = head
    extended  CC = low 16 bits of the cylinder; HH: bits 0-11 = its high 12 bits, bits 12-15 = head

The extended packing contains the classic one for up to 16 heads and 65,536 cylinders, so it is the default; drives with
more heads (3330, 2305) need the classic one.

Capacity is counted in cells. Records per track = floor(track cells / record cells); for mixed records the cells add up.
The factors F1..F8 are those that Read Device Characteristics hands to the host.

Source: eckd-commands 2.6-2.9: Linux DASD driver, Hercules device tables, DFSMS extended-address volumes. Alternate
cylinders of an emulated volume: assumed none, defined by this project.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from construct import Int16ub, Struct

from ccw.errors import FormatError
from ccw.layout import Layout, wrong_length

HEADS = 15
CYLINDERS_BEFORE_EXTENDED = 65_520      # cylinders below are track-managed space
NO_SECTOR = 0xFF


class Cchh(NamedTuple):
    """A track address. `cylinder` up to 28 bits, `head` up to 4 (classic: 16 and 16)."""

    cylinder: int
    head: int

    def pack(self) -> bytes:
        """4 bytes, extended packing. FormatError when a part does not fit."""
        cylinder, head = self
        if cylinder >> 28 or head >> 4:     # a negative number shifts to -1
            raise FormatError("CCHH", f"cylinder {cylinder} head {head} does not fit", b"")
        return ((cylinder & 0xFFFF) << 16 | cylinder >> 16 << 4 | head).to_bytes(4, "big")

    @classmethod
    def unpack(cls, data: bytes) -> "Cchh":
        """From 4 bytes, extended packing. FormatError on any other length."""
        if len(data) != 4:
            raise wrong_length("CCHH", data, 4)
        return cchh_of_halves(data[0] << 8 | data[1], data[2] << 8 | data[3])

    def pack_classic(self) -> bytes:
        """4 bytes, classic packing. FormatError when a part does not fit."""
        if self.cylinder >> 16 or self.head >> 16:
            raise FormatError("CCHH", f"cylinder {self.cylinder} head {self.head} does not fit", b"")
        return (self.cylinder << 16 | self.head).to_bytes(4, "big")

    @classmethod
    def unpack_classic(cls, data: bytes) -> "Cchh":
        """From 4 bytes, classic packing. FormatError on any other length."""
        if len(data) != 4:
            raise wrong_length("CCHH", data, 4)
        return cls(data[0] << 8 | data[1], data[2] << 8 | data[3])


def cchh_of_halves(cc: int, hh: int) -> Cchh:
    """Track address of two half-words in the extended packing."""
    return Cchh(cc | (hh & 0xFFF0) << 12, hh & 0x0F)


def halves_of_cchh(address: Cchh) -> tuple[int, int]:
    """The two half-words of a track address in the extended packing. FormatError when a part does not fit."""
    packed = address.pack()
    return packed[0] << 8 | packed[1], packed[2] << 8 | packed[3]


CCHH = Layout("CCHH", cchh_of_halves, Struct(
    "cc" / Int16ub,             # 0-1
    "hh" / Int16ub,             # 2-3
), 4, halves_of_cchh)


class CellFormula(NamedTuple):
    """How a record becomes cells: header + key area + data area, each in cells."""

    cell_length: int            # bytes
    record: int                 # cells of the count area and its gaps
    data: int                   # cells a data area costs besides its bytes
    key: int                    # cells a key area costs besides its bytes
    tail: int                   # bytes added to an area
    segment: int                # bytes a segment overhead costs; 0: no segments
    segment_length: int         # bytes of an area per segment

    def cells(self, key_length: int, data_length: int) -> int:
        """Cells of one record with a key of `key_length` and data of `data_length` bytes."""
        return (self.record + self.data + self._area(data_length)
                + (self.key + self._area(key_length) if key_length else 0))

    def _area(self, length: int) -> int:
        segments = -(-(length + self.tail) // self.segment_length) if self.segment else 0
        return -(-(length + self.segment * segments + self.tail) // self.cell_length)


class SectorFormula(NamedTuple):
    """Sector of a record = (first + cells before it) // cells_per_sector; record zero is at sector 0."""

    first: int
    cells_per_sector: int


class DeviceFamily(NamedTuple):
    """What all models of a device type share. Lengths in bytes."""

    device_type: int                    # packed digits, 0x3390
    track_cells: int
    cell_formula: CellFormula
    sectors: int
    sector_formula: SectorFormula | None
    track_length: int                   # RDC 17-19
    home_and_record_zero_length: int    # RDC 20-21
    capacity_formula: Literal[1, 2]     # RDC 22
    capacity_factors: bytes             # RDC 23-27
    factor_6: int                       # RDC 48
    factors_7_8: int                    # RDC 49-50
    record_zero_length_max: int         # RDC 44-45
    record_length_max: int              # largest R1
    image_slot_length: int              # a track in a plain CKD image file


_3390 = DeviceFamily(0x3390, 1729, CellFormula(34, 10, 9, 9, 6, 6, 232), 224, SectorFormula(49, 8), 58786, 1428, 2,
                     bytes.fromhex("2213090674"), 6, 0x7708, 57326, 56664, 56832)
_3380 = DeviceFamily(0x3380, 1499, CellFormula(32, 8, 7, 7, 12, 0, 0), 222, SectorFormula(39, 7), 47968, 1088, 1,
                     bytes.fromhex("2001EC00EC"), 0, 0x5007, 47988, 47476, 47616)
# Source: assumed, the image slot: home address, R0, largest R1 and end mark, rounded up to 512 as for the other two.
_9345 = DeviceFamily(0x9345, 1420, CellFormula(34, 18, 0, 7, 6, 6, 232), 213, None, 48280, 1184, 2,
                     bytes.fromhex("2212070674"), 6, 0x8B07, 48174, 46456, 46592)


@dataclass(frozen=True, slots=True)
class Geometry:
    """One device model with its number of cylinders. Lengths in bytes."""

    name: str
    family: DeviceFamily
    model: int                          # Sense ID byte 6, RDC 5
    type_code: int                      # RDC 11, 40 and 41
    cylinders: int                      # primary cylinders
    heads: int = HEADS
    alternate_cylinders: int = 0

    @property
    def device_type(self) -> int:
        """Packed digits: 0x3390."""
        return self.family.device_type

    @property
    def tracks(self) -> int:
        """Number of primary tracks."""
        return self.cylinders * self.heads

    @property
    def track_size(self) -> int:
        """Slot of one track in a plain CKD image file, also the longest track image, in bytes."""
        return self.family.image_slot_length

    @property
    def track_cells(self) -> int:
        """Cells of a track besides home address and record zero."""
        return self.family.track_cells

    @property
    def sectors(self) -> int:
        """Valid sectors are 0..sectors-1 and FF (do not position)."""
        return self.family.sectors

    def contains(self, address: Cchh) -> bool:
        """Is the track one of the primary tracks?"""
        return 0 <= address.cylinder < self.cylinders and 0 <= address.head < self.heads

    def track_of(self, address: Cchh) -> int:
        """Track number = cylinder * heads + head."""
        return address.cylinder * self.heads + address.head

    def address_of(self, track: int) -> Cchh:
        """Track address of a track number."""
        return Cchh(*divmod(track, self.heads))

    def cells(self, key_length: int, data_length: int) -> int:
        """Cells that one record takes. Lengths of key (0: no key area) and data in bytes."""
        return self.family.cell_formula.cells(key_length, data_length)

    def records_per_track(self, key_length: int, data_length: int) -> int:
        """How many equal records a track holds besides record zero."""
        return self.track_cells // self.cells(key_length, data_length)

    def record_bytes(self, key_length: int, data_length: int) -> int:
        """Track bytes one record takes, by the byte formula of RDC 22-27 (a host's way to the same figure)."""
        family = self.family
        if family.capacity_formula == 1:
            unit = family.capacity_factors[0]
            factor_2 = int.from_bytes(family.capacity_factors[1:3], "big")
            factor_3 = int.from_bytes(family.capacity_factors[3:5], "big")
            key = -(-(key_length + factor_3) // unit) * unit if key_length else 0
            return -(-(data_length + factor_2) // unit) * unit + key
        unit, factor_2, factor_3, factor_4, factor_5 = family.capacity_factors
        factor_6 = family.factor_6

        def area(factor: int, length: int) -> int:
            used = unit * factor + length + factor_6 + factor_4 * -(-(length + factor_6) // (2 * factor_5))
            return -(-used // unit) * unit

        return area(factor_2, data_length) + (area(factor_3, key_length) if key_length else 0)

    def sector_of(self, cells_before: int) -> int:
        """Sector of a record with `cells_before` cells of user records in front of it on its track.

        Devices whose formula is not known answer 0.
        """
        formula = self.family.sector_formula
        if formula is None:
            return 0
        return (formula.first + cells_before) // formula.cells_per_sector

    def sector_of_record(self, record: int, data_length: int) -> int:
        """Sector of the `record`th of equal records without key; record zero is at sector 0."""
        return self.sector_of((record - 1) * self.cells(0, data_length)) if record else 0


class Model(NamedTuple):
    """One device model. `alternate_cylinders`: what the real device has; emulated volumes have none."""

    name: str
    family: DeviceFamily
    model: int                          # Sense ID byte 6
    type_code: int                      # RDC byte 11
    cylinders_max: int
    alternate_cylinders: int


# Smallest first: a volume is the first model that holds its cylinders.
MODELS: dict[str, tuple[Model, ...]] = {
    "3390": (
        Model("3390-1", _3390, 0x02, 0x26, 1_113, 1),
        Model("3390-2", _3390, 0x06, 0x27, 2_226, 1),
        Model("3390-3", _3390, 0x0A, 0x24, 3_339, 1),
        Model("3390-9", _3390, 0x0C, 0x32, 10_017, 3),
        Model("3390-27", _3390, 0x0C, 0x32, 32_760, 3),
        Model("3390-54", _3390, 0x0C, 0x32, CYLINDERS_BEFORE_EXTENDED, 3),
        Model("3390-A", _3390, 0x0E, 0x32, 1_182_006, 0),
    ),
    "3380": (
        Model("3380-A", _3380, 0x02, 0x0E, 885, 1),
        Model("3380-D", _3380, 0x06, 0x0E, 885, 1),
        Model("3380-J", _3380, 0x16, 0x0E, 885, 1),
        Model("3380-E", _3380, 0x0A, 0x0E, 1_770, 2),
        Model("3380-K", _3380, 0x1E, 0x0E, 2_655, 3),
    ),
    "9345": (
        Model("9345-1", _9345, 0x04, 0x04, 1_440, 0),
        Model("9345-2", _9345, 0x04, 0x04, 2_156, 0),
    ),
}


def geometry_for(device_type: str, cylinders: int) -> Geometry:
    """The smallest model of "3390", "3380" or "9345" that holds `cylinders`.

    Raises ValueError for another device type, no cylinders, or more than the largest model has.
    """
    models = MODELS.get(device_type)
    if models is None:
        raise ValueError(f"device type {device_type!r} is none of {', '.join(MODELS)}")
    if cylinders < 1:
        raise ValueError(f"{cylinders} cylinders: a volume has at least one")
    for model in models:
        if cylinders <= model.cylinders_max:
            return Geometry(model.name, model.family, model.model, model.type_code, cylinders)
    raise ValueError(f"{cylinders} cylinders: a {device_type} has at most {models[-1].cylinders_max}")


def geometry_of(name: str, *, alternates: bool = False) -> Geometry:
    """A model by its name, "3390-3" for one, with all its cylinders, and its alternate ones if `alternates`.

    Raises ValueError for a name that no model has.
    """
    for model in (model for models in MODELS.values() for model in models):
        if model.name == name:
            return Geometry(model.name, model.family, model.model, model.type_code, model.cylinders_max,
                            alternate_cylinders=model.alternate_cylinders if alternates else 0)
    raise ValueError(f"no device model {name!r}")
