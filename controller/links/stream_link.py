"""Runs one link over one byte stream: records in, records out, timers. No rules.

What a received record makes the link say is written at once, as far as the socket takes it; only what is left waits
for the writing task. So a frame costs no task switch, and receiving never waits for sending: two ends that both have
much to say cannot block each other. A third task keeps the link's timers and watches over a peer that takes nothing.
Source of the records: escon-frames 1.7.
"""

import math
import os
from collections.abc import Callable
from contextlib import suppress

import trio

from ccw.errors import FormatError
from ccw.frames import Frame
from ccw.records import RecordReader, encode_raw, encode_record, encode_sequence
from controller.channel import Link
from controller.links.threads import Bell
from controller.remote_copy.ports import ArrayFault

RECEIVE_BYTES = 262_144
SEND_TIMEOUT_S = 30.0

Tap = Callable[[bool, bytes, float], None]  # (sent, record, trio time): is shown every record; must not raise or wait


class LinkError(Exception):
    """The stream broke or carried something that is no record; the link is over."""


async def run_link(link: Link, stream: trio.abc.Stream, tap: Tap | None = None) -> None:
    """Run `link` until the stream ends. Owns `stream`.

    Raises LinkError when the peer sends what is no record, or takes nothing for 30 s. On return or error the link
    has been told that its connection is lost.
    """
    await run(Runner(link, stream, tap), link, stream)


async def run(runner: "Runner", link: Link, stream: trio.abc.Stream) -> None:
    """As `run_link`, with a runner of one's own."""
    link.on_output = runner.wake
    try:
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(runner.keep_time)
            nursery.start_soon(runner.write)
            await runner.read()
            nursery.cancel_scope.cancel()  # the peer closed: stop the others
    except* (trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # the same as an end: the peer is gone
    except* LinkError as group:
        raise LinkError(str(group.exceptions[0])) from group
    finally:
        link.on_output = _nothing
        link.connection_lost(trio.current_time())


def _nothing() -> None:
    """Output of a link whose stream is gone goes nowhere."""


class Runner:
    """One link on its stream."""

    def __init__(self, link: Link, stream: trio.abc.Stream, tap: Tap | None) -> None:
        self._tap = tap
        self._link = link
        self._stream = stream
        self._descriptor = stream.socket.fileno() if isinstance(stream, trio.SocketStream) else None
        self._news = Bell()
        self._armed = math.inf  # when keep_time wakes by itself
        self._backlog: list[bytes] = []  # what the socket did not take at once
        self._backlog_event = trio.Event()
        self._sending_since: float | None = None
        self._receive_bytes = RECEIVE_BYTES

    def wake(self) -> None:
        """The link has something to say outside of `receive`."""
        self._news.ring()

    async def read(self) -> None:
        """Feed the link from the stream until it ends."""
        link, reader, tap = self._link, RecordReader(), self._tap
        while data := await self._receive():
            now = trio.current_time()
            try:
                for record in reader.feed(data):
                    if tap is not None:
                        tap(False, encode_raw(record), now)
                    link.receive(record, now)
                if reader.failed:
                    reader.finish()
            except FormatError as error:
                raise LinkError(str(error)) from error
            except ArrayFault as fault:
                raise LinkError(f"the array takes nothing more: {fault}") from fault
            self._say(now)
            deadline = link.next_wake
            if deadline is not None and deadline < self._armed:
                self._news.ring()

    async def _receive(self) -> bytes:
        """What comes next. A socket is waited for and then read: asked first, it has nothing nearly every time."""
        if self._descriptor is None:
            return bytes(await self._stream.receive_some(self._receive_bytes))
        await trio.lowlevel.wait_readable(self._descriptor)
        try:
            return os.read(self._descriptor, self._receive_bytes)
        except BlockingIOError:
            return bytes(await self._stream.receive_some(self._receive_bytes))
        except OSError as error:
            raise trio.BrokenResourceError from error

    async def keep_time(self) -> None:
        """Pass on what the link says on its own account, wake it when it is due, watch over a stuck peer."""
        link = self._link
        while True:
            self._say(trio.current_time())
            self._armed = self._deadline()
            with trio.move_on_at(self._armed):
                await self._news.wait()
            now = trio.current_time()
            if self._sending_since is not None and now >= self._sending_since + SEND_TIMEOUT_S:  # as in _deadline
                raise LinkError(f"the peer took nothing for {SEND_TIMEOUT_S:.0f} s")
            deadline = link.next_wake
            if deadline is not None and now >= deadline:
                link.wake(now)

    async def write(self) -> None:
        """Send what could not be written at once."""
        while True:
            await self._backlog_event.wait()
            self._backlog_event = trio.Event()
            while self._backlog:
                data = b"".join(self._backlog)
                self._backlog.clear()
                self._sending_since = trio.current_time()
                self._news.ring()  # keep_time watches from now on
                await self._stream.send_all(data)
                self._sending_since = None

    def _deadline(self) -> float:
        deadline = self._link.next_wake
        stuck = math.inf if self._sending_since is None else self._sending_since + SEND_TIMEOUT_S
        return min(stuck, math.inf if deadline is None else deadline)

    def _say(self, now: float) -> None:
        """Write what the link has to say, or leave it to the writing task."""
        items = self._link.take()
        if not items:
            return
        records = [encode_record(item) if isinstance(item, Frame) else encode_sequence(item.kind) for item in items]
        if self._tap is not None:
            for record in records:
                self._tap(True, record, now)
        data = b"".join(records)
        written = 0
        if self._descriptor is not None and not self._backlog and self._sending_since is None:
            with suppress(OSError):  # would block, or broken: the writing task finds out
                written = os.write(self._descriptor, data)
        if written < len(data):
            self._backlog.append(data[written:])
            self._backlog_event.set()
