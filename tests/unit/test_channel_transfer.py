"""Device level beyond the worked examples: data requests, data chaining, command retry, stacked status, controls.

Rule numbers are those of transfer.py (T), control_requests.py (R), control_unit.py (C) and channel_role.py (H).
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from ccw.escon import CommandFlag, ControlFunction, LinkControl, RejectReason
from ccw.frames import (
    CommandFrame,
    ControlFrame,
    DataFrame,
    DataRequest,
    Frame,
    StatusFrame,
    encode_device,
    encode_frame,
)
from ccw.link_control import link_control_frame
from ccw.records import RawFrame
from controller.channel import ChainCommand, ChainResult, Link, LinkSettings
from controller.commands.outcome import Outcome
from host_emulator.channel import Start
from host_emulator.link import HostLink, HostLinkSettings, LinkFailure, NotOperational, Unsolicited
from tests.helpers.wire import (
    EXAMPLE_HOST,
    EXAMPLE_PATH,
    HOST_TO_UNIT,
    NODE,
    UNIT_TO_HOST,
    ScriptedServer,
    Wire,
    device_frames,
    joined,
    perform,
    read,
    write,
)

DATA = bytes(range(256)) * 20


def device(frame: object, connect: bool = False, disconnect: bool = False) -> RawFrame:
    return RawFrame(encode_frame(Frame(0x6002, 0x4001, 0, encode_device(frame))), connect, disconnect)  # type: ignore[arg-type]


def answers(link: Link) -> list[tuple[int, bytes]]:
    """(link control, information field) of what the link says."""
    return [(item.link_control, item.information) for item in link.take() if isinstance(item, Frame)]


def reject(reason: RejectReason) -> tuple[int, bytes]:
    return LinkControl.LRJ, bytes((reason, 0, 0, 0))


def requested(wire: Wire, direction: str) -> list[int]:
    return [frame.count for way, frame in device_frames(wire) if way == direction and isinstance(frame, DataRequest)]


def outstanding(wire: Wire, asking: str) -> int:
    """The most data requests that were outstanding at any moment."""
    asked, moved, most = [0], 0, 0
    for way, frame in device_frames(wire):
        if isinstance(frame, DataRequest) and way == asking:
            asked.append(asked[-1] + frame.count)
        elif isinstance(frame, DataFrame):
            moved += len(frame.data)
        most = max(most, sum(end > moved for end in asked))
    return most


# Data requests


@pytest.mark.parametrize(("piece", "ndf_w", "most"), [(0, 7, 1), (512, 7, 8), (512, 1, 2), (1000, 0, 1), (4096, 7, 2)])
def test_write_in_pieces(piece: int, ndf_w: int, most: int) -> None:
    """T1: pieces, and never more of them outstanding than the channel's NDF-W allows."""
    host = replace(EXAMPLE_HOST, data_requests=0x70 | ndf_w)
    wire, channel, _, server = joined(host=host, settings=LinkSettings(request_bytes=piece, pacing=5))
    perform(wire, channel.command(0x10, write(DATA)))
    assert server.commands[-1].data == DATA
    found = requested(wire, UNIT_TO_HOST)
    assert sum(found) == len(DATA) and (not piece or found[0] == piece)
    assert outstanding(wire, UNIT_TO_HOST) == most
    frames = [frame for _, frame in device_frames(wire)]
    assert all(frame.pacing == 5 for frame in frames if isinstance(frame, DataRequest))
    assert ControlFrame(0x10, ControlFunction.COMMAND_RESPONSE, b"\5\0\0") in frames


@pytest.mark.parametrize(("piece", "ndf_r", "most"), [(0, 7, 1), (512, 7, 8), (512, 1, 2), (1000, 0, 1)])
def test_read_in_pieces(piece: int, ndf_r: int, most: int) -> None:
    """T2."""
    host = replace(EXAMPLE_HOST, data_requests=ndf_r << 4 | 7, request_bytes=piece)
    wire, channel, _, _ = joined(host=host)
    response = perform(wire, channel.command(0x10, read(5000)))
    assert response.data == (bytes(range(256)) * 20)[:5000]  # type: ignore[attr-defined]
    assert outstanding(wire, HOST_TO_UNIT) == most


