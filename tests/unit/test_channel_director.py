"""The director against channels of the host emulator and control units of the controller, without a network.

Rule numbers are those of controller/channel/director.py (D) and address.py (A).
"""

from __future__ import annotations

import pytest

from ccw.ccws import UnitStatus
from ccw.escon import LinkControl, StateChange
from ccw.frames import CommandFrame, Frame, encode_device
from ccw.link_control import decode_link_control, link_control_frame
from ccw.records import RawFrame, SequenceRecord
from controller.channel import ChainCommand, ChainResult, Link, LinkSettings, LinkState, PathId, PathReply
from controller.channel.director import OWN_PORT, Director
from controller.channel.director_port import MAX_OUTPUT
from controller.channel.director_states import PORT_TRANSITIONS, PortEvent, PortState
from controller.commands.outcome import Outcome
from host_emulator.link import HostLink, HostLinkSettings, LinkFailure, NoPath, StateChanged
from tests.helpers.fabric import Fabric
from tests.helpers.wire import NODE, ScriptedServer, read, write

ACQUIRING = LinkSettings(acquire_address=True)
QUICK = {"busy_timeout_s": 0.5}


def channel(port: int, unit: int = 0x60, **more: object) -> HostLink:
    return HostLink(HostLinkSettings(link_address=port, channel_image=1, control_unit_address=unit, **more))  # type: ignore[arg-type]


def unit(port: int, server: ScriptedServer | None = None, settings: LinkSettings = ACQUIRING) -> Link:
    """A control unit that does not know its address: what it is configured with is wrong on purpose."""
    server = server or ScriptedServer()
    return Link(f"U{port:02X}", server, NODE, own_address=0x77, peer_address=0x76, settings=settings)


def fabric(*ends: tuple[int, HostLink | Link], extra: tuple[int, ...] = ()) -> Fabric:
    ports = [port for port, _ in ends]
    return Fabric(Director([*ports, *extra], ScriptedServer(units=frozenset({0})), NODE), dict(ends))


def site() -> tuple[Fabric, ScriptedServer]:
    """Two channels at 40 and 41, control units at 60 and 61; both channels have a path to 60."""
    server = ScriptedServer()
    net = fabric((0x40, channel(0x40)), (0x41, channel(0x41)), (0x60, unit(0x60, server)), (0x61, unit(0x61)))
    for port in (0x40, 0x41):
        assert net.perform(port, host_at(net, port).acquire_address()) is True
        net.perform(port, host_at(net, port).establish(2))
    net.log.clear()
    return net, server


def host_at(net: Fabric, port: int) -> HostLink:
    host = net.ends[port]
    assert isinstance(host, HostLink)
    return host


def link_at(net: Fabric, port: int) -> Link:
    link = net.ends[port]
    assert isinstance(link, Link)
    return link


def states(net: Fabric) -> dict[int, PortState]:
    return {address: port.state for address, port in net.director.ports.items()}


# Addresses


def test_addresses_are_acquired() -> None:
    """D6, A2: the worked example E1, and an address that no request of a peer changes."""
    net = fabric((0x40, channel(0x40)), (0x60, unit(0x60)))
    net.perform(0x40, host_at(net, 0x40).acquire_address())
    assert net.frames(0x40, "in")[1:] == ["3CFC FF00000091000000" + "00547E DC3C3C"]
    assert net.frames(0x40, "out")[-1] == "3CFC 4000FE00614000000082DE DC3C3C"
    link = link_at(net, 0x60)
    assert (link.own_address, link.state) == (0x60, LinkState.INACTIVE)
    link.receive(RawFrame(bytes.fromhex("61024001410000000000"), True, True), 0.0)
    link.take()
    assert link.own_address == 0x60


def test_nobody_answers_then_somebody_does() -> None:
    """A1: again every second; until then no connection."""
    link = unit(0x60)
    link.wake(0.0)
    for second in range(3):
        frames = [item for item in link.take() if isinstance(item, Frame)]
        assert [frame.link_control for frame in frames] == [LinkControl.ALA], second
        assert link.state is LinkState.WORKING_NO_ADDRESS
        link.wake(second + 1.0)
    replies: list[PathReply] = []
    link.establish_path(0, b"", replies.append, 3.0)
    assert all(item.link_control == LinkControl.ALA for item in link.take() if isinstance(item, Frame))
    lack = link_control_frame(LinkControl.LACK, 0x6000, 0xFE00, bytes((0x60, 0, 0, 0)))
    net_record = raw(lack)
    link.receive(net_record, 3.1)
    assert (link.own_address, link.state) == (0x60, LinkState.INACTIVE)
    (elp,) = (item for item in link.take() if isinstance(item, Frame))
    assert (elp.link_control, elp.source) == (LinkControl.ELP, 0x6000)


