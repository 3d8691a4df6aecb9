"""Link control beyond the worked examples: reasons for refusing a path, patience with busy, TIN, SCN, incidents.

Rule numbers are those of path_requests.py (P), link.py (L) and facility.py (F).
"""

from __future__ import annotations

import pytest

from ccw.escon import LinkControl, Sequence, StateChange
from ccw.frames import Frame, encode_frame
from ccw.link_control import LinkIncident, NodeDescriptor, decode_link_control, link_control_frame
from ccw.records import RawFrame, SequenceRecord
from controller.channel import ChainCommand, ChainResult, Link, LinkSettings, LinkState, PathId, PathReply
from controller.channel.facility import TRANSITIONS, LinkEvent
from controller.channel.incidents import IncidentCode
from controller.channel.path_table import PathTable
from host_emulator.link import HostLink, NoPath, StateChanged
from tests.helpers.wire import EXAMPLE_HOST, EXAMPLE_PATH, NODE, ScriptedServer, Wire, joined, perform


def raw(function: int, destination: int = 0x6002, source: int = 0x4001, parameters: bytes = bytes(4)) -> RawFrame:
    frame = link_control_frame(function, destination, source, parameters)
    return RawFrame(encode_frame(frame), frame.connect, frame.disconnect)


def frames(link: Link) -> list[Frame]:
    return [item for item in link.take() if isinstance(item, Frame)]


def elp(link: Link, source: int, image: int = 2, flags: int = 0) -> tuple[int, int]:
    """(function, reason) of the answer to ELP."""
    link.take()
    link.receive(raw(LinkControl.ELP, 0x6000 | image, source, flags.to_bytes(2, "big") + bytes(2)), 0.0)
    (answer,) = frames(link)
    return answer.link_control, decode_link_control(answer).reason


# Reasons


@pytest.mark.parametrize(
    ("flags", "answer"),
    [
        (0x0000, (LinkControl.LPE, 0)),
        (0x0080, (LinkControl.LPE, 0)),  # says that it could connect channel to channel: no conflict
        (0x0001, (LinkControl.LPR, 1)),
        (0x8000, (LinkControl.LPR, 1)),
    ],
)
def test_optional_features(flags: int, answer: tuple[int, int]) -> None:
    link = Link("L0", ScriptedServer(), NODE, own_address=0x60, peer_address=0x40)
    assert elp(link, 0x4001, flags=flags) == answer
    assert len(link.paths) == (answer[0] == LinkControl.LPE)


def test_paths_of_an_image_are_limited_over_all_links() -> None:
    """First come, first served; a path that is removed makes room, one that is asked for again needs none."""
    table = PathTable(per_image=3)
    left, right = (
        Link(name, ScriptedServer(), NODE, own_address=0x60, peer_address=0x40, table=table) for name in ("A", "B")
    )
    assert [elp(left, 0x4001), elp(left, 0x4101), elp(right, 0x4001)] == [(LinkControl.LPE, 0)] * 3
    assert elp(right, 0x4101) == (LinkControl.LPR, 2)
    assert elp(right, 0x4101, image=3) == (LinkControl.LPE, 0)
    assert elp(right, 0x4001) == (LinkControl.LPE, 0)
    left.connection_lost(0.0)
    assert elp(right, 0x4101) == (LinkControl.LPE, 0)


def test_initialising_and_missing_images() -> None:
    table = PathTable(images=frozenset({1, 2}))
    link = Link("L0", ScriptedServer(), NODE, own_address=0x60, peer_address=0x40, table=table)
    table.initialising.add(2)
    assert elp(link, 0x4001, 3) == (LinkControl.LPR, 4)
    assert elp(link, 0x4001, 2) == (LinkControl.LPR, 3)
    table.initialising.clear()
    assert elp(link, 0x4001, 2) == (LinkControl.LPE, 0)


def test_a_path_that_the_server_refuses_takes_no_room() -> None:
    table = PathTable(per_image=1)
    server = ScriptedServer(refuse=3)
    link = Link("L0", server, NODE, own_address=0x60, peer_address=0x40, table=table)
    assert elp(link, 0x4001) == (LinkControl.LPR, 3)
    server.refuse = None
    assert elp(link, 0x4001) == (LinkControl.LPE, 0)


# Requests of the channel role


def asked(settings: LinkSettings | None = None) -> tuple[Link, list[PathReply]]:
    """A link that has sent ELP to image 2 of the peer at 60."""
    link = Link("A", ScriptedServer(), NODE, own_address=0x40, peer_address=0x60, settings=settings)
    replies: list[PathReply] = []
    link.take()
    link.establish_path(2, b"", replies.append, 0.0)
    return link, replies


