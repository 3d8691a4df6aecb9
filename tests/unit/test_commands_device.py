"""The device across chains: busy, reservation, path groups, sense, hardening, subsystem functions, self-description."""

from __future__ import annotations

import pytest

from ccw.volume_data import LogicalConfiguration, VolumeStorage
from controller.commands.outcome import Command, UnitCheck
from controller.commands.table import DATA_COMMANDS
from tests.helpers.devices import CC, SLI, Bench

GROUP_A, GROUP_B = bytes(range(1, 12)), bytes(range(21, 32))
REJECT = b"\x80\0"


def establish(bench: Bench, path: str, group: bytes, function: int = 0x80) -> int:
    return bench.run([(0xAF, bytes((function,)) + group)], path).status


def refused(bench: Bench, *program: tuple[object, ...]) -> tuple[bytes, int]:
    """Sense bytes 0-1 and message of a program that must end in unit check at its last step."""
    ended = bench.run(list(program))
    assert ended.status == 0x0E and ended.index == len(program) - 1
    assert ended.sense is not None
    return ended.sense[:2], ended.sense[7]


def seek() -> Command:
    return Command(0x07, CC, 6, bytes.fromhex("000000050002"))


def test_a_chain_makes_the_device_busy_for_others() -> None:
    device = Bench().device
    assert device.execute("A", seek()).status == 0x0C
    busy = device.execute("B", Command(0x04, 0, 32))
    assert (busy.status, busy.residual, busy.sense) == (0x10, 32, None)
    assert device.take_owed_device_ends() == ()
    device.end_chain("A")
    assert device.take_owed_device_ends() == ("B",)
    assert device.take_owed_device_ends() == ()
    assert device.execute("B", Command(0x04, 0, 32)).status == 0x0C


def test_a_new_chain_of_the_same_path_starts_afresh() -> None:
    device = Bench().device
    device.execute("A", seek())
    outcome = device.execute("A", Command(0x06, 0, 100))
    assert outcome.status == 0x0E and outcome.sense is not None and outcome.sense[7] == 2


def test_changes_of_a_cut_chain_are_not_lost() -> None:
    bench = Bench()
    bench.format(5, 2, [(1, b"", bytes(8))])
    device = bench.device
    device.execute("A", seek())
    identifier = bytes.fromhex("0005000201")
    while device.execute("A", Command(0x31, CC, 5, identifier, True)).status != 0x4C:
        pass
    outcome = device.execute("A", Command(0x05, CC, 8, b"changed!", True))
    assert outcome.writes == ()
    (write,) = device.end_chain("A")
    assert write.track == 77 and b"changed!" in write.image
    assert device.end_chain("A") == ()


def test_hardening_waits_for_the_end_of_the_write_domain() -> None:
    bench = Bench()
    bench.format(5, 2, [(number, b"", bytes(8)) for number in (1, 2)])
    device = bench.device
    extent = bytes.fromhex("C0C00000 00000000 00050002 00050002")
    locate = bytes.fromhex("01800002 00050002 00050002 01 FF 0008")
    assert not device.execute("A", Command(0x63, CC, 16, extent)).writes
    assert not device.execute("A", Command(0x47, CC, 16, locate, True)).writes
    assert not device.execute("A", Command(0x85, CC, 8, b"11111111", True)).writes
    (write,) = device.execute("A", Command(0x85, CC, 8, b"22222222", True)).writes
    assert b"11111111" in write.image and b"22222222" in write.image


def test_reservation_keeps_others_out_until_released() -> None:
    bench = Bench()
    establish(bench, "A", GROUP_A), establish(bench, "A2", GROUP_A), establish(bench, "B", GROUP_B)
    assert bench.run([(0xB4, 32)], "A").status == 0x0C
    assert bench.run([(0xE4, 7, SLI)], "A2").status == 0x0C, "the group shares it"
    for code, size in ((0xE4, 7), (0x04, 32), (0xB4, 32), (0x94, 32)):
        assert bench.run([(code, size, SLI)], "B").status == 0x10
    assert bench.run([(0x44, 32)], "B").data[0][0] == 0x90
    assert bench.device.take_owed_device_ends() == ()
    assert bench.run([(0x94, 32)], "A2").status == 0x0C, "released by any path of the group"
    assert bench.device.take_owed_device_ends() == ("B",)
    assert bench.run([(0xE4, 7, SLI)], "B").status == 0x0C


