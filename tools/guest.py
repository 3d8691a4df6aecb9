"""Small stand-alone System/370 programs for an emulated mainframe, assembled here, and volumes that boot them.

`writer_program` writes numbered records to a disk and prints each number when the disk has taken it: what is on the
printer is what the guest saw complete. `reader_program` reads them back and prints what it finds. Both boot from track
0 of a volume: record 1 is what IPL reads (a PSW and two CCWs), record 2 the program.

Track layout: record number n lies alone on track `first_track + (n - 1) mod tracks`, R1, 4,096 bytes: its eight decimal
digits (EBCDIC), over and over, so that a torn record shows.
Source: System/370 principles of operation (instruction formats, PSW in BC mode, CAW at 48, CSW at 40).
"""

from __future__ import annotations

from dataclasses import dataclass

from ccw.tracks import Record, build_track, standard_record_zero

ORIGIN = 0x1000
BUFFER = 0x3000
RECORD_BYTES = 4096
TEXT_BYTES = 8
CAW, CSW_STATUS = 0x48, 0x44
BASE, WORK_BASE = 12, 11
MISSING = "????????"
TORN = "!!!!!!!!"
DONE_ADDRESS = 0x777
FAULT_ADDRESS = 0xBAD
ALWAYS = 0xF  # mask of an unconditional branch

# CCW flags and commands
CHAIN, SUPPRESS = 0x40, 0x20
SEEK, SET_MASK, SEARCH_ID, TIC, WRITE_CKD, READ_DATA, PRINT_LINE = 0x07, 0x1F, 0x31, 0x08, 0x1D, 0x06, 0x09
WRITE_DATA, RESERVE, RELEASE = 0x05, 0xB4, 0x94
SENSE_BYTES = 24
READ_IPL_COUNT = 24


@dataclass(frozen=True, slots=True)
class Task:
    """What a program works on: `disk` and `printer` are device numbers; `count` records, or tracks to read."""

    disk: int
    printer: int
    first_track: int
    tracks: int
    count: int
    heads: int = 15


class Assembler:
    """Bytes at fixed addresses with labels that may be used before they are set. Base register 12 holds ORIGIN + 2."""

    def __init__(self) -> None:
        self._code = bytearray()
        self._labels: dict[str, int] = {}
        self._based: list[tuple[int, str]] = []  # offset of a base-displacement field, label
        self._absolute: list[tuple[int, str]] = []  # offset of a 3-byte address, label

    @property
    def here(self) -> int:
        """The address of the next byte."""
        return ORIGIN + len(self._code)

    def label(self, name: str) -> None:
        """Name the next byte."""
        assert name not in self._labels, name
        self._labels[name] = self.here

    def address_of(self, name: str) -> int:
        """The address of a label. KeyError: it was never set."""
        return self._labels[name]

    def rr(self, code: int, first: int, second: int) -> None:
        """Register to register."""
        self._code += bytes((code, first << 4 | second))

    def rx(self, code: int, register: int, target: str | int, index: int = 0) -> None:
        """Register and storage: a label, or an absolute displacement below 4096."""
        self._code += bytes((code, register << 4 | index))
        self._place(target)

    def si(self, code: int, target: str | int, value: int) -> None:
        """Storage and an immediate byte."""
        self._code += bytes((code, value))
        self._place(target)

    def s(self, code: int, device: int) -> None:
        """An I/O instruction: the device's address (below 1000) is its operand address."""
        assert device < 0x1000
        self._code += code.to_bytes(2, "big") + device.to_bytes(2, "big")

    def ss(self, code: int, length: int, first: bytes | str, second: bytes | str) -> None:
        """Storage to storage; an operand is a label or two bytes (base and displacement)."""
        self._code += bytes((code, length))
        for operand in (first, second):
            if isinstance(operand, str):
                self._place(operand)
            else:
                self._code += operand

    def data(self, content: bytes) -> None:
        """Bytes as they are."""
        self._code += content

    def align(self, unit: int) -> None:
        """Fill up to a multiple of `unit`."""
        self._code += bytes(-len(self._code) % unit)

    def ccw(self, command: int, target: str | int, flags: int, count: int) -> None:
        """A format-0 channel command word."""
        self._code.append(command)
        if isinstance(target, str):
            self._absolute.append((len(self._code), target))
            self._code += bytes(3)
        else:
            self._code += target.to_bytes(3, "big")
        self._code += bytes((flags, 0)) + count.to_bytes(2, "big")

    def address(self, target: str) -> None:
        """A full word with the address of a label."""
        self._code.append(0)
        self._absolute.append((len(self._code), target))
        self._code += bytes(3)

    def _place(self, target: str | int) -> None:
        if isinstance(target, str):
            self._based.append((len(self._code), target))
            self._code += bytes(2)
        else:
            assert 0 <= target < 4096
            self._code += target.to_bytes(2, "big")

    def finish(self) -> bytes:
        """The program. KeyError: a label that was never set."""
        for offset, name in self._based:
            displacement = self._labels[name] - (ORIGIN + 2)
            assert 0 <= displacement < 4096, name
            self._code[offset : offset + 2] = (BASE << 12 | displacement).to_bytes(2, "big")
        for offset, name in self._absolute:
            self._code[offset : offset + 3] = self._labels[name].to_bytes(3, "big")
        return bytes(self._code)


