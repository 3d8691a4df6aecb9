"""What a channel does with a channel program: fetch CCWs, chain, count bytes, judge the length. No input or output.

`run_program` is a generator: it yields one `Start` per command for the device and is sent the `Response`; data-chained
CCWs are one `Start`, a transfer in channel is none. It returns the `ProgramResult`. Whoever carries the commands to a
device (a link, a test) throws `InterfaceControlCheck` into it when the device can no longer be asked.

Rules, with their clause in the command reference ("eckd"):

* eckd 1.4: TIC not first, not to a TIC, to an 8-byte boundary; format 0 any code X8, format 1 only 08 with zero flags
  and count. At most RUNAWAY_LIMIT commands in a row that move no data (searches count as none), then program check.
* eckd 1.7: zero count is a program check in format 0, and in format 1 with or after data chaining.
* eckd 1.8: residual = count of the last CCW used minus the bytes moved for it; the decision table for CD, CC, SLI;
  immediate operations; the CCW that became current when a data-chained count ran out exactly.
* eckd 1.9: 0C goes on at +8, 4C at +16, anything else ends the program.
* eckd 1.10: the device sees one stream; its count is the sum, at most 65,535 (the width of the field in a frame).
* A program-controlled interruption only sets its bit in the channel status.
* Incorrect length beside unit check or exception: shown for reads only (observed: SDL Hercules 4.9, all recordings).
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import NamedTuple

from ccw.ccws import Ccw, CcwFlag, ChannelStatus, UnitStatus, decode_ccw
from ccw.errors import FormatError
from host_emulator.storage import AddressingError, MainStorage

CCW_BYTES = 8
IDAW_BYTES = 4
IDAW_BLOCK_BYTES = 2048
MAX_COUNT_BYTES = 0xFFFF
RUNAWAY_LIMIT = 65_536
SUSPEND_AND_MIDAW = 0x03  # CCW flags this channel does not offer, as if the program were started without them

_NORMAL_END = UnitStatus.CHANNEL_END | UnitStatus.DEVICE_END
_SEARCHES = frozenset({0x29, 0x31, 0x39, 0x49, 0x51, 0x69, 0x71})


class InterfaceControlCheck(Exception):
    """The device cannot be asked any more: link error, path lost, no answer. Thrown into a running program."""

    not_operational = False  # the control unit is there and knows no such device


class Start(NamedTuple):
    """One command for the device."""

    code: int
    flags: int  # CC 40 and SLI 20 as they stand at the end of the data chain
    count: int  # type: ignore[assignment]  # bytes, 0-65535; summed over data chaining
    data: bytes  # what a write or control command may take; empty for reads
    chained: bool  # reached by command chaining
    counts: tuple[int, ...] = ()  # of each CCW, where data are chained
    solicit_sense: bool = True  # sense may come with unit check; else a Sense command has to fetch it


class Response(NamedTuple):
    """What the device did with a `Start`."""

    status: int  # unit status; channel end and device end put together when they came apart
    data: bytes  # what a read or sense sent
    residual: int  # count minus bytes moved
    long_record: bool  # the device had, or wanted, more than the count
    sense: bytes | None  # 32 bytes with unit check, when the control unit gave them with the status
    immediate: bool  # ended at selection, without a data phase


@dataclass(frozen=True, slots=True)
class ChannelProgram:
    """A program in storage: where its first CCW is and how CCWs are to be read."""

    storage: MainStorage
    address: int
    format: int = 1  # 0: 24-bit data addresses; 1: 31-bit
    suppress_length: bool = False  # format 1: no incorrect length for immediate operations


class Executed(NamedTuple):
    """One command that reached the device."""

    ccw_address: int
    start: Start
    response: Response


@dataclass(frozen=True, slots=True)
class ProgramResult:
    """How a program ended: what an interruption would show, and every command that was executed."""

    unit_status: int
    channel_status: int
    residual: int
    ccw_address: int  # of the last CCW used, plus 8
    sense: bytes | None
    executed: tuple[Executed, ...]
    problem: str | None = None  # text of an interface control check
    not_operational: bool = False  # the interface control check says that there is no such device

    @property
    def completed(self) -> bool:
        """Normal end: channel end and device end, perhaps status modifier, and nothing that stopped the program."""
        unit = self.unit_status & ~UnitStatus.STATUS_MODIFIER
        return unit == _NORMAL_END and not self.channel_status & ~ChannelStatus.PCI

    @property
    def reads(self) -> tuple[bytes, ...]:
        """The data of each command that read or sensed, in order."""
        return tuple(done.response.data for done in self.executed if is_input(done.start.code))

    @property
    def data(self) -> bytes:
        """All data that was read, put together."""
        return b"".join(self.reads)


class _ProgramCheck(Exception):
    """A CCW at `address` that the channel refuses. Never leaves this module."""

    def __init__(self, address: int) -> None:
        super().__init__(f"program check at {address:X}")
        self.address = address


class _Segment(NamedTuple):
    """One CCW of an operation."""

    address: int
    ccw: Ccw


@dataclass(frozen=True, slots=True)
class _Operation:
    """One command: its CCW and those data-chained to it."""

    segments: tuple[_Segment, ...]
    refused: _ProgramCheck | None  # the data chain runs into a CCW that cannot be used

    @property
    def code(self) -> int:
        return self.segments[0].ccw.command

    @property
    def count(self) -> int:
        return min(sum(segment.ccw.count for segment in self.segments), MAX_COUNT_BYTES)


class _Ending(NamedTuple):
    """How one command ended for the channel."""

    segment: _Segment
    residual: int
    channel_status: int
    chain: bool  # go on with the next command


def is_input(code: int) -> bool:
    """Whether data goes from the device to storage: read, read backward, sense (eckd 1.3)."""
    return code & 0x03 == 0x02 or code & 0x0F in (0x04, 0x0C)


def run_program(program: ChannelProgram) -> Generator[Start, Response, ProgramResult]:
    """Run `program` from its first CCW; see the module head for the protocol and the rules."""
    return (yield from _Channel(program).run())


class _Channel:
    """One program in execution."""

    def __init__(self, program: ChannelProgram) -> None:
        self._program = program
        self._storage = program.storage
        self._executed: list[Executed] = []
        self._status = 0
        self._interruption = 0  # PCI once it was met
        self._idle_steps = 0

    def run(self) -> Generator[Start, Response, ProgramResult]:
        address = self._program.address
        while True:
            try:
                operation = self._fetch_operation(address)
                start = self._start(operation)
            except _ProgramCheck as check:
                return self._result(ChannelStatus.PROGRAM_CHECK, 0, check.address)
            try:
                response = yield start
            except InterfaceControlCheck as error:
                status = ChannelStatus.INTERFACE_CONTROL_CHECK
                ended = self._result(status, start.count, operation.segments[0].address, problem=str(error))
                return replace(ended, not_operational=error.not_operational)
            self._executed.append(Executed(operation.segments[0].address, start, response))
            self._status = response.status
            ending = self._conclude(operation, response)
            if not ending.chain:
                return self._result(ending.channel_status, ending.residual, ending.segment.address, response.sense)
            skip = 2 if response.status & UnitStatus.STATUS_MODIFIER else 1
            address = ending.segment.address + skip * CCW_BYTES

    def _result(
        self, status: int, residual: int, address: int, sense: bytes | None = None, problem: str | None = None
    ) -> ProgramResult:
        return ProgramResult(
            unit_status=self._status,
            channel_status=status | self._interruption,
            residual=residual,
            ccw_address=address + CCW_BYTES,
            sense=sense,
            executed=tuple(self._executed),
            problem=problem,
        )

    # Fetching

    def _fetch_operation(self, address: int) -> _Operation:
        """The CCW at `address` with all that are data-chained to it. Raises _ProgramCheck for the first one only."""
        segment = self._fetch(address, data_chained=False)
        code = segment.ccw.command
        if code & 0x0F == 0:
            raise _ProgramCheck(segment.address)
        self._check_areas(code, segment)
        segments = [segment]
        refused = None
        while segment.ccw.flags & CcwFlag.CD and len(segments) < RUNAWAY_LIMIT:
            try:
                segment = self._fetch(segment.address + CCW_BYTES, data_chained=True)
                self._check_areas(code, segment)
            except _ProgramCheck as check:
                refused = check
                break
            segments.append(segment)
        return _Operation(tuple(segments), refused)

    def _check_areas(self, code: int, segment: _Segment) -> None:
        """Output must lie in storage as a whole, input at least begin there. Raises _ProgramCheck."""
        ccw = segment.ccw
        if ccw.count == 0 or (is_input(code) and ccw.flags & CcwFlag.SKIP):
            return
        try:
            areas = self._areas(ccw)
            for address, length in areas[:1] if is_input(code) else areas:
                self._storage.check(address, 1 if is_input(code) else length)
        except AddressingError:
            raise _ProgramCheck(segment.address) from None

    def _fetch(self, address: int, data_chained: bool) -> _Segment:
        """The CCW at `address`, through at most one transfer in channel. Raises _ProgramCheck."""
        ccw = self._decode(address)
        if self._is_transfer(ccw, address):
            if address == self._program.address and not self._executed and not data_chained:
                raise _ProgramCheck(address)
            if ccw.address % CCW_BYTES:
                raise _ProgramCheck(address)
            target = ccw.address
            ccw = self._decode(target)
            if self._is_transfer(ccw, target):
                raise _ProgramCheck(target)
            address = target
        flags = ccw.flags
        if flags & SUSPEND_AND_MIDAW or (self._program.format == 1 and ccw.address & 0x8000_0000):
            raise _ProgramCheck(address)
        if ccw.count == 0 and (self._program.format == 0 or data_chained or flags & CcwFlag.CD):
            raise _ProgramCheck(address)
        if flags & CcwFlag.PCI:
            self._interruption = ChannelStatus.PCI
        return _Segment(address, ccw)

    def _decode(self, address: int) -> Ccw:
        if address % CCW_BYTES:
            raise _ProgramCheck(address)
        try:
            return decode_ccw(self._storage.fetch(address, CCW_BYTES), self._program.format)
        except (AddressingError, FormatError):
            raise _ProgramCheck(address) from None

    def _is_transfer(self, ccw: Ccw, address: int) -> bool:
        if ccw.command & 0x0F != 0x08:
            return False
        if self._program.format == 0:
            return True
        if ccw.command != 0x08 or ccw.flags or ccw.count:
            raise _ProgramCheck(address)
        return True

    # Starting

    def _start(self, operation: _Operation) -> Start:
        """The command for the device. Raises _ProgramCheck when its first CCW cannot be carried out."""
        code = operation.code
        self._idle_steps += 1
        if self._idle_steps > RUNAWAY_LIMIT:
            raise _ProgramCheck(operation.segments[0].address)
        flags = operation.segments[-1].ccw.flags & (CcwFlag.CC | CcwFlag.SLI)
        data = b"" if is_input(code) else self._gather(operation)
        counts = tuple(segment.ccw.count for segment in operation.segments) if len(operation.segments) > 1 else ()
        return Start(code, int(flags), operation.count, data, bool(self._executed), counts)

    def _gather(self, operation: _Operation) -> bytes:
        """What an output operation may send. No more is fetched than that: a data chain can come back to itself."""
        data = bytearray()
        for segment in operation.segments:
            for address, length in self._areas(segment.ccw):
                data += self._storage.fetch(address, length)
            if len(data) >= MAX_COUNT_BYTES:
                break
        return bytes(data[:MAX_COUNT_BYTES])

    def _areas(self, ccw: Ccw) -> list[tuple[int, int]]:
        """The storage areas of one CCW, as (address, length). Raises AddressingError (also for a bad IDAW)."""
        if not ccw.flags & CcwFlag.IDA:
            return [(ccw.address, ccw.count)]
        areas: list[tuple[int, int]] = []
        left, list_address = ccw.count, ccw.address
        if list_address % IDAW_BYTES:
            raise AddressingError(list_address)
        while left:
            address = int.from_bytes(self._storage.fetch(list_address, IDAW_BYTES), "big")
            if areas and address % IDAW_BLOCK_BYTES:
                raise AddressingError(address)
            length = min(left, IDAW_BLOCK_BYTES - address % IDAW_BLOCK_BYTES)
            areas.append((address, length))
            left -= length
            list_address += IDAW_BYTES
        return areas

    # Ending

    def _conclude(self, operation: _Operation, response: Response) -> _Ending:
        """Store what was read, find the CCW in force at the end, judge the length (eckd 1.8)."""
        if response.immediate and not is_input(operation.code):
            return self._conclude_immediate(operation.segments[0], response)
        moved = operation.count - response.residual
        if moved and operation.code & 0x7F not in _SEARCHES:
            self._idle_steps = 0
        stored_all = self._scatter(operation, response.data[:moved]) if is_input(operation.code) else True
        index, residual = _position(operation, moved)
        segment = operation.segments[index]
        last = index == len(operation.segments) - 1
        if not stored_all:
            return _Ending(segment, residual, ChannelStatus.PROGRAM_CHECK, chain=False)
        if operation.refused and last and residual == 0:
            refused = _Segment(operation.refused.address, segment.ccw)
            return _Ending(refused, 0, ChannelStatus.PROGRAM_CHECK, chain=False)
        flags = segment.ccw.flags
        wrong = residual != 0 or (last and response.long_record)
        suppressed = flags & CcwFlag.SLI and not flags & CcwFlag.CD  # CD: the device ended before the data chain did
        return self._judge(segment, residual, wrong and not suppressed, response.status, is_input(operation.code))

    def _conclude_immediate(self, segment: _Segment, response: Response) -> _Ending:
        """An immediate operation moves nothing and its CCW's data chaining has no meaning."""
        wrong = (
            self._program.format == 1
            and segment.ccw.count > 0
            and not segment.ccw.flags & CcwFlag.SLI
            and not self._program.suppress_length
        )
        ccw = segment.ccw
        plain = Ccw(ccw.command, ccw.flags & ~CcwFlag.CD, ccw.count, ccw.address)
        return self._judge(_Segment(segment.address, plain), ccw.count, wrong, response.status, reads=False)

    def _judge(self, segment: _Segment, residual: int, incorrect: bool, status: int, reads: bool) -> _Ending:
        normal = status & ~UnitStatus.STATUS_MODIFIER == _NORMAL_END
        started = bool(status & UnitStatus.CHANNEL_END)
        channel_status = ChannelStatus.INCORRECT_LENGTH if incorrect and (normal or (reads and started)) else 0
        flags = segment.ccw.flags
        chain = normal and not channel_status and bool(flags & CcwFlag.CC) and not flags & CcwFlag.CD
        return _Ending(segment, residual, int(channel_status), chain)

    def _scatter(self, operation: _Operation, data: bytes) -> bool:
        """Distribute read data over the CCWs, SKIP ones excepted. False when an address was outside storage."""
        done = 0
        for segment in operation.segments:
            if done >= len(data):
                break
            if segment.ccw.flags & CcwFlag.SKIP:
                done += segment.ccw.count
                continue
            try:
                for address, length in self._areas(segment.ccw):
                    self._storage.store(address, data[done : done + length])
                    done += length
            except AddressingError:
                return False
        return True


def _position(operation: _Operation, moved: int) -> tuple[int, int]:
    """Which CCW is current after `moved` bytes, and what is left of its count.

    When a data-chained count ran out exactly, the next CCW is current and whole.
    """
    last = len(operation.segments) - 1
    for index, segment in enumerate(operation.segments):
        if moved < segment.ccw.count or index == last:
            return index, segment.ccw.count - moved
        moved -= segment.ccw.count
    raise AssertionError("an operation has at least one CCW")
