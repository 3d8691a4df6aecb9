"""Several hosts on one real subsystem, joined frame by frame: a chooser says which frame in flight arrives next.

Each host has one or more links and runs its operations one after the other, each as one channel program over real ESCON
frames; a write is hardened when the chooser says so. Time stands still: nothing ever happens by a time-out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ccw.records import RecordReader
from controller.channel import Link, PathId
from host_emulator.channel import Response, Start
from host_emulator.link import HostLink, HostLinkSettings
from tests.fuzz.box import CHANNEL_ADDRESS, OWN_ADDRESS, Box
from tests.helpers.two_systems import HOST_PORT
from tests.helpers.wire import record_bytes

BUSY, DEVICE_END, ATTENTION = 0x10, 0x04, 0x80
CHAIN, SUPPRESS_LENGTH = 0x40, 0x20
NODE = bytes(32)
UNIT = 0x00
GROUP_A, GROUP_B = bytes(range(1, 12)), bytes(range(21, 32))
TRACKS = (bytes.fromhex("00010001"), bytes.fromhex("00010002"))
EMPTY = b"\0" * 8  # a record that only `formatting` has written

Choose = Callable[[int], int]  # of so many possible moves, which one
Program = list[tuple[int, bytes | int]]


def extent(mask: str, track: bytes) -> tuple[int, bytes]:
    return 0x63, bytes.fromhex(mask) + b"\xc0" + bytes(6) + track + track


def formatting(track: bytes) -> Program:
    counts = [(0x1D, track + bytes((number, 0, 0, 8)) + EMPTY) for number in (1, 2)]
    return [extent("C0", track), (0x47, b"\x03\0\0\x02" + track + track + b"\0\xff\0\0"), *counts]


def writing(track: bytes, token: bytes) -> Program:
    locate = b"\x01\x80\0\x02" + track + track + b"\x01\xff\0\x08"
    return [extent("80", track), (0x47, locate), (0x85, token), (0x85, token)]


def reading(track: bytes) -> Program:
    locate = b"\x06\0\0\x02" + track + track + b"\x01\xff\0\0"
    return [extent("40", track), (0x47, locate), (0x86, 8), (0x86, 8)]


class ManyLinks(Box):
    """A subsystem with several host links. `in_flight`: records on their way, by link and direction."""

    def __init__(self, names: list[str], solicit_sense: bool = True, aliases: tuple[int, ...] = ()) -> None:
        super().__init__(aliases=aliases)
        self.links: dict[str, Link] = {}
        self.channels: dict[str, HostLink] = {}
        self.in_flight: dict[tuple[str, bool], deque[bytes]] = {}
        self.hardening: deque[Callable[[bool], None]] = deque()
        settings = HostLinkSettings(CHANNEL_ADDRESS, 0, OWN_ADDRESS, solicit_sense=solicit_sense)
        for name in names:
            self.links[name] = Link(name, self.subsystem, NODE, own_address=OWN_ADDRESS, peer_address=CHANNEL_ADDRESS)
            self.channels[name] = HostLink(settings)
            self.in_flight[name, True] = deque()
            self.in_flight[name, False] = deque()
        for name in names:
            self.perform(name, self.channels[name].establish(0))

    def when_durable(self, sequence: int, reply: Callable[[bool], None]) -> None:
        self.hardening.append(reply)

    def present_status(self, path: PathId, unit_address: int, status: int) -> None:
        self.links[path.link_id].present_status(path, unit_address, status)

    def host_paths(self) -> list[PathId]:
        return sorted(path for link in self.links.values() for path in link.paths)

    def said_of(self, link_id: str) -> int:
        return HOST_PORT

    def _collect(self) -> None:
        for name, link in self.links.items():
            self.in_flight[name, True].extend(record_bytes(item) for item in self.channels[name].take())
            self.in_flight[name, False].extend(record_bytes(item) for item in link.take())

    def step(self, choose: Choose) -> bool:
        """Let one record arrive, or one write become durable; False when nothing is on its way."""
        self._collect()
        moving = [place for place, records in self.in_flight.items() if records]
        moves = len(moving) + bool(self.hardening)
        if not moves:
            return False
        chosen = choose(moves)
        if chosen < len(moving):
            name, to_unit = moving[chosen]
            sink = self.links[name] if to_unit else self.channels[name]
            for record in RecordReader().feed(self.in_flight[name, to_unit].popleft()):
                sink.receive(record, self.time)
        else:
            self.store.sync()
            self.hardening.popleft()(True)
        return True

    def perform(self, name: str, script: object) -> object:
        """Run one exchange of a channel to its end, first come first served."""
        channel = self.channels[name]
        channel.begin(script, self.time)  # type: ignore[arg-type]
        while channel.busy:
            assert self.step(lambda moves: 0), "the exchange never ends"
        while self.step(lambda moves: 0):
            pass
        return channel.result()

    def run(self, name: str, program: Program) -> list[Response]:
        """Run one program over a link, alone; the responses."""
        host = Host(self, [name], [program])
        while not host.finished:
            host.poll(0)
            assert self.step(lambda moves: 0) or host.finished, "the program never ends"
        while self.step(lambda moves: 0):
            pass
        return host.done[0].responses


@dataclass
class Operation:
    """One program as it ran: step numbers of its begin and end, and the responses. `busy`: how often it had to wait."""

    program: Program
    begin: int = 0
    end: int = 0
    responses: list[Response] = field(default_factory=list)
    busy: int = 0


class Host:
    """Runs programs one after the other, each over the next of its links."""

    def __init__(self, box: ManyLinks, links: list[str], programs: list[Program], unit: int = UNIT) -> None:
        self._box = box
        self._unit = unit
        self._links = links
        self._waiting = deque(Operation(program) for program in programs)
        self._current: Operation | None = None
        self._name = links[0]
        self._blocked = False
        self.done: list[Operation] = []

    @property
    def finished(self) -> bool:
        """Nothing is left to run."""
        return not self._waiting and self._current is None

    @property
    def progress(self) -> tuple[int, int]:
        """Operations begun and commands answered."""
        current = self._current
        return len(self.done) + (current is not None), len(current.responses) if current is not None else 0

    def poll(self, now: int) -> None:
        """Go on as far as the answers that are there allow. `now` numbers the steps."""
        channel = self._box.channels[self._name]
        if self._current is None:
            if self._waiting:
                self._current = self._waiting.popleft()
                self._current.begin = now
                self._name = self._links[len(self.done) % len(self._links)]
                self._start(0)
            return
        if self._blocked:
            if any(item.unit_address == self._unit and item.status & DEVICE_END for item in channel.unsolicited):
                channel.unsolicited.clear()
                self._start(0)
            return
        if not channel.busy:
            response = channel.result()
            assert isinstance(response, Response)
            self._answered(response, now)

    def _answered(self, response: Response, now: int) -> None:
        operation = self._current
        assert operation is not None
        if response.status & BUSY and not operation.responses:
            operation.busy += 1
            self._blocked = not response.status & ATTENTION
            if not self._blocked:
                self._start(0)
            return
        operation.responses.append(response)
        if response.status != 0x0C or len(operation.responses) == len(operation.program):
            operation.end = now
            self.done.append(operation)
            self._current = None
        else:
            self._start(len(operation.responses))

    def _start(self, index: int) -> None:
        assert self._current is not None
        self._blocked = False
        channel = self._box.channels[self._name]
        code, argument = self._current.program[index]
        data = argument if isinstance(argument, bytes) else b""
        count = len(argument) if isinstance(argument, bytes) else argument
        last = index + 1 == len(self._current.program)
        if not index:
            channel.end_chain()
        flags = SUPPRESS_LENGTH | (0 if last else CHAIN)
        channel.begin(channel.command(self._unit, Start(code, flags, count, data, index > 0)), self._box.time)


def race(box: ManyLinks, hosts: list[Host], choose: Choose, steps_max: int = 20_000) -> None:
    """Run all hosts to their end; fails when nothing can happen any more before that."""
    for now in range(steps_max):
        for host in hosts:
            host.poll(now)
        if all(host.finished for host in hosts):
            return
        assert box.step(choose) or _polled(hosts, now), "nothing can happen any more"
    raise AssertionError("the race never ends")


def _polled(hosts: list[Host], now: int) -> bool:
    """Give the hosts another turn; True when one of them goes on."""
    before = [host.progress for host in hosts]
    for host in hosts:
        host.poll(now)
    return before != [host.progress for host in hosts]