def test_unconditional_reserve_tells_the_old_owner() -> None:
    bench = Bench()
    establish(bench, "A", GROUP_A), establish(bench, "B", GROUP_B)
    bench.run([(0xB4, 32)], "A")
    assert bench.run([(0x14, 32)], "B").status == 0x0C
    told = bench.run([(0xE4, 7, SLI)], "A")
    assert told.status == 0x0E and told.sense is not None
    assert (told.sense[0], told.sense[7]) == (0x10, 0x3F)
    assert bench.run([(0xE4, 7, SLI)], "A").status == 0x10, "told once, busy afterwards"


def test_disband_keeps_the_id_and_the_reservation_with_its_path() -> None:
    bench = Bench()
    establish(bench, "A", GROUP_A), establish(bench, "A2", GROUP_A)
    bench.run([(0xB4, 32)], "A")
    assert establish(bench, "A", GROUP_A, 0xA0) == 0x0C
    assert bench.run([(0x34, 12)], "A").data == [b"\xb8" + GROUP_A]
    assert bench.run([(0x34, 12)], "A2").data == [b"\xa8" + GROUP_A]
    assert establish(bench, "A", GROUP_B) == 0x0E


def test_resign_leaves_the_reservation_with_the_rest() -> None:
    bench = Bench()
    establish(bench, "A", GROUP_A), establish(bench, "A2", GROUP_A)
    bench.run([(0xB4, 32)], "A")
    assert establish(bench, "A", GROUP_A, 0xC0) == 0x0C
    assert bench.run([(0x34, 12)], "A2").data[0][0] == 0xF8
    assert bench.run([(0x34, 12)], "A").data[0][0] == 0xA8


def test_system_reset_of_the_last_path_frees_the_device() -> None:
    bench = Bench()
    establish(bench, "A", GROUP_A)
    bench.run([(0xB4, 32)], "A")
    bench.device.reset_path("A", selective=True)
    assert bench.run([(0xE4, 7, SLI)], "B").status == 0x10
    bench.device.reset_path("A", selective=False)
    assert bench.device.take_owed_device_ends() == ("B",)
    assert bench.run([(0x34, 12)], "A").data == [bytes(12)]


@pytest.mark.parametrize("byte0", [0x81, 0xE0])
def test_set_path_group_refuses(byte0: int) -> None:
    assert refused(Bench(), (0xAF, bytes((byte0,)) + GROUP_A)) == (REJECT, 4)
    assert refused(Bench(), (0xAF, bytes(12))) == (REJECT, 4)
    assert refused(Bench(), (0xAF, bytes(11))) == (REJECT, 3)


def test_commands_that_must_stand_first_or_last() -> None:
    nothing = (0x03, 0)
    for code, argument in ((0xB4, 32), (0x14, 32), (0x34, 12), (0xAF, b"\x80" + GROUP_A), (0x44, 32), (0x87, bytes(2))):
        assert refused(Bench(), nothing, (code, argument)) == (REJECT, 2)
        assert Bench().run([(0x5B, 0), (code, argument)]).status == 0x0C
    for code, argument in ((0x34, 12), (0xAF, b"\x80" + GROUP_A)):
        assert refused(Bench(), (code, argument), nothing) == (REJECT, 2)


def test_sense_is_held_for_its_path_and_taken_once() -> None:
    bench = Bench()
    held = bench.run([(0x06, 1)], "A").sense
    assert bench.run([(0x03, 0)], "A").status == 0x0C
    assert bench.run([(0x04, 32)], "B").status == 0x10, "contingent allegiance: others wait"
    assert bench.run([(0x04, 32)], "A").data == [held]
    assert bench.run([(0x04, 32)], "B").data[0][:4] == bytes(4)
    assert bench.run([(0x04, 32)], "A").data == [bytes(27) + b"\x80" + bytes(4)]
    bench.run([(0x06, 1)], "A")
    bench.run([(0xE4, 7, SLI)], "A")
    assert bench.run([(0x04, 32)], "A").data[0][0] == 0, "another command clears it"


def test_sense_shows_the_position_and_hides_it_on_large_devices() -> None:
    small = Bench()
    small.run([(0x07, bytes.fromhex("000001230004"))])
    sense = small.run([(0x06, 1)]).sense
    assert sense is not None and (sense[5:7], sense[29:32]) == (b"\x23\x14", b"\x01\x23\x04")
    large = Bench("2107", 10_017)
    large.run([(0x07, bytes.fromhex("000001230004"))])
    sense = large.run([(0x06, 1)]).sense
    assert sense is not None and (sense[5:7], sense[29:32]) == (b"\xff\xff", b"\x01\x23\x04")


