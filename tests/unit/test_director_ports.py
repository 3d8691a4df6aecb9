"""The ports of a director: state-change notification, blocked and dedicated ports, its own control unit, bounds.

Rule numbers are those of controller/channel/director.py (D) and address.py (A).
"""

from __future__ import annotations

import pytest

from ccw.ccws import UnitStatus
from ccw.escon import LinkControl
from ccw.link_control import decode_link_control, link_control_frame
from ccw.records import RawFrame, SequenceRecord
from controller.channel import ChainCommand, ChainResult, LinkState, PathId, PathReply
from controller.channel.director import OWN_PORT, Director
from controller.channel.director_port import MAX_OUTPUT
from controller.channel.director_states import PORT_TRANSITIONS, PortEvent, PortState
from controller.commands.outcome import Outcome
from host_emulator.link import NoPath
from tests.helpers.fabric import Fabric, channel, fabric, host_at, link_at, raw, site, states, unit
from tests.helpers.wire import NODE, ScriptedServer, read, write

# State-change notification


def notices(net: Fabric, port: int) -> list[str]:
    return [text.split()[1][8:14] for text in net.frames(port, "out") if " " in text and text.split()[1][8:10] == "69"]


def test_notice_is_acknowledged_once() -> None:
    """D7, worked example E7: LACK ends it."""
    net, _ = site()
    net.director.block(0x61, net.now)
    net.settle(net.now + 10.0)
    assert notices(net, 0x40) == notices(net, 0x60) == ["696102"]
    assert net.frames(0x40, "in") == [net.frames(0x40, "in")[0]]
    assert net.frames(0x40, "in")[0].startswith("3CFC FE00400061")


def test_notice_that_nobody_answers_is_repeated_three_times() -> None:
    net, _ = site()
    net.dark.add(0x40)
    net.director.block(0x61, net.now)
    net.settle(net.now + 20.0)
    assert net.director.ports[0x40].notices == {}
    assert not net.director.ports[0x40].awaits_answer
    net.dark.clear()
    net.director.unblock(0x61, net.now)
    net.settle(net.now + 5.0)
    assert notices(net, 0x40) == ["696101"]


def test_silent_port_counts_attempts() -> None:
    director = Director([0x40, 0x61], ScriptedServer(), NODE)
    director.attach(0x40, 0.0)
    director.receive(0x40, raw(link_control_frame(LinkControl.ALA, 0xFF00, 0)), 0.0)
    director.take(0x40)
    director.attach(0x61, 0.0)
    sent, now = 0, 0.0
    for _ in range(40):
        sent += sum(isinstance(item, RawFrame) for item in director.take(0x40))
        if director.next_wake is not None:
            now = max(now, director.next_wake)
            director.wake(now)
    assert (sent, director.ports[0x40].notices, director.next_wake) == (3, {}, None)


def test_notice_waits_for_the_end_of_a_connection() -> None:
    net, _ = site()
    host = host_at(net, 0x40)
    net.perform(0x40, host.command(0x10, write(b"abcd", flags=0x60)))
    net.director.block(0x61, net.now)
    net.settle(net.now)
    assert notices(net, 0x40) == [] and notices(net, 0x41) == ["696102"]
    host.end_chain()
    net.settle(net.now)
    assert notices(net, 0x40) == ["696102"]


def test_who_may_not_communicate_is_not_told() -> None:
    net, _ = site()
    net.director.prohibit(0x40, 0x61, net.now)
    net.settle(net.now + 1.0)
    assert notices(net, 0x40) == ["696102"]
    net.log.clear()
    net.director.block(0x61, net.now)
    net.settle(net.now + 1.0)
    assert notices(net, 0x40) == [] and notices(net, 0x41) == ["696102"]


# Blocked ports, static connections, the own control unit


def test_blocked_port() -> None:
    """D9, D3: the facility goes offline and comes back when it is unblocked."""
    net, _ = site()
    net.director.block(0x60, net.now)
    net.settle(net.now + 4.0)
    assert states(net)[0x60] is PortState.BLOCKED
    assert link_at(net, 0x60).state is LinkState.LINK_FAILURE
    with pytest.raises(NoPath, match="PRJ reason 03"):
        net.perform(0x40, host_at(net, 0x40).establish(2))
    net.director.unblock(0x60, net.now)
    net.settle(net.now + 4.0)
    assert (states(net)[0x60], link_at(net, 0x60).state) == (PortState.INACTIVE, LinkState.INACTIVE)
    net.perform(0x40, host_at(net, 0x40).establish(2))
    assert net.perform(0x40, host_at(net, 0x40).command(0x10, read(4))).data == bytes(range(4))  # type: ignore[attr-defined]


def test_static_connection() -> None:
    """D8: ALA reaches the partner, which answers that there is no director."""
    net = fabric((0x40, channel(0x40, unit=0x60)), (0x60, unit(0x60)), (0x41, channel(0x41)))
    net.director.assign_static(0x40, 0x60, 0.0)
    net.settle(2.0)
    host = host_at(net, 0x40)
    assert net.perform(0x40, host.acquire_address()) is False
    net.perform(0x40, host.establish(2))
    assert net.perform(0x40, host.command(0x10, read(4))).data == bytes(range(4))  # type: ignore[attr-defined]
    with pytest.raises(NoPath, match="PRJ reason 03"):
        net.perform(0x41, host_at(net, 0x41).establish(2))
    with pytest.raises(ValueError, match="40 and 41"):
        net.director.assign_static(0x40, 0x41, net.now)
    net.director.remove_static(0x60, net.now)
    net.settle(net.now + 3.0)
    assert link_at(net, 0x60).own_address == 0x60
    net.perform(0x41, host_at(net, 0x41).establish(2))
    assert states(net)[0x40] is states(net)[0x60] is PortState.INACTIVE


