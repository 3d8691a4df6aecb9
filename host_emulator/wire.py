"""The wire under a session (trio): feeds a host link from a stream, and sends what the link has to say.

Three tasks, run by `session_over` in one nursery: `read`, `keep_time`, `send_last_words`. The session is told when
something came (`heard`) and when it has to look again (`changed`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable

import trio

from ccw.errors import FormatError
from ccw.frames import Frame
from ccw.records import RawFrame, RecordReader, SequenceRecord, encode_raw, encode_record, encode_sequence
from host_emulator.link import HostLink

RECEIVE_BYTES = 65_536

Tap = Callable[[bool, bytes, float], None]  # (sent, record, trio time): is shown every record; must not raise or wait


class Wire:
    """One stream of records under one link. Counts the bytes on it, record headers included."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        link: HostLink,
        *,
        heard: Callable[[bool], None],
        changed: Callable[[], None],
        tap: Tap | None = None,
    ) -> None:
        """`heard` is told after records came, with whether an exchange was under way before them."""
        self._stream = stream
        self._link = link
        self._heard = heard
        self._changed = changed
        self._tap = tap
        self._last_words = trio.lowlevel.ParkingLot()
        self._is_sending = False
        self._descriptor = stream.socket.fileno() if isinstance(stream, trio.SocketStream) else None
        self._rearm = trio.Event()
        self._armed = math.inf
        self.bytes_received = self.bytes_sent = 0

    async def read(self) -> None:
        """Feed the link from the stream until it ends."""
        reader = RecordReader()
        try:
            while data := await self._receive():
                self.bytes_received += len(data)
                self._hear(reader.feed(data))
                await self.flush()
                self.arm()
        except (trio.BrokenResourceError, trio.ClosedResourceError, FormatError):
            pass  # a stream that broke or carries no records is over, as one that ended
        self._lose()

    async def _receive(self) -> bytes:
        """What comes next. A socket is waited for and then read: asked first, it has nothing nearly every time."""
        if self._descriptor is None:
            return bytes(await self._stream.receive_some(RECEIVE_BYTES))
        await trio.lowlevel.wait_readable(self._descriptor)
        try:
            return os.read(self._descriptor, RECEIVE_BYTES)
        except BlockingIOError:
            return bytes(await self._stream.receive_some(RECEIVE_BYTES))
        except OSError as error:
            raise trio.BrokenResourceError from error

    async def keep_time(self) -> None:
        """Wake the link when an exchange has waited long enough."""
        link = self._link
        while True:
            self._rearm = trio.Event()
            deadline = link.next_wake
            self._armed = math.inf if deadline is None else deadline
            with trio.move_on_at(self._armed):
                await self._rearm.wait()
            was_busy = link.busy
            link.wake(trio.current_time())
            await self.flush()
            if was_busy and not link.busy:
                self._changed()

    async def send_last_words(self) -> None:
        """Accept the last status of a chain, when nothing else has been sent by then.

        A program that follows at once takes the acceptance along with its first command.
        """
        while True:
            await self._last_words.park()
            await self.flush()

    def say_last_words(self) -> None:
        """Let `send_last_words` look whether something is left to send."""
        self._last_words.unpark()

    def arm(self) -> None:
        """Let `keep_time` know of an earlier deadline; later ones it finds by itself when it wakes."""
        deadline = self._link.next_wake
        if deadline is not None and deadline < self._armed:
            self._rearm.set()

    def _hear(self, records: Iterable[RawFrame | SequenceRecord]) -> None:
        """Take what came, and tell whoever waits for it."""
        link = self._link
        was_busy = link.busy
        now = trio.current_time()
        for record in records:
            if self._tap is not None:
                self._tap(False, encode_raw(record), now)
            link.receive(record, now)
        self._heard(was_busy)

    async def flush(self) -> None:
        """Send what the link has to say. When another task is sending, it takes this along."""
        if self._is_sending:
            return
        self._is_sending = True
        try:
            while items := self._link.take():
                records = [
                    encode_record(item) if isinstance(item, Frame) else encode_sequence(item.kind) for item in items
                ]
                if self._tap is not None:
                    now = trio.current_time()
                    for record in records:
                        self._tap(True, record, now)
                data = b"".join(records)
                self.bytes_sent += len(data)
                written = self._write_now(data)
                if written < len(data):
                    await self._stream.send_all(data[written:])
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._lose()
        finally:
            self._is_sending = False

    def _write_now(self, data: bytes) -> int:
        """Bytes that the socket took without waiting; a stream that is no socket takes none this way."""
        if self._descriptor is None:
            return 0
        try:
            return os.write(self._descriptor, data)
        except OSError:  # would block, or broken: send_all finds out
            return 0

    def _lose(self) -> None:
        self._link.connection_lost(trio.current_time())
        self._changed()