def test_refusals_of_the_subsystem() -> None:
    bench = Bench()
    device = bench.device
    device.execute("A", seek())
    check = UnitCheck(0x80, 0, 0x0F, 0x4C, b"\xff")
    outcome = device.refuse("A", Command(0x63, CC, 16, bytes(16), True), check)
    assert outcome.status == 0x0E and outcome.sense is not None
    assert outcome.sense[4] == 0x20 and outcome.sense[7:10] == b"\x0f\x4c\xff"
    outcome = device.execute("A", Command(0x47, 0, 16, bytes(16), True))
    assert outcome.status == 0x0E, "the chain is over"
    pending = device.sense_for(device.state_change_pending())
    assert pending[:7] == bytes.fromhex("00001500200060") and pending[20:28] == bytes.fromhex("01000000001D4E60")


def prepare(suborder: int, tail: bytes = bytes(5), middle: bytes = bytes(2)) -> bytes:
    return b"\x18\0\0\0" + middle + bytes((suborder,)) + tail


def subsystem_data(bench: Bench, order: bytes) -> bytes:
    (data,) = bench.run([(0x27, order), (0x3E, 4096, SLI)]).data
    return data


def test_prepare_and_read_subsystem_data() -> None:
    bench = Bench("2107", 100)
    assert len(subsystem_data(bench, prepare(0x0E))) == 512
    assert subsystem_data(bench, prepare(0x41)) == bytes(256)
    assert subsystem_data(bench, prepare(0x03, b"\0\x11\x22\x33\x44")) == bytes.fromhex("000900001122334400")
    statistics = subsystem_data(bench, prepare(0x01))
    assert len(statistics) == 96 and statistics[1] == 0x20 and statistics[94:] == b"\x01\x00"
    assert len(subsystem_data(bench, prepare(0x01, b"\xff\x01\0\0\0"))) == 192
    announced = Bench("2107", 100, features=frozenset({"prefix"}))
    assert subsystem_data(announced, prepare(0x41))[8] == 0x01


def test_further_suborders_come_from_the_subsystem() -> None:
    bench = Bench("2107", 100)
    assert refused(bench, (0x27, prepare(0x50, b"\x04\0\0\0\0"))) == (REJECT, 4)
    bench.device.subsystem_data[0x50] = lambda order: b"reply to " + order[7:8]
    assert subsystem_data(bench, prepare(0x50, b"\x04\0\0\0\0")) == b"reply to \x04"
    for middle in (b"\xff\0", b"\0\1"):     # only 1C and 52 may name another LSS or volume
        assert refused(bench, (0x27, prepare(0x50, b"\x04\0\0\0\0", middle))) == (REJECT, 4)


@pytest.mark.parametrize(
    "order",
    [prepare(0x52, middle=b"\x01\x20"), prepare(0x53), prepare(0x41, b"\0\0\0\0\1"), prepare(0x41, middle=b"\1\0"),
     b"\x18\1" + prepare(0x41)[2:], b"\x12" + bytes(11), b"\x99\0", b"\x1d\1" + bytes(64), b"\xb0\x02\0\0"],
)
def test_functions_refused(order: bytes) -> None:
    ended = Bench("2107", 100).run([(0x27, order)])
    assert ended.status == 0x0E and ended.sense is not None and ended.sense[7] == 4


def test_function_sequences() -> None:
    bench = Bench("2107", 100)
    assert refused(bench, (0x3E, 256)) == (REJECT, 2)
    assert refused(bench, (0x27, prepare(0x41)), (0x03, 0)) == (REJECT, 2)
    assert refused(bench, (0x27, prepare(0x41)), (0x3E, 256), (0x3E, 256)) == (REJECT, 2)
    assert refused(bench, (0x27, prepare(0x41)), (0x3E, 256), (0x27, b"\x1d" + bytes(65))) == (REJECT, 2)
    twice = [(0x27, prepare(0x41)), (0x3E, 256), (0x27, prepare(0x41)), (0x3E, 256)]
    assert bench.run(twice).status == 0x0C
    assert refused(bench, (0x27, prepare(0x41)[:11])) == (REJECT, 3)


def test_pprc_orders_are_handed_out() -> None:
    bench = Bench("2107", 100)
    order = b"\xd0" + bytes(55)
    ended = bench.run([(0x27, order)])
    assert ended.outcome is not None and ended.outcome.order == order and ended.status == 0x0C
    extent = bytes.fromhex("C0C00000 00000000 00050002 00050002")
    locate = bytes.fromhex("06000001 00050002 00050002 00 FF 0000")
    assert refused(bench, (0x63, extent), (0x47, locate), (0x27, order)) == (REJECT, 2)
    assert refused(bench, (0x5B, 0), (0x27, b"\xda" + bytes(55))) == (REJECT, 2)


