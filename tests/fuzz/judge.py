"""Which sense a parameter list deserves: written after the specification alone, without a line of the controller.

One rule after the other in the order of eckd-commands 3.8-3.12; where the specification leaves the order of two rules
open, both answers are right. An answer is (sense byte 0, byte 1, byte 7, byte 8); OK is none.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Answer = tuple[int, int, int, int]
OK: Answer = (0, 0, 0, 0)
FILE_PROTECTED: Answer = (0, 0x04, 0, 0)
NOT_FOUND: Answer = (0, 0x08, 0, 0)
HEADS, SECTORS, LARGEST_BLOCK = 15, 224, 57_326 + 8
LOCATE_VALID = {
    0x00: (0x00, 0x40, 0x80), 0x01: (0x01, 0x81), 0x03: (0x03, 0x43, 0xC3), 0x06: (0x06, 0x46, 0x86), 0x0B: (0x0B,),
    0x0C: (0x0C, 0x4C), 0x16: (0x16, 0x56, 0x96, 0xD6),
}
UNSEARCHED = {0x10, 0x11}   # a hint, and whole tracks that replace what is there: step 14 finds nothing for them
TRACKSETS = {0x0E: (0x3F, 0x7F), 0x10: (0x3F, 0x7F), 0x11: (0x3F, 0x7F), 0x13: (0x3F, 0xBF), 0x23: (0x3F, 0xBF)}
ONE_TRACK = (0x09, 0x0A)
PSF_LENGTHS = {0x10: 14, 0x11: 12, 0x12: 5, 0x13: 4, 0x14: 4, 0x16: 4, 0x18: 12, 0x1A: 24, 0x1B: 2, 0x1D: 66, 0xB0: 4}

# Codes of the master table (3.2) that a control unit of these times may know; any other code is command reject 1.
COMMANDS = frozenset({
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x86, 0x07, 0x0A, 0x0B, 0x0D, 0x0E, 0x8E, 0x11, 0x12, 0x92, 0x14, 0x15, 0x16,
    0x96, 0x19, 0x1A, 0x9A, 0x1B, 0x1D, 0x1E, 0x9E, 0x1F, 0x22, 0x23, 0x27, 0x29, 0xA9, 0x31, 0xB1, 0x34, 0x39, 0xB9,
    0x3E, 0x44, 0x47, 0x49, 0xC9, 0x4B, 0x4E, 0x51, 0xD1, 0x54, 0x5B, 0x5E, 0x63, 0x64, 0x69, 0xE9, 0x71, 0xF1, 0x85,
    0x87, 0x8D, 0x94, 0x95, 0x9D, 0xA4, 0xA5, 0xB5, 0xA6, 0xB6, 0xAF, 0xB4, 0xDE, 0xE4, 0xE7, 0xF3, 0xF7, 0xF9, 0xFA,
})


def reject(message: int, reason: int = 0) -> Answer:
    """Command reject, format 0."""
    return 0x80, 0, message, reason


@dataclass
class Extent:
    """What a Define Extent said."""

    mask: int = 0
    block: int = LARGEST_BLOCK
    first: tuple[int, int] = (0, 0)
    last: tuple[int, int] = (0, 0)
    one_track: bool = False


@dataclass
class Judge:
    """The volume as the judge knows it, in no pair. `records`: (cylinder, head) -> CCHHR of its records from R0 on.
    `pprc`: the subsystem answers PPRC queries."""

    cylinders: int
    unit_address: int
    interface_id: int
    records: dict[tuple[int, int], list[bytes]] = field(default_factory=dict)
    pprc: bool = False

    def place(self, cchh: bytes) -> tuple[int, int] | None:
        """(cylinder, head), or None off the device; bits 0-11 of HH are the high bits of the cylinder."""
        high = cchh[2] << 4 | cchh[3] >> 4
        cylinder, head = high << 16 | cchh[0] << 8 | cchh[1], cchh[3] & 15
        return (cylinder, head) if cylinder < self.cylinders and head < HEADS else None

    # Define Extent, 3.8

    def define_extent(self, data: bytes, one_track: bool = False) -> tuple[set[Answer], Extent]:
        """First in its chain."""
        extent = Extent()
        if len(data) < 16 or (data[7] & 0x02 and len(data) < 32):
            return {reject(3)}, extent
        first, last = self.place(data[8:12]), self.place(data[12:16])
        block = (data[2] << 8 | data[3]) or LARGEST_BLOCK
        wrong = (
            data[1] >> 6 != 3
            or data[0] & 0x20
            or data[0] & 0x06 == 0x04
            or self._caching(data[1]) in (6, 7)
            or block > LARGEST_BLOCK
            or ((data[4] or data[5]) and not data[1] & 0x02)
            or data[6]
            or data[7] & ~0x4E
            or (data[7] & 0x02 and data[24])
            or first is None
        )
        if wrong or first is None:
            return {reject(4)}, extent
        if not one_track and (last is None or last < first):
            return {reject(4)}, extent
        return {OK}, Extent(data[0], block, first, first if one_track or last is None else last, one_track)

    @staticmethod
    def _caching(attributes: int) -> int:
        return attributes >> 2 & 7      # bits 3-5

    # Locate Record, 3.9.3

    def locate(self, data: bytes, extent: Extent) -> set[Answer]:
        """Behind a Define Extent."""
        if len(data) < 16:
            return {reject(3)}
        code = data[0] & 0x3F
        if data[0] not in LOCATE_VALID.get(code, ()):
            return {reject(4)}
        if self._mask_forbids(extent.mask, code, 0):
            return {reject(2)}
        if self._flags_wrong(data, code, code in (0x01, 0x16)):
            return {reject(4)}
        return self._position(data, extent, data[0] >> 6)

    @staticmethod
    def _mask_forbids(mask: int, code: int, extended: int) -> bool:
        writes = mask >> 6
        if (code, extended) in ((0x01, 0), (0x0B, 0), (0x3F, 0x09), (0x3F, 0x13), (0x3F, 0x23)):
            return writes == 1
        return (code, extended) in ((0x03, 0), (0x3F, 0x11)) and writes not in (0, 3)

    @staticmethod
    def _flags_wrong(data: bytes, code: int, suffix_allowed: bool) -> bool:
        suffix = data[1] & 0x01
        return bool(
            data[1] & 0x7E
            or (suffix and not suffix_allowed)
            or data[2]
            or (data[3] == 0) != (code == 0)
            or (suffix and data[3] < 2)
        )

    def _address(self, data: bytes, extent: Extent) -> Answer:
        """Steps 10 to 13."""
        seek = self.place(data[4:8])
        length = data[14] << 8 | data[15]
        if seek is None:
            return reject(4)
        if not extent.first <= seek <= extent.last:
            return FILE_PROTECTED
        if data[13] != 0xFF and data[13] >= SECTORS:
            return reject(4)
        if bool(length) != bool(data[1] & 0x80) or length > extent.block:
            return reject(4)
        return OK

    def _position(self, data: bytes, extent: Extent, orientation: int) -> set[Answer]:
        """Steps 10 to 14."""
        answer = self._address(data, extent)
        seek = self.place(data[4:8])
        if answer != OK or seek is None:
            return {answer}
        if orientation == 1:
            return {OK if self.place(data[8:12]) == seek else NOT_FOUND}
        if orientation == 3:
            return {OK}
        found = self.records.get(seek, [bytes((0, seek[0], 0, seek[1], 0))])
        return {OK if data[8:13] in found else NOT_FOUND}

    # Locate Record Extended, 3.10

    def locate_extended(self, data: bytes, extent: Extent) -> set[Answer]:
        """Behind a Define Extent, or inside a Prefix."""
        if len(data) < 20 or len(data) < 20 + (data[18] << 8 | data[19]):
            return {reject(3)}
        code, extended = data[0] & 0x3F, data[17]
        length = data[18] << 8 | data[19]
        parameters = data[20 : 20 + length]
        trackset = extended in TRACKSETS and code == 0x3F
        if code == 0x3F:
            known = data[0] in TRACKSETS.get(extended, ()) or (data[0] == 0x3F and extended in ONE_TRACK)
        else:
            known = extended == 0 and code != 0 and data[0] in LOCATE_VALID.get(code, ())
        if not known:
            return {reject(4)}
        # Of what follows the specification gives the rules; their order among each other is open.
        answers: set[Answer] = set()
        if length not in ((1, 2) if trackset else (1,) if code == 0x3F else (0,)):
            answers.add(reject(4))
        if self._mask_forbids(extent.mask, code, extended):
            answers.add(reject(2))
        suffix_allowed = code in (0x01, 0x06, 0x16) or (code == 0x3F and extended in ONE_TRACK)
        if self._flags_wrong(data, code, suffix_allowed) or data[16]:
            answers.add(reject(4))
        if code == 0x3F and not trackset and parameters != b"\x01":
            answers.add(reject(4))
        if answers:
            return answers
        return self._trackset(data, extent, parameters) if trackset else self._rest(data, extent, code)

    def _rest(self, data: bytes, extent: Extent, code: int) -> set[Answer]:
        if code == 0x3F:
            answer = self._address(data, extent)
            seek = self.place(data[4:8])
            if extent.one_track and seek is not None and seek > extent.first:
                return {FILE_PROTECTED, OK}     # only the start of the extent is looked at: how far it goes is open
            return {answer}
        return self._position(data, extent, data[0] >> 6)

    def _trackset(self, data: bytes, extent: Extent, parameters: bytes) -> set[Answer]:
        bits = int.from_bytes(parameters, "big")
        if not parameters[0] & 0x80 or bits.bit_count() != data[3]:
            return {reject(4)}
        answers = {self._address(data, extent)} - {OK}
        seek = self.place(data[4:8])
        if seek is not None:
            width, start = 8 * len(parameters), seek[0] * HEADS + seek[1]
            last = extent.last[0] * HEADS + extent.last[1]
            if any(bits >> (width - 1 - bit) & 1 and start + bit > last for bit in range(width)):
                answers.add(FILE_PROTECTED)
        if answers or data[17] in UNSEARCHED:
            return answers or {OK}
        return self._position(data, extent, data[0] >> 6)

    # Prefix, 3.11

    def prefix(self, data: bytes) -> set[Answer]:
        """First in its chain."""
        if len(data) < 64:
            return {reject(3)}
        if data[0] not in (0, 1):
            return {reject(4)}
        if data[1] & 0x30 and data[2] != self.unit_address:
            return {reject(0x0F, 0x67)}
        extent = None
        if data[1] & 0x80:
            one_track = data[0] == 1 and data[44] == 0x3F and data[61] in ONE_TRACK
            answers, extent = self.define_extent(data[12:44], one_track)
            if answers != {OK}:
                return answers
        if data[0] == 0:
            return {OK}
        if extent is None:
            short = len(data) < 64 + (data[62] << 8 | data[63])
            return {reject(3)} if short else {reject(2)}
        return self.locate_extended(data[44:], extent)

    # Perform Subsystem Function, 3.12.1 and 3.12.2

    def subsystem_function(self, data: bytes) -> set[Answer]:
        """First in its chain, nothing chained to it; not for PPRC orders."""
        if not data or len(data) < PSF_LENGTHS.get(data[0], 2):
            return {reject(3)}
        order = data[0]
        if order not in PSF_LENGTHS or order in (0x12, 0x13, 0x14, 0x16):
            return {reject(4)}
        if order == 0x18:
            if self._prepare_wrong(data):
                return {reject(4)}
            return {reject(0x0F, 0x43) if data[6] == 0x50 and data[7] == 0x05 else OK}     # a bitmap without a pair
        if data[1] & 0x80:
            return {reject(4)}
        if order in (0x1B, 0x1D):
            return {reject(4) if data[1] else OK}
        if order == 0xB0:
            if data[1] & 0xFE:
                return {reject(4)}
            if data[1] == 1 and (data[2] << 8 | data[3]) != self.interface_id:
                return {reject(0x0F, 0x34)}
        return {OK}

    def _prepare_wrong(self, data: bytes) -> bool:
        suborder, rest = data[6], data[8:12]
        known = (0x00, 0x01, 0x03, 0x0E, 0x1C, 0x41) + ((0x50,) if self.pprc else ())
        if data[1] or data[2] or data[3] or suborder not in known:
            return True
        if (data[4] or data[5]) and suborder != 0x1C:
            return True
        if suborder == 0x50:
            return not 1 <= data[7] <= 5 or any(rest)
        if suborder == 0x01:
            return data[7] not in (0, 0xFF) or rest[0] > 1 or any(rest[1:])
        return bool(data[7]) or (suborder != 0x03 and any(rest))
