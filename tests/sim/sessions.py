"""A host's session whose link lives on a simulated wire: the production session without a stream and its tasks."""

from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from typing import TypeVar

import trio
import trio.testing

from ccw.records import RawFrame, SequenceRecord
from host_emulator.channel import Response, Start
from host_emulator.link import HostLinkSettings
from host_emulator.session import HostSession
from tests.sim.post import Post
from tests.sim.wires import End

T = TypeVar("T")

_NO_STREAM, _ = trio.testing.memory_stream_pair()  # never used: the wire carries everything


class WiredSession(HostSession):
    """What the production session's tasks do, done by the wire when a record comes or the time does."""

    def __init__(self, end: End, post: Post, settings: HostLinkSettings, busy_timeout_s: float) -> None:
        super().__init__(_NO_STREAM, settings, busy_timeout_s=busy_timeout_s)
        self._end = end
        self._post = post
        end.attach(self._link, self._heard, self._woken, lambda now: self._lose())

    async def run(self, unit_address: int, program: Generator[Start, Response, T]) -> T:
        """See `HostSession`. The acceptance of the last status goes out by itself, when nothing takes it along."""
        try:
            return await super().run(unit_address, program)
        finally:
            self._post.at(trio.current_time(), self._end.speak)

    def _heard(self, record: RawFrame | SequenceRecord, now: float) -> None:
        self._hear([record])

    def _woken(self, now: float) -> None:
        was_busy = self._link.busy
        self._link.wake(now)
        if was_busy and not self._link.busy:
            self._notify()

    async def _flush(self) -> None:
        self._end.speak()

    def _arm(self) -> None:
        self._end.arm()


@asynccontextmanager
async def wired_session(
    end: End, post: Post, settings: HostLinkSettings, busy_timeout_s: float
) -> AsyncIterator[HostSession]:
    """A session over one end of a wire, with the logical path established."""
    try:
        session = WiredSession(end, post, settings, busy_timeout_s)
        await session.connect()
        yield session
    finally:
        end.lost()
        end.other.lost()