def test_set_system_characteristics_shows_in_the_characteristics() -> None:
    bench = Bench("2107", 100)
    establish(bench, "A", GROUP_A), establish(bench, "A2", GROUP_A), establish(bench, "B", GROUP_B)
    assert bench.run([(0x64, 64)], "A").data[0][6] & 0x04 == 0
    assert bench.run([(0x27, b"\x1d" + bytes(65))], "A").status == 0x0C
    assert [bench.run([(0x64, 64)], path).data[0][6] & 0x04 for path in ("A", "A2", "B")] == [4, 4, 0]


def test_interface_identifier() -> None:
    bench = Bench("2107", 100)
    assert len(subsystem_data(bench, b"\xb0\0\0\0")) == 96
    assert len(subsystem_data(bench, b"\xb0\1\0\0")) == 32
    ended = bench.run([(0x27, b"\xb0\1\0\7")])
    assert ended.sense is not None and ended.sense[7:9] == b"\x0f\x34"


def test_special_intercept_hits_diagnostic_control_once() -> None:
    bench = Bench()
    extent = (0x63, bytes.fromhex("02C00000 00000000 00000000 0000000E"))
    control = (0xF3, b"\x12\0\0\0")
    assert refused(bench, control) == (REJECT, 5)
    assert bench.run([extent, control]).status == 0x0C
    assert bench.run([(0x27, b"\x1b\0")]).status == 0x0C
    assert refused(bench, extent, control) == (REJECT, 0x0F)
    assert bench.run([extent, control]).status == 0x0C


@pytest.mark.parametrize("profile, length", [("3990-3", 40), ("3990-6", 44), ("2105", 44), ("2107", 44)])
def test_sense_subsystem_status(profile: str, length: int) -> None:
    bench = Bench(profile, 100)
    (data,) = bench.run([(0x54, 64, SLI)]).data
    assert len(data) == length and data[1] == 0x20 and data[38:40] == b"\x01\x00"
    ended = bench.run([(0x54, length), (0x03, 0)])
    assert ended.status == (0x0C if profile == "2107" else 0x0E)
    assert refused(bench, (0x03, 0), (0x54, length)) == (REJECT, 2)
    assert bench.run([(0x64, 64), (0x54, length)]).status == 0x0C


@pytest.mark.parametrize(
    "word, place, value",
    [
        (0x4000, 26, 0xC0),  # caching off for the device
        (0x8000, 4, 0x80),  # for the subsystem
        (0x1000, 4, 0x01),  # cache fast write off
        (0x0040, 26, 0x30),  # fast write off for the device
        (0x00A0, 5, 0x80),  # nonvolatile storage off
    ],
)
def test_subsystem_mode_shows_in_the_status(word: int, place: int, value: int) -> None:
    bench = Bench()
    assert bench.run([(0x87, word.to_bytes(2, "big"))]).status == 0x0C
    (data,) = bench.run([(0x54, 44)]).data
    assert data[place] == value and not any(data[at] for at in (4, 5, 26) if at != place)
    on = {0x4000: 0x2000, 0x8000: 0x6000, 0x1000: 0x0C00, 0x0040: 0x0020, 0x00A0: 0x0080}[word]
    assert bench.run([(0x87, on.to_bytes(2, "big"))]).status == 0x0C
    assert bench.run([(0x54, 44)]).data[0][place] == 0


@pytest.mark.parametrize("word", [0x0200, 0xC000, 0x0400, 0x00C0, 0x0018, 0x2020, 0x2100, 0x0001])
def test_subsystem_mode_refuses(word: int) -> None:
    assert refused(Bench(), (0x87, word.to_bytes(2, "big"))) == (REJECT, 4)
    assert refused(Bench(), (0x87, b"\0")) == (REJECT, 3)
    assert refused(Bench("9343", 1440, "9345"), (0x87, bytes(2))) == (REJECT, 1)


def test_message_of_a_slow_subsystem_mode() -> None:
    asked = (0x87, b"\x41\0")
    assert refused(Bench(), asked, (0x03, 0)) == (REJECT, 2)
    assert Bench().run([asked, (0x4E, 4)]).data == [b"\0\0\0\1"]
    assert refused(Bench(), (0x87, b"\x40\0"), (0x4E, 4)) == (REJECT, 2)


