"""Track addresses, device geometry, track capacity, sector numbers.

Cylinder and head, 4 bytes, in two packings:

    classic   CC = cylinder 0..65,535, HH = head
    extended  CC = low 16 bits of the cylinder; HH: bits 0-11 = its high 12 bits, bits 12-15 = head

The extended packing contains the classic one for up to 16 heads and 65,536 cylinders, so it is the default; drives with
more heads (3330, 2305) need the classic one.

Capacity is counted in cells, which are bytes on the devices before the 3380 (capacity.py). The factors F1..F8 are those
that Read Device Characteristics hands to the host.

Source: eckd-commands 2.6-2.9, older-ckd-devices 1: Linux DASD driver, Hercules device tables, DFSMS extended-address
volumes. A volume that has exactly the primary and the alternate cylinders of its model has the alternates; any other
has none: defined by this project, observed with an ICKDSF recording of a 3390-1 of 1,114 cylinders.
"""

from dataclasses import dataclass
from typing import NamedTuple

from construct import Int16ub, Struct

from ccw.device_models import CYLINDERS_BEFORE_EXTENDED, HEADS, MODELS, DeviceFamily, Model
from ccw.errors import FormatError
from ccw.layout import Layout, wrong_length

__all__ = [
    "CCHH",
    "CYLINDERS_BEFORE_EXTENDED",
    "HEADS",
    "MODELS",
    "NO_SECTOR",
    "Cchh",
    "DeviceFamily",
    "Geometry",
    "Model",
    "cchh_of_halves",
    "geometry_for",
    "geometry_of",
    "halves_of_cchh",
    "track_address_bytes",
]

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


def track_address_bytes(cylinder: int, head: int) -> bytes:
    """The 4 bytes CCHH of a track of any device: classic where the head needs more than 4 bits, else extended.

    FormatError when a part fits neither.
    """
    address = Cchh(cylinder, head)
    return address.pack_classic() if head > 0xF else address.pack()


CCHH = Layout("CCHH", cchh_of_halves, Struct(
    "cc" / Int16ub,             # 0-1
    "hh" / Int16ub,             # 2-3
), 4, halves_of_cchh)


@dataclass(frozen=True, slots=True)
class Geometry:
    """One device model with its number of cylinders. Lengths in bytes.

    `cylinders` are all that the volume has, of which the last `alternate_cylinders` are for alternate tracks.
    """

    name: str
    family: DeviceFamily
    model: int                          # Sense ID byte 6, RDC 5
    type_code: int                      # RDC 11, 40 and 41
    cylinders: int
    heads: int = HEADS
    alternate_cylinders: int = 0
    cylinder_shift: int = 4             # of the high cylinder bits in sense byte 6

    @property
    def device_type(self) -> int:
        """Packed digits: 0x3390."""
        return self.family.device_type

    @property
    def primary_cylinders(self) -> int:
        """The cylinders that are not for alternate tracks."""
        return self.cylinders - self.alternate_cylinders

    @property
    def tracks(self) -> int:
        """Number of tracks, alternate ones included."""
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
        """Is the track on the volume, be it primary or alternate?"""
        return 0 <= address.cylinder < self.cylinders and 0 <= address.head < self.heads

    def track_of(self, address: Cchh) -> int:
        """Track number = cylinder * heads + head."""
        return address.cylinder * self.heads + address.head

    def address_of(self, track: int) -> Cchh:
        """Track address of a track number."""
        return Cchh(*divmod(track, self.heads))

    def address_in(self, data: bytes) -> Cchh:
        """The track address in 4 bytes CCHH as this device reads them: classic with more than 16 heads."""
        return Cchh.unpack_classic(data) if self.heads > 16 else Cchh.unpack(data)

    def cells(self, key_length: int, data_length: int) -> int:
        """Cells that one record takes when another follows. Lengths of key (0: no key area) and data in bytes."""
        return self.family.cell_formula.used(key_length, data_length)

    def last_cells(self, key_length: int, data_length: int) -> int:
        """Cells that one record takes as the last of its track."""
        return self.family.cell_formula.last(key_length, data_length)

    def records_per_track(self, key_length: int, data_length: int) -> int:
        """How many equal records a track holds besides record zero."""
        rest = self.track_cells - self.last_cells(key_length, data_length)
        return 0 if rest < 0 else rest // self.cells(key_length, data_length) + 1

    def record_bytes(self, key_length: int, data_length: int) -> int:
        """Track bytes one record takes, by the byte formula of RDC 22-27 (a host's way to the same figure)."""
        family = self.family
        if family.capacity_formula == 0:
            return self.cells(key_length, data_length)
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


def geometry_for(device_type: str, cylinders: int) -> Geometry:
    """The smallest model of "3390", "3330" or another device type that holds `cylinders`.

    Exactly the primary and alternate cylinders of a model are that model with its alternates.
    Raises ValueError for another device type, no cylinders, or more than the largest model has.
    """
    models = MODELS.get(device_type)
    if models is None:
        raise ValueError(f"device type {device_type!r} is none of {', '.join(MODELS)}")
    if cylinders < 1:
        raise ValueError(f"{cylinders} cylinders: a volume has at least one")
    for model in models:
        if cylinders <= model.cylinders_max:
            return _geometry(model, cylinders, 0)
        if cylinders == model.cylinders_max + model.alternate_cylinders:
            return _geometry(model, cylinders, model.alternate_cylinders)
    raise ValueError(f"{cylinders} cylinders: a {device_type} has at most {models[-1].cylinders_max}")


def geometry_of(name: str, *, alternates: bool = False) -> Geometry:
    """A model by its name, "3390-3" for one, with all its primary cylinders, and its alternate ones if `alternates`.

    Raises ValueError for a name that no model has.
    """
    for model in (model for models in MODELS.values() for model in models):
        if model.name == name:
            alternate_cylinders = model.alternate_cylinders if alternates else 0
            return _geometry(model, model.cylinders_max + alternate_cylinders, alternate_cylinders)
    raise ValueError(f"no device model {name!r}")


def _geometry(model: Model, cylinders: int, alternate_cylinders: int) -> Geometry:
    return Geometry(model.name, model.family, model.model, model.type_code, cylinders, model.family.heads,
                    alternate_cylinders, model.cylinder_shift)
