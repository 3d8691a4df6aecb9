"""A base and its aliases: what they say they are, whose chains wait for whose, and what they share."""

from __future__ import annotations

import tomllib

import pytest

from ccw.configuration import SpecificQualifier
from ccw.subsystem_data import AddressEntry, AddressType, NodeRecords, UnitAddressConfiguration
from controller.channel import PathId
from controller.config import ConfigError, check_config
from controller.parallel_access import ParallelAccess
from controller.remote_copy.ports import ArrayFull
from tests.fuzz.box import Box
from tests.helpers import operator
from tests.helpers.caller import ALIAS, BASE, OTHER, READS, SECOND, WRITES, A, B, C, Caller

COUNT = bytes.fromhex("0000000301000008")
GROUP = bytes(range(1, 12))
ESTABLISH, DISBAND, RESIGN = b"\x80" + GROUP, b"\xa0" + GROUP, b"\xc0" + GROUP  # Set Path Group ID


@pytest.fixture
def caller() -> Caller:
    return Caller()


# What they say


def test_the_unit_address_configuration_names_bases_and_aliases(caller: Caller) -> None:
    for unit in (BASE, ALIAS, OTHER):
        data = caller.subsystem_data(unit, "180000000000 0E 0000000000", 512)
        table = UnitAddressConfiguration.decode(data).entries
        assert table[ALIAS] == table[SECOND] == AddressEntry(AddressType.ALIAS, BASE)
        assert table[BASE] == AddressEntry(AddressType.BASE, BASE)
        assert table[OTHER] == AddressEntry(AddressType.BASE, OTHER)
        assert table[0x80] == AddressEntry(AddressType.NONE, 0)


@pytest.mark.parametrize(("unit", "kind", "base"), [(BASE, 1, BASE), (ALIAS, 2, BASE), (OTHER, 1, OTHER)])
def test_configuration_data_say_what_the_device_is(caller: Caller, unit: int, kind: int, base: int) -> None:
    records = NodeRecords.decode(caller.alone(A, unit, 0xFA, 256).data).records
    assert records[0].tag_low == unit  # type: ignore[union-attr]
    assert records[7].unit_address == unit  # type: ignore[union-attr]
    specific = SpecificQualifier.decode(records[6])  # type: ignore[arg-type]
    assert (specific.format, specific.content_08, specific.content_09) == (1, kind, base)


def test_type_and_characteristics_are_the_bases(caller: Caller) -> None:
    for code, count in ((0xE4, 24), (0x64, 64)):
        assert caller.alone(A, ALIAS, code, count).data == caller.alone(A, BASE, code, count).data


def test_without_aliases_nothing_is_said_of_them() -> None:
    caller = Caller()
    caller.box = Box()
    caller.subsystem = caller.box.subsystem
    assert caller.subsystem_data(BASE, "180000000000 0E 0000000000", 512) == bytes(512)
    assert not any(caller.alone(A, BASE, 0xFA, 256).data[192:224])
    assert not caller.subsystem.device_exists(A, ALIAS)


# Chains


def write(caller: Caller, path: PathId, unit: int, value: int) -> None:
    """Format R1 of track 3 by one chain."""
    assert caller.extent(path, unit, 3, 3, WRITES)[0].status == 0x0C
    locate = bytes.fromhex("03000001 00000003 00000003 00 FF 0000")
    assert caller.send(path, unit, 0x47, locate)[0].status == 0x0C
    assert caller.send(path, unit, 0x1D, COUNT + bytes((value,)) * 8, last=True)[0].status == 0x0C
    caller.end(path, unit)


def read(caller: Caller, path: PathId, unit: int) -> bytes:
    caller.extent(path, unit, 3, 3, READS)
    caller.send(path, unit, 0x47, bytes.fromhex("06000001 00000003 00000003 01 FF 0000"))
    (answer,) = caller.send(path, unit, 0x06, 8, last=True)
    caller.end(path, unit)
    return answer.data


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


# What they share


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


