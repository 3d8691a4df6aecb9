"""The channel's rules about CCWs (eckd-commands 1): every row of the length table, chaining, TIC, program checks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ccw.ccws import Ccw, encode_ccw
from host_emulator.channel import (
    RUNAWAY_LIMIT,
    ChannelProgram,
    InterfaceControlCheck,
    ProgramResult,
    Response,
    Start,
    run_program,
)
from host_emulator.storage import AddressingError, MainStorage

CD, CC, SLI, SKIP, PCI, IDA = 0x80, 0x40, 0x20, 0x10, 0x08, 0x04
IL, PROGRAM_CHECK, INTERFACE_CHECK = 0x40, 0x20, 0x02
ORIGIN, AREA = 0x1000, 0x8000
Device = Callable[[Start], Response]


def program(
    *ccws: tuple[int, int, int, int], form: int = 1, suppress: bool = False, at: int = ORIGIN
) -> ChannelProgram:
    """CCWs as (command, flags, count, address), one after the other."""
    storage = MainStorage()
    for index, (command, flags, count, address) in enumerate(ccws):
        storage.store(at + 8 * index, encode_ccw(Ccw(command, flags, count, address), form))
    return ChannelProgram(storage, at, form, suppress)


def execute(given: ChannelProgram, device: Device) -> tuple[ProgramResult, list[Start]]:
    starts = []
    running = run_program(given)
    try:
        start = next(running)
        while True:
            starts.append(start)
            start = running.send(device(start))
    except StopIteration as stop:
        return stop.value, starts


def wants(length: int, status: int = 0x0C, immediate: bool = False) -> Device:
    """A device that would move `length` bytes whatever the count is."""

    def answer(start: Start) -> Response:
        moved = min(length, start.count)
        data = bytes(index & 0xFF for index in range(moved)) if start.code & 3 == 2 or start.code & 15 == 4 else b""
        return Response(status, data, start.count - moved, length > start.count, None, immediate)

    return answer


@pytest.mark.parametrize("code", [0x06, 0x05, 0x07], ids=["read", "write", "control"])
@pytest.mark.parametrize(
    ("flags", "wanted", "channel_status", "residual", "chains"),
    [
        (0, 10, 0, 0, False),
        (0, 7, IL, 3, False),
        (0, 13, IL, 0, False),
        (SLI, 7, 0, 3, False),
        (SLI, 13, 0, 0, False),
        (CC, 10, 0, 0, True),
        (CC, 7, IL, 3, False),
        (CC, 13, IL, 0, False),
        (CC | SLI, 7, 0, 0, True),
        (CC | SLI, 13, 0, 0, True),
    ],
)
def test_length_table(code: int, flags: int, wanted: int, channel_status: int, residual: int, chains: bool) -> None:
    given = program((code, flags, 10, AREA), (code, SLI, wanted, AREA))
    result, starts = execute(given, wants(wanted))
    assert (result.channel_status, result.residual, len(starts)) == (channel_status, residual, 1 + chains)
    assert result.ccw_address == ORIGIN + 8 * len(starts)
    assert result.completed == (not channel_status)


@pytest.mark.parametrize(
    ("form", "flags", "count", "suppress", "channel_status"),
    [(0, 0, 1, False, 0), (1, 0, 1, False, IL), (1, SLI, 1, False, 0), (1, 0, 1, True, 0), (1, 0, 0, False, 0)],
)
def test_immediate_operations(form: int, flags: int, count: int, suppress: bool, channel_status: int) -> None:
    given = program((0x03, flags, count, AREA), form=form, suppress=suppress)
    result, _ = execute(given, lambda start: Response(0x0C, b"", start.count, False, None, True))
    assert (result.channel_status, result.residual) == (channel_status, count)


def test_data_chaining_is_not_looked_at_in_an_immediate_operation() -> None:
    given = program((0x03, CD | CC, 1, AREA), (0x03, 0, 1, AREA), form=0)
    result, starts = execute(given, lambda start: Response(0x0C, b"", start.count, False, None, True))
    assert (result.channel_status, result.ccw_address, len(starts)) == (0, ORIGIN + 16, 2)


def test_reads_are_distributed_over_a_data_chain() -> None:
    given = program((0x06, CD, 4, AREA), (0xFF, CD | SKIP, 3, 0), (0x00, 0, 5, AREA + 100))
    result, starts = execute(given, wants(12))
    assert starts == [Start(0x06, 0, 12, b"", False, (4, 3, 5))]
    assert given.storage.fetch(AREA, 6) == bytes((0, 1, 2, 3, 0, 0))
    assert given.storage.fetch(AREA + 100, 6) == bytes((7, 8, 9, 10, 11, 0))
    assert (result.channel_status, result.residual, result.ccw_address) == (0, 0, ORIGIN + 24)


def test_writes_of_a_data_chain_are_one_stream() -> None:
    given = program((0x05, CD, 3, AREA), (0x08, 0, 0, ORIGIN + 0x40))
    given.storage.store(ORIGIN + 0x40, encode_ccw(Ccw(0, SLI, 2, AREA + 0x100), 1))
    given.storage.store(AREA, b"abc")
    given.storage.store(AREA + 0x100, b"de")
    result, starts = execute(given, wants(5))
    assert starts == [Start(0x05, SLI, 5, b"abcde", False, (3, 2))]
    assert (result.completed, result.ccw_address) == (True, ORIGIN + 0x48)


@pytest.mark.parametrize(
    ("wanted", "channel_status", "residual", "ccws"),
    [(3, IL, 1, 1), (4, 0, 6, 2), (7, 0, 3, 2), (10, 0, 0, 2), (11, 0, 0, 2)],
)
def test_where_a_data_chain_ends(wanted: int, channel_status: int, residual: int, ccws: int) -> None:
    """Ends inside a CD area: wrong length whatever SLI says; exactly at its end: the next CCW is current and whole."""
    given = program((0x06, CD | SLI, 4, AREA), (0x06, SLI, 6, AREA + 64))
    result, _ = execute(given, wants(wanted))
    assert (result.channel_status, result.residual) == (channel_status, residual)
    assert result.ccw_address == ORIGIN + 8 * ccws


class CountingStorage(MainStorage):
    """Main storage that counts the bytes that were fetched of it."""

    fetched = 0

    def fetch(self, address: int, length_bytes: int) -> bytes:
        self.fetched += length_bytes
        return super().fetch(address, length_bytes)


def test_a_data_chain_that_comes_back_to_itself_is_fetched_no_further_than_its_count() -> None:
    storage = CountingStorage()
    storage.store(ORIGIN, encode_ccw(Ccw(0x05, CD, 4000, AREA), 1))
    storage.store(ORIGIN + 8, encode_ccw(Ccw(0x08, 0, 0, ORIGIN), 1))
    start = next(run_program(ChannelProgram(storage, ORIGIN)))
    assert start.count == len(start.data) == 65_535
    ccws = 3 * 8 * RUNAWAY_LIMIT  # each CCW of the chain behind its transfer in channel
    assert storage.fetched <= ccws + 65_535 + 4000


def test_status_modifier_skips_one_ccw() -> None:
    """The search loop of eckd-commands 1.9; vector 1: four searches, then the read."""
    given = program(
        (0x07, CC, 6, AREA),
        (0x31, CC, 5, AREA + 2),
        (0x08, 0, 0, ORIGIN + 8),
        (0x06, 0, 16, AREA + 64),
    )
    searches = iter((0x0C, 0x0C, 0x0C, 0x4C))

    def device(start: Start) -> Response:
        if start.code == 0x31:
            return Response(next(searches), b"", 0, False, None, False)
        return wants(start.count)(start)

    result, starts = execute(given, device)
    assert [start.code for start in starts] == [0x07, 0x31, 0x31, 0x31, 0x31, 0x06]
    assert [start.chained for start in starts] == [False, True, True, True, True, True]
    assert (result.completed, result.ccw_address, result.data) == (True, ORIGIN + 0x20, bytes(range(16)))


@pytest.mark.parametrize(
    ("ccws", "form"),
    [
        ([(0x08, 0, 0, ORIGIN + 8), (0x06, 0, 1, AREA)], 1),  # first
        ([(0x03, CC, 1, AREA), (0x08, 0, 0, ORIGIN + 0x10), (0x08, 0, 0, ORIGIN)], 1),  # to another
        ([(0x03, CC, 1, AREA), (0x08, 0, 0, ORIGIN + 4)], 1),  # not to an 8-byte boundary
        ([(0x03, CC, 1, AREA), (0x08, CC, 0, ORIGIN)], 1),  # flags in format 1
        ([(0x03, CC, 1, AREA), (0x18, 0, 0, ORIGIN)], 1),  # not 08 in format 1
        ([(0x03, CC, 1, AREA), (0xF0, 0, 1, AREA)], 1),  # invalid command
        ([(0x03, CC, 1, AREA), (0x06, 0, 0, AREA)], 0),  # zero count, format 0
        ([(0x03, CC, 1, AREA), (0x06, CD, 0, AREA)], 1),  # zero count with CD
        ([(0x03, CC, 1, AREA), (0x06, 0, 1, 0x8000_0000)], 1),  # bit 0 of the address
        ([(0x03, CC, 1, AREA), (0x05, 0, 9, (1 << 24) - 8)], 1),  # data beyond storage
        ([(0x03, CC, 1, AREA), (0x06, 0x02, 1, AREA)], 1),  # suspend
        ([(0x03, CC, 1, AREA), (0x06, 0x01, 1, AREA)], 1),  # MIDAW
        ([(0x03, CC, 1, AREA), (0x06, IDA, 1, AREA + 2)], 1),  # IDAW not on a word
    ],
)
def test_program_checks(ccws: list[tuple[int, int, int, int]], form: int) -> None:
    """The device sees nothing of the CCW that is refused."""
    given = program(*ccws, form=form, suppress=True)
    result, starts = execute(given, lambda start: Response(0x0C, b"", start.count, False, None, True))
    assert result.channel_status == PROGRAM_CHECK
    assert not result.completed
    assert len(starts) == (0 if ccws[0][0] == 0x08 else 1)


def test_a_data_chain_into_nowhere_is_a_program_check_when_it_is_reached() -> None:
    given = program((0x06, CD, 4, AREA), (0x06, 0x01, 4, AREA + 64))
    reached, _ = execute(given, wants(9))
    assert (reached.channel_status, reached.ccw_address) == (PROGRAM_CHECK, ORIGIN + 16)
    not_reached, _ = execute(given, wants(3))
    assert (not_reached.channel_status, not_reached.ccw_address) == (IL, ORIGIN + 8)


def test_transfer_in_channel_of_format_0_has_any_high_digit() -> None:
    given = program((0x06, CC, 1, AREA), (0xF8, 0xFF, 9, ORIGIN + 0x18), (0, 0, 0, 0), (0x06, 0, 1, AREA), form=0)
    result, starts = execute(given, wants(1))
    assert (result.completed, len(starts)) == (True, 2)


def test_runaway_programs_end() -> None:
    given = program((0x07, CC, 6, AREA), (0x31, CC, 5, AREA), (0x08, 0, 0, ORIGIN + 8))
    result, starts = execute(given, wants(5 + 1))
    assert result.channel_status == IL  # the seek has the wrong length
    given = program((0x31, CC | SLI, 5, AREA), (0x08, 0, 0, ORIGIN))
    result, starts = execute(given, wants(5))
    assert (result.channel_status, len(starts)) == (PROGRAM_CHECK, RUNAWAY_LIMIT)


@pytest.mark.parametrize(
    ("code", "status", "flags", "channel_status"),
    [
        (0x06, 0x0E, 0, IL),
        (0x06, 0x0D, 0, IL),
        (0x06, 0x0E, SLI, 0),
        (0x05, 0x0E, 0, 0),
        (0x07, 0x0E, 0, 0),
        (0x06, 0x10, 0, 0),
        (0x06, 0x02, 0, 0),
    ],
)
def test_wrong_length_beside_other_status(code: int, status: int, flags: int, channel_status: int) -> None:
    """With unit check or exception it is shown for reads that had begun."""
    given = program((code, flags | CC, 16, AREA), (0x03, 0, 1, AREA))
    result, starts = execute(given, wants(0, status))
    assert (result.unit_status, result.channel_status, result.residual, len(starts)) == (status, channel_status, 16, 1)


def test_program_controlled_interruption_does_not_stop() -> None:
    result, starts = execute(program((0x06, CC | PCI, 1, AREA), (0x06, 0, 1, AREA)), wants(1))
    assert (result.channel_status, result.completed, len(starts)) == (0x80, True, 2)


def test_indirect_addressing() -> None:
    given = program((0x06, IDA, 3000, AREA))
    for index, address in enumerate((0x20_07F0, 0x30_0000, 0x40_0800)):
        given.storage.store(AREA + 4 * index, address.to_bytes(4, "big"))
    result, _ = execute(given, wants(3000))
    stream = bytes(index & 0xFF for index in range(3000))
    assert result.completed
    assert given.storage.fetch(0x20_07F0, 16) == stream[:16]
    assert given.storage.fetch(0x30_0000, 2048) == stream[16:2064]
    assert given.storage.fetch(0x40_0800, 936) == stream[2064:]


def test_a_program_may_read_its_own_continuation() -> None:
    """As initial program loading does: the CCW that follows is part of what was read."""
    given = program((0x02, CC, 24, 0), at=0, form=0)
    loaded = bytes(8) + encode_ccw(Ccw(0x06, 0, 5, 0x4000), 0) + bytes(8)

    def device(start: Start) -> Response:
        data = loaded if start.code == 0x02 else b"hello"
        return Response(0x0C, data, 0, False, None, False)

    result, _ = execute(given, device)
    assert (result.completed, given.storage.fetch(0x4000, 5)) == (True, b"hello")


def test_interface_control_check_ends_the_program() -> None:
    running = run_program(program((0x06, CC, 16, AREA), (0x06, 0, 16, AREA)))
    next(running)
    running.send(Response(0x0C, bytes(16), 0, False, None, False))
    with pytest.raises(StopIteration) as stop:
        running.throw(InterfaceControlCheck("link lost"))
    result = stop.value.value
    assert (result.channel_status, result.problem, len(result.executed)) == (INTERFACE_CHECK, "link lost", 1)


def test_storage_is_sparse_and_bounded() -> None:
    storage = MainStorage(1 << 31)
    storage.store(4090, bytes(range(1, 13)))
    assert storage.fetch(4088, 16) == b"\0\0" + bytes(range(1, 13)) + b"\0\0"
    with pytest.raises(AddressingError):
        storage.fetch((1 << 31) - 1, 2)
    with pytest.raises(AddressingError):
        storage.store(-1, b"x")
