"""A director between a channel and the link of a whole subsystem, with a bystander whose frames must hurt nobody.

Ports: 40 the channel, 60 the control unit of the box, 41 the bystander, FE the director's own. What the director must
answer at a port: director rules D2, D3, D4, D6 (controller/channel/director.py), escon-frames 2.3 and 2.4.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from ccw.crc import crc16
from ccw.escon import LinkControl
from ccw.frames import Frame, decode_frame, encode_frame
from ccw.records import RawFrame, SequenceRecord
from controller.channel import LinkSettings
from controller.channel.director import Director
from controller.channel.director_states import PortState
from tests.fuzz.box import CHANNEL_ADDRESS, OWN_ADDRESS, Box
from tests.helpers.wire import NODE, ScriptedServer

BYSTANDER = 0x41
NO_PORT, PROHIBITED = 0x70, 0x42
ROUNDS_MAX = 10_000
_OLS, _UD, _UDR, _IDLE = (SequenceRecord(kind) for kind in (2, 4, 5, 1))
_LADDER = {3: _OLS, 2: _UD, 4: _UDR, 5: _IDLE}    # what a facility answers; escon-frames 1.3


class DirectedLink:
    """Carries records of the channel at port 40 to the box and back. `unit`, `channel`: full addresses."""

    def __init__(self, box: Box, rng: Random) -> None:
        self.box, self.rng = box, rng
        self.unit, self.channel = OWN_ADDRESS << 8, CHANNEL_ADDRESS << 8 | 1
        self.ports = (CHANNEL_ADDRESS, OWN_ADDRESS, BYSTANDER, PROHIBITED)
        self.director = Director(self.ports, ScriptedServer(units=frozenset({0})), NODE, LinkSettings())
        self.director.prohibit(BYSTANDER, PROHIBITED, box.time)
        self.met: set[tuple[int, int]] = set()
        for port in self.ports:
            self.director.attach(port, box.time)
        self._climb()
        assert all(self.director.ports[port].state is PortState.INACTIVE for port in self.ports), "a port is not ready"

    def _climb(self) -> None:
        """Initialise the links, and acknowledge the notices that follow."""
        for _ in range(200):
            quiet = True
            for port in self.ports:
                for record in self.director.take(port):
                    quiet = False
                    self._react(port, record)
            if quiet:
                return
        raise AssertionError("the links never come up")

    def _react(self, port: int, record: RawFrame | SequenceRecord) -> None:
        now = self.box.time
        if isinstance(record, SequenceRecord):
            answer = _LADDER.get(record.kind)
            if answer is not None:
                self.director.receive(port, answer, now)
        elif record.payload[4] == LinkControl.SCN:
            lack = Frame(0xFE00, port << 8, LinkControl.LACK, bytes(4))
            self.director.receive(port, RawFrame(encode_frame(lack), True, True), now)

    def carry(self, record: RawFrame | None) -> list[Frame | SequenceRecord]:
        """To the box through the director, and what comes back to port 40; None: only what comes back."""
        director, box = self.director, self.box
        assert box.link is not None
        if record is not None:
            director.receive(CHANNEL_ADDRESS, record, box.time)
        for _ in range(ROUNDS_MAX):
            arriving, leaving = director.take(OWN_ADDRESS), box.link.take()
            if not arriving and not leaving:
                break
            for item in arriving:
                box.link.receive(item, box.time)
            for sent in leaving:
                raw = RawFrame(encode_frame(sent), sent.connect, sent.disconnect) if isinstance(sent, Frame) else sent
                director.receive(OWN_ADDRESS, raw, box.time)
        else:
            raise AssertionError("director and box never fall silent")
        found: list[Frame | SequenceRecord] = []
        for item in director.take(CHANNEL_ADDRESS):
            if isinstance(item, RawFrame):
                found.append(decode_frame(item.payload, connect=item.connect, disconnect=item.disconnect))
            else:
                found.append(item)
        if self.rng.random() < 0.1:
            self.bystand()
        return found

    def bystand(self) -> None:
        """A frame at the bystander's port, and its right answer there; nobody else may notice."""
        director = self.director
        frame, right = self.rng.choice(_BYSTANDING)(self)
        director.receive(BYSTANDER, frame, self.box.time)
        found = [(item.payload[4], item.payload[5]) for item in director.take(BYSTANDER) if isinstance(item, RawFrame)]
        assert found == ([] if right is None else [right]), (
            f"bystander's {frame.payload.hex()} got {found}, right would be {right}"
        )
        if right is not None:
            self.met.add(right)
        for port in (OWN_ADDRESS, CHANNEL_ADDRESS):
            assert not director.ports[port].output, "a refused frame went through"

    def frame(
        self, destination: int, source: int = BYSTANDER << 8, function: int = 0, connect: bool = True
    ) -> RawFrame:
        """A Sense command, or a link-control frame without content."""
        information = bytes((0x11, 0, 0, 0, 4, 0, 0, 32, 6, 0x77, 0, 0)) if function == 0 else bytes(4)
        return RawFrame(encode_frame(Frame(destination, source, function, information)), connect)

    @property
    def connected(self) -> bool:
        """Channel and box are joined."""
        return self.director.ports[OWN_ADDRESS].state is PortState.CONNECTED