def test_who_works_on_whole_tracks_keeps_all_of_them(caller: Caller) -> None:
    caller.extent(B, ALIAS, 0, 9, READS)
    assert not caller.subsystem.hold("operator", BASE)
    assert caller.alone(A, BASE, 0xE4, 7).status == 0x0C, "nothing is left held"
    caller.end(B, ALIAS)
    assert caller.subsystem.hold("operator", BASE)
    assert caller.alone(B, ALIAS, 0xE4, 7).status == 0x10
    caller.subsystem.let_go("operator", BASE)
    assert (B, ALIAS, 0x04) in caller.presented


def test_hosts_of_an_alias_wait_in_long_busy_and_are_told_of_its_end(caller: Caller) -> None:
    caller.subsystem.state_changes.hold(BASE, True)
    told = caller.extent(A, ALIAS, 0, 1, READS)[0]
    assert told.sense is not None and told.sense[25] == 0x1D
    caller.end(A, ALIAS)
    caller.subsystem.state_changes.hold(BASE, False)
    assert {(unit, status) for _, unit, status in caller.presented} == {(u, 0x85) for u in (BASE, ALIAS, SECOND)}
    assert caller.extent(A, ALIAS, 0, 1, READS)[0].status == 0x0C


def test_an_alias_is_offline_with_its_base(caller: Caller) -> None:
    caller.subsystem.state_changes.set_ready(BASE, False)
    refused = caller.extent(A, ALIAS, 0, 1, READS)[0]
    assert refused.sense is not None and refused.sense[0] == 0x40


# Commands that name the base


def prefix(validity: int, base: int) -> bytes:
    extent = bytes.fromhex("40C00000 00000000 00000003 00000003")
    return bytes((0, 0x80 | validity, base)).ljust(12, b"\0") + extent.ljust(52, b"\0")


@pytest.mark.parametrize(("unit", "base", "status"), [(ALIAS, BASE, 0x0C), (ALIAS, ALIAS, 0x0E), (BASE, ALIAS, 0x0E)])
def test_prefix_verifies_the_base(caller: Caller, unit: int, base: int, status: int) -> None:
    (answer,) = caller.send(A, unit, 0xE7, prefix(0x20, base), first=True, last=True)
    assert answer.status == status
    if status == 0x0E:
        assert answer.sense is not None and (answer.sense[7], answer.sense[8]) == (0x0F, 0x67)


def test_pairs_are_between_bases(caller: Caller) -> None:
    for order in (operator.suspend_pair(BASE), operator.establish_pair(BASE), operator.establish_path()):
        answer = caller.alone(A, ALIAS, 0x27, order)
        assert answer.sense is not None and (answer.sense[7], answer.sense[8]) == (0x0F, 0x44)


# Configuration


def config(aliases: str, profile: str = "2107") -> dict[str, object]:
    return tomllib.loads(
        f'name = "x"\nserial = "000000012345"\nssid = "0100"\nprofile = "{profile}"\nstore = "s"\n'
        f'[[volume]]\naddress = "20"\ncylinders = 3\naliases = {aliases}\n[[volume]]\naddress = "21"\ncylinders = 3\n'
    )


@pytest.mark.parametrize(
    ("aliases", "profile", "complaint"),
    [
        ('["F0", "F0"]', "2107", "volume[0].aliases: F0 is an alias of volume 20 already"),
        ('["21"]', "2107", "volume[0].aliases: 21 is volume 21 already"),
        ('["20"]', "2105", "volume[0].aliases: 20 is volume 20 already"),
        ('["F0"]', "3990-6", "volume[0].aliases: a 3990-6 has none, only a 2105 and a 2107"),
        ('["G0"]', "2107", 'volume[0].aliases[0]: hexadecimal digits in quotes are needed, "0" to "FF"'),
        ("[1]", "2107", 'volume[0].aliases[0]: hexadecimal digits in quotes are needed, "0" to "FF"'),
        ('"F0"', "2107", 'volume[0].aliases: a list of unit addresses is needed, ["F0", "F1"]'),
    ],
)
def test_a_wrong_alias_is_one_line(aliases: str, profile: str, complaint: str, tmp_path: object) -> None:
    with pytest.raises(ConfigError) as caught:
        check_config(config(aliases, profile), tmp_path)  # type: ignore[arg-type]
    assert str(caught.value) == complaint