def raw(frame: Frame) -> RawFrame:
    from ccw.frames import encode_frame

    return RawFrame(encode_frame(frame), frame.connect, frame.disconnect)


@pytest.mark.parametrize("address", [0x00, 0xFF])
def test_an_assigned_address_that_is_none_is_not_taken(address: int) -> None:
    link = unit(0x60)
    link.wake(0.0)
    link.receive(raw(link_control_frame(LinkControl.LACK, 0x6000, 0xFE00, bytes((address, 0, 0, 0)))), 0.1)
    assert link.state is LinkState.WORKING_NO_ADDRESS


def test_two_ends_without_a_director_use_their_own() -> None:
    """A3, L3: each answers the other's ALA by LRJ 0A."""
    from tests.helpers.wire import Wire

    left = Link("A", ScriptedServer(), NODE, own_address=1, peer_address=2, settings=ACQUIRING)
    right = Link("B", ScriptedServer(), NODE, own_address=2, peer_address=1, settings=ACQUIRING)
    wire = Wire(left, right)
    wire.settle(0.5)
    assert [(end.state, end.own_address) for end in (left, right)] == [(LinkState.INACTIVE, 1), (LinkState.INACTIVE, 2)]
    replies: list[PathReply] = []
    left.establish_path(0, b"", replies.append, wire.now)
    wire.settle(1.0)
    assert replies[0].established


def test_wrong_source_address_is_told() -> None:
    """D6, A4: ILA; an end that had acquired its address starts over, its paths are gone."""
    net, _ = site()
    link = link_at(net, 0x60)
    assert link.paths
    net.inject(0x60, link_control_frame(LinkControl.RID, 0x4000, 0x6100))
    net.settle(net.now + 5.0)
    assert "3CFC 6000FE00A1" in "".join(net.frames(0x60, "out"))
    assert (link.own_address, link.state, link.paths) == (0x60, LinkState.INACTIVE, frozenset())
    host = HostLink(HostLinkSettings(link_address=0x44, control_unit_address=0x60))
    wrong = fabric((0x40, host), (0x60, unit(0x60)))
    with pytest.raises(LinkFailure, match="ILA"):
        wrong.perform(0x40, host.establish(0))


# Connections


def test_commands_through_the_director() -> None:
    """D1: a path is known by both addresses; the connection lasts as long as the exchange."""
    net, server = site()
    assert link_at(net, 0x60).paths == {PathId("U60", 0x4001, 2), PathId("U60", 0x4101, 2)}
    response = net.perform(0x40, host_at(net, 0x40).command(0x10, read(3000)))
    assert response.data == bytes(index & 0xFF for index in range(3000))  # type: ignore[attr-defined]
    net.perform(0x41, host_at(net, 0x41).command(0x11, write(b"abcd", flags=0x60)))
    assert states(net)[0x41] is states(net)[0x60] is PortState.CONNECTED  # a chain holds the connection
    net.perform(0x41, host_at(net, 0x41).command(0x11, read(4, chained=True)))
    assert set(states(net).values()) == {PortState.INACTIVE}
    assert server.count("end") == 2
    assert net.frames(0x40, "in")[0].startswith("3CFC 60024001001")


def test_frames_pass_unchanged() -> None:
    """D4: what one port sends to another arrives as the same bytes."""
    net, _ = site()
    net.perform(0x40, host_at(net, 0x40).command(0x10, read(40)))
    assert net.frames(0x40, "in") == net.frames(0x60, "out")
    assert net.frames(0x60, "in") == net.frames(0x40, "out")


def test_busy_destination_and_busy_source() -> None:
    """D2: one channel holds the unit in a chain; the other hears PBY 01 until it is free."""
    net, server = site()
    net.perform(0x40, host_at(net, 0x40).command(0x10, write(b"abcd", flags=0x60)))
    other = net.begin(0x41, host_at(net, 0x41).command(0x11, read(4)))
    net.settle(net.now + 0.25)
    assert other.busy
    assert any(" 4101FE002901" in text for text in net.frames(0x41, "out"))
    net.inject(0x40, Frame(0x6102, 0x4001, 0, encode_device(CommandFrame(0x10, 2, 0, 4)), connect=True))
    net.settle(net.now)
    assert any(" 4001FE002902" in text for text in net.frames(0x40, "out"))
    net.perform(0x40, host_at(net, 0x40).command(0x10, read(4, chained=True)))
    net.settle(net.now + 0.3)
    assert not other.busy and other.result().data == bytes(range(4))
    assert server.count("end") == 2