Bystanding = Callable[[DirectedLink], tuple[RawFrame, tuple[int, int] | None]]


def _busy(link: DirectedLink) -> tuple[RawFrame, tuple[int, int] | None]:
    if not link.connected:
        return _nowhere(link)
    destination = link.rng.choice((OWN_ADDRESS, CHANNEL_ADDRESS))
    return link.frame(destination << 8 | link.rng.randrange(16)), (LinkControl.PBY, 1)


def _nowhere(link: DirectedLink) -> tuple[RawFrame, tuple[int, int] | None]:
    return link.frame(NO_PORT << 8), (LinkControl.PRJ, 2)


def _no_address(link: DirectedLink) -> tuple[RawFrame, tuple[int, int] | None]:
    return link.frame(link.rng.choice((0, 0xFF, BYSTANDER)) << 8), (LinkControl.PRJ, 1)


def _prohibited(link: DirectedLink) -> tuple[RawFrame, tuple[int, int] | None]:
    return link.frame(PROHIBITED << 8), (LinkControl.PRJ, 4)


def _another_source(link: DirectedLink) -> tuple[RawFrame, tuple[int, int] | None]:
    return link.frame(OWN_ADDRESS << 8, source=link.rng.choice((CHANNEL_ADDRESS, OWN_ADDRESS, 0)) << 8), (
        LinkControl.ILA, 0)


def _asks_for_its_address(link: DirectedLink) -> tuple[RawFrame, tuple[int, int] | None]:
    return link.frame(0xFF00, source=0, function=LinkControl.ALA), (LinkControl.LACK, BYSTANDER)


def _passive(link: DirectedLink) -> tuple[RawFrame, tuple[int, int] | None]:
    return link.frame(OWN_ADDRESS << 8, connect=False), None


def _damaged(link: DirectedLink) -> tuple[RawFrame, tuple[int, int] | None]:
    payload = link.frame(OWN_ADDRESS << 8).payload
    return RawFrame(payload[:-1] + bytes((payload[-1] ^ 1,)), True), None


def _reserved_bits(link: DirectedLink) -> tuple[RawFrame, tuple[int, int] | None]:
    payload = bytearray(link.frame(OWN_ADDRESS << 8).payload[:-2])
    payload[1] |= 0x80
    return RawFrame(bytes(payload) + crc16(bytes(payload)).to_bytes(2, "big"), True), None


_BYSTANDING: tuple[Bystanding, ...] = (
    _busy, _busy, _nowhere, _no_address, _prohibited, _another_source, _asks_for_its_address, _passive, _damaged,
    _reserved_bits,
)