def test_read_that_gives_less_than_was_asked_for_in_pieces() -> None:
    """T3: early end; the requests that are left over are of no consequence."""
    server = ScriptedServer(outcomes=[Outcome(0x0C, data=b"abc", residual=1997)])
    host = replace(EXAMPLE_HOST, request_bytes=2)
    wire, channel, _, _ = joined(server, host)
    response = perform(wire, channel.command(0x10, read(2000)))
    assert (response.data, response.residual) == (b"abc", 1997)  # type: ignore[attr-defined]
    assert [frame for _, frame in device_frames(wire) if isinstance(frame, DataFrame)] == [
        DataFrame(0x10, b"ab"),
        DataFrame(0x10, b"c", end=True, early_end=True),
    ]


def test_too_many_data_requests() -> None:
    """T2: the ninth outstanding request is a protocol error."""
    _, _, link, _ = joined(ScriptedServer(outcomes=[None]))
    link.receive(device(CommandFrame(0x10, 2, 0x20, 100), connect=True), 0.0)
    link.receive(device(ControlFrame(0x10, ControlFunction.ACCEPT_COMMAND_RESPONSE)), 0.0)
    link.take()
    for _ in range(8):
        link.receive(device(DataRequest(0x10, 10)), 0.0)
    assert answers(link) == []
    link.receive(device(DataRequest(0x10, 10)), 0.0)
    assert answers(link) == [reject(RejectReason.PROTOCOL_ERROR)]


def test_data_beyond_what_was_asked_for_recovers_the_connection() -> None:
    _, _, link, server = joined(settings=LinkSettings(request_bytes=4, data_requests=1))
    link.receive(device(CommandFrame(0x10, 1, 0x20, 100), connect=True), 0.0)
    link.receive(device(ControlFrame(0x10, ControlFunction.ACCEPT_COMMAND_RESPONSE)), 0.0)
    link.take()
    link.receive(device(DataFrame(0x10, b"12345")), 0.0)
    assert [getattr(item, "kind", None) for item in link.take()] == [4]  # unconditional disconnect
    assert server.commands == []


# Data chaining


@pytest.mark.parametrize("chained", [False, True])
@pytest.mark.parametrize("counts", [(4, 3, 5), (1, 1)])
def test_data_chain_is_shown_ccw_by_ccw(chained: bool, counts: tuple[int, ...]) -> None:
    """T4: the device sees one command with the sum, whichever way it came, first in its chain or chained."""
    total = sum(counts)
    wire, channel, _, server = joined(host=replace(EXAMPLE_HOST, show_data_chains=True))
    if chained:
        perform(wire, channel.command(0x10, write(b"x", flags=0x60)))
    response = perform(wire, channel.command(0x10, Start(0x02, 0x60, total, b"", chained, counts)))
    assert response.data == bytes(range(total))  # type: ignore[attr-defined]
    text = b"abcdefghijkl"[:total]
    perform(wire, channel.command(0x10, Start(0x01, 0x20, total, text, True, counts)))
    assert [(command.count, command.flags) for command in server.commands[-2:]] == [(total, 0x60), (total, 0x20)]
    assert server.commands[-1].data == text
    updates = [
        frame
        for _, frame in device_frames(wire)
        if isinstance(frame, CommandFrame) and frame.command_flags & CommandFlag.DATA_CHAINING_UPDATE
    ]
    assert [frame.count for frame in updates] == [*counts[1:], *counts[1:]]
    assert [frame.flags for frame in updates[: len(counts) - 1]] == [0x80] * (len(counts) - 2) + [0x60]


def test_data_chain_is_hidden_by_default() -> None:
    wire, channel, _, server = joined()
    perform(wire, channel.command(0x10, Start(0x02, 0x20, 12, b"", False, (4, 3, 5))))
    assert server.commands[0].count == 12
    assert sum(isinstance(frame, CommandFrame) for _, frame in device_frames(wire)) == 1


