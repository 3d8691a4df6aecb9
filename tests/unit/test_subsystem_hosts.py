"""Two hosts and three paths on one subsystem, over real frames: busy, reservation, take-over, state change.

Source: eckd-commands 5.1 to 5.5; how pending status is presented: rule C9 of the control-unit role.
"""

from __future__ import annotations

import pytest

from host_emulator.channel import Response, Start
from tests.helpers import operator
from tests.helpers.caller import A, Caller
from tests.helpers.hosts import GROUP_A, GROUP_B, TRACKS, UNIT, ManyLinks, Program, formatting, reading, writing

SENSE_ID: Program = [(0xE4, 7)]
TRACK = TRACKS[0]


@pytest.fixture
def box() -> ManyLinks:
    """Host A on links A1 and A2 in one group, host B on B1; a track of two records."""
    box = ManyLinks(["A1", "A2", "B1"])
    for name, group in (("A1", GROUP_A), ("A2", GROUP_A), ("B1", GROUP_B)):
        assert box.run(name, [(0xAF, b"\x80" + group)])[-1].status == 0x0C
    assert box.run("A1", formatting(TRACK))[-1].status == 0x0C
    return box


def one(box: ManyLinks, name: str, code: int, argument: bytes | int, flags: int = 0x20, unit: int = UNIT) -> Response:
    """One command as a chain of its own, busy answers included."""
    data = argument if isinstance(argument, bytes) else b""
    count = len(argument) if isinstance(argument, bytes) else argument
    box.channels[name].end_chain()
    response = box.perform(name, box.channels[name].command(unit, Start(code, flags, count, data, False)))
    assert isinstance(response, Response)
    return response


def statuses(box: ManyLinks, name: str) -> list[tuple[int, int]]:
    """Unsolicited statuses of a link since the last call."""
    while box.step(lambda moves: 0):
        pass
    channel = box.channels[name]
    found = [(item.unit_address, item.status) for item in channel.unsolicited]
    channel.unsolicited.clear()
    return found


def test_a_reservation_is_the_groups_and_device_end_follows_busy(box: ManyLinks) -> None:
    assert one(box, "A1", 0xB4, 32).status == 0x0C
    assert one(box, "A2", 0xE4, 7).status == 0x0C
    assert one(box, "B1", 0xE4, 7).status == 0x10
    assert one(box, "B1", 0x34, 12).data[0] == 0xE8, "Sense Path Group ID is answered all the same"
    assert statuses(box, "B1") == []
    assert one(box, "A2", 0x94, 32).status == 0x0C
    assert statuses(box, "B1") == [(UNIT, 0x04)]
    assert one(box, "B1", 0xE4, 7).status == 0x0C


def test_contingent_allegiance_over_links(box: ManyLinks) -> None:
    quiet = ManyLinks(["A1", "B1"], solicit_sense=False)
    assert one(quiet, "A1", 0x06, 1).status == 0x0E
    assert one(quiet, "B1", 0xE4, 7).status == 0x10
    assert one(quiet, "A1", 0x04, 32).data[0] == 0x80
    assert statuses(quiet, "B1") == [(UNIT, 0x04)]
    assert one(box, "A1", 0x06, 1).sense is not None
    assert one(box, "B1", 0xE4, 7).status == 0x0C, "sense went out with the status"


def test_state_change_is_told_and_ends_on_every_path_of_the_groups(box: ManyLinks) -> None:
    box.subsystem.state_changes.begin(UNIT)
    for name in ("A1", "B1"):
        last = box.run(name, reading(TRACK))[-1]
        assert last.status == 0x0E and last.sense is not None and last.sense[25] == 0x1D
    box.subsystem.state_changes.end(UNIT)
    assert [statuses(box, name) for name in ("A1", "A2", "B1")] == [[(UNIT, 0x85)]] * 3
    assert box.run("B1", reading(TRACK))[-1].status == 0x0C


def test_a_device_that_comes_back_is_told_to_every_host(box: ManyLinks) -> None:
    changes = box.subsystem.state_changes
    changes.set_ready(UNIT, False)
    last = box.run("B1", reading(TRACK))[-1]
    assert last.status == 0x0E and last.sense is not None and (last.sense[0], last.sense[7]) == (0x40, 0x19)
    assert [statuses(box, name) for name in ("A1", "A2", "B1")] == [[]] * 3
    changes.set_ready(UNIT, True)
    assert [statuses(box, name) for name in ("A1", "A2", "B1")] == [[(UNIT, 0x85)]] * 3
    changes.set_ready(UNIT, True)
    assert statuses(box, "A1") == []
    assert box.run("B1", reading(TRACK))[-1].status == 0x0C


