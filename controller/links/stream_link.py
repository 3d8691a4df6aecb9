"""Runs one link over one byte stream: records in, records out, timers. No rules.

Source of the records: escon-frames 1.7.
"""

import math
from collections.abc import Callable

import trio

from ccw.errors import FormatError
from ccw.frames import Frame
from ccw.records import RecordReader, encode_record, encode_sequence
from controller.channel import Link
from controller.remote_copy.ports import ArrayFault

RECEIVE_BYTES = 262_144
SEND_TIMEOUT_S = 30.0


class LinkError(Exception):
    """The stream broke or carried something that is no record; the link is over."""


async def run_link(link: Link, stream: trio.abc.Stream) -> None:
    """Run `link` until the stream ends. Owns `stream`.

    Raises LinkError when the peer sends what is no record, or takes nothing for 30 s. On return or error the link
    has been told that its connection is lost.
    """
    wake = _Wake()
    link.on_output = wake.set
    try:
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(_write, link, stream, wake)
            await _read(link, stream, wake)
            nursery.cancel_scope.cancel()  # the peer closed: stop the writer
    except* (trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # the same as an end: the peer is gone
    finally:
        link.on_output = _nothing
        link.connection_lost(trio.current_time())


def _nothing() -> None:
    """Output of a link whose stream is gone goes nowhere."""


class _Wake:
    """An event that can be set again and again."""

    def __init__(self) -> None:
        self._event = trio.Event()
        self.set: Callable[[], None] = self._set

    def _set(self) -> None:
        self._event.set()

    async def wait_until(self, deadline: float) -> None:
        with trio.move_on_at(deadline):
            await self._event.wait()
        self._event = trio.Event()


async def _read(link: Link, stream: trio.abc.Stream, wake: _Wake) -> None:
    reader = RecordReader()
    while data := await stream.receive_some(RECEIVE_BYTES):
        try:
            records = reader.feed(bytes(data))
        except FormatError as error:
            raise LinkError(str(error)) from error
        now = trio.current_time()
        try:
            for record in records:
                link.receive(record, now)
        except ArrayFault as fault:
            raise LinkError(f"the array takes nothing more: {fault}") from fault
        wake.set()


async def _write(link: Link, stream: trio.abc.Stream, wake: _Wake) -> None:
    while True:
        items = link.take()
        if items:
            data = b"".join(
                encode_record(item) if isinstance(item, Frame) else encode_sequence(item.kind) for item in items
            )
            try:
                with trio.fail_after(SEND_TIMEOUT_S):
                    await stream.send_all(data)
            except trio.TooSlowError as error:
                raise LinkError(f"the peer took nothing for {SEND_TIMEOUT_S:.0f} s") from error
            continue
        deadline = link.next_wake
        await wake.wait_until(math.inf if deadline is None else deadline)
        if deadline is not None and trio.current_time() >= deadline:
            link.wake(trio.current_time())
