"""A second, plain implementation of the count-key-data core, after the skeleton of eckd-commands section 7.

It shares no code with `controller.commands` and is written straight down, one condition after the other; the tests run
random chains through both. One device, 3390 geometry, standard R0 everywhere; no Locate Record Extended, no Prefix, one
Define Extent per chain, no key-record forms of the update writes.
"""

from __future__ import annotations

from typing import NamedTuple

INDEX, HOME, COUNT, KEY, DATA, END = range(6)
LARGEST_BLOCK, SECTORS, TRACK_CELLS = 57_326 + 8, 224, 1_729
VALID = {
    0x00: (0x00, 0x40, 0x80),
    0x01: (0x01, 0x81),
    0x03: (0x03, 0x43, 0xC3),
    0x06: (0x06, 0x46, 0x86),
    0x0C: (0x0C, 0x4C),
    0x16: (0x16, 0x56, 0x96, 0xD6),
}
PARAMETERS = {0x07: 6, 0x0B: 6, 0x1B: 6, 0x1F: 1, 0x63: 16, 0x47: 16}


class Check(Exception):
    """Sense bytes 0, 1 and 7."""


class NotMoved(Check):
    """A check that ends a command before its parameters are looked at."""


class Item(NamedTuple):
    """A record."""

    cchhrkdd: bytes
    key: bytes
    data: bytes


