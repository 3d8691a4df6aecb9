"""Chains at a base and its aliases: whose wait for whose, and what they may give back."""

from __future__ import annotations

import pytest

from controller.channel import PathId
from controller.parallel_access import ParallelAccess
from controller.remote_copy.ports import ArrayFull
from tests.helpers import operator
from tests.helpers.caller import (
    ALIAS,
    BASE,
    COUNT,
    DISBAND,
    ESTABLISH,
    READS,
    SECOND,
    WRITES,
    A,
    B,
    C,
    Caller,
    read,
    write,
)


@pytest.fixture
def caller() -> Caller:
    return Caller()


def test_an_alias_reads_and_writes_the_tracks_of_its_base(caller: Caller) -> None:
    write(caller, A, ALIAS, 0x11)
    assert read(caller, B, BASE) == read(caller, B, SECOND) == b"\x11" * 8
    write(caller, A, BASE, 0x22)
    assert read(caller, A, ALIAS) == b"\x22" * 8


def test_chains_that_only_read_run_side_by_side(caller: Caller) -> None:
    write(caller, A, BASE, 1)
    for path, unit in ((A, BASE), (B, ALIAS), (A, SECOND)):
        assert caller.extent(path, unit, 0, 14, READS)[0].status == 0x0C
    locate = bytes.fromhex("06000001 00000003 00000003 01 FF 0000")
    for path, unit in ((A, SECOND), (A, BASE), (B, ALIAS)):
        assert caller.send(path, unit, 0x47, locate)[0].status == 0x0C
        assert caller.send(path, unit, 0x06, 8, last=True)[0].data == b"\1" * 8


def test_writers_of_other_tracks_run_side_by_side(caller: Caller) -> None:
    assert caller.extent(A, BASE, 0, 4, WRITES)[0].status == 0x0C
    assert caller.extent(B, ALIAS, 5, 9, WRITES)[0].status == 0x0C


@pytest.mark.parametrize(("mine", "others"), [(READS, WRITES), (WRITES, READS), (WRITES, WRITES)])
def test_who_would_meet_a_writer_waits_for_the_end_of_its_chain(caller: Caller, mine: str, others: str) -> None:
    assert caller.extent(A, BASE, 0, 4, others)[0].status == 0x0C
    waiting = caller.extent(B, ALIAS, 4, 9, mine)
    assert waiting == []
    assert caller.alone(C, ALIAS, 0xE4, 7).status == 0x10, "the alias is busy meanwhile"
    assert caller.alone(C, SECOND, 0xE4, 7).status == 0x0C, "what needs no track waits for nobody"
    caller.end(A, BASE)
    assert [outcome.status for outcome in waiting] == [0x0C]


def test_those_that_wait_go_on_in_their_order(caller: Caller) -> None:
    caller.extent(A, BASE, 0, 9, WRITES)
    first = caller.extent(B, ALIAS, 0, 9, WRITES)
    second = caller.extent(C, SECOND, 5, 5, READS)
    assert (first, second) == ([], [])
    caller.end(A, BASE)
    assert len(first) == 1 and second == []
    caller.extent(A, BASE, 5, 5, READS)
    caller.end(B, ALIAS)
    assert len(second) == 1


def test_a_chain_without_an_extent_claims_the_volume(caller: Caller) -> None:
    """Seek, then Search: the search claims all; the claim of another's one track is in its way."""
    caller.extent(A, BASE, 9, 9, WRITES)
    assert caller.send(B, ALIAS, 0x07, bytes(6), first=True)[0].status == 0x0C
    waiting = caller.send(B, ALIAS, 0x31, bytes(5))
    assert waiting == []
    caller.end(A, BASE)
    assert waiting[0].status == 0x4C


def test_a_chain_that_waits_is_gone_after_a_reset(caller: Caller) -> None:
    caller.extent(A, BASE, 0, 9, WRITES)
    waiting = caller.extent(B, ALIAS, 0, 9, WRITES)
    caller.subsystem.reset(B, ALIAS)
    caller.end(A, BASE)
    assert waiting == []
    assert caller.alone(B, ALIAS, 0xE4, 7).status == 0x0C


def test_who_loses_the_device_before_its_chain_began_is_answered_busy(caller: Caller) -> None:
    caller.extent(A, BASE, 0, 9, WRITES)
    waiting = caller.extent(B, ALIAS, 0, 9, WRITES)
    assert caller.alone(C, ALIAS, 0x14, 32).status == 0x0C
    assert [outcome.status for outcome in waiting] == [0x10]
    assert caller.alone(C, ALIAS, 0x94, 32).status == 0x0C
    assert (B, ALIAS, 0x04) in caller.presented
    assert caller.alone(B, ALIAS, 0xE4, 7).sense is not None, "and hears that its chain was ended"


def test_who_loses_the_device_within_its_chain_hears_of_it(caller: Caller) -> None:
    caller.extent(A, BASE, 0, 9, WRITES)
    assert caller.send(B, ALIAS, 0x07, bytes(6), first=True)[0].status == 0x0C
    waiting = caller.send(B, ALIAS, 0x31, bytes(5))
    assert caller.alone(C, ALIAS, 0x14, 32).status == 0x0C
    assert [outcome.status for outcome in waiting] == [0x0E]
    assert waiting[0].sense is not None and waiting[0].sense[7] == 0x3F