def test_hosts_that_use_the_volume() -> None:
    bench = Bench("2107", 100)
    establish(bench, "A", GROUP_A), establish(bench, "A2", GROUP_A), establish(bench, "B", GROUP_B)
    data = subsystem_data(bench, prepare(0x1C, middle=b"\0\x20"))
    assert data[16:20] == b"\0\x20\0\2" and len(data) == 84
    assert (data[20], data[21:32], data[52], data[53:64]) == (0x10, GROUP_A, 0x10, GROUP_B)
    establish(bench, "B", GROUP_B, 0xC0)
    assert len(subsystem_data(bench, prepare(0x1C, middle=b"\0\x20"))) == 52


def test_queries_about_space_where_volumes_are_thin() -> None:
    bench = Bench("2107", 100, features=frozenset({"thin"}))
    storage = VolumeStorage.decode(subsystem_data(bench, prepare(0x52, middle=b"\0\x20")))
    assert (storage.space_configured, storage.capacity_logical) == (100, 100)
    configuration = LogicalConfiguration.decode(subsystem_data(bench, prepare(0x53)))
    assert len(configuration.pools) == 1 and configuration.system_type == "002107".encode("cp037")


def test_orders_are_judged_by_length_then_flags() -> None:
    bench = Bench("2107", 100)
    assert refused(bench, (0x27, b"\x10" + bytes(12))) == (REJECT, 3)
    assert refused(bench, (0x27, b"\x10\x80" + bytes(12))) == (REJECT, 4)
    assert bench.run([(0x27, b"\x10\0" + bytes(12))]).status == 0x0C
    operation = (0xF7, prepare(0x41))
    assert bench.run([(0x5B, 0), operation, (0x3E, 256)]).status == 0x0C
    assert refused(bench, (0x64, 64), (0x5B, 0), operation) == (REJECT, 2)


def test_control_units_before_the_3990_3() -> None:
    old = Bench("3880-3", 885, "3380")
    for code in (0xFA, 0x44, 0x54, 0xDE):
        assert refused(old, (code, 40)) == (REJECT, 1)
    for code in (0x27, 0x4B, 0xE7, 0xF3):
        assert refused(old, (code, bytes(64))) == (REJECT, 1)
    extent = (0x63, bytes.fromhex("C0C00000 00000000 00050002 00050002"))
    for operation in (b"\x4c", b"\x16"):
        locate = operation + bytes.fromhex("000001 00050002 00050002 00 FF 0000")
        assert refused(old, extent, (0x47, locate)) == (REJECT, 4)
        assert Bench("3990-2", 885, "3380").run([extent, (0x47, locate)]).status == 0x0C
    assert len(old.run([(0xE4, 7)]).data[0]) == 7 and old.run([(0x13, 0)]).status == 0x0C
    small = Bench("9343", 1440, "9345")
    assert small.run([(0xE4, 24, SLI)]).data[0][:6] == bytes.fromhex("FF9343E09345")
    assert small.run([extent, (0x4B, bytes.fromhex("4C000001 00050002 00050002 00 FF 0000 00000000"))]).status == 0x0C


def test_configuration_data_example() -> None:
    (data,) = Bench().run([(0xFA, 256)]).data
    assert data[:32] == bytes.fromhex("DC010100F0F0F3F3F9F0F0F0C1C8D9C3E9E9F0F0F0F0F0F0F0F0F0F1F2F30A20")


def test_data_commands_are_those_that_reach_tracks() -> None:
    assert {0x05, 0x06, 0x1D, 0x31, 0x47, 0x4B, 0x63, 0x85, 0x95, 0xDE, 0xE7} <= DATA_COMMANDS
    assert not {0x03, 0x04, 0x27, 0x34, 0x3E, 0x54, 0x64, 0x94, 0xAF, 0xB4, 0xE4, 0xFA} & DATA_COMMANDS


def test_no_command_or_parameter_raises() -> None:
    """Whatever a host sends, the answer is a status."""
    bench = Bench("2107", 100)
    extent = Command(0x63, CC, 16, bytes.fromhex("C0C00000 00000000 00000000 0063000E"))
    for code in range(256):
        for size in (0, 1, 2, 5, 15, 64):
            for fill in (0x00, 0xFF, 0x18):
                bench.device.execute("A", extent)
                data = bytes((fill,)) * size if code & 1 else b""
                outcome = bench.device.execute("A", Command(code, CC, size, data, True))
                assert outcome.status in (0x0C, 0x0D, 0x0E, 0x4C)
                assert 0 <= outcome.residual <= size and len(outcome.data) <= size
                assert (outcome.sense is not None) == (outcome.status == 0x0E)
                bench.device.reset_path("A", selective=False)
