"""Threads beside the event loop: who may touch the core, and how a task is woken from another thread.

The core is not made for two threads at once, and need not be: it belongs to whoever holds the `CoreLock`. The event
loop's thread holds it all the time except while it waits for I/O, so tasks need not know of it; a thread that wants to
hand a request to the core, or to tell it that a commit is done, takes it for as long as that lasts. A lock in front of
the lock lets the two sides take turns: neither can shut the other out by being busy.

What the core calls in turn may so run on any thread. Tasks that it wakes wait on a `Bell`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import trio


class CoreLock(trio.abc.Instrument):
    """The right to touch the core of one trio run. `of_this_run` makes it; other threads use it as `with` does."""

    def __init__(self) -> None:
        self._door = threading.Lock()
        self._lock = threading.Lock()
        self._deferred: list[Callable[[], None]] = []

    @classmethod
    def of_this_run(cls) -> CoreLock:
        """The lock of the trio run we are in, which holds it from now on unless it waits for I/O."""
        try:
            return _OF_RUN.get()
        except LookupError:
            lock = cls()
            lock.__enter__()
            trio.lowlevel.add_instrument(lock)
            _OF_RUN.set(lock)
            return lock

    def __enter__(self) -> None:
        with self._door:
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        if not self._deferred:
            self._lock.release()
            return
        deferred, self._deferred = self._deferred, []
        self._lock.release()
        for action in deferred:
            action()

    def defer(self, action: Callable[[], None]) -> None:
        """Call `action` when the core is let go: what wakes a thread that would only wait for it until then."""
        self._deferred.append(action)

    def before_io_wait(self, timeout: float) -> None:
        """The event loop has nothing to do for now."""
        self.__exit__()

    def after_io_wait(self, timeout: float) -> None:
        """The event loop goes on."""
        self.__enter__()


_OF_RUN: trio.lowlevel.RunVar[CoreLock] = trio.lowlevel.RunVar("core lock")


class Bell:
    """What one task waits for and whoever has the core may ring, on any thread. Made inside a trio run."""

    __slots__ = ("_event", "_home", "_token")

    def __init__(self) -> None:
        self._event = trio.Event()
        self._home = threading.get_ident()
        self._token = trio.lowlevel.current_trio_token()

    def ring(self) -> None:
        """Wake who waits, or the next one who does."""
        if threading.get_ident() == self._home:
            self._event.set()
        else:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self.ring)

    async def wait(self) -> None:
        """Wait until the bell was rung; it is silent again then."""
        await self._event.wait()
        self._event = trio.Event()


async def run_in_thread(body: Callable[[], None], stop: Callable[[], None]) -> None:
    """Run `body` in a thread of its own. Ends with it; when cancelled, `stop` is called, which has to end it."""

    async def stop_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            stop()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop_when_cancelled)
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(body, limiter=trio.CapacityLimiter(1))
        nursery.cancel_scope.cancel()