def _start_io(asm: Assembler, device: int, chain: str, name: str) -> None:
    """Run a channel program and wait for its end; anything but channel end and device end stops the guest."""
    asm.ss(0xD2, 3, CAW.to_bytes(2, "big"), f"{chain} address")  # MVC CAW,=A(chain)
    asm.label(f"{name} start")
    asm.s(0x9C00, device)  # SIO
    asm.rx(0x47, 0b0101, "fault")  # CSW stored or not operational
    asm.rx(0x47, 0b0010, f"{name} start")  # busy
    asm.label(f"{name} wait")
    asm.s(0x9D00, device)  # TIO
    asm.rx(0x47, 0b0010, f"{name} wait")  # busy
    asm.rx(0x47, 0b0001, "fault")
    asm.rx(0x47, 0b1000, f"{name} wait")  # nothing pending yet
    asm.si(0x95, CSW_STATUS, 0x0C)  # CLI unit status
    asm.rx(0x47, 0b0111, "fault")
    asm.si(0x95, CSW_STATUS + 1, 0)  # CLI channel status
    asm.rx(0x47, 0b0111, "fault")


def _begin(task: Task) -> Assembler:
    asm = Assembler()
    asm.rr(0x05, BASE, 0)  # BALR
    asm.rx(0x58, WORK_BASE, "buffer address")
    asm.rr(0x1B, 5, 5)  # the number
    asm.label("next")
    asm.rx(0x41, 5, 1, 5)  # LA 5,1(5)
    asm.rr(0x18, 7, 5)
    asm.rx(0x4B, 7, "one")
    asm.rr(0x1B, 6, 6)
    asm.rx(0x5D, 6, "tracks")  # (n - 1) mod tracks in 6
    asm.rx(0x5A, 6, "first track")
    asm.rr(0x18, 9, 6)
    asm.rr(0x1B, 8, 8)
    asm.rx(0x5D, 8, "heads")  # head in 8, cylinder in 9
    for field in ("seek cylinder", "search", "count area"):
        asm.rx(0x40, 9, field)
    for field in ("seek head", "search head", "count head"):
        asm.rx(0x40, 8, field)
    return asm


def _print_number(asm: Assembler) -> None:
    asm.rx(0x4E, 5, "packed")  # CVD
    asm.ss(0xF3, 0x77, "text", "packed")  # UNPK 8 digits
    asm.si(0x96, "last digit", 0xF0)  # OI