@pytest.mark.parametrize("count", [0, 0xFFFF])
def test_update_that_cannot_be(count: int) -> None:
    _, _, link, _ = joined()
    link.receive(device(CommandFrame(0x10, 1, 0x80, 100), connect=True), 0.0)
    link.receive(device(ControlFrame(0x10, ControlFunction.ACCEPT_COMMAND_RESPONSE)), 0.0)
    link.take()
    update = CommandFrame(0x10, 1, 0x20, count, chained=True, command_flags=int(CommandFlag.DATA_CHAINING_UPDATE))
    link.receive(device(update), 0.0)
    assert answers(link) == [reject(RejectReason.PROTOCOL_ERROR)]


def test_update_without_a_data_chain_and_update_that_never_comes() -> None:
    _, _, link, server = joined()
    update = CommandFrame(0x10, 1, 0x20, 4, chained=True, command_flags=int(CommandFlag.DATA_CHAINING_UPDATE))
    link.receive(device(update), 0.0)
    assert answers(link) == [reject(RejectReason.PROTOCOL_ERROR)]
    link.receive(device(CommandFrame(0x10, 1, 0x80, 100), connect=True), 0.0)
    link.receive(device(ControlFrame(0x10, ControlFunction.ACCEPT_COMMAND_RESPONSE)), 0.0)
    link.take()
    link.wake(2.0)
    assert [getattr(item, "kind", None) for item in link.take()] == [4]
    assert server.commands == []


# Command retry

RETRY_LATER = Outcome(0x48, retry=True)
RETRY_NOW = Outcome(0x4C, retry=True)


def test_retry_at_once() -> None:
    server = ScriptedServer(outcomes=[RETRY_NOW, RETRY_NOW])
    wire, channel, _, _ = joined(server)
    response = perform(wire, channel.command(0x10, read(4)))
    assert (response.status, response.data) == (0x0C, bytes(range(4)))  # type: ignore[attr-defined]
    assert len(server.commands) == 3
    assert server.count("end") == 1


def test_retry_after_device_end() -> None:
    """The same command comes again in the connection of the device end."""
    server = ScriptedServer(outcomes=[RETRY_LATER])
    wire, channel, _, _ = joined(server)
    channel.begin(channel.command(0x10, write(b"abcd")), 0.0)
    wire.settle()
    assert channel.busy and server.commands[0].data == b"abcd"
    server.replies[0](Outcome(0x04))
    wire.settle()
    assert channel.result().status == 0x0C
    assert [command.data for command in server.commands] == [b"abcd", b"abcd"]
    flags = [frame.flags for _, frame in device_frames(wire) if isinstance(frame, StatusFrame)]
    assert flags == [0x14, 0x10, 0x01]
    assert server.count("end") == 1


def test_retry_without_end() -> None:
    server = ScriptedServer(outcomes=[RETRY_NOW] * 10)
    wire, channel, _, _ = joined(server, replace(EXAMPLE_HOST, retries=5))
    with pytest.raises(LinkFailure, match="without end"):
        perform(wire, channel.command(0x10, read(4)))
    assert len(server.commands) == 6


@pytest.mark.parametrize("later", [False, True])
def test_retry_of_a_bridge_chain(later: bool) -> None:
    """H7: the channel role sends the command again and goes on."""
    server = ScriptedServer(outcomes=[Outcome(0x0C), RETRY_LATER if later else RETRY_NOW])
    a = Link("A", ScriptedServer(), NODE, own_address=1, peer_address=2)
    b = Link("B", server, NODE, own_address=2, peer_address=1)
    wire = Wire(a, b)
    a.establish_path(0, b"", lambda reply: None, 0.0)
    wire.settle()
    results: list[ChainResult] = []
    chain = [ChainCommand(0x01, b"one"), ChainCommand(0x01, b"two"), ChainCommand(0x01, b"three")]
    a.start_chain(0, 0x10, chain, results.append, 0.0)
    wire.settle()
    if later:
        assert results == []
        server.replies[1](Outcome(0x04))
        wire.settle()
    assert (results[0].completed, results[0].failure) == (3, None)
    assert [command.data for command in server.commands] == [b"one", b"two", b"two", b"three"]


# Statuses and controls