def test_busy_for_ever_is_a_failure() -> None:
    net, _ = site()
    net.ends[0x41] = impatient = channel(0x41, **QUICK)
    net.perform(0x41, impatient.establish(2))
    net.perform(0x40, host_at(net, 0x40).command(0x10, write(b"abcd", flags=0x60)))
    with pytest.raises(LinkFailure, match="PBY reason 01"):
        net.perform(0x41, impatient.command(0x11, read(4)), patience=1.0)


@pytest.mark.parametrize(
    ("destination", "reason"),
    [(0x00, 1), (0xFF, 1), (0x40, 1), (0x42, 2), (0x70, 3), (0x61, 4)],
    ids=["zero", "everybody", "itself", "no such port", "offline", "prohibited"],
)
def test_port_reject(destination: int, reason: int) -> None:
    """D3, each reason; an answer is refused in silence."""
    net = fabric((0x40, channel(0x40)), (0x60, unit(0x60)), (0x61, unit(0x61)), extra=(0x70,))
    net.director.prohibit(0x40, 0x61, 0.0)
    net.settle(0.1)
    net.log.clear()
    net.inject(0x40, link_control_frame(LinkControl.RID, destination << 8, 0x4000))
    (frame,) = (item for item in net.director.take(0x40) if isinstance(item, RawFrame))
    assert frame.payload[:6].hex().upper() == f"4000FE0019{reason:02X}"
    net.inject(0x40, link_control_frame(LinkControl.LACK, destination << 8, 0x4000))
    assert net.director.take(0x40) == []


def test_refused_path_of_a_channel() -> None:
    net, _ = site()
    net.director.prohibit(0x40, 0x61, net.now)
    net.ends[0x40] = host = channel(0x40, unit=0x61)
    with pytest.raises(NoPath, match="PRJ reason 04"):
        net.perform(0x40, host.establish(2))
    net.director.allow(0x40, 0x61, net.now)
    net.perform(0x40, host.establish(2))
    assert host.image == 2


def test_passive_and_damaged_frames_outside_of_a_connection() -> None:
    """D4."""
    net, _ = site()
    port = net.director.ports[0x40]
    before = port.discarded
    net.inject(0x40, Frame(0x6002, 0x4001, 0, encode_device(CommandFrame(0x10, 2, 0, 4))))
    net.director.receive(0x40, RawFrame(bytes(9), True, True), net.now)
    net.director.receive(0x40, RawFrame(bytes.fromhex("600240014100000000F998"), True, True, True), net.now)
    assert port.discarded == before + 3
    assert all(net.director.take(at) == [] for at in net.ends)


def test_recovery_reaches_the_other_end() -> None:
    """D5: the channel falls silent in a chain; the unit's recovery parts the connection and voids the chain."""
    net, server = site()
    host = host_at(net, 0x40)
    net.perform(0x40, host.command(0x10, write(b"abcd", flags=0x60)))
    net.settle(net.now + 3.0)
    assert "UD" in net.frames(0x60, "in") and "UD" in net.frames(0x40, "out")
    assert set(states(net).values()) == {PortState.INACTIVE}
    assert server.count("end") == 1
    assert net.perform(0x40, host.command(0x10, read(4))).data == bytes(range(4))  # type: ignore[attr-defined]


def test_light_goes_out_in_a_connection() -> None:
    """D5, D7: the partner is recovered; everybody else hears that the port is unreachable, and comes back."""
    net, _ = site()
    host = host_at(net, 0x40)
    net.perform(0x40, host.command(0x10, write(b"abcd", flags=0x60)))
    net.dark.add(0x60)
    net.director.detach(0x60, net.now)
    net.settle(net.now + 0.5)
    link_at(net, 0x60).connection_lost(net.now)
    assert states(net)[0x60] is PortState.OFFLINE and states(net)[0x40] is PortState.INACTIVE
    for port in (0x40, 0x41):
        assert list(host_at(net, port).state_changes)[-1] == StateChanged(0x60, StateChange.BECAME_UNREACHABLE)
        assert host_at(net, port).image is None
    net.dark.clear()
    link_at(net, 0x60).connection_made(net.now)
    net.director.attach(0x60, net.now)
    net.settle(net.now + 0.5)
    assert list(host_at(net, 0x41).state_changes)[-1] == StateChanged(0x60, StateChange.BECAME_REACHABLE)
    net.perform(0x41, host_at(net, 0x41).establish(2))
    assert link_at(net, 0x60).own_address == 0x60


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
