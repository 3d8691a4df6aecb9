"""The sockets of the shared-device server: one listener, one connection for each client and device.

Three small messages for a track make the time of a task switch count more than the bytes. So one task serves all
connections from an epoll of its own: it sleeps in trio on the epoll's descriptor, and once awake takes what is ready,
answers at once, and looks again for LINGER_S before it sleeps. Everything stays on the event loop's thread, where the
core is the only judge.

A connection may be silent for ever; one that has not said who it is within HELLO_S, or does not take its answer for
SEND_S, is ended. Only addresses of the allow-list are let in.
"""

from __future__ import annotations

import ipaddress
import select
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import trio

from ccw.shared_dasd import DATA_BYTES_MAX, HEADER, HEADER_BYTES
from controller.config import SharedConfig
from controller.sharing import Session, ShareServer

LINGER_S = 0.001
BURST_EVENTS = 64
HELLO_S = 30.0
SEND_S = 60.0
WATCH_S = 5.0
RECEIVE_BYTES = 1 << 17
AHEAD_BYTES_MAX = 2 * (HEADER_BYTES + DATA_BYTES_MAX)
BACKLOG = 128

Say = Callable[[str, dict[str, object]], None]
_GONE = select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP


class _Connection:
    """One socket: what came and is not used yet, what is to be sent and was not taken yet."""

    __slots__ = (
        "answering", "closing", "handling", "incoming", "outgoing", "sending_since", "session", "since", "socket",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, now: float) -> None:
        self.socket = sock
        self.session: Session
        self.incoming = bytearray()
        self.outgoing: list[memoryview] = []
        self.answering = False  # a request was handed over and not answered yet
        self.handling = False  # inside _next
        self.closing = False
        self.since = now
        self.sending_since: float | None = None


@dataclass(slots=True)
class SharedCounters:
    """What happened since the start. `bytes_in` and `bytes_out` include headers."""

    connections: int = 0
    requests: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    refused: int = 0


