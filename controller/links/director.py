"""Runs a director over byte streams, one for each port: records in, records out, timers. No rules.

A port is a listening socket; whoever connects to it is attached to that port, one at a time. So the socket that a
facility connects to decides its link address; it learns it by ALA.
Source of the records: escon-frames 1.7.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import trio

from ccw.errors import FormatError
from ccw.records import RecordReader, encode_raw
from controller.channel.director import Director
from controller.links.stream_link import Tap

RECEIVE_BYTES = 262_144
SEND_TIMEOUT_S = 30.0


class DirectorShell:
    """Owns the streams of one director. `addresses`: where each port listens, once it does.

    `make_tap`, called with the port number for each facility that is attached, makes what is shown every record of it.
    """

    def __init__(self, director: Director, make_tap: Callable[[int], Tap | None] | None = None) -> None:
        self._director = director
        self._make_tap = make_tap
        self._news = {port: trio.Event() for port in director.ports}
        self._clock = trio.Event()
        self._attached: set[int] = set()
        self.addresses: dict[int, tuple[str, int]] = {}
        director.on_output = self._output

    async def run(
        self, listen: Mapping[int, tuple[str, int]], task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled: `listen` says where each port listens (port 0: any). Started when all do.

        Raises OSError: a port cannot listen there.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.keep_time)
            for port, (host, number) in listen.items():
                try:
                    listeners = await trio.open_tcp_listeners(number, host=host)
                except OSError as error:
                    text = f"port {port:02X} cannot listen at {host}:{number}: {error.strerror}"
                    raise OSError(error.errno, text) from error
                name = listeners[0].socket.getsockname()
                self.addresses[port] = name[0], name[1]
                nursery.start_soon(self._serve_listeners, port, listeners)
            task_status.started()

    async def _serve_listeners(self, port: int, listeners: list[trio.SocketListener]) -> None:
        async def accepted(stream: trio.SocketStream) -> None:
            await self.serve_port(port, stream)

        await trio.serve_listeners(accepted, listeners)

    async def serve_port(self, port: int, stream: trio.abc.Stream) -> None:
        """Attach a stream to a port until it ends, breaks, carries what is no record, or takes nothing for 30 s.

        Owns the stream. A port that has one already takes no other: the new stream is closed.
        """
        async with stream:
            if port in self._attached:
                return
            self._attached.add(port)
            tap = self._make_tap(port) if self._make_tap else None
            self._director.attach(port, trio.current_time())
            self._clock.set()
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, port, stream, tap)
                    await self._read(port, stream, tap)
                    nursery.cancel_scope.cancel()
            except* (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, FormatError):
                pass  # the same as an end: there is no light any more
            finally:
                self._attached.discard(port)
                self._director.detach(port, trio.current_time())
                self._clock.set()

    async def keep_time(self) -> None:
        """Wake the director when it is due."""
        while True:
            self._clock = trio.Event()
            wake_at = self._director.next_wake
            with trio.move_on_at(math.inf if wake_at is None else wake_at):
                await self._clock.wait()
            now = trio.current_time()
            wake_at = self._director.next_wake
            if wake_at is not None and wake_at <= now:
                self._director.wake(now)

    def _output(self, port: int) -> None:
        self._news[port].set()
        self._clock.set()

    async def _read(self, port: int, stream: trio.abc.Stream, tap: Tap | None) -> None:
        reader = RecordReader()
        while data := await stream.receive_some(RECEIVE_BYTES):
            now = trio.current_time()
            for record in reader.feed(bytes(data)):
                if tap is not None:
                    tap(False, encode_raw(record), now)
                self._director.receive(port, record, now)
            if reader.failed:
                reader.finish()  # raises FormatError
            self._clock.set()

    async def _write(self, port: int, stream: trio.abc.Stream, tap: Tap | None) -> None:
        while True:
            self._news[port] = news = trio.Event()
            records = [encode_raw(item) for item in self._director.take(port)]
            if not records:
                await news.wait()
                continue
            if tap is not None:
                now = trio.current_time()
                for record in records:
                    tap(True, record, now)
            with trio.fail_after(SEND_TIMEOUT_S):
                await stream.send_all(b"".join(records))