def _finish(asm: Assembler, task: Task, *, search_record: int) -> bytes:
    asm.rx(0x59, 5, "limit")  # C
    asm.rx(0x47, 0b0100, "next")
    asm.si(0x82, "done", 0)  # LPSW
    asm.label("fault")
    asm.si(0x82, "stopped", 0)
    _wait_states(asm)
    asm.label("packed")
    asm.data(bytes(8))
    asm.label("buffer address")
    asm.data(BUFFER.to_bytes(4, "big"))
    for name, value in (("tracks", task.tracks), ("first track", task.first_track), ("heads", task.heads),
                        ("limit", task.count)):  # fmt: skip
        asm.label(name)
        asm.data(value.to_bytes(4, "big"))
    for name in ("disk", "print"):
        asm.label(f"{name} chain address")
        asm.address(f"{name} chain")
    asm.label("one")
    asm.data(b"\0\x01")
    asm.label("seek")
    asm.data(bytes(2))
    asm.label("seek cylinder")
    asm.data(bytes(2))
    asm.label("seek head")
    asm.data(bytes(2))
    asm.label("search")
    asm.data(bytes(2))
    asm.label("search head")
    asm.data(bytes(2))
    asm.label("search record")
    asm.data(bytes((search_record,)))
    asm.label("mask")
    asm.data(b"\xc0")
    asm.align(2)
    asm.label("count area")
    asm.data(bytes(2))
    asm.label("count head")
    asm.data(bytes(2))
    asm.data(b"\x01\0" + RECORD_BYTES.to_bytes(2, "big"))
    asm.label("text")
    asm.data(bytes(TEXT_BYTES - 1))
    asm.label("last digit")
    asm.data(bytes(1))
    asm.label("missing")
    asm.data(MISSING.encode("cp037"))
    asm.label("torn")
    asm.data(TORN.encode("cp037"))
    asm.align(8)
    asm.label("print chain")
    asm.ccw(PRINT_LINE, "text", SUPPRESS, TEXT_BYTES)
    return asm.finish()