class SharedDasdServer:
    """Serves one `ShareServer` on one address."""

    def __init__(self, config: SharedConfig, server: ShareServer, say: Say) -> None:
        self.counters = SharedCounters()
        self.address: tuple[str, int] | None = None
        self._config = config
        self.core = server
        self._say = say
        self._epoll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._owing = 0  # requests that were not answered at once
        self._networks = [ipaddress.ip_network(network) for network in config.allow]

    @property
    def owing(self) -> int:
        """How many requests wait for their answer: starts for the device, ends for their writes."""
        return self._owing

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen and serve until cancelled. Raises OSError when the address cannot be had."""
        listener = self._listen()
        try:
            self.address = listener.getsockname()[:2]
            task_status.started()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch)
                await self._serve(listener)
        finally:
            listener.close()
            for connection in list(self._connections.values()):
                self._drop(connection)
            self._epoll.close()

    def _listen(self) -> socket.socket:
        host, port = self._config.listen
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen(BACKLOG)
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            raise OSError(f"shared devices at {host}:{port}: {error.strerror or error}") from error
        self._epoll.register(listener, select.EPOLLIN)
        return listener

    async def _serve(self, listener: socket.socket) -> None:
        poll = self._epoll.poll
        listening = listener.fileno()
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            events = poll(0, BURST_EVENTS)
            while events:
                for descriptor, event in events:
                    if descriptor == listening:
                        self._accept(listener)
                    else:
                        self._ready(self._connections.get(descriptor), event)
                await trio.lowlevel.checkpoint()
                # An answer that others have to bring about needs the event loop: do not hold it up.
                events = poll(0 if self._owing else LINGER_S, BURST_EVENTS)

    # Connections

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, where = listener.accept()
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                self._say("a shared-device connection could not be accepted", {"why": str(error)})
            return
        address = ipaddress.ip_address(where[0].partition("%")[0])
        if not any(address in network for network in self._networks):
            self.counters.refused += 1
            self._say("a shared-device client is not on the allow-list", {"peer": str(address)})
            sock.close()
            return
        if len(self._connections) >= self._config.connections_max:
            self.counters.refused += 1
            self._say("too many shared-device connections", {"peer": str(address)})
            sock.close()
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection = _Connection(sock, trio.current_time())

        def send(parts: Sequence[bytes | memoryview]) -> None:
            self._send(connection, parts)

        def close() -> None:
            connection.closing = True
            if not connection.outgoing:
                self._drop(connection)

        connection.session = self.core.session(str(address), send, close)
        self._connections[sock.fileno()] = connection
        self._epoll.register(sock, select.EPOLLIN | select.EPOLLRDHUP)
        self.counters.connections += 1

    def _drop(self, connection: _Connection) -> None:
        """The connection is over, from whichever side."""
        descriptor = connection.socket.fileno()
        if descriptor < 0:
            return
        del self._connections[descriptor]
        self._epoll.unregister(descriptor)
        connection.socket.close()
        connection.outgoing.clear()
        if connection.answering and not connection.handling:
            self._owing -= 1
        connection.session.lost()

    async def _watch(self) -> None:
        """End connections that say nothing at all, or take nothing."""
        while True:
            await trio.sleep(WATCH_S)
            now = trio.current_time()
            for connection in list(self._connections.values()):
                idle = self._config.idle_timeout_s
                quiet = connection.session.volume is None and now - connection.since > HELLO_S
                stuck = connection.sending_since is not None and now - connection.sending_since > SEND_S
                bored = idle > 0 and not connection.session.busy and now - connection.since > idle
                if quiet or stuck or bored:
                    self._drop(connection)

    # Requests

    def _ready(self, connection: _Connection | None, event: int) -> None:
        if connection is None:
            return
        if event & select.EPOLLOUT:
            self._flush(connection)
        if event & select.EPOLLIN:
            try:
                data = connection.socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._drop(connection)
                return
            self.counters.bytes_in += len(data)
            connection.incoming += data
            if not connection.answering:
                self._next(connection)
            elif len(connection.incoming) > AHEAD_BYTES_MAX:
                self._drop(connection)  # it does not wait for answers, as every client does
        elif event & _GONE:
            self._drop(connection)

    def _next(self, connection: _Connection) -> None:
        """Hand over whole requests until one is not answered at once."""
        incoming = connection.incoming
        connection.handling = True
        while not connection.answering and not connection.closing and len(incoming) >= HEADER_BYTES:
            code, flag, device, length, identifier = HEADER.unpack_from(incoming)
            stop = HEADER_BYTES + length
            if len(incoming) < stop:
                break
            data = bytes(memoryview(incoming)[HEADER_BYTES:stop])
            del incoming[:stop]
            self.counters.requests += 1
            connection.answering = True
            connection.since = trio.current_time()
            connection.session.request(code, flag, device, identifier, data)
            if connection.answering:
                self._owing += 1
        connection.handling = False

    def _send(self, connection: _Connection, parts: Sequence[bytes | memoryview]) -> None:
        """Send one answer: at once as far as the socket takes it."""
        if not connection.handling:
            self._owing -= 1
        connection.answering = False
        if connection.socket.fileno() < 0:
            return
        connection.outgoing += map(memoryview, parts)
        self._flush(connection)
        if not connection.handling and connection.incoming:
            self._next(connection)

    def _flush(self, connection: _Connection) -> None:
        outgoing = connection.outgoing
        try:
            sent = connection.socket.sendmsg(outgoing)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(connection)
            return
        self.counters.bytes_out += sent
        while outgoing and sent >= len(outgoing[0]):
            sent -= len(outgoing.pop(0))
        if outgoing:
            outgoing[0] = outgoing[0][sent:]
        self._want_output(connection, bool(outgoing))
        if not outgoing and connection.closing:
            self._drop(connection)

    def _want_output(self, connection: _Connection, wanted: bool) -> None:
        if wanted == (connection.sending_since is not None):
            return
        connection.sending_since = trio.current_time() if wanted else None
        more = select.EPOLLOUT if wanted else 0
        with suppress(OSError):
            self._epoll.modify(connection.socket, select.EPOLLIN | select.EPOLLRDHUP | more)
