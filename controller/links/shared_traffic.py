"""The connections of shared devices: requests off the sockets into the core, answers onto them.

Three small messages for a track make the time of a task switch count more than the bytes, so connections have a thread
of their own that sleeps on an epoll and takes the core for what is ready (see threads.py). An answer is sent at once by
whoever brings it about: this thread, or the one that commits.

What is ready together is committed together, by this thread where the disk is quick, else by the one that commits.
While somebody waits for that one this thread stays awake for SPIN_S at most: a processor that goes to sleep meanwhile
is slow to hear that the disk is done (observed: one track and fdatasync on a virtual machine of two processors, 4 to
6 ms when they sleep, 0.2 ms when one does not; on a busy machine there is no difference, and nothing to gain).

All clients wait for this one thread, and where they share its processors they would have a share each as large as its
own. So it is preferred to them by NICER, where its process may ask for that.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from ccw.shared_dasd import DATA_BYTES_MAX, HEADER, HEADER_BYTES
from controller.array.log import Batch
from controller.links.threads import CoreLock
from controller.sharing import Session

SPIN_S = 0.0005
RELIEF_S = 0.005  # between two looks whether it is needed yet
NICER = 5
"""By so much the nice value of the thread is lower. Observed with four clients on two busy processors: a tenth more
reads and writes, a third of the 99th percentile of waiting; 10 gave no more, and took time from who writes."""
BURST_EVENTS = 64
RECEIVE_BYTES = HEADER_BYTES + DATA_BYTES_MAX
AHEAD_BYTES_MAX = 2 * RECEIVE_BYTES
_LENGTH_AT = 4  # of the data's length in a header
_GONE = select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP
_READABLE, _WRITABLE = select.EPOLLIN, select.EPOLLOUT
_INPUT = _READABLE | select.EPOLLRDHUP


@dataclass(slots=True)
class SharedCounters:
    """What happened since the start. `bytes_in` and `bytes_out` include headers."""

    connections: int = 0
    requests: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    refused: int = 0


class Connection:
    """One socket: what came and is not used yet, what is to be sent and was not taken yet."""

    __slots__ = (
        "answering", "closing", "descriptor", "handling", "incoming", "outgoing", "sending_since", "session", "since",
        "socket",
    )  # fmt: skip

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.descriptor = sock.fileno()
        self.session: Session
        self.incoming = bytearray()
        self.outgoing: list[memoryview] = []
        self.answering = False  # a request was handed over and not answered yet
        self.handling = False  # inside _next
        self.closing = False
        self.since = time.monotonic()
        self.sending_since: float | None = None


class Commits(Protocol):
    """Who makes writes durable (committer.py)."""

    relieve: Callable[[Callable[[], bool]], None]

    def awaited(self) -> bool:
        """Does anybody wait for the disk?"""

    def take_at_once(self) -> Batch | None:
        """What is to be committed here, now that all that was ready is served."""

    def commit_at_once(self, core: CoreLock, batch: Batch) -> None:
        """Commit it."""


class Traffic:
    """All connections of one server. Whoever calls has the core, but for `run`.

    accept: called when a connection waits at `listeners`.
    """

    def __init__(self, accept: Callable[[socket.socket], None], commits: Commits) -> None:
        self.counters = SharedCounters()
        self.connections: dict[int, Connection] = {}
        self.owing = 0  # requests that were not answered at once
        self._accept = accept
        self._commits = commits
        self._listeners: dict[int, socket.socket] = {}
        self._epoll = select.epoll()
        self._stop = os.eventfd(0)
        self._epoll.register(self._stop, _READABLE)
        self._view = memoryview(bytearray(RECEIVE_BYTES))

    def listen(self, listener: socket.socket) -> None:
        """Tell of connections that wait at a listening socket. Owns it from now on."""
        listener.setblocking(False)
        self._listeners[listener.fileno()] = listener
        self._epoll.register(listener, _READABLE)

    def stop(self) -> None:
        """Let `run` return."""
        os.eventfd_write(self._stop, 1)

    def close(self) -> None:
        """End all connections; `run` has returned."""
        for connection in list(self.connections.values()):
            self.drop(connection)
        for listener in self._listeners.values():
            listener.close()
        self._epoll.close()
        os.close(self._stop)

    def run(self, core: CoreLock) -> None:
        """Serve until stopped. For a thread of its own."""
        poll, commits = self._epoll.poll, self._commits
        commits.relieve = partial(self._relieve, core)
        with preferred():
            while self._serve(core, (commits.awaited() and self._spin()) or poll(-1, BURST_EVENTS)):
                pass

    def _relieve(self, core: CoreLock, needed: Callable[[], bool]) -> None:
        """Serve while the thread of `run` is stuck in a commit."""
        while needed():
            try:
                events = self._epoll.poll(RELIEF_S, BURST_EVENTS)
            except ValueError:  # it is closed: all is over
                return
            if not self._serve(core, events):
                return

    def _serve(self, core: CoreLock, events: list[tuple[int, int]]) -> bool:
        """Serve what is ready, and commit what that wrote; False when stopped."""
        with core:
            waiting = []
            for descriptor, event in events:
                connection = self.connections.get(descriptor)
                if connection is not None:
                    self._ready(connection, event)
                elif descriptor == self._stop:
                    return False
                elif descriptor in self._listeners:
                    waiting.append(descriptor)
            for descriptor in waiting:  # last: a new connection may get the number of one that has just ended
                self._accept(self._listeners[descriptor])
            batch = self._commits.take_at_once()
        if batch is not None:
            self._commits.commit_at_once(core, batch)
        return True

    def _spin(self) -> list[tuple[int, int]]:
        """What comes while somebody waits for a commit, for SPIN_S at most."""
        poll, awaited = self._epoll.poll, self._commits.awaited
        until = time.monotonic() + SPIN_S
        while not (events := poll(0, BURST_EVENTS)) and awaited() and time.monotonic() < until:
            os.sched_yield()
        return events

    # Connections

    def add(self, sock: socket.socket, begin: Callable[[Callable[..., None], Callable[[], None]], Session]) -> None:
        """A new connection. Owns the socket. `begin` makes its session, of how to send and how to close."""
        sock.setblocking(False)
        connection = Connection(sock)
        connection.session = begin(partial(self._send, connection), partial(self._close, connection))
        self.connections[connection.descriptor] = connection
        self._epoll.register(sock, _INPUT)
        self.counters.connections += 1

    def _close(self, connection: Connection) -> None:
        connection.closing = True
        if not connection.outgoing:
            self.drop(connection)

    def drop(self, connection: Connection) -> None:
        """The connection is over, from whichever side."""
        if self.connections.pop(connection.descriptor, None) is not connection:
            return
        self._epoll.unregister(connection.descriptor)
        connection.descriptor = -1
        connection.socket.close()
        connection.outgoing.clear()
        if connection.answering and not connection.handling:
            self.owing -= 1
        connection.session.lost()

    # Requests

    def _ready(self, connection: Connection, event: int) -> None:
        if event & _WRITABLE:
            self._flush(connection)
        if event & _READABLE:
            try:
                count = connection.socket.recv_into(self._view)
            except BlockingIOError:
                return
            except OSError:
                count = 0
            if not count:
                self.drop(connection)
                return
            self.counters.bytes_in += count
            self._received(connection, self._view[:count])
        elif event & _GONE:
            self.drop(connection)

    def _received(self, connection: Connection, data: memoryview) -> None:
        if not connection.incoming and not connection.answering and _is_one(data):
            connection.handling = True
            self._hand_over(connection, data)
            connection.handling = False
            return
        connection.incoming += data
        if not connection.answering:
            self._next(connection)
        elif len(connection.incoming) > AHEAD_BYTES_MAX:
            self.drop(connection)  # it does not wait for answers, as every client does

    def _next(self, connection: Connection) -> None:
        """Hand over whole requests until one is not answered at once."""
        incoming = connection.incoming
        connection.handling = True
        while not connection.answering and not connection.closing and len(incoming) >= HEADER_BYTES:
            stop = HEADER_BYTES + (incoming[_LENGTH_AT] << 8 | incoming[_LENGTH_AT + 1])
            if len(incoming) < stop:
                break
            request = bytes(memoryview(incoming)[:stop])
            del incoming[:stop]
            self._hand_over(connection, request)
        connection.handling = False

    def _hand_over(self, connection: Connection, request: bytes | memoryview) -> None:
        """One whole request. What is kept of it is copied."""
        code, flag, device, _, identifier = HEADER.unpack_from(request)
        self.counters.requests += 1
        connection.answering = True
        connection.since = time.monotonic()
        connection.session.request(code, flag, device, identifier, bytes(request[HEADER_BYTES:]))
        if connection.answering:
            self.owing += 1

    def _send(self, connection: Connection, parts: Sequence[bytes | memoryview]) -> None:
        """Send one answer: at once as far as the socket takes it."""
        if not connection.handling:
            self.owing -= 1
        connection.answering = False
        if connection.descriptor < 0:
            return
        if not connection.outgoing:
            head = parts[0]
            try:
                sent = connection.socket.sendmsg(parts) if len(parts) > 1 else connection.socket.send(head)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.drop(connection)
                return
            self.counters.bytes_out += sent
            if sent < HEADER_BYTES + (head[_LENGTH_AT] << 8 | head[_LENGTH_AT + 1]):
                connection.outgoing = _rest(parts, sent)
                self._want_output(connection, True)
        else:
            connection.outgoing += map(memoryview, parts)
        if not connection.handling and connection.incoming:
            self._next(connection)

    def _flush(self, connection: Connection) -> None:
        """Send on what the socket did not take at once."""
        try:
            sent = connection.socket.sendmsg(connection.outgoing)
        except BlockingIOError:
            return
        except OSError:
            self.drop(connection)
            return
        self.counters.bytes_out += sent
        connection.outgoing = _rest(connection.outgoing, sent)
        if not connection.outgoing:
            self._want_output(connection, False)
            if connection.closing:
                self.drop(connection)

    def _want_output(self, connection: Connection, wanted: bool) -> None:
        connection.sending_since = time.monotonic() if wanted else None
        with suppress(OSError):
            self._epoll.modify(connection.descriptor, _INPUT | (_WRITABLE if wanted else 0))


@contextmanager
def preferred() -> Iterator[None]:
    """Prefer this thread to those it shares the processors with, where that is allowed."""
    thread = threading.get_native_id()
    nice = os.getpriority(os.PRIO_PROCESS, thread)
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, thread, nice - NICER)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, thread, nice)


def _is_one(data: memoryview) -> bool:
    """Is this one request, whole, and no more?"""
    count = len(data)
    return count >= HEADER_BYTES and count == HEADER_BYTES + (data[_LENGTH_AT] << 8 | data[_LENGTH_AT + 1])


def _rest(parts: Sequence[bytes | memoryview], sent: int) -> list[memoryview]:
    """What is left of the parts of a message when `sent` bytes of it are gone."""
    left = []
    for part in parts:
        if sent < len(part):
            left.append(memoryview(part)[sent:])
        sent = max(sent - len(part), 0)
    return left
