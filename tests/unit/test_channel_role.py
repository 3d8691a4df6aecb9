"""The channel role against the control-unit role: two controllers on one link. Rules H, L5 of controller/channel."""

from __future__ import annotations

import pytest

from ccw.escon import LinkControl
from ccw.frames import CommandFrame, ControlFrame
from controller.channel import ChainCommand, ChainResult, Link, LinkSettings, LinkState, PathId, PathReply
from controller.commands.outcome import Outcome
from tests.helpers.wire import NODE, ScriptedServer, Wire, device_frames

HEADER = bytes((0, 0, 0, 40, 1, 0, 0, 0)) + bytes.fromhex("0100000002000000") + b"\xf0" * 24
BRIDGE_PATH = PathId("B", 0x0100, 0)


def pair(server: ScriptedServer | None = None, settings: LinkSettings | None = None) -> tuple[Wire, Link, Link]:
    """Controller A at 01 and B at 02, no path yet."""
    a = Link("A", ScriptedServer(units=frozenset({0xF1})), NODE, own_address=1, peer_address=2, settings=settings)
    b = Link("B", server or ScriptedServer(units=frozenset({0xF0})), NODE, own_address=2, peer_address=1)
    wire = Wire(a, b)
    wire.settle()
    return wire, a, b


def established(server: ScriptedServer | None = None) -> tuple[Wire, Link, Link, ScriptedServer]:
    server = server or ScriptedServer(units=frozenset({0xF0}))
    wire, a, b = pair(server)
    replies: list[PathReply] = []
    a.establish_path(0, HEADER, replies.append, 0.0)
    wire.settle()
    assert replies[0].established
    wire.log.clear()
    return wire, a, b, server


def bridge_chain(records: int, size: int = 3000) -> list[ChainCommand]:
    """63, 4B, 95 x n."""
    return [
        ChainCommand(0x63, bytes(16)),
        ChainCommand(0x4B, bytes(23)),
        *(ChainCommand(0x95, bytes((number,)) * size) for number in range(records)),
    ]


def run_chain(
    wire: Wire, link: Link, commands: list[ChainCommand], unit: int = 0xF0, patience: float = 30.0
) -> ChainResult:
    results: list[ChainResult] = []
    link.start_chain(0, unit, commands, results.append, wire.now)
    wire.settle(wire.now + patience)
    assert len(results) == 1  # H6
    return results[0]


def test_path_with_header_and_its_removal() -> None:
    server = ScriptedServer(units=frozenset({0xF0}))
    wire, a, b = pair(server)
    replies: list[PathReply] = []
    a.establish_path(0, HEADER, replies.append, 0.0)
    wire.settle()
    assert replies == [PathReply(True, header=replies[0].header)]
    assert replies[0].header[8:12] == bytes.fromhex("02000000")
    assert (a.images, b.paths) == ({0}, {BRIDGE_PATH})
    assert server.calls == [("path", BRIDGE_PATH, HEADER)]
    a.remove_path(0, replies.append, 0.0)
    wire.settle()
    assert replies[1] == PathReply(False, reason=0)
    assert (a.images, b.paths) == (frozenset(), frozenset())


@pytest.mark.parametrize(("reason", "tries"), [(2, 1), (3, 1), (4, 3)])
def test_path_refused(reason: int, tries: int) -> None:
    """Asking again helps against some reasons; out of resources and initialising are told at once."""
    server = ScriptedServer(refuse=reason)
    wire, a, _ = pair(server)
    replies: list[PathReply] = []
    a.establish_path(0, HEADER, replies.append, 0.0)
    wire.settle(5.0)
    assert replies == [PathReply(False, reason=reason)]
    assert server.count("path") == tries


def test_no_answer_to_elp() -> None:
    wire, a, _ = pair()
    wire.hurt = lambda direction, data: None
    replies: list[PathReply] = []
    nodes: list[bytes | None] = []
    a.establish_path(0, HEADER, replies.append, 0.0)
    a.identify(nodes.append, 0.0)
    wire.settle(60.0)
    assert replies == [PathReply(False, failure="timeout")]
    assert nodes == [None]
    elps = [data for _, data in wire.log if data[0] == 1 and data[8] == LinkControl.ELP]
    assert len(elps) == 3


def test_identify() -> None:
    wire, a, _ = pair()
    nodes: list[bytes | None] = []
    a.identify(nodes.append, 0.0)
    wire.settle()
    assert nodes == [NODE]


def test_bridge_chain() -> None:
    """63, 4B, 95 x 8: one connection, ACR only for the first command (H1), supplementary status solicited (H2)."""
    wire, a, b, server = established()
    result = run_chain(wire, a, bridge_chain(8))
    assert (result.completed, result.status, result.failure) == (10, 0x0C, None)
    assert [command.data for command in server.commands] == [command.data for command in bridge_chain(8)]
    frames = [frame for _, frame in device_frames(wire)]
    assert sum(isinstance(frame, ControlFrame) and frame.function == 0x90 for frame in frames) == 1
    assert all(frame.command_flags == 1 for frame in frames if isinstance(frame, CommandFrame))
    assert server.count("end") == 1
    assert a.state is b.state is LinkState.INACTIVE


def test_reads_of_a_chain_come_apart() -> None:
    wire, a, _, _ = established()
    result = run_chain(wire, a, [ChainCommand(0xE4, count=7), ChainCommand(0xFA, count=256)])
    assert [len(data) for data in result.data] == [7, 256]