@pytest.mark.parametrize(
    ("function", "reason", "sent", "failure"),
    [
        (LinkControl.LRJ, 0x05, 3, "reject 05"),
        (LinkControl.PRJ, 0x03, 3, "port reject 03"),
        (LinkControl.LBY, 0x00, 30, "busy"),
        (LinkControl.PBY, 0x01, 30, "busy"),
    ],
)
def test_refusals_are_asked_again(function: int, reason: int, sent: int, failure: str) -> None:
    """Busy is given more patience than a reject; in the end the caller is told, once."""
    link, replies = asked()
    now, count = 0.0, 0
    for _ in range(100):
        found = frames(link)
        count += len(found)
        if found:
            link.receive(raw(function, 0x4000, 0x6002, bytes((reason, 0, 0, 0))), now)
        now += 0.15
        link.wake(now)
    assert (count, replies) == (sent, [PathReply(False, failure=failure)])


def test_a_chain_whose_command_was_damaged_is_sent_again() -> None:
    link, _ = asked()
    link.take()
    link.receive(raw(LinkControl.LPE, 0x4000, 0x6002), 0.0)
    results: list[ChainResult] = []
    link.start_chain(2, 0x10, [ChainCommand(0x01, b"abc")], results.append, 0.0)
    for attempt in range(3):
        assert [frame.link_control for frame in frames(link)] == [0], attempt
        link.receive(raw(LinkControl.LRJ, 0x4000, 0x6002, b"\x01\0\0\0"), attempt + 0.0)
        link.wake(attempt + 0.5)
    assert [result.failure for result in results] == ["reject 01"]


def test_test_initialisation_from_both_sides() -> None:
    wire, host, _, _ = joined()
    assert perform(wire, host.test_initialisation()) == frozenset({2})
    a = Link("A", ScriptedServer(), NODE, own_address=1, peer_address=2)
    b = Link("B", ScriptedServer(), NODE, own_address=2, peer_address=1)
    wire = Wire(a, b)
    answers: list[frozenset[int] | None] = []
    for image in (0, 5):
        a.establish_path(image, b"", lambda reply: None, 0.0)
    a.test_initialisation(answers.append, 0.0)
    wire.settle()
    b.connection_lost(0.0)
    a.connection_lost(0.0)
    a.test_initialisation(answers.append, 0.0)
    assert answers == [frozenset({0, 5}), None]


# State-change notification


def scn(address: int, change: StateChange, destination: int = 0x4000) -> RawFrame:
    return raw(LinkControl.SCN, destination, 0xFE00, bytes((address, change, 0, 0)))


def test_path_that_could_not_be_established_is_tried_when_the_peer_can_be_reached() -> None:
    """P1; not for another port's sake, and not after its removal."""
    link, replies = asked(LinkSettings(tries=1))
    restored: list[tuple[int, PathReply]] = []
    link.on_path_restored(lambda image, reply: restored.append((image, reply)))
    link.take()
    link.receive(raw(LinkControl.PRJ, 0x4000, 0xFE00, b"\x03\0\0\0"), 0.0)
    assert replies == [PathReply(False, failure="port reject 03")]
    link.receive(scn(0x61, StateChange.BECAME_REACHABLE), 0.0)
    assert [frame.link_control for frame in frames(link)] == [LinkControl.LACK]
    link.receive(scn(0x60, StateChange.BECAME_REACHABLE), 0.0)
    assert [frame.link_control for frame in frames(link)] == [LinkControl.LACK, LinkControl.ELP]
    link.receive(raw(LinkControl.LPE, 0x4000, 0x6002), 0.0)
    assert (link.images, len(replies)) == ({2}, 1)
    assert restored == [(2, PathReply(True))]
    link.remove_path(2, replies.append, 0.0)
    link.receive(raw(LinkControl.LPR, 0x4000, 0x6002), 0.0)
    link.take()
    link.receive(scn(0x60, StateChange.BECAME_REACHABLE), 0.0)
    assert [frame.link_control for frame in frames(link)] == [LinkControl.LACK]