def test_static_partner_without_light() -> None:
    net = fabric((0x40, channel(0x40)), (0x60, unit(0x60)))
    net.director.assign_static(0x40, 0x60, 0.0)
    net.settle(2.0)
    net.director.detach(0x60, net.now)
    net.dark.add(0x60)
    net.log.clear()
    net.settle(net.now + 0.5)
    assert net.frames(0x40, "out")[0] == "NOS"


def test_the_director_has_a_control_unit_of_its_own() -> None:
    """FE answers like any control unit: node descriptor, path, a device at unit address 00."""
    net = fabric((0x40, channel(0x40, unit=OWN_PORT)), (0x60, unit(0x60)))
    host = host_at(net, 0x40)
    net.perform(0x40, host.acquire_address())
    assert net.perform(0x40, host.identify()) == NODE
    net.perform(0x40, host.establish(0))
    assert net.perform(0x40, host.command(0x00, read(4))).data == bytes(range(4))  # type: ignore[attr-defined]


def test_late_answer_of_the_own_control_unit() -> None:
    server = ScriptedServer(units=frozenset({0}), outcomes=[None])
    host = channel(0x40, unit=OWN_PORT)
    net = Fabric(Director([0x40], server, NODE), {0x40: host})
    said: list[int] = []
    net.director.on_output = said.append
    net.perform(0x40, host.establish(0))
    net.begin(0x40, host.command(0x00, read(4)))
    net.settle(net.now)
    said.clear()
    server.replies[0](Outcome(UnitStatus.CHANNEL_END | UnitStatus.DEVICE_END, data=b"abcd"))
    assert said == [0x40]
    net.settle(net.now)
    assert host.result().data == b"abcd"


# Controllers among themselves


def test_two_controllers_with_a_director_between_them() -> None:
    """A PPRC port is a channel towards the other controller; SCN brings its path back."""
    server = ScriptedServer()
    a, b = unit(0x50), unit(0x60, server)
    net = fabric((0x50, a), (0x60, b))
    net.settle(1.0)
    a.use_peer(0x60)
    replies: list[PathReply] = []
    a.establish_path(0, b"", replies.append, net.now)
    net.settle(net.now)
    assert replies[0].established
    chains: list[ChainResult] = []
    a.start_chain(0, 0x10, [ChainCommand(0x01, b"abc"), ChainCommand(0x02, count=4)], chains.append, net.now)
    net.settle(net.now)
    assert (chains[0].completed, chains[0].data[1], chains[0].failure) == (2, bytes(range(4)), None)
    changes: list[tuple[int, int]] = []
    a.on_state_change(lambda address, change: changes.append((address, change)))
    net.director.block(0x60, net.now)
    net.settle(net.now + 4.0)
    assert (a.images, changes) == (frozenset(), [(0x60, 2)])
    net.director.unblock(0x60, net.now)
    net.settle(net.now + 4.0)
    assert (a.images, changes[-1]) == ({0}, (0x60, 1))
    assert PathId("U60", 0x5000, 0) in b.paths


# Bounds and tables


def test_output_of_a_port_is_bounded() -> None:
    director = Director([0x40, 0x60], ScriptedServer(), NODE)
    for port in (0x40, 0x60):
        director.attach(port, 0.0)
    frame = raw(link_control_frame(LinkControl.RID, 0x6000, 0x4000))
    for _ in range(MAX_OUTPUT + 10):
        director.receive(0x40, frame, 0.0)
    assert len(director.take(0x60)) == MAX_OUTPUT
    assert director.ports[0x60].overruns >= 10


@pytest.mark.parametrize("port", [0x00, 0xFE, 0xFF])
def test_ports_are_01_to_fd(port: int) -> None:
    with pytest.raises(ValueError, match="outside 01-FD"):
        Director([port], ScriptedServer(), NODE)


def test_every_port_state_can_be_reached_and_left() -> None:
    reached = {PortState.OFFLINE, *PORT_TRANSITIONS.values()}
    assert reached == set(PortState) == {state for state, _ in PORT_TRANSITIONS}
    assert {event for _, event in PORT_TRANSITIONS} == set(PortEvent)


@pytest.mark.parametrize("kind", range(1, 6))
def test_sequences_at_an_idle_port_do_no_harm(kind: int) -> None:
    net, _ = site()
    net.director.receive(0x40, SequenceRecord(kind), net.now)
    net.settle(net.now + 5.0)
    assert states(net)[0x40] is PortState.INACTIVE
    assert decode_link_control(link_control_frame(LinkControl.LACK, 0, 0)).reason == 0


def test_blocking_a_dedicated_port_frees_its_partner() -> None:
    director = Director([0x40, 0x60], ScriptedServer(), NODE)
    director.assign_static(0x40, 0x60, 0.0)
    director.block(0x40, 0.0)
    assert (director.ports[0x40].state, director.ports[0x60].state) == (PortState.BLOCKED, PortState.OFFLINE)
    assert director.ports[0x40].partner is director.ports[0x60].partner is None