def writer_program(task: Task) -> bytes:
    """Write records 1 to `count` and print each number when the disk has ended it; then a disabled wait at 777."""
    asm = _begin(task)
    _print_number(asm)
    asm.ss(0xD2, TEXT_BYTES - 1, bytes((WORK_BASE << 4, 0)), "text")  # MVC 0(8,11),text
    asm.rr(0x18, 3, WORK_BASE)
    asm.rx(0x41, 4, RECORD_BYTES // 256)
    asm.label("fill")
    asm.ss(0xD2, 255, bytes((3 << 4, 8)), bytes((3 << 4, 0)))  # MVC 8(256,3),0(3): spreads the eight bytes
    asm.rx(0x41, 3, 256, 3)
    asm.rx(0x46, 4, "fill")  # BCT
    _start_io(asm, task.disk, "disk chain", "disk")
    _start_io(asm, task.printer, "print chain", "print")
    asm.rx(0x47, ALWAYS, "decide")
    asm.align(8)
    asm.label("disk chain")
    asm.ccw(SEEK, "seek", CHAIN, 6)
    asm.ccw(SET_MASK, "mask", CHAIN, 1)
    asm.label("disk search")
    asm.ccw(SEARCH_ID, "search", CHAIN, 5)
    asm.ccw(TIC, "disk search", 0, 0)
    asm.ccw(WRITE_CKD, "count area", 0x80, 8)  # data chaining: the count area, then the data
    asm.ccw(WRITE_CKD, BUFFER, 0, RECORD_BYTES)
    asm.label("decide")
    return _finish(asm, task, search_record=0)


def reader_program(task: Task) -> bytes:
    """Read the record of each of `count` tracks and print its number, question marks or exclamation marks."""
    asm = _begin(task)
    asm.ss(0xD2, 3, CAW.to_bytes(2, "big"), "disk chain address")
    asm.s(0x9C00, task.disk)
    asm.rx(0x47, 0b0101, "fault")
    asm.label("read wait")
    asm.s(0x9D00, task.disk)
    asm.rx(0x47, 0b1010, "read wait")
    asm.rx(0x47, 0b0001, "fault")
    asm.ss(0xD2, TEXT_BYTES - 1, "text", "missing")
    asm.si(0x95, CSW_STATUS, 0x0C)
    asm.rx(0x47, 0b0111, "show")  # no such record
    asm.ss(0xD2, TEXT_BYTES - 1, "text", bytes((WORK_BASE << 4, 0)))
    asm.rr(0x18, 3, WORK_BASE)
    asm.rx(0x41, 4, RECORD_BYTES // 256 - 1)
    asm.label("compare")
    asm.ss(0xD5, 255, bytes((3 << 4, 8)), bytes((3 << 4, 0)))  # CLC 8(256,3),0(3)
    asm.rx(0x47, 0b0111, "broken")
    asm.rx(0x41, 3, 256, 3)
    asm.rx(0x46, 4, "compare")
    asm.ss(0xD5, 247, bytes((3 << 4, 8)), bytes((3 << 4, 0)))
    asm.rx(0x47, 0b1000, "show")
    asm.label("broken")
    asm.ss(0xD2, TEXT_BYTES - 1, "text", "torn")
    asm.label("show")
    _start_io(asm, task.printer, "print chain", "print")
    asm.rx(0x47, ALWAYS, "decide")
    asm.align(8)
    asm.label("disk chain")
    asm.ccw(SEEK, "seek", CHAIN, 6)
    asm.label("disk search")
    asm.ccw(SEARCH_ID, "search", CHAIN, 5)
    asm.ccw(TIC, "disk search", 0, 0)
    asm.ccw(READ_DATA, BUFFER, SUPPRESS, RECORD_BYTES)
    asm.label("decide")
    return _finish(asm, task, search_record=1)


def counter_program(task: Task) -> bytes:
    """Add 1, `count` times, to the full word at the start of R1 of `first_track`: reserve, read, write, release.

    What several such guests add up on a shared disk shows whether a reserve keeps others out.
    """
    asm = Assembler()
    asm.rr(0x05, BASE, 0)
    asm.rx(0x58, WORK_BASE, "buffer address")
    asm.rr(0x1B, 5, 5)
    asm.label("next")
    asm.rx(0x41, 5, 1, 5)
    for name in ("reserve", "read"):
        _start_io(asm, task.disk, f"{name} chain", name)
    asm.data(bytes((0x58, 0x70, WORK_BASE << 4, 0)))  # L 7,0(11)
    asm.rx(0x41, 7, 1, 7)
    asm.data(bytes((0x50, 0x70, WORK_BASE << 4, 0)))  # ST 7,0(11)
    for name in ("write", "release"):
        _start_io(asm, task.disk, f"{name} chain", name)
    asm.rx(0x59, 5, "limit")
    asm.rx(0x47, 0b0100, "next")
    asm.si(0x82, "done", 0)
    asm.label("fault")
    asm.si(0x82, "stopped", 0)
    _wait_states(asm)
    asm.label("buffer address")
    asm.data(BUFFER.to_bytes(4, "big"))
    asm.label("limit")
    asm.data(task.count.to_bytes(4, "big"))
    for name in ("reserve", "read", "write", "release"):
        asm.label(f"{name} chain address")
        asm.address(f"{name} chain")
    cylinder, head = divmod(task.first_track, task.heads)
    place = cylinder.to_bytes(2, "big") + head.to_bytes(2, "big")
    asm.label("seek")
    asm.data(bytes(2) + place)
    asm.label("search")
    asm.data(place + b"\x01")
    asm.label("mask")
    asm.data(b"\xc0")
    asm.label("sense")
    asm.data(bytes(SENSE_BYTES))
    asm.align(8)
    for name, command in (("reserve", RESERVE), ("release", RELEASE)):
        asm.label(f"{name} chain")
        asm.ccw(command, "sense", SUPPRESS, SENSE_BYTES)
    for name, command in (("read", READ_DATA), ("write", WRITE_DATA)):
        asm.label(f"{name} chain")
        asm.ccw(SEEK, "seek", CHAIN, 6)
        asm.ccw(SET_MASK, "mask", CHAIN, 1)
        asm.label(f"{name} search")
        asm.ccw(SEARCH_ID, "search", CHAIN, 5)
        asm.ccw(TIC, f"{name} search", 0, 0)
        asm.ccw(command, BUFFER, SUPPRESS, RECORD_BYTES)
    return asm.finish()


def _wait_states(asm: Assembler) -> None:
    """The PSWs of the two ends: disabled waits at DONE_ADDRESS and at FAULT_ADDRESS."""
    asm.align(8)
    for name, address in (("done", DONE_ADDRESS), ("stopped", FAULT_ADDRESS)):
        asm.label(name)
        asm.data(bytes.fromhex("00020000") + address.to_bytes(4, "big"))


def boot_track(program: bytes) -> bytes:
    """The image of track 0 of a volume that boots `program` (at most about 12 KB) at ORIGIN."""
    ipl = bytes(4) + ORIGIN.to_bytes(4, "big") + bytes((READ_DATA,)) + ORIGIN.to_bytes(3, "big")
    ipl += bytes((SUPPRESS, 0)) + len(program).to_bytes(2, "big")
    ipl = ipl.ljust(READ_IPL_COUNT, b"\0")
    records = [standard_record_zero(0, 0)]
    for number, content in ((1, ipl), (2, program)):
        records.append(Record(bytes((0, 0, 0, 0, number, 0)) + len(content).to_bytes(2, "big"), b"", content))
    return build_track(0, 0, records)
