"""Runs one link over one byte stream: records in, records out, timers. No rules.

What a received record makes the link say is sent by the task that received it, so a frame costs no task switch; a
second task sends what the link says on its own account and keeps its timers.
Source of the records: escon-frames 1.7.
"""

import math
from collections.abc import Callable

import trio

from ccw.errors import FormatError
from ccw.frames import Frame
from ccw.records import RecordReader, encode_raw, encode_record, encode_sequence
from controller.channel import Link
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
    runner = _Runner(link, stream, tap)
    link.on_output = runner.wake
    try:
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(runner.keep_time)
            await runner.read()
            nursery.cancel_scope.cancel()  # the peer closed: stop the timers
    except* (trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # the same as an end: the peer is gone
    except* LinkError as group:
        raise LinkError(str(group.exceptions[0])) from group
    finally:
        link.on_output = _nothing
        link.connection_lost(trio.current_time())


def _nothing() -> None:
    """Output of a link whose stream is gone goes nowhere."""


class _Runner:
    """One link on its stream."""

    def __init__(self, link: Link, stream: trio.abc.Stream, tap: Tap | None) -> None:
        self._tap = tap
        self._link = link
        self._stream = stream
        self._event = trio.Event()
        self._armed = math.inf  # when keep_time wakes by itself
        self._sending_since: float | None = None

    def wake(self) -> None:
        """The link has something to say outside of `receive`."""
        self._event.set()

    async def read(self) -> None:
        """Feed the link from the stream until it ends."""
        link, reader, tap = self._link, RecordReader(), self._tap
        while data := await self._stream.receive_some(RECEIVE_BYTES):
            now = trio.current_time()
            try:
                for record in reader.feed(bytes(data)):
                    if tap is not None:
                        tap(False, encode_raw(record), now)
                    link.receive(record, now)
                if reader.failed:
                    reader.finish()
            except FormatError as error:
                raise LinkError(str(error)) from error
            except ArrayFault as fault:
                raise LinkError(f"the array takes nothing more: {fault}") from fault
            await self._flush()
            deadline = link.next_wake
            if deadline is not None and deadline < self._armed:
                self._event.set()

    async def keep_time(self) -> None:
        """Send what the link says on its own account, wake it when it is due, watch over a stuck peer."""
        link = self._link
        while True:
            self._event = trio.Event()
            await self._flush()
            self._armed = self._deadline()
            with trio.move_on_at(self._armed):
                await self._event.wait()
            now = trio.current_time()
            if self._sending_since is not None and now >= self._sending_since + SEND_TIMEOUT_S:  # as in _deadline
                raise LinkError(f"the peer took nothing for {SEND_TIMEOUT_S:.0f} s")
            deadline = link.next_wake
            if deadline is not None and now >= deadline:
                link.wake(now)

    def _deadline(self) -> float:
        deadline = self._link.next_wake
        stuck = math.inf if self._sending_since is None else self._sending_since + SEND_TIMEOUT_S
        return min(stuck, math.inf if deadline is None else deadline)

    async def _flush(self) -> None:
        """Send everything there is. When another task is sending, it takes this along."""
        if self._sending_since is not None:
            return
        try:
            while items := self._link.take():
                self._sending_since = trio.current_time()
                records = [
                    encode_record(item) if isinstance(item, Frame) else encode_sequence(item.kind) for item in items
                ]
                if self._tap is not None:
                    for record in records:
                        self._tap(True, record, self._sending_since)
                await self._stream.send_all(b"".join(records))
        finally:
            self._sending_since = None
