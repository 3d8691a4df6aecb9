"""The control-unit role against the host emulator's channel: commands, statuses, resets and loss, each rule once.

Rule numbers are those of controller/channel (C, H, L, F).
"""

from __future__ import annotations

import pytest

from ccw.escon import ControlFunction, LinkControl
from ccw.frames import CommandFrame, ControlFrame, Frame, StatusFrame
from controller.channel import LinkState, PathId
from controller.commands.outcome import Outcome
from host_emulator.channel import InterfaceControlCheck, Start
from host_emulator.link import HostLinkSettings, Unsolicited
from tests.helpers.link_frames import device, link_control, only_answer
from tests.helpers.wire import (
    EXAMPLE_HOST,
    EXAMPLE_PATH,
    HOST_TO_UNIT,
    UNIT_TO_HOST,
    ScriptedServer,
    device_frames,
    joined,
    perform,
    read,
    write,
)

SOLICITING = HostLinkSettings(link_address=0x40, channel_image=1, control_unit_address=0x60)


# Commands


def test_data_travels_in_blocks_of_1024() -> None:
    wire, host, _, server = joined()
    response = perform(wire, host.command(0x10, read(2500)))
    assert len(response.data) == 2500  # type: ignore[attr-defined]
    data = bytes(range(256)) * 9
    perform(wire, host.command(0x10, write(data)))
    assert server.commands[-1].data == data
    lengths = [len(raw) - 4 - 11 for _, raw in wire.log if raw[0] == 1 and len(raw) > 40]
    assert lengths == [1024, 1024, 452, 1024, 1024, 256]


def test_short_and_long_transfers() -> None:
    """The residual count and the long-record bit arrive; early end is marked."""
    outcomes = [Outcome(0x0C, data=b"abc", residual=13), Outcome(0x0C, data=b"x" * 16, long_record=True)]
    wire, host, _, _ = joined(ScriptedServer(outcomes=list(outcomes)))
    short = perform(wire, host.command(0x10, read(16)))
    assert (short.data, short.residual, short.long_record) == (b"abc", 13, False)  # type: ignore[attr-defined]
    assert any("0010" + "88" in text for text in wire.frames())  # E and EE in the only data frame
    long = perform(wire, host.command(0x10, read(16)))
    assert (long.residual, long.long_record) == (0, True)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("flags", "outcome", "goes_on"),
    [
        (0x40, Outcome(0x0C, data=bytes(16)), True),
        (0x40, Outcome(0x4C, data=bytes(16)), True),
        (0x40, Outcome(0x0C, data=bytes(15), residual=1), False),
        (0x60, Outcome(0x0C, data=bytes(15), residual=1), True),
        (0x40, Outcome(0x0C, data=bytes(16), long_record=True), False),
        (0x60, Outcome(0x0C, data=bytes(16), long_record=True), True),
        (0x60, Outcome(0x0E, residual=16, sense=bytes(32)), False),
        (0x60, Outcome(0x0D, residual=16), False),
        (0x20, Outcome(0x0C, data=bytes(16)), False),
    ],
)
def test_when_a_chain_goes_on(flags: int, outcome: Outcome, goes_on: bool) -> None:
    wire, host, link, server = joined(ScriptedServer(outcomes=[outcome]))
    perform(wire, host.command(0x10, read(16, flags=flags)))
    assert host.chaining == goes_on
    assert server.count("end") == (not goes_on)
    host.end_chain()
    wire.settle()
    assert server.count("end") == 1
    assert link.state is LinkState.INACTIVE


def test_immediate_commands_have_no_command_response() -> None:
    """C2."""
    wire, host, _, server = joined()
    for start in (Start(0x03, 0x20, 1, b"\0", False), Start(0x02, 0x20, 0, b"", False), Start(0x5B, 0, 9, b"", False)):
        wire.log.clear()
        assert perform(wire, host.command(0x10, start)).immediate  # type: ignore[attr-defined]
        assert len(wire.log) == 3
    assert [command.data for command in server.commands] == [b"", b"", b""]


def test_first_command_executes_only_after_acr() -> None:
    """C1."""
    _, _, link, server = joined()
    link.receive(device(CommandFrame(0x10, 0x02, 0x20, 16), connect=True), 0.0)
    assert not server.commands
    link.receive(device(ControlFrame(0x10, ControlFunction.ACCEPT_COMMAND_RESPONSE)), 0.0)
    assert len(server.commands) == 1


def test_unit_check_with_concurrent_sense() -> None:
    sense = bytes(range(32))
    wire, host, _, _ = joined(ScriptedServer(outcomes=[Outcome(0x0E, residual=16, sense=sense)] * 2), SOLICITING)
    assert perform(wire, host.command(0x10, read(16))).sense == sense  # type: ignore[attr-defined]
    unasked, other, _, _ = joined(ScriptedServer(outcomes=[Outcome(0x0E, residual=16, sense=sense)]), EXAMPLE_HOST)
    assert perform(unasked, other.command(0x10, read(16))).sense is None  # type: ignore[attr-defined]


