"""Several hosts on one device: contingent allegiance, takeover, state change. Source: eckd-commands 5.2 to 5.6."""

from __future__ import annotations

from controller.commands.outcome import Command
from tests.helpers.devices import CC, SLI, Bench

GROUP_A, GROUP_B = bytes(range(1, 12)), bytes(range(21, 32))
SENSE, SENSE_ID, NO_OPERATION, BAD = (0x04, 32), (0xE4, 7, SLI), (0x03, 0), (0x06, 1)
SEEK = Command(0x07, CC, 6, bytes.fromhex("000000050002"))
BUSY = 0x10


def grouped(multipath: bool = True) -> Bench:
    """A device with two paths of group A and one of group B."""
    bench = Bench()
    for path, group in (("A", GROUP_A), ("A2", GROUP_A), ("B", GROUP_B)):
        assert bench.run([(0xAF, bytes((0x80 if multipath else 0x00,)) + group)], path).status == 0x0C
    return bench


def message(bench: Bench, path: str) -> tuple[int, int]:
    """Sense byte 0 and message of what a path is told when it asks for the device's type."""
    told = bench.run([SENSE_ID], path)
    assert told.status == 0x0E and told.sense is not None
    return told.sense[0], told.sense[7]


def test_contingent_allegiance_keeps_the_others_out_until_sense_is_taken() -> None:
    bench = grouped()
    held = bench.run([BAD], "A").sense
    assert bench.run([SENSE_ID], "B").status == BUSY
    assert bench.run([NO_OPERATION], "A").status == 0x0C
    assert bench.run([SENSE_ID], "B").status == BUSY, "No-Operation does not end it"
    assert bench.device.take_owed_device_ends() == ()
    assert bench.run([SENSE], "A2").data == [held], "in multipath mode it belongs to the group"
    assert bench.device.take_owed_device_ends() == ("B",)
    assert bench.run([SENSE_ID], "B").status == 0x0C


def test_the_owner_of_an_allegiance_that_was_answered_busy_is_told_when_the_chain_is_over() -> None:
    """Its Sense came while the chain with the unit check was not over: device end, or it would wait for ever."""
    bench = grouped()
    device = bench.device
    assert device.execute("A", Command(*BAD[:1], 0, 1)).status == 0x0E
    for path in ("A2", "B"):
        assert device.execute(path, Command(0x04, 0, 32)).status == BUSY
    assert device.take_owed_device_ends() == ()
    device.end_chain("A")
    assert device.take_owed_device_ends() == ("A2",)
    assert bench.run([SENSE], "A2").data[0][0] == 0x80
    assert device.take_owed_device_ends() == ("B",)


def test_in_single_path_mode_the_allegiance_is_the_paths_own() -> None:
    bench = grouped(multipath=False)
    bench.run([BAD], "A")
    assert bench.run([SENSE], "A2").status == BUSY
    assert bench.run([SENSE_ID], "A").status == 0x0C, "any command but No-Operation ends it"
    assert bench.run([SENSE], "A2").data[0][0] == 0


def test_sense_that_went_out_with_the_status_leaves_no_allegiance() -> None:
    device = Bench().device
    outcome = device.execute("A", Command(0x06, 0, 1, concurrent_sense=True))
    assert outcome.status == 0x0E and outcome.sense is not None
    device.end_chain("A")
    assert device.execute("B", Command(0xE4, SLI, 7)).status == 0x0C
    device.end_chain("B")
    assert device.execute("A", Command(0x04, 0, 32)).data[0] == 0


def test_resets_end_an_allegiance() -> None:
    for selective in (True, False):
        bench = grouped()
        bench.run([BAD], "A")
        assert bench.run([SENSE_ID], "B").status == BUSY
        bench.device.reset_path("A", selective)
        assert bench.device.take_owed_device_ends() == ("B",)
        assert bench.run([SENSE], "A").data[0][0] == 0
    bench = grouped()
    bench.run([BAD], "A")
    bench.device.reset_path("B", selective=False)
    assert bench.run([SENSE_ID], "B").status == BUSY, "the reset of another path leaves it"


def test_reset_allegiance_frees_the_device_of_a_path_that_does_not_sense() -> None:
    bench = grouped()
    bench.run([(0xB4, 32)], "A")
    bench.run([BAD], "A")
    reset = bench.run([(0x44, 32)], "B")
    assert reset.data[0][:2] == b"\x90\x20" and reset.data[0][5:16] == GROUP_B
    assert bench.run([SENSE_ID], "B").status == BUSY, "the reservation stays"
    assert bench.run([SENSE_ID], "A").status == 0x0C


def test_unconditional_reserve_ends_the_chain_of_the_old_owner() -> None:
    bench = grouped()
    bench.format(5, 2, [(1, b"", bytes(8))])
    bench.run([(0xB4, 32)], "A")
    device = bench.device
    device.execute("A", SEEK)
    while device.execute("A", Command(0x31, CC, 5, bytes.fromhex("0005000201"), True)).status != 0x4C:
        pass
    assert not device.execute("A", Command(0x05, CC, 8, b"written!", True)).writes
    taken = device.execute("B", Command(0x14, 0, 32))
    assert taken.status == 0x0C
    assert [write.track for write in taken.writes] == [77], "what was acknowledged is hardened with the take-over"
    device.end_chain("B")
    ended = device.execute("A", Command(0x06, 0, 8, b"", True))
    assert ended.status == 0x0E and ended.sense is not None and (ended.sense[0], ended.sense[7]) == (0x10, 0x3F)
    assert bench.run([SENSE_ID], "A").status == BUSY, "told once, busy afterwards"
    assert bench.run([SENSE_ID], "B").status == 0x0C, "the old owner has no allegiance"


def test_reset_allegiance_ends_a_hung_chain_and_its_path_is_told_once() -> None:
    bench = grouped()
    bench.device.execute("A", SEEK)
    assert bench.run([SENSE_ID], "B").status == BUSY
    assert bench.run([(0x44, 32)], "B").data[0][0] == 0x80
    assert message(bench, "A") == (0x10, 0x3F)
    bench.run([SENSE], "A")
    assert bench.run([SENSE_ID], "A").status == 0x0C


def test_a_path_that_is_reset_is_not_told_of_what_was_before() -> None:
    bench = grouped()
    bench.device.execute("A", SEEK)
    bench.run([(0x14, 32)], "B")
    bench.device.reset_path("A", selective=False)
    assert bench.run([SENSE_ID], "A").status == BUSY
    bench.run([(0x94, 32)], "B")
    assert bench.run([SENSE_ID], "A").status == 0x0C


def test_state_change_pending_and_its_end() -> None:
    bench = grouped()
    device = bench.device
    device.execute("A", SEEK)
    device.begin_state_change()
    assert device.execute("A", Command(0x12, 0, 8, b"", True)).status == 0x0E, "only R0 there: no record, not a wait"
    device.end_chain("A")
    bench.run([SENSE], "A")
    for path in ("A", "B"):
        ended = bench.run([(0x07, SEEK.data), (0x1A, 5)], path)
        assert ended.status == 0x0E and ended.sense is not None and ended.index == 1
        assert (ended.sense[25], ended.sense[27] & 0x80) == (0x1D, 0)
        assert bench.run([SENSE], path).data == [ended.sense]
        assert bench.run([SENSE_ID], path).status == 0x0C, "what needs no track goes on"
    assert device.end_state_change() == ("A", "A2", "B"), "every path of each group that was told"
    assert bench.run([(0x07, SEEK.data), (0x1A, 5)]).status == 0x0C
    assert device.end_state_change() == ()
