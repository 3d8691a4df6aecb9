"""A director under any records, operator actions and losses of light: it never raises, and its invariants hold."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from ccw.escon import LinkControl
from ccw.frames import Frame, encode_frame
from ccw.records import RawFrame, SequenceRecord
from controller.channel import Link, LinkSettings
from controller.channel.director import OWN_PORT, Director
from controller.channel.director_port import MAX_OUTPUT
from controller.channel.director_states import PortState
from tests.helpers.wire import NODE, ScriptedServer

PORTS = (0x40, 0x41, 0x60)
ADDRESSES = st.sampled_from([0x00, *PORTS, 0x70, OWN_PORT, 0xFF])

frames = st.builds(
    lambda destination, source, image, function, information, connect, disconnect: RawFrame(
        encode_frame(Frame(destination << 8 | image, source << 8, function, information)), connect, disconnect
    ),
    ADDRESSES,
    ADDRESSES,
    st.integers(0, 15),
    st.one_of(st.sampled_from([0, *LinkControl]), st.integers(0, 255)),
    st.binary(max_size=40),
    st.booleans(),
    st.booleans(),
)
records = st.one_of(
    frames,
    st.builds(SequenceRecord, st.integers(0, 255)),
    st.builds(RawFrame, st.binary(max_size=20), st.booleans(), st.booleans(), st.booleans()),
)
port = st.sampled_from(PORTS)
actions = st.one_of(
    st.tuples(st.just("receive"), port, records),
    st.tuples(st.sampled_from(["attach", "detach", "block", "unblock", "remove_static"]), port),
    st.tuples(st.sampled_from(["prohibit", "allow", "assign_static"]), port, port).filter(lambda row: row[1] != row[2]),
    st.tuples(st.just("wait"), st.floats(0.0, 3.0)),
)


def check(director: Director) -> None:
    for it in director.ports.values():
        assert len(it.output) <= MAX_OUTPUT
        assert (it.partner is not None) == (it.state in (PortState.CONNECTED, PortState.STATIC))
        assert it.partner is None or (it.partner.partner is it and it.partner.state is it.state)
    if director.ports[0x40].partner is director.ports[0x41] and director.ports[0x40].state is PortState.CONNECTED:
        assert not director.prohibited(0x40, 0x41)


def run(director: Director, steps: list[tuple[object, ...]]) -> float:
    now = 0.0
    for name, *given_ in steps:
        if name == "wait":
            now += given_[0]  # type: ignore[operator]
            director.wake(now)
        elif name == "receive":
            director.receive(given_[0], given_[1], now)  # type: ignore[arg-type]
        elif name == "assign_static":
            with suppress(ValueError):
                director.assign_static(given_[0], given_[1], now)  # type: ignore[arg-type]
        else:
            getattr(director, str(name))(*given_, now)
        check(director)
    return now


@settings(max_examples=150, deadline=None)
@given(st.lists(actions, max_size=40))
def test_any_records(steps: list[tuple[object, ...]]) -> None:
    director = Director(PORTS, ScriptedServer(units=frozenset({0})), NODE)
    for at in PORTS:
        director.attach(at, 0.0)
    run(director, steps)


@settings(max_examples=40, deadline=None)
@given(st.lists(actions, max_size=25))
def test_it_comes_back(steps: list[tuple[object, ...]]) -> None:
    """Whatever happened: with light, nothing blocked and nothing dedicated, a link gets its address again."""
    director = Director(PORTS, ScriptedServer(units=frozenset({0})), NODE)
    now = run(director, steps)
    for at in PORTS:
        director.remove_static(at, now)
        director.unblock(at, now)
        director.detach(at, now)
    link = Link("L", ScriptedServer(), NODE, own_address=1, peer_address=2, settings=LinkSettings(acquire_address=True))
    link.take()
    director.attach(0x40, now)
    link.connection_made(now)
    for _ in range(200):
        for item in link.take():
            if isinstance(item, Frame):
                item = RawFrame(encode_frame(item), item.connect, item.disconnect)
            director.receive(0x40, item, now)
        for record in director.take(0x40):
            link.receive(record, now)
        now += 0.05
        director.wake(now)
        link.wake(now)
    assert link.own_address == 0x40
    assert director.ports[0x40].state is PortState.INACTIVE