def test_channel_end_then_device_end() -> None:
    """C5: the connection is given up between the two, and another device can be used meanwhile."""
    server = ScriptedServer(outcomes=[Outcome(0x08)])
    wire, host, link, _ = joined(server)
    host.begin(host.command(0x10, write(b"abcd", flags=0x60)), 0.0)
    wire.settle()
    assert host.busy and link.state is LinkState.INACTIVE
    assert server.count("end") == 0
    server.replies[0](Outcome(0x04))
    wire.settle()
    assert host.result().status == 0x0C
    assert host.chaining and link.state is LinkState.CONNECTED
    perform(wire, host.command(0x10, read(4, flags=0, chained=True)))
    assert server.count("end") == 1
    statuses = [frame for _, frame in device_frames(wire) if isinstance(frame, StatusFrame)]
    assert [(status.unit_status, status.end) for status in statuses] == [(0x08, False), (0x04, False), (0x0C, True)]


def test_device_end_with_unit_check_ends_the_chain() -> None:
    server = ScriptedServer(outcomes=[Outcome(0x08)])
    wire, host, _, _ = joined(server, SOLICITING)
    host.begin(host.command(0x10, write(b"abcd", flags=0x60)), 0.0)
    wire.settle()
    server.replies[0](Outcome(0x06, sense=b"\x10" + bytes(31)))
    server.replies[0](Outcome(0x04))  # one too many: void
    wire.settle()
    response = host.result()
    assert (response.status, response.sense[0], host.chaining) == (0x0E, 0x10, False)
    assert server.count("end") == 1


def test_device_end_that_comes_before_channel_end_is_accepted() -> None:
    _, _, link, server = joined(ScriptedServer(outcomes=[Outcome(0x08)]))
    link.receive(device(CommandFrame(0x10, 0x03, 0x40, 1), connect=True), 0.0)
    server.replies[0](Outcome(0x04))
    (status,) = link.take()
    assert isinstance(status, Frame) and not status.connect
    link.receive(device(ControlFrame(0x10, ControlFunction.STATUS_ACCEPTED, end=True), disconnect=True), 0.0)
    late = only_answer(link)
    assert late.connect
    assert late.information[5] == 0x04


def test_busy_unit_of_a_disconnected_chain() -> None:
    server = ScriptedServer(outcomes=[Outcome(0x08)])
    _, _, link, _ = joined(server)
    link.receive(device(CommandFrame(0x10, 0x03, 0x20, 1), connect=True), 0.0)
    link.receive(device(ControlFrame(0x10, ControlFunction.STATUS_ACCEPTED, end=True), disconnect=True), 0.0)
    link.take()
    link.receive(device(CommandFrame(0x10, 0x03, 0x20, 1), connect=True), 0.0)
    assert only_answer(link).information[5] == 0x10
    link.receive(device(ControlFrame(0x10, ControlFunction.STATUS_ACCEPTED, end=True), disconnect=True), 0.0)
    assert server.count("end") == 0  # the busy command was never started, the disconnected one goes on
    server.replies[0](Outcome(0x04))
    link.receive(device(ControlFrame(0x10, ControlFunction.STATUS_ACCEPTED, end=True), disconnect=True), 0.0)
    assert server.count("end") == 1


# Unsolicited status


def test_command_wins_over_a_status_that_crosses_it() -> None:
    """C6, H3: both ends open a connection at once."""
    wire, host, link, server = joined()
    link.present_status(EXAMPLE_PATH, 0x11, 0x85)
    host.begin(host.command(0x10, read(16)), 0.0)
    wire.settle()
    assert host.result().status == 0x0C
    assert list(host.unsolicited) == [Unsolicited(0x11, 0x85, b"")]
    kinds = [type(frame).__name__ for direction, frame in device_frames(wire) if direction == UNIT_TO_HOST]
    assert kinds == ["StatusFrame", "ControlFrame", "DataFrame", "StatusFrame", "StatusFrame"]
    assert server.count("end") == 1


def test_statuses_of_one_unit_are_put_together() -> None:
    """C7."""
    wire, host, link, _ = joined(ScriptedServer(outcomes=[None]))
    host.begin(host.command(0x10, read(16)), 0.0)
    wire.settle()
    for status in (0x04, 0x80, 0x85):
        link.present_status(EXAMPLE_PATH, 0x11, status)
    link.present_status(EXAMPLE_PATH, 0x10, 0x04)
    link.present_status(PathId("L0", 0x4009, 2), 0x10, 0x04)  # no such path: nothing
    wire.settle()
    assert not host.unsolicited
    host.abandon(wire.now)
    wire.settle()
    assert [(item.unit_address, item.status) for item in host.unsolicited] == [(0x11, 0x85), (0x10, 0x04)]


