"""Lost and damaged records at every place of an exchange, between the host's channel and the control unit.

What must hold after each: the chain ended exactly once at the server (it asserts that itself), both ends are idle, the
host has the right data or an interface control check, and the next command works.
"""

from __future__ import annotations

import pytest

from ccw.escon import Sequence
from ccw.records import RawFrame, SequenceRecord
from controller.channel import Link, LinkState
from controller.channel.facility import LinkEvent, LinkFacility, LinkSettings
from controller.commands.outcome import Outcome
from host_emulator.channel import InterfaceControlCheck, Start
from host_emulator.link import HostLink
from tests.helpers.wire import EXAMPLE_PATH, NODE, ScriptedServer, Wire, joined, perform, read, write

COMMANDS = {
    "read": read(2500),
    "write": write(bytes(2500)),
    "immediate": Start(0x03, 0x20, 1, b"\0", False),
    "chained": write(bytes(20), flags=0x60),
}
# Records each exchange takes when nothing is lost; the last is "status accepted" (a chain ends with it, too).
LENGTHS = {"read": 9, "write": 9, "immediate": 3, "chained": 7}


class LoseOne:
    """Loses, or damages, record number `which` and every `again` records after it."""

    def __init__(self, which: int, damage: bool) -> None:
        self.left = which
        self.damage = damage

    def __call__(self, direction: str, data: bytes) -> bytes | None:
        self.left -= 1
        if self.left != -1:
            return data
        if self.damage and data[0] == 1:
            return data[:-1] + bytes((data[-1] ^ 0x40,))
        return None


@pytest.mark.parametrize("damage", [False, True], ids=["lost", "damaged"])
@pytest.mark.parametrize(
    ("kind", "which"), [(kind, which) for kind, length in LENGTHS.items() for which in range(length)]
)
def test_one_record_is_lost(kind: str, which: int, damage: bool) -> None:
    wire, host, link, server = joined()
    wire.hurt = LoseOne(which, damage)
    start = COMMANDS[kind]
    try:
        response = perform(wire, host.command(0x10, start))
        assert response.status == 0x0C  # type: ignore[attr-defined]
        assert len(response.data) == (2500 if kind == "read" else 0)  # type: ignore[attr-defined]
    except InterfaceControlCheck:
        assert which not in (0, 1), "before ACR the command is void and is sent again"
    host.end_chain()
    wire.settle(wire.now + 10)
    assert not host.busy and not server.started
    assert link.state is LinkState.INACTIVE
    perform(wire, host.command(0x10, read(4)))
    wire.settle(wire.now + 10)
    assert not server.started
    assert wire.now < 40


@pytest.mark.parametrize("which", range(3))
def test_unsolicited_status_survives_a_loss(which: int) -> None:
    """C7: presented until accepted; what is lost is the acceptance at worst, then it comes twice."""
    wire, host, link, _ = joined()
    wire.hurt = LoseOne(which, damage=False)
    link.present_status(EXAMPLE_PATH, 0x10, 0x85)
    wire.settle(30.0)
    assert {item.status for item in host.unsolicited} == {0x85}
    assert len(host.unsolicited) <= 2
    assert link.state is LinkState.INACTIVE


def test_dead_control_unit_is_an_interface_control_check() -> None:
    wire, host, _, _ = joined()
    wire.hurt = lambda direction, data: data if direction == "host" else None
    with pytest.raises(InterfaceControlCheck):
        perform(wire, host.command(0x10, read(16)))
    assert wire.now < 10


def test_dead_channel_brings_the_link_down_and_it_comes_back() -> None:
    """F4: recovery is given up, paths are removed; when the channel is there again, it establishes its path again."""
    wire, host, link, server = joined(ScriptedServer(outcomes=[None]))
    host.begin(host.command(0x10, read(16)), 0.0)
    wire.settle()
    wire.hurt = lambda direction, data: None
    server.replies[0](Outcome(0x0C, data=bytes(16)))
    host.abandon(0.0)
    wire.settle(30.0)
    assert link.state is LinkState.LINK_FAILURE
    assert server.calls[-2:] == [("end", 0x10), ("removed", EXAMPLE_PATH)]
    wire.hurt = lambda direction, data: data
    wire.settle(60.0)
    assert link.state is LinkState.INACTIVE
    with pytest.raises(InterfaceControlCheck):
        perform(wire, host.command(0x10, read(4)))
    perform(wire, host.establish(2))
    assert perform(wire, host.command(0x10, read(4))).status == 0x0C  # type: ignore[attr-defined]


@pytest.mark.parametrize("state", list(LinkState))
@pytest.mark.parametrize("sequence", list(Sequence))
def test_answering_order_of_sequences(state: LinkState, sequence: Sequence) -> None:
    """F1, in every state."""
    facility = LinkFacility(LinkSettings())
    facility.attached = True
    facility.state = state
    change = facility.apply(LinkEvent[sequence.name], 0.0)
    answers = {Sequence.NOS: Sequence.OLS, Sequence.OLS: Sequence.UD, Sequence.UD: Sequence.UDR}
    if sequence in answers:
        assert change.send == answers[sequence]
        assert change.dropped
    if sequence is Sequence.IDLE:
        assert change.send is None
    if sequence in (Sequence.UDR, Sequence.IDLE) and state is LinkState.RECOVERY:
        assert facility.state is LinkState.INACTIVE


def test_frames_are_discarded_during_recovery() -> None:
    """F3."""
    _, _, link, _ = joined()
    link.receive(SequenceRecord(Sequence.OLS), 0.0)
    assert (link.take(), link.state) == ([SequenceRecord(Sequence.UD)], LinkState.RECOVERY)
    link.receive(RawFrame(b"anything", True, True), 0.0)
    assert link.take() == []
    assert link.counters.discarded == 1
    assert not link.paths
    link.receive(SequenceRecord(Sequence.UDR), 0.0)
    assert (link.take(), link.state) == ([SequenceRecord(Sequence.IDLE)], LinkState.INACTIVE)


def test_two_ends_that_are_both_down_come_up() -> None:
    left = Link("A", ScriptedServer(), NODE, own_address=1, peer_address=2)
    right = Link("B", ScriptedServer(), NODE, own_address=2, peer_address=1)
    wire = Wire(left, right)
    wire.hurt = lambda direction, data: None
    for link in (left, right):
        link.receive(SequenceRecord(Sequence.OLS), 0.0)
    wire.settle(5.0)
    assert left.state is right.state is LinkState.LINK_FAILURE
    wire.hurt = lambda direction, data: data
    wire.settle(20.0)
    assert left.state is right.state is LinkState.INACTIVE


def test_host_recovers_before_its_next_exchange() -> None:
    wire, host, _, _ = joined(ScriptedServer(outcomes=[None]))
    host.begin(host.command(0x10, read(16)), 0.0)
    wire.settle()
    host.abandon(0.0)
    lost = host.take()
    assert lost == [SequenceRecord(Sequence.UD)]  # and it is lost
    assert perform(wire, host.command(0x10, read(4))).data == bytes(range(4))  # type: ignore[attr-defined]
    assert isinstance(host, HostLink) and host.counters.recoveries == 1
