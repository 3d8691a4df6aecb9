"""Reservations and path groups of a volume that has several unit addresses."""

from __future__ import annotations

import pytest

from tests.helpers.caller import (
    ALIAS,
    BASE,
    DISBAND,
    ESTABLISH,
    OTHER,
    READS,
    RESIGN,
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


def test_a_reservation_waits_for_what_other_hosts_have_begun_at_other_addresses(caller: Caller) -> None:
    """Else a chain that claims its tracks later would write between the reads and writes of who has the reservation."""
    write(caller, A, BASE, 1)
    assert caller.send(A, ALIAS, 0x07, bytes.fromhex("000000000003"), first=True)[0].status == 0x0C
    reserved = caller.send(B, BASE, 0xB4, 32, first=True, last=True)
    assert reserved == []
    assert [caller.send(A, ALIAS, 0x31, bytes.fromhex("0000000301"))[0].status for _ in range(2)] == [0x0C, 0x4C]
    assert caller.send(A, ALIAS, 0x05, b"\2" * 8, last=True)[0].status == 0x0C
    assert reserved == []
    caller.end(A, ALIAS)
    assert [outcome.status for outcome in reserved] == [0x0C]
    assert caller.alone(A, ALIAS, 0xE4, 7).status == 0x10


def test_a_reservation_does_not_wait_for_its_own_group(caller: Caller) -> None:
    for path, unit in ((A, ALIAS), (B, BASE)):
        assert caller.alone(path, unit, 0xAF, ESTABLISH).status == 0x0C
    caller.extent(A, ALIAS, 3, 3, WRITES)
    assert caller.alone(B, BASE, 0xB4, 32).status == 0x0C


@pytest.mark.parametrize("behind", [False, True])
def test_of_two_that_want_to_reserve_one_gets_it_and_the_other_later(caller: Caller, behind: bool) -> None:
    """Also behind Suspend Multipath Reconnection, when the device cannot be answered busy any more."""
    caller.extent(A, SECOND, 0, 0, READS)
    wanting = []
    for path, unit in ((B, BASE), (C, ALIAS)):
        if behind:
            assert caller.send(path, unit, 0x5B, first=True)[0].status == 0x0C
        wanting.append(caller.send(path, unit, 0xB4, 32, first=not behind, last=True))
    assert wanting == [[], []]
    caller.end(A, SECOND)
    assert [outcome.status for outcome in wanting[0]] == [0x0C]
    assert [outcome.status for outcome in wanting[1]] == ([] if behind else [0x10])
    caller.end(B, BASE)
    assert caller.alone(C, SECOND, 0xE4, 7).status == 0x10
    assert caller.alone(B, BASE, 0x94, 32).status == 0x0C
    if behind:
        assert [outcome.status for outcome in wanting[1]] == [0x0C]
    caller.end(C, ALIAS)
    assert caller.alone(B, BASE, 0xE4, 7).status == (0x10 if behind else 0x0C)


def test_who_takes_the_volume_over_ends_the_chains_of_others_at_every_address(caller: Caller) -> None:
    """What the old owner has begun at the base must not reach the tracks after the new one has looked at them."""
    write(caller, A, BASE, 1)
    assert caller.alone(A, BASE, 0xB4, 32).status == 0x0C
    caller.extent(A, BASE, 3, 3, WRITES)
    caller.send(A, BASE, 0x47, bytes.fromhex("01800001 00000003 00000003 01 FF 0008"))
    assert caller.alone(B, ALIAS, 0x14, 32).status == 0x0C
    assert read(caller, B, SECOND) == b"\1" * 8, "no claim of the old owner is in the way"
    (late,) = caller.send(A, BASE, 0x85, b"\2" * 8, last=True)
    assert late.sense is not None and late.sense[7] == 0x3F
    caller.end(A, BASE)
    assert read(caller, B, BASE) == b"\1" * 8


def test_who_takes_the_volume_over_goes_on_with_chains_of_its_own_group(caller: Caller) -> None:
    write(caller, A, BASE, 1)
    for path, unit in ((A, BASE), (B, ALIAS)):
        assert caller.alone(path, unit, 0xAF, ESTABLISH).status == 0x0C
    caller.extent(A, BASE, 3, 3, READS)
    assert caller.alone(B, ALIAS, 0x14, 32).status == 0x0C
    caller.send(A, BASE, 0x47, bytes.fromhex("06000001 00000003 00000003 01 FF 0000"))
    assert caller.send(A, BASE, 0x06, 8, last=True)[0].data == b"\1" * 8


def test_a_reservation_is_the_volumes(caller: Caller) -> None:
    """Taken at the base, in force at the alias, given back there; who was answered busy hears when it is free."""
    assert caller.alone(A, BASE, 0xB4, 32).status == 0x0C
    assert caller.alone(B, ALIAS, 0xE4, 7).status == 0x10
    assert caller.alone(A, ALIAS, 0xE4, 7).status == 0x0C
    assert caller.alone(B, OTHER, 0xE4, 7).status == 0x0C
    assert caller.presented == []
    assert caller.alone(A, ALIAS, 0x94, 32).status == 0x0C
    assert caller.presented == [(B, ALIAS, 0x04)]
    assert caller.alone(B, ALIAS, 0xE4, 7).status == 0x0C


def test_a_path_that_is_grouped_at_one_address_keeps_its_reservation_at_the_others(caller: Caller) -> None:
    """Reserved by the path alone; then it joins a group, at the alias first."""
    assert caller.alone(A, BASE, 0xB4, 32).status == 0x0C
    assert caller.alone(A, ALIAS, 0xAF, ESTABLISH).status == 0x0C
    for unit in (BASE, ALIAS, SECOND):
        assert caller.alone(A, unit, 0xE4, 7).status == 0x0C
        assert caller.alone(A, unit, 0x34, 12).data[0] & 0x30 == 0x30, "reserved to this path"
        assert caller.alone(B, unit, 0xE4, 7).status == 0x10
    assert caller.alone(A, BASE, 0x94, 32).status == 0x0C


def test_a_group_may_use_an_address_where_its_path_is_in_no_group(caller: Caller) -> None:
    for path in (A, B):
        assert caller.alone(path, BASE, 0xAF, ESTABLISH).status == 0x0C
    assert caller.alone(A, BASE, 0xB4, 32).status == 0x0C
    assert [caller.alone(path, ALIAS, 0xE4, 7).status for path in (A, B, C)] == [0x0C, 0x0C, 0x10]
    assert caller.alone(B, ALIAS, 0xAF, ESTABLISH).status == 0x0C


@pytest.mark.parametrize("leave", [DISBAND, RESIGN])
def test_a_group_that_is_gone_from_one_address_keeps_its_reservation_at_the_others(
    caller: Caller, leave: bytes
) -> None:
    for path, unit in ((A, BASE), (B, BASE), (A, ALIAS)):
        assert caller.alone(path, unit, 0xAF, ESTABLISH).status == 0x0C
    assert caller.alone(A, BASE, 0xB4, 32).status == 0x0C
    assert caller.alone(A, ALIAS, 0xAF, leave).status == 0x0C
    assert [caller.alone(path, BASE, 0xE4, 7).status for path in (A, B, C)] == [0x0C, 0x0C, 0x10]
    assert caller.alone(B, BASE, 0x94, 32).status == 0x0C
    assert caller.alone(C, ALIAS, 0xE4, 7).status == 0x0C


def test_one_path_of_a_group_may_be_reset_without_the_reservation(caller: Caller) -> None:
    """The group has another path, to the base alone."""
    group = b"\x80" + bytes(range(1, 12))
    for path, unit in ((A, BASE), (A, ALIAS), (B, BASE)):
        assert caller.alone(path, unit, 0xAF, group).status == 0x0C
    assert caller.alone(A, BASE, 0xB4, 32).status == 0x0C
    caller.subsystem.reset(A, None)
    assert caller.alone(C, ALIAS, 0xE4, 7).status == 0x10
    caller.subsystem.reset(B, None)
    assert caller.alone(C, ALIAS, 0xE4, 7).status == 0x0C
