"""Device types and their models: one row each. What a row means is said at its fields.

Source: eckd-commands 2.7, 2.8 (3380, 3390, 9345); older-ckd-devices 1, 1.1 (those before ECKD): Hercules device tables.
"""

from typing import Literal, NamedTuple

from ccw.capacity import (
    BlockFormula,
    CapacityFormula,
    CellFormula,
    GapFormula,
    SectorFormula,
    ToleranceFormula,
)

HEADS = 15
CYLINDERS_BEFORE_EXTENDED = 65_520      # cylinders below are track-managed space


class DeviceFamily(NamedTuple):
    """What all models of a device type share. Lengths in bytes."""

    device_type: int                    # packed digits, 0x3390
    track_cells: int                    # what the capacity formula counts up to
    cell_formula: CapacityFormula
    sectors: int                        # 0: no rotational position sensing
    sector_formula: SectorFormula | None
    track_length: int                   # RDC 17-19
    home_and_record_zero_length: int    # RDC 20-21
    capacity_formula: Literal[0, 1, 2]  # RDC 22; 0: a device that has no characteristics to read
    capacity_factors: bytes             # RDC 23-27
    factor_6: int                       # RDC 48
    factors_7_8: int                    # RDC 49-50
    record_zero_length_max: int         # RDC 44-45
    record_length_max: int              # largest R1
    image_slot_length: int              # a track in a plain CKD image file
    heads: int = HEADS


def _before_eckd(device_type: int, heads: int, length_max: int, track_length: int, overhead: int, sectors: int,
                 formula: CapacityFormula, slot_length: int) -> DeviceFamily:
    """A device type before the 3380. Source: assumed, the largest R0 of 2311 and 2314: no source has it, the track."""
    return DeviceFamily(device_type, track_length, formula, sectors, None, track_length, overhead, 0, bytes(5), 0, 0,
                        track_length, length_max, slot_length, heads)


_2305_1 = _before_eckd(0x2305, 8, 14_136, 14_568, 432, 90, GapFormula(202, 432), 14_336)
_2305_2 = _before_eckd(0x2305, 8, 14_660, 14_858, 198, 90, GapFormula(91, 198), 14_848)
_2311 = _before_eckd(0x2311, 10, 3_625, 3_625, 0, 0, ToleranceFormula(20, 61, 537, 512), 4_096)
_2314 = _before_eckd(0x2314, 20, 7_294, 7_294, 0, 0, ToleranceFormula(45, 101, 2137, 2048), 7_680)
_3330 = _before_eckd(0x3330, 19, 13_030, 13_165, 135, 128, GapFormula(56, 135), 13_312)
_3340 = _before_eckd(0x3340, 12, 8_368, 8_535, 167, 64, GapFormula(75, 167), 8_704)
_3350 = _before_eckd(0x3350, 30, 19_069, 19_254, 185, 128, GapFormula(82, 185), 19_456)
_3375 = _before_eckd(0x3375, 12, 35_616, 36_000, 832, 196, BlockFormula(32, 384, 160), 35_840)
_3380 = DeviceFamily(0x3380, 1499, CellFormula(32, 8, 7, 7, 12, 0, 0), 222, SectorFormula(39, 7), 47968, 1088, 1,
                     bytes.fromhex("2001EC00EC"), 0, 0x5007, 47988, 47476, 47616)
_3390 = DeviceFamily(0x3390, 1729, CellFormula(34, 10, 9, 9, 6, 6, 232), 224, SectorFormula(49, 8), 58786, 1428, 2,
                     bytes.fromhex("2213090674"), 6, 0x7708, 57326, 56664, 56832)
# Source: assumed, the image slot: home address, R0, largest R1 and end mark, rounded up to 512 as for the other two.
_9345 = DeviceFamily(0x9345, 1420, CellFormula(34, 18, 0, 7, 6, 6, 232), 213, None, 48280, 1184, 2,
                     bytes.fromhex("2212070674"), 6, 0x8B07, 48174, 46456, 46592)


class Model(NamedTuple):
    """One device model. `alternate_cylinders`: what the real device has; an emulated volume has them or has none.

    `type_code` is 0 where there are no characteristics to read. `cylinder_shift`: in sense byte 6 the high bits of the
    cylinder stand this many bits above the head.
    """

    name: str
    family: DeviceFamily
    model: int                          # Sense ID byte 6
    type_code: int                      # RDC byte 11
    cylinders_max: int
    alternate_cylinders: int
    cylinder_shift: int = 4


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
    "3375": (Model("3375", _3375, 0x02, 0x0E, 959, 3, 6),),
    "3350": (Model("3350", _3350, 0x00, 0, 555, 5, 5),),
    "3340": (
        Model("3340-35", _3340, 0x01, 0, 348, 1, 5),
        Model("3340-70", _3340, 0x02, 0, 696, 2, 5),
    ),
    "3330": (
        Model("3330-1", _3330, 0x01, 0, 404, 7, 6),
        Model("3330-11", _3330, 0x11, 0, 808, 7, 5),
    ),
    "2314": (Model("2314", _2314, 0x00, 0, 200, 3),),
    "2311": (Model("2311", _2311, 0x00, 0, 200, 3),),
    "2305": (
        Model("2305-1", _2305_1, 0x00, 0, 48, 6),
        Model("2305-2", _2305_2, 0x02, 0, 96, 12),
    ),
}
