"""A director with link machines at its ports, joined without a network; records travel as bytes.

The channels are those of the host emulator, the control units those of the controller.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ccw.frames import Frame, encode_frame
from ccw.records import RawFrame, RecordReader, SequenceRecord
from controller.channel import Link, LinkSettings
from controller.channel.director import Director
from controller.channel.director_states import PortState
from host_emulator.link import HostLink, HostLinkSettings
from tests.helpers.wire import NODE, End, ScriptedServer, record_bytes, shown

ACQUIRING = LinkSettings(acquire_address=True)
QUICK = {"busy_timeout_s": 0.5}


@dataclass
class Fabric:
    """`ends` by port. `log` keeps (port, "in" or "out", record as text); "in" is towards the director."""

    director: Director
    ends: dict[int, End]
    now: float = 0.0
    dark: set[int] = field(default_factory=set)
    log: list[tuple[int, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for port in self.ends:
            self.director.attach(port, self.now)

    def exchange(self) -> bool:
        """Carry what everybody has to send; False when nobody had anything."""
        moved = False
        for port, end in self.ends.items():
            for direction, items in (("in", end.take()), ("out", self.director.take(port))):
                for item in items:
                    moved = True
                    if port not in self.dark:
                        self._carry(port, direction, item, end)
        return moved

    def _carry(self, port: int, direction: str, item: Frame | RawFrame | SequenceRecord, end: End) -> None:
        if isinstance(item, RawFrame):
            data = bytes((1, item.connect | item.disconnect << 1 | item.abort << 2))
            data += len(item.payload).to_bytes(2, "big") + item.payload
        else:
            data = record_bytes(item)
        self.log.append((port, direction, shown(data)))
        for record in RecordReader().feed(data):
            if direction == "in":
                self.director.receive(port, record, self.now)
            else:
                end.receive(record, self.now)

    def settle(self, until: float | None = None) -> None:
        """Carry records until everybody is silent; then, up to `until`, let time pass to the next timer."""
        for _ in range(100_000):
            if self.exchange():
                continue
            sources = [*self.ends.values(), self.director]
            deadlines = [source.next_wake for source in sources if source.next_wake is not None]
            if not deadlines:
                return
            nearest = min(deadlines)
            if nearest > self.now and (until is None or nearest > until):
                return
            self.now = max(self.now, nearest)
            for source in sources:
                if source.next_wake is not None and source.next_wake <= self.now:
                    source.wake(self.now)
        raise AssertionError("the fabric never falls silent")

    def begin(self, port: int, script: object) -> HostLink:
        host = self.ends[port]
        assert isinstance(host, HostLink)
        host.begin(script, self.now)  # type: ignore[arg-type]
        return host

    def perform(self, port: int, script: object, patience: float = 200.0) -> object:
        """Run one exchange of a host to its end; the value, or the failure as an exception."""
        host = self.begin(port, script)
        self.settle()
        if host.busy:
            limit = self.now + patience
            while host.busy and host.next_wake is not None and host.next_wake <= limit:
                self.settle(host.next_wake)
        return host.result()

    def inject(self, port: int, frame: Frame) -> None:
        """A frame from a port, whatever its end thinks."""
        self.director.receive(port, RawFrame(encode_frame(frame), frame.connect, frame.disconnect), self.now)

    def frames(self, port: int, direction: str) -> list[str]:
        return [text for at, way, text in self.log if (at, way) == (port, direction)]


def channel(port: int, unit: int = 0x60, **more: object) -> HostLink:
    return HostLink(HostLinkSettings(link_address=port, channel_image=1, control_unit_address=unit, **more))  # type: ignore[arg-type]


def unit(port: int, server: ScriptedServer | None = None, settings: LinkSettings = ACQUIRING) -> Link:
    """A control unit that does not know its address: what it is configured with is wrong on purpose."""
    server = server or ScriptedServer()
    return Link(f"U{port:02X}", server, NODE, own_address=0x77, peer_address=0x76, settings=settings)


def fabric(*ends: tuple[int, HostLink | Link], extra: tuple[int, ...] = ()) -> Fabric:
    ports = [port for port, _ in ends]
    return Fabric(Director([*ports, *extra], ScriptedServer(units=frozenset({0})), NODE), dict(ends))


def site() -> tuple[Fabric, ScriptedServer]:
    """Two channels at 40 and 41, control units at 60 and 61; both channels have a path to 60."""
    server = ScriptedServer()
    net = fabric((0x40, channel(0x40)), (0x41, channel(0x41)), (0x60, unit(0x60, server)), (0x61, unit(0x61)))
    for port in (0x40, 0x41):
        assert net.perform(port, host_at(net, port).acquire_address()) is True
        net.perform(port, host_at(net, port).establish(2))
    net.log.clear()
    return net, server


def host_at(net: Fabric, port: int) -> HostLink:
    host = net.ends[port]
    assert isinstance(host, HostLink)
    return host


def link_at(net: Fabric, port: int) -> Link:
    link = net.ends[port]
    assert isinstance(link, Link)
    return link


def states(net: Fabric) -> dict[int, PortState]:
    return {address: port.state for address, port in net.director.ports.items()}


def raw(frame: Frame) -> RawFrame:
    return RawFrame(encode_frame(frame), frame.connect, frame.disconnect)