def test_channel_that_stacks() -> None:
    """C7: DACK, then silence until the channel asks."""
    wire, channel, link, _ = joined()
    channel.stacking = True
    link.present_status(EXAMPLE_PATH, 0x10, 0x85)
    wire.settle(wire.now + 10.0)
    assert list(channel.unsolicited) == []
    assert wire.frames()[1].startswith("BCFC 6002400100130010002000") and len(wire.frames()) == 3
    channel.stacking = False
    assert perform(wire, channel.request_status(0x10)) is True
    assert list(channel.unsolicited) == [Unsolicited(0x10, 0x85, b"")]
    assert perform(wire, channel.request_status(0x10)) is False


def test_cancel_ends_the_chain() -> None:
    """R1; C4: what the device says later is void."""
    server = ScriptedServer(outcomes=[Outcome(0x08)])
    wire, channel, link, _ = joined(server)
    link.receive(device(CommandFrame(0x10, 0x03, 0x20, 1), connect=True), 0.0)
    link.receive(device(ControlFrame(0x10, ControlFunction.STATUS_ACCEPTED, end=True), disconnect=True), 0.0)
    link.take()
    perform(wire, channel.cancel(0x10))
    assert server.calls[-1] == ("end", 0x10)
    server.replies[0](Outcome(0x04))
    assert link.take() == []


@pytest.mark.parametrize("name", ["cancel", "selective_reset", "request_status"])
def test_controls_for_a_unit_that_does_not_exist(name: str) -> None:
    """R2."""
    wire, channel, _, server = joined()
    with pytest.raises(NotOperational, match=r"FF does not exist \(code 1\)"):
        perform(wire, getattr(channel, name)(0xFF))
    assert server.count("reset") == 0


@pytest.mark.parametrize("function", [ControlFunction.CANCEL, ControlFunction.SELECTIVE_RESET])
def test_controls_that_must_name_a_unit(function: ControlFunction) -> None:
    """R3."""
    _, _, link, server = joined()
    link.receive(device(ControlFrame(0, function, address_specific=False), connect=True), 0.0)
    assert answers(link) == [reject(RejectReason.PROTOCOL_ERROR)]
    assert server.count("reset") == 0


def test_purge_path_is_not_supported() -> None:
    """R5."""
    _, _, link, _ = joined()
    link.receive(device(ControlFrame(0x10, ControlFunction.PURGE_PATH), connect=True), 0.0)
    assert answers(link) == [(0, encode_device(ControlFrame(0x10, ControlFunction.PURGE_PATH_RESPONSE, end=True)))]
    assert link.paths == {EXAMPLE_PATH}


@pytest.mark.parametrize(("reason", "sent", "paths"), [(0x01, 3, 1), (0x06, 1, 0), (0x09, 1, 1)])
def test_status_that_is_rejected(reason: int, sent: int, paths: int) -> None:
    """Damaged on the way: again, three times at most; no path: the path is gone; else it is dropped."""
    _, _, link, _ = joined()
    link.present_status(EXAMPLE_PATH, 0x10, 0x85)
    now, count = 0.0, 0
    for _ in range(10):
        statuses = [information for function, information in answers(link) if not function]
        count += len(statuses)
        if statuses:
            answer = link_control_frame(LinkControl.LRJ, 0x6002, 0x4001, bytes((reason, 0, 0, 0)))
            link.receive(RawFrame(encode_frame(answer), True, True), now)
        now += 0.2
        link.wake(now)
    assert (count, len(link.paths), link.next_wake) == (sent, paths, None)


def test_request_connect_is_answered_by_request_status() -> None:
    """A control unit that asks for a connection instead of taking one."""
    host = HostLink(HostLinkSettings(link_address=0x40, channel_image=1, control_unit_address=0x60))
    link = Link("L0", ScriptedServer(), NODE, own_address=0x60, peer_address=0x40)
    perform(Wire(host, link), host.establish(2))
    asking = Frame(0x4001, 0x6002, 0, encode_device(ControlFrame(0x10, ControlFunction.REQUEST_CONNECT)))
    host.receive(RawFrame(encode_frame(asking), True, False), 0.0)
    (answer,) = host.take()
    assert isinstance(answer, Frame)
    assert answer.information == encode_device(ControlFrame(0x10, ControlFunction.REQUEST_STATUS, ready=True))
