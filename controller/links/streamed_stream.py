"""Runs a wide-area link over its connection: large reads, views instead of copies, many records in one send.

What `stream_link` says of tasks holds here too. A socket takes the parts of many records in one call, as they are;
another stream (TLS, a shaped one) takes them joined.
"""

import os
from collections import deque
from contextlib import suppress
from itertools import islice

import trio

from ccw.errors import FormatError
from ccw.escon import WAN_INFORMATION_LENGTH_MAX
from ccw.records import SequenceRecord, encode_raw, encode_record, encode_sequence
from ccw.streamed import Buffer, EncodedRecord, Received, ReceivedData, StreamedReader
from controller.channel import StreamedLink
from controller.links.stream_link import LinkError, Runner, Tap, run
from controller.remote_copy.ports import ArrayFault

RECEIVE_BYTES = 1 << 20
RECORDS_A_TURN = 64  # of what is received, taken at once: some twenty tracks
PARTS_MAX = 128  # of one send, about a megabyte: the operating system takes 1,024, but seldom all of their bytes
JOINED_BYTES = 1 << 19  # for a stream that takes no parts


async def run_streamed_link(link: StreamedLink, stream: trio.abc.Stream, tap: Tap | None = None) -> None:
    """Run `link` until the connection ends. Owns `stream`. As `stream_link.run_link`; LinkError when it breaks off."""
    await run(StreamedRunner(link, stream, tap), link, stream)


class StreamedRunner(Runner):
    """One wide-area link on its connection."""

    _link: StreamedLink

    def __init__(self, link: StreamedLink, stream: trio.abc.Stream, tap: Tap | None) -> None:
        super().__init__(link, stream, tap)
        self._parts: deque[Buffer] = deque()  # to be sent
        self._receive_bytes = RECEIVE_BYTES

    async def read(self) -> None:
        """Feed the link from the connection until that ends, or the link cannot go on."""
        link, reader = self._link, StreamedReader()
        while data := await self._receive():
            now = trio.current_time()
            try:
                records = reader.feed(data)
                if self._tap is not None:
                    self._show(records, now)
                await self._take(records, now)
                if reader.failed:
                    reader.finish()
            except FormatError as error:
                raise LinkError(str(error)) from error
            except ArrayFault as fault:
                raise LinkError(f"the array takes nothing more: {fault}") from fault
            if link.broken is not None:
                raise LinkError(link.broken)
            self._say(now)
            deadline = link.next_wake
            if deadline is not None and deadline < self._armed:
                self._news.ring()

    async def _take(self, records: list[Received], now: float) -> None:
        """Feed the link, a part at a time: who else has the core, or waits for it, has a turn in between."""
        self._link.receive_all(records[:RECORDS_A_TURN], now)
        for start in range(RECORDS_A_TURN, len(records), RECORDS_A_TURN):
            self._say(now)
            await trio.lowlevel.checkpoint()
            self._link.receive_all(records[start : start + RECORDS_A_TURN], now)

    def _show(self, records: list[Received], now: float) -> None:
        assert self._tap is not None
        for record in records:
            self._tap(False, record.encode() if isinstance(record, ReceivedData) else encode_raw(record), now)

    def _say(self, now: float) -> None:
        """Send what the link has to say, as far as the socket takes it at once; after what waits for that already."""
        if self._link.broken is not None:
            raise LinkError(self._link.broken)
        if self._parts:
            return
        items = self._link.take_encoded()
        for item in items:
            if isinstance(item, EncodedRecord):
                self._parts.extend(item.parts)
            elif isinstance(item, SequenceRecord):
                self._parts.append(encode_sequence(item.kind))
            else:
                self._parts.append(encode_record(item, WAN_INFORMATION_LENGTH_MAX))
            if self._tap is not None:
                parts = item.parts if isinstance(item, EncodedRecord) else (self._parts[-1],)
                self._tap(True, b"".join(parts), now)
        if self._descriptor is not None and self._sending_since is None:
            self._write_parts(self._descriptor)
        if self._parts or self._link.keeps_waiting:
            self._backlog_event.set()

    def _write_parts(self, descriptor: int) -> None:
        """Send parts until the socket takes no more."""
        parts = self._parts
        with suppress(OSError):  # would block, or broken: the writing task finds out
            while parts:
                left = os.writev(descriptor, list(islice(parts, PARTS_MAX)))
                while left:
                    first = len(parts[0])
                    if left < first:
                        parts[0] = memoryview(parts[0])[left:]
                        return
                    left -= first
                    parts.popleft()

    async def write(self) -> None:
        """Send what could not be sent at once, and then what the link has kept waiting."""
        while True:
            await self._backlog_event.wait()
            self._backlog_event = trio.Event()
            while self._parts or self._link.keeps_waiting:
                if self._sending_since is None:
                    self._sending_since = trio.current_time()
                    self._news.ring()  # keep_time watches from now on
                if self._descriptor is not None:
                    await trio.lowlevel.wait_writable(self._descriptor)
                    self._write_parts(self._descriptor)
                else:
                    await self._stream.send_all(self._joined())
                self._sending_since = None
                self._say(trio.current_time())

    def _joined(self) -> bytes:
        taken: list[Buffer] = []
        length = 0
        while self._parts and length < JOINED_BYTES:
            taken.append(self._parts.popleft())
            length += len(taken[-1])
        return b"".join(taken)