def test_stacked_status_waits_until_it_is_asked_for() -> None:
    wire, host, link, _ = joined()
    link.present_status(EXAMPLE_PATH, 0x10, 0x85)
    link.take()
    link.receive(device(ControlFrame(0x10, ControlFunction.STACK_STATUS)), 0.0)
    answer = only_answer(link)
    assert (answer.disconnect, answer.information[4]) == (True, ControlFunction.DEVICE_LEVEL_ACKNOWLEDGEMENT)
    wire.settle()
    assert not host.unsolicited
    assert perform(wire, host.request_status(0x10)) is True
    assert [item.status for item in host.unsolicited] == [0x85]
    assert perform(wire, host.request_status(0x10)) is False


def test_rejected_status_is_dropped_and_a_busy_answer_repeats_it() -> None:
    _, _, link, _ = joined()
    link.present_status(EXAMPLE_PATH, 0x10, 0x85)
    link.take()
    link.receive(link_control(LinkControl.LBY), 0.0)
    assert link.take() == []
    assert link.next_wake is not None
    link.wake(link.next_wake)
    assert only_answer(link).information[5] == 0x85
    link.receive(link_control(LinkControl.LRJ, information=b"\x06\0\0\0"), 0.2)
    assert (link.take(), link.next_wake, link.state) == ([], None, LinkState.INACTIVE)


# Resets, late replies, loss


def test_selective_and_system_reset() -> None:
    wire, host, link, server = joined(ScriptedServer(outcomes=[Outcome(0x08), Outcome(0x08)]))
    for unit in (0x10, 0x11):
        link.receive(device(CommandFrame(unit, 0x03, 0x20, 1), connect=True), 0.0)
        link.receive(device(ControlFrame(unit, ControlFunction.STATUS_ACCEPTED, end=True), disconnect=True), 0.0)
    link.take()
    perform(wire, host.selective_reset(0x10))
    assert server.calls[-2:] == [("end", 0x10), ("reset", 0x10)]
    perform(wire, host.system_reset())
    assert server.calls[-2:] == [("end", 0x11), ("reset", None)]
    for reply in server.replies:
        reply(Outcome(0x04))
    assert link.take() == []  # C4


def test_late_reply_after_the_connection_was_dropped() -> None:
    """C4: recovered by the channel, then a new chain on the same device, then the reply of the old one."""
    server = ScriptedServer(outcomes=[None])
    wire, host, _, _ = joined(server)
    host.begin(host.command(0x10, read(16)), 0.0)
    wire.settle()
    host.abandon(0.0)
    wire.settle()
    assert server.count("end") == 1
    host.begin(host.command(0x10, read(4)), 0.0)
    for _ in range(3):
        wire.exchange()
    server.replies[0](Outcome(0x0E, sense=bytes(32)))
    wire.settle()
    assert host.result().status == 0x0C
    assert server.count("end") == 2


def test_connection_lost_ends_everything() -> None:
    wire, host, link, server = joined(ScriptedServer(outcomes=[None]))
    host.begin(host.command(0x10, read(16)), 0.0)
    wire.settle()
    link.connection_lost(0.0)
    host.connection_lost(0.0)
    assert server.calls[-2:] == [("end", 0x10), ("removed", EXAMPLE_PATH)]
    server.replies[0](Outcome(0x0C, data=bytes(16)))
    assert (link.take(), link.state, link.next_wake) == ([], LinkState.LINK_FAILURE, None)
    with pytest.raises(InterfaceControlCheck):
        host.result()


def test_output_is_announced_for_late_replies_only() -> None:
    server = ScriptedServer(outcomes=[None])
    wire, host, link, _ = joined(server)
    calls: list[int] = []
    link.on_output = lambda: calls.append(1)
    host.begin(host.command(0x10, read(16)), 0.0)
    wire.settle()
    assert not calls
    server.replies[0](Outcome(0x0C, data=bytes(16)))
    assert calls
    wire.settle()
    assert host.result().data == bytes(16)


def test_directions_of_an_exchange() -> None:
    wire, host, _, _ = joined()
    perform(wire, host.command(0x10, write(b"abcd")))
    directions = "".join(direction[0] for direction, _ in wire.log)
    assert directions == "huhuhuh"
    assert wire.log[0][0] == HOST_TO_UNIT


def test_status_of_another_unit_while_a_device_end_is_due() -> None:
    server = ScriptedServer(outcomes=[Outcome(0x08)])
    wire, host, link, _ = joined(server)
    host.begin(host.command(0x10, write(b"abcd")), 0.0)
    wire.settle()
    link.present_status(EXAMPLE_PATH, 0x11, 0x85)
    wire.settle()
    assert host.busy and [item.unit_address for item in host.unsolicited] == [0x11]
    server.replies[0](Outcome(0x04))
    wire.settle()
    assert host.result().status == 0x0C
