"""A host's session on a simulated wire: the production session; under it an end of a wire in place of a stream."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing

from ccw.records import RawFrame, SequenceRecord
from host_emulator.link import HostLinkSettings
from host_emulator.session import HostSession
from host_emulator.wire import Wire
from tests.sim.post import Post
from tests.sim.wires import End

_NO_STREAM, _ = trio.testing.memory_stream_pair()  # never used: the end carries everything


class EndOfWire(Wire):
    """What the production wire's tasks do is done when a record comes, or the time does."""

    def __init__(self, end: End, post: Post, session: HostSession) -> None:
        super().__init__(_NO_STREAM, session._link, heard=session._heard, changed=session._notify)
        self._end = end
        self._post = post
        end.attach(session._link, self._record, self._woken, lambda now: self._lose())

    def _record(self, record: RawFrame | SequenceRecord, now: float) -> None:
        self._hear([record])

    def _woken(self, now: float) -> None:
        was_busy = self._link.busy
        self._link.wake(now)
        if was_busy and not self._link.busy:
            self._changed()

    async def flush(self) -> None:
        """Send what the link has to say; that never waits."""
        self._end.speak()

    def arm(self) -> None:
        """Have the link woken when it wants to be."""
        self._end.arm()

    def say_last_words(self) -> None:
        """The acceptance of the last status goes out by itself, when nothing takes it along."""
        self._post.at(trio.current_time(), self._end.speak)


@asynccontextmanager
async def wired_session(
    end: End, post: Post, settings: HostLinkSettings, busy_timeout_s: float
) -> AsyncIterator[HostSession]:
    """A session over one end of a wire, with the logical path established."""
    try:
        session = HostSession(_NO_STREAM, settings, busy_timeout_s=busy_timeout_s)
        session.wire = EndOfWire(end, post, session)
        await session.connect()
        yield session
    finally:
        end.lost()
        end.other.lost()