def test_who_is_answered_busy_keeps_nobody_waiting(caller: Caller) -> None:
    """Its chain waited, and its group lost the reservation meanwhile; the channel has not taken the status yet."""
    for path in (A, B):
        assert caller.alone(path, SECOND, 0xAF, ESTABLISH).status == 0x0C
    assert caller.alone(A, SECOND, 0xB4, 32).status == 0x0C
    caller.extent(A, BASE, 0, 9, WRITES)
    refused = caller.extent(B, ALIAS, 0, 9, WRITES)
    assert caller.alone(A, SECOND, 0xAF, DISBAND).status == 0x0C
    assert [outcome.status for outcome in refused] == [0x10]
    waiting = caller.extent(A, SECOND, 0, 9, WRITES)
    assert waiting == []
    caller.end(A, BASE)
    assert [outcome.status for outcome in waiting] == [0x0C]


def update_both_records(caller: Caller) -> tuple[bytes, bytes]:
    """Two chains, of base and alias, update a record each of one track, command by command in turn; what is there."""
    caller.extent(A, BASE, 3, 3, WRITES)
    caller.send(A, BASE, 0x47, bytes.fromhex("03000002 00000003 00000003 00 FF 0000"))
    for number in (1, 2):
        caller.send(A, BASE, 0x1D, bytes((0, 0, 0, 3, number, 0, 0, 8)) + bytes(8), last=number == 2)
    caller.end(A, BASE)
    turns = ((A, BASE, 1), (B, ALIAS, 2))
    for path, unit, _ in turns:
        caller.extent(path, unit, 3, 3, WRITES)
    for path, unit, number in turns:
        caller.send(path, unit, 0x47, bytes.fromhex(f"01800001 00000003 00000003 {number:02X} FF 0008"))
    for path, unit, number in turns:
        caller.send(path, unit, 0x85, bytes((number,)) * 8, last=True)
        caller.end(path, unit)
    image = caller.box.store.read(BASE, 3)
    assert image is not None
    return image[29:37], image[45:53]


def test_without_claims_an_update_would_be_lost(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ParallelAccess, "wanted", lambda *_: None)
    assert update_both_records(caller) == (bytes(8), b"\2" * 8)


def test_records_of_one_track_updated_over_base_and_alias_both_stay(caller: Caller) -> None:
    """The second chain waits; its commands are sent as a channel would, when the one before is answered."""
    caller.extent(A, BASE, 3, 3, WRITES)
    caller.send(A, BASE, 0x47, bytes.fromhex("03000002 00000003 00000003 00 FF 0000"))
    waiting = caller.extent(B, ALIAS, 3, 3, WRITES)
    for number in (1, 2):
        caller.send(A, BASE, 0x1D, bytes((0, 0, 0, 3, number, 0, 0, 8)) + b"\1" * 8, last=number == 2)
    assert waiting == []
    caller.end(A, BASE)
    assert len(waiting) == 1
    caller.send(B, ALIAS, 0x47, bytes.fromhex("01800001 00000003 00000003 02 FF 0008"))
    caller.send(B, ALIAS, 0x85, b"\2" * 8, last=True)
    caller.end(B, ALIAS)
    image = caller.box.store.read(BASE, 3)
    assert image is not None
    assert (image[29:37], image[45:53]) == (b"\1" * 8, b"\2" * 8)


def two_records(caller: Caller) -> None:
    """R1 and R2 of track 3, zeros."""
    caller.extent(A, BASE, 3, 3, WRITES)
    caller.send(A, BASE, 0x47, bytes.fromhex("03000002 00000003 00000003 00 FF 0000"))
    for number in (1, 2):
        caller.send(A, BASE, 0x1D, bytes((0, 0, 0, 3, number, 0, 0, 8)) + bytes(8), last=number == 2)
    caller.end(A, BASE)


def test_where_a_record_begins_is_read_from_the_track_so_read_sector_waits(caller: Caller) -> None:
    """Else the chain would go on with the track as it was before the other's write, and write it back so."""
    two_records(caller)
    caller.extent(A, BASE, 3, 3, WRITES)
    assert caller.send(B, ALIAS, 0x07, bytes.fromhex("000000000003"), first=True)[0].status == 0x0C
    waiting = caller.send(B, ALIAS, 0x22, 1)
    caller.send(A, BASE, 0x47, bytes.fromhex("01800001 00000003 00000003 01 FF 0008"))
    assert caller.send(A, BASE, 0x85, b"\1" * 8, last=True)[0].status == 0x0C
    assert waiting == []
    caller.end(A, BASE)
    assert len(waiting) == 1
    searched = [caller.send(B, ALIAS, 0x31, bytes.fromhex("0000000302"))[0].status for _ in range(3)]
    assert searched == [0x0C, 0x0C, 0x4C], "R0 and R1 are passed, R2 is found"
    assert caller.send(B, ALIAS, 0x05, b"\2" * 8, last=True)[0].status == 0x0C
    caller.end(B, ALIAS)
    image = caller.box.store.read(BASE, 3)
    assert image is not None
    assert (image[29:37], image[45:53]) == (b"\1" * 8, b"\2" * 8)