def up(a: int, b: int) -> int:
    return -(-a // b)


def cells(key: int, data: int) -> int:
    def part(n: int) -> int:
        return 9 + up(n + 6 * up(n + 6, 232) + 6, 34)

    return 10 + (part(key) if key else 0) + part(data)


def reject(message: int) -> Check:
    return Check(0x80, 0, message)


PROTECTED, NOT_FOUND, END_OF_CYLINDER, BAD_FORMAT = (0, 4, 0), (0, 8, 0), (0, 0x20, 0), (0, 0x40, 0)


class Reference:
    """Controller and volume in one."""

    def __init__(self, cylinders: int, heads: int = 15) -> None:
        self.cylinders, self.heads = cylinders, heads
        self.tracks: dict[tuple[int, int], list[Item]] = {}
        self.c = self.h = 0
        self.new_chain()

    def track(self, c: int, h: int) -> list[Item]:
        if (c, h) not in self.tracks:
            at = c.to_bytes(2, "big") + h.to_bytes(2, "big")
            self.tracks[c, h] = [Item(at + b"\0\0\0\x08", b"", bytes(8))]
        return self.tracks[c, h]

    def new_chain(self) -> None:
        self.mask = self.attributes = 0
        self.block = LARGEST_BLOCK
        self.low, self.high = (0, 0), (self.cylinders - 1, self.heads - 1)
        self.dx = self.sfm = self.positioned = self.mark = False
        self.id_equal = self.key_equal = self.written = False
        self.n = self.op = self.tlf = self.previous = self.record = 0
        self.seek(self.c, self.h)

    def seek(self, c: int, h: int) -> None:
        self.c, self.h, self.o, self.i = c, h, INDEX, 0

    def inside(self, c: int, h: int) -> bool:
        return self.low <= (c, h) <= self.high

    def advance(self) -> None:
        c, h = self.c, self.h + 1
        if not self.n and self.mask & 0x18 == 0x18:
            raise Check(*PROTECTED)
        if h >= self.heads:
            if not self.n:
                raise Check(*END_OF_CYLINDER)
            c, h = c + 1, 0
        if c >= self.cylinders or not self.inside(c, h):
            raise Check(0, 5 if self.n else 4, 0)
        self.seek(c, h)

    def next(self, mt: bool = False, r0: bool = False, whole: bool = False, locate: bool = False,
             search: str = "") -> Item | None:
        while True:
            track = self.track(self.c, self.h)
            if self.i < len(track):
                self.record = self.i
                self.i += 1
                self.o = COUNT
                if self.record == 0 and not r0:
                    continue
                return track[self.record]
            self.o = END
            if whole:
                return None
            if locate or (self.mark and not (not self.n and mt and search in ("", "key"))):
                raise Check(*NOT_FOUND)
            if mt:
                self.advance()
                self.mark = self.mark or not search
            else:
                self.seek(self.c, self.h)
                self.mark = True

    def current(self) -> Item:
        return self.track(self.c, self.h)[self.record]

    def execute(
        self, code: int, data: bytes, count: int, chained: bool
    ) -> tuple[int, bytes, int, bool, tuple[int, ...]]:
        """Return status, data, residual, length wrong, sense bytes 0, 1, 7."""
        if not chained:
            self.new_chain()
        search = code & 0x7F in (0x31, 0x51, 0x71, 0x29, 0x49, 0x69)
        read_count = code == 0x12
        if not search and not read_count:
            self.mark = False
        try:
            status, out, wanted = self.do(code, data[:count], count)
        except Check as check:
            self.n = 0
            unmoved = isinstance(check, NotMoved) or check.args[2] in (1, 2)
            took = 0 if unmoved else PARAMETERS.get(code, 0)
            return 0x0E, b"", count - min(count, took), False, check.args
        single = code & 0x7F
        self.id_equal = self.id_equal and single in (0x31, 0x06, 0x05, 0x0E, 0x0D)
        self.key_equal = self.key_equal and single in (0x29, 0x06, 0x05)
        self.written = self.written and code in (0x15, 0x1D)
        if self.n and code != 0x47:
            self.n -= 1
        self.previous = code
        return status, out[:count], count - min(count, wanted), wanted != count and code != 3, ()

    def do(self, code: int, data: bytes, count: int) -> tuple[int, bytes, int]:
        single, mt, domain = code & 0x7F, bool(code & 0x80), self.n > 0
        if code in (0x07, 0x0B, 0x1B):
            return self.seek_command(code, data, count, domain)
        if code == 0x1F:
            return self.file_mask(data, count, domain)
        if single in (0x31, 0x51, 0x71):
            return self.search_id(single, mt, data, domain)
        if single in (0x29, 0x49, 0x69):
            return self.search_key(single, mt, data, domain)
        if single in (0x06, 0x0E, 0x12, 0x1E):
            return self.read(single, mt, domain)
        if code == 0x5E:
            return self.read_multiple(domain)
        if code == 0xDE:
            return self.read_track(domain)
        if code in (0x05, 0x85):
            return self.update(code, data, domain)
        if code == 0x1D:
            return self.write_ckd(data, domain)
        if code == 0x63:
            return self.define_extent(data, count, domain)
        if code == 0x47:
            return self.locate(data, count, domain)
        raise reject(1)

    def seek_command(self, code: int, data: bytes, count: int, domain: bool) -> tuple[int, bytes, int]:
        if domain or (code == 0x1B and not self.positioned):
            raise reject(2)
        if (self.mask >> 3 & 3) > {0x07: 0, 0x0B: 1, 0x1B: 2}[code]:
            raise NotMoved(*PROTECTED)
        if count < 6:
            raise reject(3)
        c, h = int.from_bytes(data[2:4], "big"), int.from_bytes(data[4:6], "big")
        c = self.c if code == 0x1B else c
        if data[0] or data[1] or c >= self.cylinders or h >= self.heads:
            raise reject(4)
        if not self.inside(c, h):
            raise Check(*PROTECTED)
        self.seek(c, h)
        self.positioned = True
        return 0x0C, b"", 6

    def file_mask(self, data: bytes, count: int, domain: bool) -> tuple[int, bytes, int]:
        if domain or self.dx or self.sfm:
            raise reject(2)
        if count < 1:
            raise reject(3)
        if data[0] & 0x20:
            raise reject(4)
        self.mask, self.sfm = data[0], True
        return 0x0C, b"", 1

    def search_id(self, single: int, mt: bool, data: bytes, domain: bool) -> tuple[int, bytes, int]:
        if domain or not self.positioned:
            raise reject(2)
        item = self.next(mt, r0=True, search="id")
        assert item is not None
        length = min(len(data), 5)
        field, argument = item.cchhrkdd[:length], data[:length]
        hit = (single & 0x20 and field == argument) or (single & 0x40 and field > argument)
        self.id_equal = single == 0x31 and length == 5 and field == argument
        return 0x4C if hit else 0x0C, b"", 5

    def search_key(self, single: int, mt: bool, data: bytes, domain: bool) -> tuple[int, bytes, int]:
        if domain or not self.positioned:
            raise reject(2)
        item = self.current() if self.o == COUNT else self.next(mt, search="key")
        assert item is not None
        self.o = KEY
        length = min(len(data), len(item.key))
        field, argument = item.key[:length], data[:length]
        hit = item.key and ((single & 0x20 and field == argument) or (single & 0x40 and field > argument))
        self.key_equal = bool(item.key) and single == 0x29 and length == len(item.key) and field == argument
        return 0x4C if hit else 0x0C, b"", len(item.key)

    def read(self, single: int, mt: bool, domain: bool) -> tuple[int, bytes, int]:
        if not self.positioned or (domain and self.op & 63 not in (0x06, 0x16)):
            raise reject(2)
        if domain and single == 0x06 and self.op & 63 == 0x16 and not mt:
            raise reject(2)
        stay = (self.o == COUNT and single in (0x06, 0x0E)) or (self.o == KEY and single == 0x06)
        item = self.current() if stay else self.next(mt)
        assert item is not None
        fields = {0x06: item.data, 0x0E: item.key + item.data, 0x12: item.cchhrkdd, 0x1E: b"".join(item)}
        self.o = COUNT if single == 0x12 else DATA
        out = fields[single]
        return 0x0C | (single != 0x12 and not item.data), out, len(out)

    def rest(self, r0: bool) -> bytes:
        out = b""
        while item := self.next(r0=r0, whole=True):
            out += b"".join(item)
        return out

    def read_multiple(self, domain: bool) -> tuple[int, bytes, int]:
        if domain or not self.positioned:
            raise reject(2)
        out = self.rest(r0=False)
        return 0x0C, out, len(out)

    def read_track(self, domain: bool) -> tuple[int, bytes, int]:
        if not domain or self.op & 63 != 0x0C or self.previous not in (0x47, 0xDE):
            raise reject(2)
        if self.previous == 0xDE:
            self.advance()
        out = self.rest(r0=True) + b"\xff" * 8
        return 0x0C, out, len(out)

    def update(self, code: int, data: bytes, domain: bool) -> tuple[int, bytes, int]:
        if code == 0x05 and not domain and not ((self.id_equal or self.key_equal) and self.o in (COUNT, KEY)):
            raise reject(2)
        if code == 0x85 and not (domain and self.op & 63 == 1):
            raise reject(2)
        if self.mask >> 6 == 1 or (code == 0x05 and domain and not (self.op & 63 == 1 and self.n == 1)):
            raise reject(2)
        if domain and (self.o != COUNT or self.record == 0):
            self.next(mt=code == 0x85)
        item = self.current()
        if domain and len(item.data) != self.tlf:
            raise Check(*BAD_FORMAT)
        if not item.data:
            return 0x0D, b"", 0
        new = data[: len(item.data)].ljust(len(item.data), b"\0")
        self.track(self.c, self.h)[self.record] = item._replace(data=new)
        self.o = DATA
        return 0x0C, b"", len(item.data)

    def write_ckd(self, data: bytes, domain: bool) -> tuple[int, bytes, int]:
        if not domain and not (self.id_equal or self.key_equal or self.written):
            raise reject(2)
        if self.mask >> 6 in (1, 2) or (domain and self.op & 63 != 3):
            raise reject(2)
        head = data[:8].ljust(8, b"\0")
        if head == b"\xff" * 8:
            raise reject(4)
        key, size = head[5], int.from_bytes(head[6:], "big")
        self.i = max(self.i, 1)  # R0 is stepped over
        track = self.track(self.c, self.h)
        used = sum(cells(len(item.key), len(item.data)) for item in track[1 : self.i])
        if used + cells(key, size) > TRACK_CELLS:
            raise Check(*BAD_FORMAT)
        body = data[8:].ljust(key + size, b"\0")
        del track[self.i :]
        track.append(Item(head, body[:key], body[key : key + size]))
        self.record = self.i
        self.i += 1
        self.o = DATA
        self.written = not domain
        return 0x0C, b"", 8 + key + size

    def define_extent(self, data: bytes, count: int, domain: bool) -> tuple[int, bytes, int]:
        if count < 16:
            raise reject(3)
        if domain or self.sfm or self.dx:
            raise reject(2)
        block = int.from_bytes(data[2:4], "big") or LARGEST_BLOCK
        values = [int.from_bytes(data[at : at + 2], "big") for at in (8, 10, 12, 14)]
        low, high = (values[0], values[1]), (values[2], values[3])
        if data[1] >> 6 != 3 or data[0] & 0x20 or block > LARGEST_BLOCK or any(data[4:7]):
            raise reject(4)
        if low > high or any(c >= self.cylinders or h >= self.heads for c, h in (low, high)):
            raise reject(4)
        self.mask, self.attributes, self.block, self.low, self.high, self.dx = data[0], data[1], block, low, high, True
        self.o, self.i = INDEX, 0
        return 0x0C, b"", 16

    def locate(self, data: bytes, count: int, domain: bool) -> tuple[int, bytes, int]:
        if count < 16:
            raise reject(3)
        if domain or not self.dx:
            raise reject(2)
        op, aux, tlf = data[0], data[1], int.from_bytes(data[14:16], "big")
        c, h = int.from_bytes(data[4:6], "big"), int.from_bytes(data[6:8], "big")
        code = op & 63
        if op not in VALID.get(code, ()):
            raise reject(4)
        if (code == 1 and self.mask >> 6 == 1) or (code == 3 and self.mask >> 6 in (1, 2)):
            raise reject(2)
        if aux & 0x7E or (aux & 1 and code not in (1, 0x16)) or data[2]:
            raise reject(4)
        if (data[3] == 0) != (code == 0) or (aux & 1 and data[3] < 2) or c >= self.cylinders or h >= self.heads:
            raise reject(4)
        if not self.inside(c, h):
            raise Check(*PROTECTED)
        if (data[13] != 0xFF and data[13] >= SECTORS) or bool(tlf) != bool(aux & 0x80) or tlf > self.block:
            raise reject(4)
        self.seek(c, h)
        if op >> 6 in (0, 2):
            while (item := self.next(r0=True, locate=True)) and item.cchhrkdd[:5] != data[8:13]:
                pass
            self.o = DATA if op >> 6 == 2 else COUNT
        elif op >> 6 == 1:
            if data[8:12] != data[4:8]:
                raise Check(*NOT_FOUND)
            self.o = HOME
        self.op, self.n, self.tlf, self.positioned = op, data[3], tlf or self.block, True
        return 0x0C, b"", 16
