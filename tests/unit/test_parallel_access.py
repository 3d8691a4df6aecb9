"""A base and its aliases: what they say they are, what they share, and how they are configured."""

from __future__ import annotations

import tomllib

import pytest

from ccw.configuration import SpecificQualifier
from ccw.subsystem_data import AddressEntry, AddressType, NodeRecords, UnitAddressConfiguration
from controller.config import ConfigError, check_config
from tests.fuzz.box import Box
from tests.helpers import operator
from tests.helpers.caller import ALIAS, BASE, OTHER, READS, SECOND, A, B, Caller


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


# What they share


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
