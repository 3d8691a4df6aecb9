"""Two link machines joined without a network: records travel as bytes, whole or one byte at a time.

`Wire` carries records between two ends until both are silent, on a clock that only moves when nothing else can happen.
A `hurt` hook sees every record on its way and may drop it (None) or damage it. `ScriptedServer` stands in for the
subsystem: it answers commands from a table and notes what it was told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ccw.frames import Frame, decode_device, decode_frame
from ccw.records import RawFrame, RecordReader, SequenceRecord, encode_record, encode_sequence
from controller.channel import Link, LinkSettings, PathId
from controller.commands.outcome import Command, Outcome
from host_emulator.channel import Start
from host_emulator.link import HostLink, HostLinkSettings

HOST_TO_UNIT = "host"
UNIT_TO_HOST = "unit"
NODE = bytes.fromhex("00000000F0F0F3F9F9F0F0F0F6C5E2C3F0F1F0F0F0F0F0F0F0F1F2F3F4F50060")

# The addresses of the worked examples: channel 40 image 1, control unit 60 image 2.
EXAMPLE_HOST = HostLinkSettings(link_address=0x40, channel_image=1, control_unit_address=0x60, solicit_sense=False)
EXAMPLE_PATH = PathId("L0", 0x4001, 2)


class End(Protocol):
    """What Wire needs of a link machine; HostLink and Link both have it."""

    def receive(self, record: RawFrame | SequenceRecord, now: float) -> None: ...

    def take(self) -> list[Frame | SequenceRecord]: ...

    def wake(self, now: float) -> None: ...

    @property
    def next_wake(self) -> float | None: ...


Hurt = Callable[[str, bytes], bytes | None]


def record_bytes(item: Frame | SequenceRecord) -> bytes:
    return encode_record(item) if isinstance(item, Frame) else encode_sequence(item.kind)


@dataclass
class Wire:
    """Joins `host` and `unit`. `log` keeps (direction, record bytes) of everything that was sent, lost or not."""

    host: End
    unit: End
    piece: int = 0  # bytes handed over at a time; 0: whole records
    hurt: Hurt = lambda direction, data: data
    now: float = 0.0
    log: list[tuple[str, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._readers = {HOST_TO_UNIT: RecordReader(), UNIT_TO_HOST: RecordReader()}

    def exchange(self) -> bool:
        """Carry what both ends have to send; False when neither had anything."""
        moved = False
        for direction, source, sink in ((HOST_TO_UNIT, self.host, self.unit), (UNIT_TO_HOST, self.unit, self.host)):
            for item in source.take():
                moved = True
                data = record_bytes(item)
                self.log.append((direction, data))
                arriving = self.hurt(direction, data)
                if arriving is not None:
                    self._deliver(direction, arriving, sink)
        return moved

    def _deliver(self, direction: str, data: bytes, sink: End) -> None:
        step = self.piece or len(data)
        for start in range(0, len(data), step):
            for record in self._readers[direction].feed(data[start : start + step]):
                sink.receive(record, self.now)

    def settle(self, until: float | None = None) -> None:
        """Carry records until both ends are silent; then, up to `until`, let time pass to the next timer."""
        for _ in range(100_000):
            if self.exchange():
                continue
            deadlines = [wake for wake in (self.host.next_wake, self.unit.next_wake) if wake is not None]
            if not deadlines:
                return
            nearest = min(deadlines)
            if nearest > self.now and (until is None or nearest > until):
                return
            self.now = max(self.now, nearest)
            for end in (self.host, self.unit):
                if end.next_wake is not None and end.next_wake <= self.now:
                    end.wake(self.now)
        raise AssertionError("the two ends never fall silent")

    def frames(self, start: int = 0) -> list[str]:
        """The log from `start` as the frame description writes it: SOF, link header .. CRC, EOF; sequences by name."""
        return [shown(data) for _, data in self.log[start:]]


def shown(data: bytes) -> str:
    """One record as text."""
    if data[0] == 2:
        return {1: "idle", 2: "OLS", 3: "NOS", 4: "UD", 5: "UDR"}[data[1]]
    begin = "3CFC" if data[1] & 1 else "BCFC"
    end = "DC3C3C" if data[1] & 2 else "DC9C3C"
    return f"{begin} {data[4:].hex().upper()} {end}"


def device_frames(wire: Wire, start: int = 0) -> list[tuple[str, object]]:
    """The device frames of the log, decoded."""
    found = []
    for direction, data in wire.log[start:]:
        if data[0] == 1:
            frame = decode_frame(data[4:])
            if not frame.link_control:
                found.append((direction, decode_device(frame.information)))
    return found


@dataclass
class ScriptedServer:
    """A CommandServer of a few lines. `outcomes` are used up in order; then every command ends normally."""

    units: frozenset[int] = frozenset({0x10, 0x11})
    outcomes: list[Outcome | None] = field(default_factory=list)  # None: reply later, by hand
    refuse: int | None = None
    calls: list[tuple[object, ...]] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    replies: list[Callable[[Outcome], None]] = field(default_factory=list)
    started: dict[tuple[PathId, int], int] = field(default_factory=dict)

    def path_requested(self, path: PathId, header: bytes) -> int | None:
        self.calls.append(("path", path, header))
        return self.refuse

    def path_removed(self, path: PathId) -> None:
        self.calls.append(("removed", path))

    def device_exists(self, path: PathId, unit_address: int) -> bool:
        return unit_address in self.units

    def start(self, path: PathId, unit_address: int, command: Command, reply: Callable[[Outcome], None]) -> None:
        if not command.chained:
            assert not self.started.get((path, unit_address)), "a chain begins before the last one ended"
        self.started[path, unit_address] = 1
        self.commands.append(command)
        outcome = self.outcomes.pop(0) if self.outcomes else normal_end(command)
        self.replies.append(reply)
        if outcome is not None:
            reply(outcome)

    def end_chain(self, path: PathId, unit_address: int) -> None:
        assert self.started.pop((path, unit_address), 0), "a chain ends that was not started"
        self.calls.append(("end", unit_address))

    def reset(self, path: PathId, unit_address: int | None) -> None:
        self.calls.append(("reset", unit_address))

    def count(self, what: str) -> int:
        return sum(call[0] == what for call in self.calls)


def normal_end(command: Command) -> Outcome:
    """Reads give bytes 00, 01, 02 ...; writes take everything."""
    if command.code & 3 == 2 or command.code & 15 == 4:
        return Outcome(0x0C, data=bytes(index & 0xFF for index in range(command.count)))
    return Outcome(0x0C, immediate=not command.data)


def joined(
    server: ScriptedServer | None = None,
    host: HostLinkSettings | None = None,
    settings: LinkSettings | None = None,
    piece: int = 0,
) -> tuple[Wire, HostLink, Link, ScriptedServer]:
    """A host link and a controller link on one wire, addresses of the worked examples, path established."""
    server = server or ScriptedServer()
    link = Link("L0", server, NODE, own_address=0x60, peer_address=0x40, settings=settings)
    channel = HostLink(host or EXAMPLE_HOST)
    wire = Wire(channel, link, piece=piece)
    perform(wire, channel.establish(2))
    wire.log.clear()
    return wire, channel, link, server


def perform(wire: Wire, script: object, patience: float = 200.0) -> object:
    """Run one exchange of the host to its end; the value, or the failure as an exception."""
    host = wire.host
    assert isinstance(host, HostLink)
    host.begin(script, wire.now)  # type: ignore[arg-type]
    wire.settle()
    if host.busy:
        wire.settle(wire.now + patience)
    return host.result()


def read(count: int, flags: int = 0x20, chained: bool = False) -> Start:
    return Start(0x02, flags, count, b"", chained)


def write(data: bytes, flags: int = 0x20, chained: bool = False, code: int = 0x01) -> Start:
    return Start(code, flags, len(data), data, chained)