def home_address(caller: Caller, path: PathId, unit: int, flag: int | None = None) -> bytes:
    """Read the home address of track 3, or write it, and R0, by a chain of its own."""
    caller.extent(path, unit, 3, 3, WRITES if flag is not None else READS)
    if flag is None:
        caller.send(path, unit, 0x47, bytes.fromhex("D6000001 00000003 00000003 00 FF 0000"))
        (answer,) = caller.send(path, unit, 0x1A, 5, last=True)
    else:
        caller.send(path, unit, 0x47, bytes.fromhex("43000002 00000003 00000003 00 FF 0000"))
        caller.send(path, unit, 0x19, bytes((flag, 0, 0, 0, 3)))
        (answer,) = caller.send(path, unit, 0x15, bytes.fromhex("0000000300000008") + bytes(8), last=True)
    assert answer.status == 0x0C
    caller.end(path, unit)
    return answer.data


def test_a_track_that_the_alias_flags_defective_is_so_at_the_base(caller: Caller) -> None:
    write(caller, A, BASE, 1)
    assert read(caller, A, BASE) == b"\1" * 8
    home_address(caller, B, ALIAS, flag=0x02)
    assert home_address(caller, A, BASE) == home_address(caller, B, ALIAS) == bytes((2, 0, 0, 0, 3))
    write(caller, A, BASE, 1)
    assert home_address(caller, B, SECOND) == bytes((2, 0, 0, 0, 3)), "a write of the base leaves the flag"


# Space given back: order 81 of Define Subsystem Operation


@pytest.mark.parametrize(("mask", "claimed", "status"), [(WRITES, 3, 0x0C), (READS, 3, 0x0E), (WRITES, 4, 0x0E)])
def test_a_chain_gives_back_only_what_it_has_claimed_to_write(
    caller: Caller, mask: str, claimed: int, status: int
) -> None:
    """It cannot wait for more, for others may wait for what it has."""
    write(caller, A, BASE, 1)
    assert caller.extent(B, ALIAS, claimed, claimed, mask)[0].status == 0x0C
    (ended,) = caller.give_back(B, ALIAS, "0000000300000003")
    assert ended.status == status
    if status == 0x0E:
        assert ended.sense is not None and (ended.sense[0], ended.sense[7]) == (0x80, 0x02)
    assert (caller.box.store.read(BASE, 3) is None) == (status == 0x0C)


def test_who_gives_back_space_waits_for_readers_whatever_its_mask(caller: Caller) -> None:
    write(caller, A, BASE, 1)
    caller.extent(A, BASE, 3, 3, READS)
    assert caller.send(B, ALIAS, 0x1F, b"\x40", first=True)[0].status == 0x0C
    waiting = caller.give_back(B, ALIAS, "0000000300000003")
    assert waiting == []
    caller.end(A, BASE)
    assert waiting[0].status == 0x0C
    assert caller.box.store.read(BASE, 3) is None


@pytest.mark.parametrize("ends", ["reset", "path_removed"])
def test_a_path_that_ends_altogether_does_not_set_its_own_waiting_chain_going(caller: Caller, ends: str) -> None:
    """Neither of its two chains: what the second would do is nobody's wish any more."""
    write(caller, A, BASE, 1)
    caller.extent(A, BASE, 0, 9, WRITES)
    assert caller.send(A, ALIAS, 0x5B, first=True)[0].status == 0x0C
    waiting = caller.give_back(A, ALIAS, "0000000300000003")
    others = caller.extent(B, SECOND, 0, 9, READS)
    assert (waiting, others) == ([], [])
    if ends == "reset":
        caller.subsystem.reset(A, None)
    else:
        caller.subsystem.path_removed(A)
    assert waiting == []
    assert caller.box.store.read(BASE, 3) is not None
    assert [outcome.status for outcome in others] == [0x0C]


def test_a_write_that_waits_for_room_is_refused_when_the_volume_is_not_for_hosts_any_more(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alias's chain waits; meanwhile the base, which is idle, is made a bridge volume."""
    array = caller.subsystem.ports.array

    def full(*_: object) -> int:
        raise ArrayFull("no room", passing=True)

    caller.extent(B, ALIAS, 3, 3, WRITES)
    caller.send(B, ALIAS, 0x47, bytes.fromhex("03000001 00000003 00000003 00 FF 0000"))
    with monkeypatch.context() as patched:
        patched.setattr(array, "write", full)
        ended = caller.send(B, ALIAS, 0x1D, COUNT + bytes(8), last=True)
    assert ended == []
    assert caller.alone(A, BASE, 0x27, operator.define_bridge("A", BASE, 1)).status == 0x0C
    caller.box.pass_time(1.0)
    assert [outcome.status for outcome in ended] == [0x0E]
    assert caller.box.store.read(BASE, 3) is None
