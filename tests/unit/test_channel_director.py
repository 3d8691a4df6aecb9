"""The director against channels of the host emulator and control units of the controller: addresses, connections.

Rule numbers are those of controller/channel/director.py (D) and address.py (A).
"""

from __future__ import annotations

import pytest

from ccw.escon import LinkControl, StateChange
from ccw.frames import CommandFrame, Frame, encode_device
from ccw.link_control import link_control_frame
from ccw.records import RawFrame
from controller.channel import Link, LinkState, PathId, PathReply
from controller.channel.director_states import PortState
from host_emulator.link import HostLink, HostLinkSettings, LinkFailure, NoPath, StateChanged
from tests.helpers.fabric import ACQUIRING, QUICK, channel, fabric, host_at, link_at, raw, site, states, unit
from tests.helpers.wire import NODE, ScriptedServer, read, write

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
