"""Draws channel programs as programs of the time write them, for any device type: from a seed, always the same.

Left out is what Hercules 3.13 is known to do on its own and what then changes all that follows: a command behind Read
Multiple CKD, a format write the file mask forbids in a Locate Record, a sector beyond the track, sizes that fit its
image but not the track. Behind the first 16 bytes of a CCW there are zeros only, for a trace shows no more.
"""

from __future__ import annotations

import random

from ccw.ccws import MULTITRACK, CommandCode
from ccw.geometry import geometry_for, track_address_bytes
from tests.helpers.guest_chains import CC, SKIP, SLI, Chain, Step

LETTERS = b"ABCDEFGH"
KEYS = (0, 0, 4, 8)
READS = bytes.fromhex("06 06 86 0E 8E 12 92 92 1E 9E 16 96 1A 9A 22")
FIXED_LENGTHS = {0x12: 8, 0x92: 8, 0x1A: 5, 0x9A: 5, 0x22: 1, 0x16: 16, 0x96: 16}
SCANS = bytes.fromhex("92 92 92 9E 86 8E 9A 96")
MASKS = bytes.fromhex("C0 C0 C0 C0 00 00 80 40 C8 D0 D8 18 08 10")
OPERATIONS = bytes.fromhex("00 40 80 01 81 03 43 C3 06 46 86 0B 0C 4C 16 56 96 D6")
DOMAIN_READS = bytes.fromhex("06 86 86 0E 8E 12 92 1E 9E 16 1A 9A 96")
WRITE_CONTROL, INHIBIT, UPDATE_ONLY, ALLOW_ALL = 0xC0, 0x40, 0x80, 0xC0
COMMANDS_MAX = 60


