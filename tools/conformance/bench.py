"""The hosts of one run: sessions that run programs, and a raw link driven frame by frame.

Everything here is the host emulator. How a stream to a system comes about is the affair of whoever made the `Target`.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import trio

from ccw.escon import Sequence
from ccw.geometry import Cchh
from ccw.records import RawFrame, RecordReader, SequenceRecord
from host_emulator.link import HostLinkSettings, LinkFailure, Unsolicited
from host_emulator.orders import System, order_header
from host_emulator.session import HostSession, session_over

PATIENCE_S = 10.0
RECEIVE_BYTES = 65_536
ORIGIN, ANYWHERE = Cchh(0, 0), Cchh(0xFFFFFFF, 14)
OTHER = System(0x0300, 0, "000000011111")  # a storage system that only the suite knows
PAIR_IDS = 0x4000_0000  # the suite's; half of them are named {another_pair}
PEER_ORDER = 0x00  # the header by which a peer's path is established names no order

Connect = Callable[[], Awaitable[trio.abc.Stream]]


@dataclass(frozen=True, slots=True)
class Target:
    """The system under test, and the second one where there is one. `profile`: of its control unit."""

    connect: Connect
    second: Connect | None
    devices: dict[str, int]
    names: dict[str, System] = field(default_factory=dict)  # A and B
    profile: str = "2107"

    def variables(self) -> dict[str, str]:
        """What the names in braces stand for."""
        values = {name: f"{address:02X}" for name, address in self.devices.items()}
        values["other"] = f"{OTHER.ssid:04X}:{OTHER.lss:02X}:{OTHER.serial}"
        for letter, suffix in (("A", ""), ("B", "_b")):
            if letter in self.names:
                system = self.names[letter]
                values[letter.lower()] = f"{system.ssid:04X}:{system.lss:02X}:{system.serial}"
                values["ssid" + suffix] = f"{system.ssid:04X}"
                values["lss" + suffix] = f"{system.lss:02X}"
                values["serial" + suffix] = system.identity.hex().upper()
        return values


class RawLink:
    """A link on which a case sends and hears frames itself."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._reader = RecordReader()
        self._heard: deque[RawFrame | SequenceRecord] = deque()

    async def send(self, record: bytes) -> None:
        await self._stream.send_all(record)

    async def hear(self) -> RawFrame | SequenceRecord:
        """The next record that is no idle. Raises TooSlowError, EOFError."""
        with trio.fail_after(PATIENCE_S):
            while True:
                while self._heard:
                    record = self._heard.popleft()
                    if not isinstance(record, SequenceRecord) or record.kind != Sequence.IDLE:
                        return record
                data = await self._stream.receive_some(RECEIVE_BYTES)
                if not data:
                    raise EOFError
                self._heard += self._reader.feed(bytes(data))

    async def close(self) -> None:
        await self._stream.aclose()


class _Held:
    """A session that lives in a task of its own until it is told to close."""

    def __init__(self, session: HostSession) -> None:
        self.session = session
        self.close = trio.Event()
        self.closed = trio.Event()


class Bench:
    """All hosts of a run, opened when a case first needs them; see `open_bench`."""

    def __init__(self, target: Target, nursery: trio.Nursery) -> None:
        self.target = target
        self.variables = target.variables()
        self._pair_id = secrets.randbelow(PAIR_IDS)
        self.written: dict[str, tuple[Cchh, Cchh]] = {}  # the tracks that cases may have changed, first and last
        self._nursery = nursery
        self._last = ""  # the host that did something last
        self._held: dict[str, _Held] = {}
        self._raw: RawLink | None = None

    def device(self, name: str) -> int:
        """The unit address of a device."""
        return self.target.devices[name]

    def touched(self, name: str, first: Cchh = ORIGIN, last: Cchh = ANYWHERE) -> None:
        """Tracks of a device may hold something else than before."""
        low, high = self.written.get(name, (first, last))
        self.written[name] = min(low, first), max(high, last)

    async def session(self, host: str) -> HostSession:
        """The session of a host, opened now where there is none. Raises OSError, LinkFailure."""
        if host not in self._held:
            opened = await self._nursery.start(self._keep, host)
            if isinstance(opened, Exception):
                raise opened
            self._held[host] = opened
        return self._held[host].session

    async def _keep(self, host: str, task_status: trio.TaskStatus[_Held | Exception]) -> None:
        held: _Held | None = None
        try:
            async with await self._open(host) as session:
                held = _Held(session)
                task_status.started(held)
                await held.close.wait()
        except (OSError, LinkFailure) as error:
            if held is None:
                task_status.started(error)
        finally:
            if held is not None:
                held.closed.set()

    async def _open(self, host: str) -> AbstractAsyncContextManager[HostSession]:
        connect = self.target.second if host == "S" else self.target.connect
        assert connect is not None
        stream = await connect()
        header = self._peer_header() if host == "P" else b""
        settings = HostLinkSettings(busy_timeout_s=PATIENCE_S, device_timeout_s=PATIENCE_S)
        return session_over(stream, 0, settings, busy_timeout_s=0, keep_device_ends=True, header=header)

    def _peer_header(self) -> bytes:
        """A storage system that does not exist says to A that it is one."""
        own = self.target.names["A"]
        return order_header(PEER_ORDER, 40, OTHER, own).encode()

    def new_pair(self) -> None:
        """A case begins: the pair it may make has an identifier that no pair of this target has had."""
        self._pair_id = self._pair_id % PAIR_IDS + 1
        self.variables["pair"] = f"{self._pair_id:08X}"
        self.variables["another_pair"] = f"{self._pair_id + PAIR_IDS:08X}"

    async def turn(self, host: str) -> None:
        """Another host is to act: what the last one sent (that it accepts a status, say) arrives first."""
        last, self._last = self._last, host
        if last and last != host and last in self._held and not self._held[last].closed.is_set():
            await self._held[last].session.identify()

    async def close(self, host: str) -> None:
        """Close the session of a host, if there is one."""
        held = self._held.pop(host, None)
        if held is not None:
            held.close.set()
            await held.closed.wait()

    async def raw(self) -> RawLink:
        """The raw link, connected now where there is none."""
        if self._raw is None:
            self._raw = RawLink(await self.target.connect())
        return self._raw

    async def close_raw(self) -> None:
        """Close the raw link; everything that went over it is void."""
        if self._raw is not None:
            await self._raw.close()
            self._raw = None

    async def start_over(self) -> None:
        """Back to the state of a host that has done nothing: paths reset, links of peers and frames closed."""
        await self.close_raw()
        await self.close("P")
        for name in list(self._held):
            session = self._held[name].session
            try:
                await session.system_reset()
            except LinkFailure:  # broken by the case before: the next use opens a new one
                await self.close(name)
                continue
            session.attentions()

    async def status(self, host: str) -> Unsolicited | None:
        """The next unsolicited status of a host; None when none came in time."""
        session = await self.session(host)
        with trio.move_on_after(PATIENCE_S):
            return await session.attention()
        return None


@asynccontextmanager
async def open_bench(target: Target) -> AsyncIterator[Bench]:
    """The hosts for one run; their links are closed at the end of the block."""
    async with trio.open_nursery() as nursery:
        bench = Bench(target, nursery)
        try:
            yield bench
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(1):
                await bench.close_raw()
            nursery.cancel_scope.cancel()
