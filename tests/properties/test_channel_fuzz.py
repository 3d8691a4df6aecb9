"""Any bytes in any state: a link machine never raises, answers what deserves an answer, and stays bounded."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ccw.escon import LinkControl, Sequence
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
from ccw.records import RawFrame, SequenceRecord
from controller.channel import ChainCommand, Link, LinkSettings, PathId
from controller.commands.outcome import Outcome
from host_emulator.link import HostLink
from tests.helpers.wire import EXAMPLE_HOST, NODE, ScriptedServer, joined, perform, read, write

UNITS = st.sampled_from([0x10, 0x11, 0xFF])
DEVICE = st.one_of(
    st.builds(
        CommandFrame,
        UNITS,
        st.sampled_from([0x01, 0x02, 0x03, 0x04, 0x08, 0x00, 0x27, 0x95]),
        st.sampled_from([0x00, 0x20, 0x40, 0x60]),
        st.sampled_from([0, 1, 16, 2000, 65535]),
        st.booleans(),
        st.sampled_from([0, 6, 11, 255]),
        st.just(0x77),
        st.sampled_from([0, 1]),
    ),
    st.builds(DataFrame, UNITS, st.binary(min_size=1, max_size=40), st.booleans(), st.just(False)),
    st.builds(DataRequest, UNITS, st.sampled_from([0, 1, 16, 65535])),
    st.builds(StatusFrame, UNITS, st.sampled_from([0x0C, 0x08, 0x04, 0x0E, 0x10, 0x85]), st.sampled_from([0, 1, 0x11])),
    st.builds(ControlFrame, UNITS, st.integers(0, 255), end=st.booleans(), address_specific=st.just(True)),
)
ADDRESSES = st.sampled_from([0x6002, 0x6000, 0x4001, 0x4000, 0xFF00, 0x0000, 0x1202])
FRAMES = st.one_of(
    st.builds(lambda d, s, device: Frame(d, s, 0, encode_device(device)), ADDRESSES, ADDRESSES, DEVICE),
    st.builds(
        Frame,
        ADDRESSES,
        ADDRESSES,
        st.one_of(st.sampled_from([int(code) for code in LinkControl]), st.integers(0, 255)),
        st.binary(max_size=48),
    ),
)
DELIMITERS = st.tuples(st.booleans(), st.booleans(), st.sampled_from([False, False, False, True]))
RECORDS = st.one_of(
    st.builds(lambda frame, marks: RawFrame(encode_frame(frame), *marks), FRAMES, DELIMITERS),
    st.builds(lambda data, marks: RawFrame(data, *marks), st.binary(max_size=60), DELIMITERS),
    st.builds(SequenceRecord, st.one_of(st.sampled_from([int(kind) for kind in Sequence]), st.integers(0, 255))),
)
STEPS = st.lists(st.tuples(RECORDS, st.sampled_from([0.0, 0.0, 0.2, 2.0, 90.0]), st.integers(0, 9)), max_size=40)


def busy_link(server: ScriptedServer) -> Link:
    """A link with a host path, and one of its own to the peer."""
    link = Link("L0", server, NODE, own_address=0x60, peer_address=0x40)
    elp = Frame(0x6002, 0x4001, LinkControl.ELP, bytes(4), connect=True, disconnect=True)
    link.receive(RawFrame(encode_frame(elp), True, True), 0.0)
    link.establish_path(0, b"", lambda reply: None, 0.0)
    lpe = Frame(0x6000, 0x4000, LinkControl.LPE, bytes(4), connect=True, disconnect=True)
    link.receive(RawFrame(encode_frame(lpe), True, True), 0.0)
    assert link.images == {0}
    link.take()
    return link


@settings(deadline=None, max_examples=300)
@given(steps=STEPS)
def test_link_bears_anything(steps: list[tuple[RawFrame | SequenceRecord, float, int]]) -> None:
    server = ScriptedServer(outcomes=[Outcome(0x0C), None, Outcome(0x08), Outcome(0x0E, sense=bytes(32)), None])
    link = busy_link(server)
    path = PathId("L0", 0x4001, 2)
    answers: list[object] = []
    asked = 0
    now = 0.0
    for record, pause, action in steps:
        link.receive(record, now)
        if action == 0:
            link.present_status(path, 0x10, 0x85)
        elif action == 1:
            asked += 1
            link.start_chain(0, 0x10, [ChainCommand(0x63, bytes(16)), ChainCommand(0x06, count=9)], answers.append, now)
        elif action == 2 and server.replies:
            server.replies[-1](Outcome(0x0C))
        elif action == 3:
            link.establish_path(0, b"", lambda reply: None, now)
        now += pause
        if link.next_wake is not None and link.next_wake <= now:
            link.wake(now)
        assert len(link.take()) < 200
    link.connection_lost(now)
    assert link.take() == []
    assert len(answers) == asked, "a chain was answered twice or never"
    assert not link.paths
    assert not server.started, "a chain never ended"
    assert server.count("path") >= server.count("removed") > 0


@settings(deadline=None, max_examples=200)
@given(steps=STEPS, kind=st.integers(0, 3))
def test_host_link_bears_anything(
    steps: list[tuple[RawFrame | SequenceRecord, float, int]], kind: int
) -> None:
    host = HostLink(EXAMPLE_HOST)
    host.begin(host.establish(2), 0.0)
    lpe = Frame(0x4001, 0x6002, LinkControl.LPE, bytes(4), connect=True, disconnect=True)
    host.receive(RawFrame(encode_frame(lpe), True, True), 0.0)
    assert host.image == 2
    script = [host.command(0x10, read(16)), host.command(0x10, write(b"x" * 20)), host.identify()]
    if kind < 3:
        host.begin(script[kind], 0.0)
    now = 0.0
    for record, pause, _ in steps:
        host.receive(record, now)
        now += pause
        if host.next_wake is not None and host.next_wake <= now:
            host.wake(now)
        assert len(host.take()) < 100
    host.connection_lost(now)
    assert not host.busy


def test_noise_does_not_stop_an_exchange() -> None:
    """Damaged frames between the real ones are discarded and counted; the exchange goes on."""
    wire, host, link, _ = joined()
    for _ in range(100):
        link.receive(RawFrame(b"\x01\x02\x03\x04\x05\x06\x07\x08", True), wire.now)
        host.receive(RawFrame(b"\x01\x02\x03\x04\x05\x06\x07\x08", True), wire.now)
    response = perform(wire, host.command(0x10, read(5000)))
    assert len(response.data) == 5000  # type: ignore[attr-defined]
    assert link.counters.crc_errors == 100 == host.counters.damaged


def test_untaken_output_is_bounded() -> None:
    """A peer that sends for ever and reads nothing costs a bounded amount of memory."""
    link = busy_link(ScriptedServer())
    bad = RawFrame(encode_frame(Frame(0x6002, 0x4003, 0x00, b"\x10\x00\x10\x80\x01")), True)
    for _ in range(10_000):
        link.receive(bad, 0.0)
    assert len(link.take()) <= 4096
    assert link.counters.overruns > 0


def test_queue_of_exchanges_is_bounded() -> None:
    link = Link("L0", ScriptedServer(), NODE, own_address=1, peer_address=2, settings=LinkSettings(max_queued=5))
    results: list[object] = []
    for _ in range(9):
        link.identify(results.append, 0.0)
    assert results == [None] * 3  # one in hand, five waiting