def test_unit_check_in_the_middle() -> None:
    sense = bytes((0x80, 0, 0, 0, 0, 0, 0, 0x0F, 0x63)) + bytes(23)
    outcomes: list[Outcome | None] = [Outcome(0x0C), Outcome(0x0C), Outcome(0x0C), Outcome(0x0E, sense=sense)]
    wire, a, _, _ = established(ScriptedServer(units=frozenset({0xF0}), outcomes=outcomes))
    result = run_chain(wire, a, bridge_chain(4))
    assert (result.completed, result.status, result.sense, result.failure) == (3, 0x0E, sense, None)


def test_no_path_and_no_device() -> None:
    wire, a, b, _ = established()
    assert run_chain(wire, a, bridge_chain(1), unit=0x55).failure == "device exception"
    b.connection_made(0.0)  # B forgot its paths
    assert run_chain(wire, a, bridge_chain(1)).failure == "no path"
    assert run_chain(wire, a, bridge_chain(1)).failure == "no path"
    assert not a.images


def test_device_end_later_while_other_chains_run() -> None:
    """H4."""
    server = ScriptedServer(units=frozenset({0xF0, 0xF2}), outcomes=[Outcome(0x08)])
    wire, a, _, _ = established(server)
    results: list[ChainResult] = []
    a.start_chain(0, 0xF0, [ChainCommand(0x27, bytes(64)), ChainCommand(0x03, count=1)], results.append, 0.0)
    wire.settle()
    assert not results and a.state is LinkState.INACTIVE
    assert run_chain(wire, a, bridge_chain(1), unit=0xF2).completed == 3
    assert not results
    server.replies[0](Outcome(0x04))
    wire.settle()
    assert results[0].completed == 2


def test_device_end_continues_the_chain() -> None:
    server = ScriptedServer(units=frozenset({0xF0}), outcomes=[Outcome(0x08)])
    wire, a, _, _ = established(server)
    results: list[ChainResult] = []
    a.start_chain(0, 0xF0, [ChainCommand(0x27, bytes(64)), ChainCommand(0xE4, count=7)], results.append, 0.0)
    wire.settle()
    server.replies[0](Outcome(0x04))
    wire.settle()
    assert results[0].completed == 2
    assert results[0].data == [b"", bytes(range(7))]
    assert server.count("end") == 1


def test_device_end_that_never_comes() -> None:
    wire, a, _, _ = established(ScriptedServer(units=frozenset({0xF0}), outcomes=[Outcome(0x08)]))
    assert run_chain(wire, a, [ChainCommand(0x27, bytes(64))], patience=90).failure == "timeout"
    assert 60 <= wire.now < 62


@pytest.mark.parametrize("which", range(24))
def test_chain_survives_the_loss_of_any_record(which: int) -> None:
    """H5: it begins again; the server sees complete chains only, and the last one is the whole chain."""
    wire, a, b, server = established()
    left = [which]

    def lose(direction: str, data: bytes) -> bytes | None:
        left[0] -= 1
        return None if left[0] == -1 else data

    wire.hurt = lose
    result = run_chain(wire, a, bridge_chain(3, size=1500))
    assert (result.completed, result.failure) == (5, None)
    assert [command.data for command in server.commands[-5:]] == [command.data for command in bridge_chain(3, 1500)]
    assert not server.started
    assert a.state is b.state is LinkState.INACTIVE


def test_chain_fails_after_three_recoveries() -> None:
    wire, a, _, server = established()
    wire.hurt = lambda direction, data: None if len(data) > 500 else data  # data frames never arrive
    result = run_chain(wire, a, bridge_chain(1))
    assert (result.failure, result.completed) == ("timeout", 2)
    assert server.count("end") == 3
    assert wire.now < 10


def test_both_ends_select_at_once() -> None:
    """L5: the greater link address goes first, the other after it; nobody times out."""
    wire, a, b, server = established()
    b.establish_path(0, HEADER, lambda reply: None, 0.0)
    wire.settle()
    results: list[tuple[str, ChainResult]] = []
    a.start_chain(0, 0xF0, bridge_chain(2), lambda result: results.append(("A", result)), 0.0)
    b.start_chain(0, 0xF1, bridge_chain(2), lambda result: results.append(("B", result)), 0.0)
    wire.settle()
    assert [(who, result.completed, result.failure) for who, result in results] == [("B", 4, None), ("A", 4, None)]
    assert wire.now == 0.0
    assert server.count("end") == 1


def test_link_lost_answers_everything() -> None:
    wire, a, _, _ = established(ScriptedServer(units=frozenset({0xF0}), outcomes=[None]))
    results: list[object] = []
    for _ in range(3):
        a.start_chain(0, 0xF0, bridge_chain(1), results.append, 0.0)
    a.identify(results.append, 0.0)
    wire.settle()
    a.connection_lost(1.0)
    failures = [result.failure for result in results if isinstance(result, ChainResult)]
    assert failures == ["link lost"] * 3
    assert results[-1] is None
    a.start_chain(0, 0xF0, bridge_chain(1), results.append, 1.0)
    assert isinstance(results[-1], ChainResult) and results[-1].failure == "link lost"


def test_unsolicited_status_of_the_peer() -> None:
    wire, a, b, _ = established()
    seen: list[tuple[int, int, int]] = []
    a.on_unsolicited(lambda image, unit, status: seen.append((image, unit, status)))
    b.present_status(BRIDGE_PATH, 0xF0, 0x85)
    wire.settle()
    assert seen == [(0, 0xF0, 0x85)]