class Drawer:
    """Chains for one device of a type, on cylinders 1 and 2; cylinder 0 stays as it was made."""

    def __init__(self, device: int, device_type: str, cylinders: int, seed: int, *, domains: bool) -> None:
        """`domains`: with Define Extent and Locate Record."""
        self._random = random.Random(f"{device_type} {seed}")
        self._geometry = geometry_for(device_type, cylinders)
        self._device, self._domains = device, domains
        self._cylinder, self._head = 1, 0
        self._mask = 0

    def chains(self, count: int) -> list[Chain]:
        """`count` chains behind those that put records on the tracks."""
        drawn = self._first()
        kinds = [self._ckd] * 5 + [self._scan, self._key_scan]
        kinds += [self._locate] * 4 if self._domains else []
        while len(drawn) < count:
            steps = self._random.choice(kinds)()
            while steps[-1][0] == CommandCode.TRANSFER_IN_CHANNEL or len(steps) > COMMANDS_MAX:
                steps.pop()
            code, flags, what = steps[-1]
            drawn.append(Chain(self._device, (*steps[:-1], (code, flags & ~CC, what))))
        return drawn

    def _first(self) -> list[Chain]:
        """Records on three tracks of four, keyed or not, now and then with an identifier of another track."""
        chains = [Chain(self._device, ((CommandCode.SENSE_ID, SLI, 24),))]
        for cylinder in (1, 2):
            for head in range(self._geometry.heads):
                if self._random.random() < 0.25:
                    continue
                self._cylinder, self._head = cylinder, head
                steps = [self._seek_here(), *self._loop(0x31, self._here + b"\0", at=1)]
                steps += [(0x1D, CC, self._record(number)) for number in range(1, self._random.randrange(2, 6))]
                code, _, what = steps.pop()
                chains.append(Chain(self._device, (*steps, (code, 0, what))))
        return chains

    # Pieces

    @property
    def _here(self) -> bytes:
        return track_address_bytes(self._cylinder, self._head)

    def _seek_here(self) -> Step:
        return 0x07, CC | SLI, bytes(2) + self._here

    def _flags(self) -> int:
        return CC | (SLI if self._random.random() < 0.75 else 0)

    def _letters(self, count: int) -> bytes:
        """`count` bytes, of which the first 8 are letters."""
        return bytes(self._random.choice(LETTERS) for _ in range(min(count, 8))).ljust(count, b"\0")

    def _record(self, number: int) -> bytes:
        """Count area, key and data of a record."""
        key, data = self._random.choice(KEYS), self._random.choice((0, 8, 16, 80, 100, 500))
        home = self._here if self._random.random() < 0.9 else track_address_bytes(self._random.randrange(3), 0)
        return home + bytes((number, key)) + data.to_bytes(2, "big") + self._letters(key + data)

    def _loop(self, code: int, argument: bytes, at: int) -> list[Step]:
        """A search at step `at` and the transfer back to it."""
        return [(code, self._flags(), argument), (CommandCode.TRANSFER_IN_CHANNEL, 0, at)]

    def _seek(self) -> Step:
        """Nearly always to a track there is, with six bytes."""
        draw, heads = self._random, self._geometry.heads
        self._cylinder = draw.choice((1, 1, 2))
        self._head = draw.choice((0, 1, 2, 3, heads - 2, heads - 1))
        address = draw.choice([self._here] * 30 + [b"\x03\xe7\0\0", track_address_bytes(1, heads)])
        argument = draw.choice([bytes(2)] * 30 + [b"\1\0"]) + address
        return draw.choice((0x07, 0x07, 0x07, 0x0B)), self._flags(), argument[: draw.choice([6] * 30 + [5])]

    def _set_mask(self) -> Step:
        return 0x1F, CC | SLI, bytes((self._random.choice(MASKS),))

    def _search(self, at: int, *, for_record: bool = False) -> list[Step]:
        draw = self._random
        multitrack = MULTITRACK if draw.random() < 0.2 else 0
        kind = "id" if for_record else draw.choice(("id", "id", "id", "key", "home"))
        if kind == "home":  # never in a loop: where it is not satisfied it never would be
            return [(0x39, self._flags(), self._here)]
        if kind == "key":
            code, argument = draw.choice((0x29, 0x49, 0x69)), self._letters(draw.choice((4, 8, 2)))
        else:
            code = draw.choice((0x31, 0x31, 0x31, 0x51, 0x71)) if not for_record else 0x31
            argument = self._here + bytes((draw.choice((0, 0, 1, 1, 2, 3, 4, 9)),))
            argument = argument[: draw.choice([5] * 15 + [4])] if not for_record else argument
        return self._loop(code | multitrack, argument, at)

    def _read(self) -> Step:
        draw = self._random
        code = draw.choice(READS if self._geometry.sectors else READS[:-1])
        length = FIXED_LENGTHS.get(code, draw.choice((8, 16, 80, 100)))
        skip = SKIP if draw.random() < 0.1 else 0
        return code, self._flags() | skip, draw.choice((length, length, length + 7, max(1, length - 3), 600))

    def _write(self, at: int) -> list[Step]:
        draw = self._random
        kind = draw.choice(("update", "update", "format", "format", "home address", "erase", "unprepared"))
        if kind == "home address":  # both, for Hercules keeps the records until something is written behind it
            record_zero = self._here + b"\0\0\0\x08" + bytes(8)
            return [(0x39, CC, self._here), (0x15, self._flags(), record_zero)]
        steps = self._search(at, for_record=True) if kind != "unprepared" else []
        if kind == "erase":
            return [*steps, (0x11, self._flags(), bytes(8))]
        if kind == "format":
            return [*steps, *((0x1D, self._flags(), self._record(draw.randrange(1, 9))) for _ in range(2))]
        data = self._letters(draw.choice((8, 16, 80, 84, 100, 500)))
        return [*steps, (draw.choice((0x05, 0x05, 0x0D)), self._flags(), data)]

    # Whole chains

    def _ckd(self) -> list[Step]:
        """Seek, search, read, write, in any order behind the first seek."""
        draw = self._random
        steps = [*draw.choice([[self._set_mask()], []]), self._seek()]
        for _ in range(draw.randrange(1, 5)):
            kind = draw.random()
            if kind < 0.3:
                steps += self._search(len(steps))
            elif kind < 0.6:
                steps.append(self._read())
            elif kind < 0.9:
                steps += self._write(len(steps))
            else:
                steps.append(draw.choice([self._seek(), self._set_mask(), (0x03, CC | SLI, b"\0")]))
        return steps

    def _scan(self) -> list[Step]:
        """A multitrack read again and again, until the cylinder or the permission ends."""
        draw, heads = self._random, self._geometry.heads
        self._cylinder, self._head = draw.choice((1, 2)), draw.choice((0, heads - 3, heads - 1))
        steps = [self._seek_here(), *draw.choice([[self._set_mask()], []])]
        code = draw.choice(SCANS)
        skip = draw.choice((0, 0, 0, SKIP))
        return steps + [(code, CC | SLI | skip, FIXED_LENGTHS.get(code, 100))] * draw.randrange(3, 50)

    def _key_scan(self) -> list[Step]:
        """A multitrack search to the end of the cylinder, and reads where it is satisfied."""
        draw = self._random
        self._cylinder, self._head = draw.choice((1, 2)), draw.randrange(self._geometry.heads)
        steps = [self._seek_here()]
        code = draw.choice((0xA9, 0xC9, 0xE9, 0xB1, 0xD1, 0xF1))
        return [*steps, *self._loop(code, self._letters(draw.choice((4, 8))), at=1), self._read(), self._read()]

    def _locate(self) -> list[Step]:
        """An extent, a locate and the commands of its domain, seldom one too many."""
        draw, heads = self._random, self._geometry.heads
        self._cylinder, self._head = draw.choice((1, 2)), draw.choice((0, 1, heads - 1))
        self._mask = draw.choice(MASKS)
        first = track_address_bytes(self._cylinder, max(0, self._head - draw.randrange(2)))
        last = draw.choice((self._here, track_address_bytes(2, heads - 1)))
        block = draw.choice((0, 0, 16, 100)).to_bytes(2, "big")
        steps: list[Step] = [(0x63, self._flags(), bytes((self._mask, 0xC0)) + block + bytes(4) + first + last)]
        operation = draw.choice([one for one in OPERATIONS if self._allowed(one)])
        count = {0x00: 0, 0x0B: 1}.get(operation & 0x3F, draw.randrange(1, 5))
        length = draw.choice((0, 16, 80, 100))
        record = draw.choice((1, 2)) if operation & 0x3F == 0x0B else draw.choice((0, 0, 1, 1, 2, 9))
        locate = bytes((operation, 0x80 if length else 0, 0, count)) + self._here + self._here
        locate += bytes((record, draw.choice([0xFF] * 9 + [100]))) + length.to_bytes(2, "big")
        steps.append((0x47, self._flags(), locate))
        more = operation & 0x3F not in (0x00, 0x0B) and draw.random() < 0.1
        for number in range(count + more):
            steps.append(self._of_domain(operation, number, count, length))
        return steps if count else [*steps, self._read()]

    def _allowed(self, operation: int) -> bool:
        """Does the mask allow the operation? Hercules finds out at the write."""
        control = self._mask & WRITE_CONTROL
        code = operation & 0x3F
        if code == 0x03:
            return control == ALLOW_ALL or (control == 0 and operation == 0x03)
        return code not in (0x01, 0x0B) or control != INHIBIT

    def _of_domain(self, operation: int, number: int, count: int, length: int) -> Step:
        draw, code = self._random, operation & 0x3F
        if code == 0x01:
            return 0x85, CC | SLI, self._letters(length or 16)
        if code == 0x03:
            if number == 0 and operation != 0x03:
                return 0x15, CC | SLI, self._here + b"\0\0\0\x08" + bytes(8)
            return 0x1D, CC | SLI, self._record(number + 1)
        if code == 0x0B:
            return 0x05, CC | SLI, self._letters(length or 16)
        if code == 0x0C:
            return 0xDE, self._flags() | SLI, 60_000
        reads = DOMAIN_READS if code == 0x06 else bytes.fromhex("86 86 8E 92 9E 16 1A 9A 96")
        return draw.choice(reads), self._flags(), draw.choice((8, 16, 80))