def test_peer_that_cannot_be_reached_ends_its_chains() -> None:
    """P2: the chain in hand fails at once, the link stays."""
    link, _ = asked()
    link.take()
    link.receive(raw(LinkControl.LPE, 0x4000, 0x6002), 0.0)
    results: list[ChainResult] = []
    for _ in range(2):
        link.start_chain(2, 0x10, [ChainCommand(0x01, b"abc")], results.append, 0.0)
    link.receive(scn(0x60, StateChange.BECAME_UNREACHABLE), 0.0)
    assert [result.failure for result in results] == ["link lost", "link lost"]
    assert (link.images, link.state) == (frozenset(), LinkState.INACTIVE)


def test_channel_that_cannot_be_reached_loses_its_paths() -> None:
    _, _, link, server = joined()
    link.receive(scn(0x41, StateChange.BECAME_UNREACHABLE, 0x6000), 0.0)
    assert link.paths == {EXAMPLE_PATH}
    link.receive(scn(0x40, StateChange.BECAME_UNREACHABLE, 0x6000), 0.0)
    assert link.paths == frozenset()
    assert server.calls[-1] == ("removed", EXAMPLE_PATH)


def test_host_hears_of_its_control_unit() -> None:
    host = HostLink(EXAMPLE_HOST)
    perform(Wire(host, Link("L0", ScriptedServer(), NODE, own_address=0x60, peer_address=0x40)), host.establish(2))
    host.receive(scn(0x61, StateChange.BECAME_UNREACHABLE, 0x4001), 0.0)
    assert host.image == 2
    host.receive(scn(0x60, StateChange.BECAME_UNREACHABLE, 0x4001), 0.0)
    assert list(host.state_changes) == [StateChanged(0x61, 2), StateChanged(0x60, 2)]
    with pytest.raises(NoPath):
        next(host.request_status(0x10))


# Link incidents


def test_incident_is_reported_to_the_listener() -> None:
    """Not operational was received: kept, then told to whoever listens, once."""
    told: list[tuple[int, bytes]] = []
    a = Link("A", ScriptedServer(), NODE, own_address=1, peer_address=2)
    b = Link("B", ScriptedServer(), NODE, own_address=2, peer_address=1)
    b.on_incident(lambda address, record: told.append((address, record)))
    wire = Wire(a, b)
    wire.settle()
    a.receive(SequenceRecord(int(Sequence.NOS)), 0.0)
    wire.settle(3.0)
    assert len(a.incidents) == 1 and told == []
    a.report_incidents_to(2)
    wire.settle(4.0)
    (address, record) = told[0]
    incident = LinkIncident.decode(record)
    assert (address, incident.code, incident.qualifier) == (1, IncidentCode.NOT_OPERATIONAL_RECEIVED, 0x08)
    assert incident.incident_node == NodeDescriptor.decode(NODE)
    assert a.incidents == () and len(told) == 1


def test_incident_that_nobody_takes_is_kept_and_bounded() -> None:
    link = Link("A", ScriptedServer(), NODE, own_address=1, peer_address=2, settings=LinkSettings(tries=1))
    link.report_incidents_to(9)
    for _ in range(40):
        link.receive(SequenceRecord(int(Sequence.NOS)), 0.0)
        link.receive(SequenceRecord(int(Sequence.OLS)), 0.0)
        link.receive(SequenceRecord(int(Sequence.UDR)), 0.0)
    assert len(link.incidents) == 16
    link.wake(10.0)
    assert [frame.destination for frame in frames(link)][-1] == 0x0900


def test_incident_record_of_a_wrong_length_is_rejected() -> None:
    _, host, link, _ = joined()
    frame = Frame(0x6000, 0x4001, LinkControl.LIR, bytes(99))
    link.receive(RawFrame(encode_frame(frame), True, True), 0.0)
    assert [(item.link_control, item.information[0]) for item in frames(link)] == [(LinkControl.LRJ, 9)]
    report = Frame(0x4001, 0x6002, LinkControl.LIR, bytes(100))
    host.receive(RawFrame(encode_frame(report), True, True), 0.0)
    assert list(host.incidents) == [bytes(100)]


# Tables


def test_no_connection_without_an_address() -> None:
    """F5."""
    assert (LinkState.WORKING_NO_ADDRESS, LinkEvent.CONNECT) not in TRANSITIONS
    assert {state for state, _ in TRANSITIONS} == set(LinkState)
    assert {step.state for step in TRANSITIONS.values()} == set(LinkState)


def test_path_of_another_image_is_another_path() -> None:
    link = Link("L0", ScriptedServer(), NODE, own_address=0x60, peer_address=0x40)
    elp(link, 0x4001, 2)
    elp(link, 0x4001, 3)
    assert link.paths == {PathId("L0", 0x4001, 2), PathId("L0", 0x4001, 3)}