def test_attention_that_waits_comes_with_busy_in_place_of_a_command(box: ManyLinks) -> None:
    """C9: the command is not executed, and the status is not presented again."""
    box.subsystem.state_changes.begin(UNIT)
    box.run("B1", reading(TRACK))
    (path,) = box.links["B1"].paths
    box.subsystem.state_changes.end(UNIT)
    assert one(box, "B1", 0xB4, 32).status == 0x95
    assert statuses(box, "B1") == []
    assert not box.subsystem.devices[UNIT].paths.is_reserved_elsewhere("anybody"), "the reserve was not executed"
    box.links["B1"].present_status(path, UNIT, 0x04)
    assert one(box, "B1", 0xE4, 7).status == 0x0C, "device end does not stand in the way"


def test_a_pending_status_that_is_not_accepted_is_kept(box: ManyLinks) -> None:
    """C9: the answer with busy is lost on the wire; the status comes in a connection of the unit's own."""
    (path,) = box.links["B1"].paths
    box.links["B1"].present_status(path, UNIT, 0x85)
    channel = box.channels["B1"]
    channel.end_chain()
    channel.begin(channel.command(UNIT, Start(0xE4, 0x20, 7, b"", False)), 0.0)
    answers = box.in_flight["B1", False]
    assert box.step(lambda moves: 0), "the command arrives"
    box.links["B1"].present_status(path, 0x01, 0x04)
    box._collect()
    assert answers
    answers.clear()
    assert statuses(box, "B1") == []
    channel.abandon(0.0)
    assert (UNIT, 0x85) in statuses(box, "B1")


def test_unconditional_reserve_while_the_old_owners_write_is_being_hardened(box: ManyLinks) -> None:
    one(box, "A1", 0xB4, 32)
    channel = box.channels["A1"]
    program = writing(TRACK, b"hardened")
    last = None
    for index, (code, argument) in enumerate(program):
        assert isinstance(argument, bytes)
        start = Start(code, 0x60, len(argument), argument, index > 0)
        last = channel.command(UNIT, start)
        channel.begin(last, 0.0)
        while channel.busy and not (box.hardening and not any(box.in_flight.values())):
            assert box.step(lambda moves: 0)
    assert channel.busy and box.hardening, "the write waits for the array"
    taken = one_while_busy(box, "B1", 0x14)
    assert taken.status == 0x0C
    assert not channel.busy and channel.result().status == 0x0C, "what is durable is said to be"
    chained = Start(0x86, 0x20, 8, b"", True)
    ended = box.perform("A1", channel.command(UNIT, chained))
    assert isinstance(ended, Response) and ended.sense is not None
    assert (ended.status, ended.sense[0], ended.sense[7]) == (0x0E, 0x10, 0x3F)
    assert one(box, "A1", 0xE4, 7).status == 0x10


def one_while_busy(box: ManyLinks, name: str, code: int) -> Response:
    """A command of 32 bytes of one host while another host's command is not over."""
    channel = box.channels[name]
    channel.end_chain()
    channel.begin(channel.command(UNIT, Start(code, 0x20, 32, b"", False)), 0.0)
    while box.step(lambda moves: 0):
        pass
    response = channel.result()
    assert isinstance(response, Response)
    return response


def test_control_unit_busy_and_its_end(box: ManyLinks) -> None:
    box.subsystem.busy.limit = 1
    channel = box.channels["A1"]
    for index, (code, argument) in enumerate(writing(TRACK, b"waiting!")):
        assert isinstance(argument, bytes)
        channel.begin(channel.command(UNIT, Start(code, 0x60, len(argument), argument, index > 0)), 0.0)
        while channel.busy and not (box.hardening and not any(box.in_flight.values())):
            assert box.step(lambda moves: 0)
    assert channel.busy and box.hardening
    held, box.hardening = box.hardening, type(box.hardening)()
    other = 0x01
    channel_b = box.channels["B1"]
    channel_b.end_chain()
    channel_b.begin(channel_b.command(other, Start(0xE4, 0x20, 7, b"", False)), 0.0)
    while box.step(lambda moves: 0):
        pass
    response = channel_b.result()
    assert isinstance(response, Response) and (response.status, response.residual) == (0x50, 7)
    assert statuses(box, "B1") == []
    box.hardening.extend(held)
    assert statuses(box, "B1") == [(other, 0x20)]
    assert one(box, "B1", 0xE4, 7, unit=other).status == 0x0C
    assert not channel.busy and channel.result().status == 0x0C


@pytest.mark.parametrize(
    ("order", "status"), [(operator.define_bridge("A", UNIT, 1), 0x0C), (operator.recover(UNIT), 0x0E)]
)
def test_what_a_chain_wrote_before_an_order_is_stored(order: bytes, status: int) -> None:
    """The order is the last command; the write before it is not in a domain, and still to be hardened."""
    caller = Caller()
    track = bytes((0, 0, 0, 3))
    caller.send(A, UNIT, 0x07, b"\0\0" + track, first=True)
    assert caller.send(A, UNIT, 0x31, track + b"\0")[0].status == 0x4C
    assert caller.send(A, UNIT, 0x1D, track + b"\1\0\0\x08" + b"written!")[0].status == 0x0C
    (ended,) = caller.send(A, UNIT, 0x27, order, last=True)
    assert ended.status == status
    assert b"written!" in (caller.box.store.read(UNIT, 3) or b"")
