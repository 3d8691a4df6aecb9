"""One channel on one TCP connection (trio): runs programs one at a time, keeps unsolicited statuses.

    async with open_session("127.0.0.1", 3990) as session:
        result = await session.run(0x10, run_program(program))
        for status in session.attentions():
            ...

A busy device is tried again when its device end comes. A program is repeated only when asked for (`retries`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import trio

from ccw.ccws import ChannelStatus, UnitStatus
from host_emulator.channel import ChannelProgram, InterfaceControlCheck, ProgramResult, Response, Start, run_program
from host_emulator.link import HostCounters, HostLink, HostLinkSettings, LinkFailure, NoPath, Unsolicited
from host_emulator.wire import Tap, Wire

ATTENTIONS_KEPT = 4096

T = TypeVar("T")

_BUSY = int(UnitStatus.BUSY)
_NOTHING = Start(0x03, 0, 0, b"", False)


@dataclass(frozen=True, slots=True)
class SessionStatistics:
    """A snapshot of counts since the connection was made."""

    bytes_received: int  # on the wire, record headers included
    bytes_sent: int
    programs: int
    commands: int
    busy_waits: int
    link: HostCounters


class _Run:
    """A program under way. `start`: the command that was begun last; `ended`: with `value`, or with `error`."""

    def __init__(self, unit_address: int, program: Generator[Start, Response, Any], busy_timeout_s: float) -> None:
        self.unit_address = unit_address
        self.busy_timeout_s = busy_timeout_s
        self.program = program
        self.start: Start = _NOTHING
        self.ended = False
        self.value: Any = None
        self.error: BaseException | None = None

    def give(self, response: Response) -> Start | None:
        """Hand the answer to the program; its next command, or None at its end."""
        try:
            return self.program.send(response)
        except StopIteration as stop:
            self.value = stop.value
        except BaseException as error:  # raised where the program is waited for
            self.error = error
        self.ended = True
        return None


class HostSession:
    """One connection to a control unit. Made by `open_session` or `session_over`."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        settings: HostLinkSettings | None = None,
        *,
        busy_timeout_s: float = 60.0,
        tap: Tap | None = None,
        keep_device_ends: bool = False,
    ) -> None:
        """`busy_timeout_s`: how long a busy device is waited for; then its busy status is the answer.

        `keep_device_ends`: a device end or control-unit end that only says "free again" is kept like other statuses.
        """
        self._keep_device_ends = keep_device_ends
        self.on_program: Callable[[int, ChannelProgram, ProgramResult], None] | None = None  # told of each that ended
        self._link = HostLink(settings)
        self.wire = Wire(stream, self._link, heard=self._heard, changed=self._notify, tap=tap)
        self._busy_timeout_s = busy_timeout_s
        self._statuses: deque[Unsolicited] = deque(maxlen=ATTENTIONS_KEPT)
        self._freed: set[tuple[int | None, int]] = set()  # (unit, device end), (None, control-unit end): came lately
        self._changed = trio.Event()
        self._exchange = trio.Lock()
        self._run: _Run | None = None
        self._programs = self._commands = self._busy_waits = 0

    # Link level

    async def connect(self, image: int = 0, header: bytes = b"") -> None:
        """Acquire a link address and establish the logical path. Raises LinkFailure, NoPath when it is refused."""
        async with self._exchange:
            await self._perform(self._link.acquire_address())
        await self.establish(image, header)

    async def establish(self, image: int = 0, header: bytes = b"") -> None:
        """Establish the logical path to a control-unit image, 0-15. Raises LinkFailure, NoPath when it is refused.

        `header`: 40 bytes by which a storage system says that the path is a peer's.
        """
        async with self._exchange:
            await self._perform(self._link.establish(image, header))

    async def disestablish(self) -> None:
        """Remove the logical path."""
        async with self._exchange:
            await self._perform(self._link.remove())

    async def identify(self) -> bytes:
        """The 32-byte node descriptor of the control unit."""
        async with self._exchange:
            return bytes(await self._perform(self._link.identify()))

    # Device level

    async def run(
        self, unit_address: int, program: Generator[Start, Response, T], busy_timeout_s: float | None = None
    ) -> T:
        """Run one program to its end and return what it returns. `busy_timeout_s`: None as the session's.

        A failure of the link is thrown into the program; `run_program` makes it an interface control check.
        """
        try:
            self._exchange.acquire_nowait()
        except trio.WouldBlock:
            await self._exchange.acquire()
        try:
            self._programs += 1
            patience = self._busy_timeout_s if busy_timeout_s is None else busy_timeout_s
            self._run = run = _Run(unit_address, program, patience)
            try:
                return cast(T, await self._drive(run))
            finally:
                self._run = None
                program.close()
                self._link.end_chain()
                if self._link.busy:  # cancelled in the middle
                    self._link.abandon(trio.current_time())
                self.wire.say_last_words()
        finally:
            self._exchange.release()

    async def run_program(
        self, unit_address: int, program: ChannelProgram, retries: int = 0, busy_timeout_s: float | None = None
    ) -> ProgramResult:
        """Run a channel program; after an interface control check again, at most `retries` times.

        Only programs that bear being executed twice should be given retries.
        """
        result = await self.run(unit_address, run_program(program), busy_timeout_s)
        for _ in range(retries):
            if not result.channel_status & ChannelStatus.INTERFACE_CONTROL_CHECK:
                break
            result = await self.run(unit_address, run_program(program), busy_timeout_s)
        if self.on_program is not None:
            self.on_program(unit_address, program, result)
        return result

    async def selective_reset(self, unit_address: int) -> None:
        """Reset one device for this path."""
        async with self._exchange:
            await self._perform(self._link.selective_reset(unit_address))

    async def system_reset(self) -> None:
        """Reset everything on this path."""
        async with self._exchange:
            await self._perform(self._link.system_reset())

    async def cancel(self, unit_address: int) -> None:
        """End what one device does for this path."""
        async with self._exchange:
            await self._perform(self._link.cancel(unit_address))

    async def request_status(self, unit_address: int) -> bool:
        """Ask for a stacked status; what there is can be taken as an attention."""
        async with self._exchange:
            return bool(await self._perform(self._link.request_status(unit_address)))

    async def _drive(self, run: _Run) -> Any:
        program = run.program
        try:
            run.start = next(program)
            while True:
                if not run.start.chained:
                    self._link.end_chain()
                try:
                    response = await self._command(run)
                except InterfaceControlCheck as failure:
                    run.start = program.throw(failure)
                else:
                    if run.error is not None:
                        raise run.error
                    if run.ended:
                        return run.value
                    run.start = program.send(response)
        except StopIteration as stop:
            return stop.value

    async def _command(self, run: _Run) -> Response:
        """Carry `run.start` out, and the chained commands behind it as far as `_go_on` gets; the last one's answer."""
        give_up_at = trio.current_time() + run.busy_timeout_s
        while True:
            self._commands += 1
            self._freed.clear()
            response: Response = await self._perform(self._link.command(run.unit_address, run.start))
            if run.ended or run.start.chained or not response.status & _BUSY:
                return response
            self._busy_waits += 1
            if not await self._until_free(run.unit_address, response, give_up_at):
                return response

    def _go_on(self) -> bool:
        """Give the answer to the program under way and begin its next chained command, in the task that heard it.

        So a command of a chain costs no task switch. False: the task that runs the program has to look.
        """
        run, link = self._run, self._link
        if run is None or link.failed:
            return False
        response: Response = link.result()
        if response.status & _BUSY and not run.start.chained:
            return False
        start = run.give(response)
        if start is None:
            return False
        run.start = start
        self._commands += 1
        if not start.chained:
            link.end_chain()
        link.begin(link.command(run.unit_address, start), trio.current_time())
        return link.busy

    async def _until_free(self, unit_address: int, response: Response, give_up_at: float) -> bool:
        """After busy: wait for what makes the device free; False when it took too long.

        Raises LinkFailure when the link is lost meanwhile: nothing says then that the device is busy still.
        """
        pending = response.status & ~UnitStatus.BUSY
        if pending & (UnitStatus.DEVICE_END | UnitStatus.ATTENTION):  # a status owed to us came in place of the answer
            self._statuses.append(Unsolicited(unit_address, int(pending), response.sense or b""))
            return True
        freed: tuple[int | None, int] = (None, int(UnitStatus.CONTROL_UNIT_END))
        if not pending & UnitStatus.STATUS_MODIFIER:
            freed = (unit_address, int(UnitStatus.DEVICE_END))
        while freed not in self._freed and trio.current_time() < give_up_at and not self._link.lost:
            with trio.move_on_at(give_up_at):
                await self._changed.wait()
        if freed not in self._freed and self._link.lost:
            raise LinkFailure("the link is lost")
        return freed in self._freed

    # Unsolicited status

    def attentions(self) -> list[Unsolicited]:
        """Every unsolicited status that came since the last call."""
        taken = list(self._statuses)
        self._statuses.clear()
        return taken

    async def attention(self) -> Unsolicited:
        """The next unsolicited status; waits for one. Raises LinkFailure when the link is lost."""
        while not self._statuses:
            if self._link.lost:
                raise LinkFailure("the link is lost")
            await self._changed.wait()
        return self._statuses.popleft()

    def __aiter__(self) -> HostSession:
        """Unsolicited statuses, until the link is lost."""
        return self

    async def __anext__(self) -> Unsolicited:
        try:
            return await self.attention()
        except LinkFailure:
            raise StopAsyncIteration from None

    def statistics(self) -> SessionStatistics:
        """Counts so far."""
        return SessionStatistics(
            self.wire.bytes_received,
            self.wire.bytes_sent,
            self._programs,
            self._commands,
            self._busy_waits,
            self._link.counters,
        )

    # What the wire brings

    async def _perform(self, script: Generator[float, Any, Any]) -> Any:
        """Carry one exchange of the link to its end."""
        link = self._link
        link.begin(script, trio.current_time())
        await self.wire.flush()
        self.wire.arm()
        while link.busy:
            await self._changed.wait()
        return link.result()

    def _heard(self, was_busy: bool) -> None:
        """Records came: go on with the program under way, and keep the statuses that nobody asked for."""
        link = self._link
        if link.unsolicited or (was_busy and not link.busy and not self._go_on()):
            self._notify()
        while link.unsolicited:
            self._take_status(link.unsolicited.popleft())

    def _take_status(self, status: Unsolicited) -> None:
        """Keep a status for whoever asks, unless it only says that something is free again."""
        if status.status & UnitStatus.DEVICE_END:
            self._freed.add((status.unit_address, int(UnitStatus.DEVICE_END)))
        if status.status & UnitStatus.CONTROL_UNIT_END:
            self._freed.add((None, int(UnitStatus.CONTROL_UNIT_END)))
        if self._keep_device_ends or status.status & ~(UnitStatus.DEVICE_END | UnitStatus.CONTROL_UNIT_END):
            self._statuses.append(status)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


@asynccontextmanager
async def session_over(
    stream: trio.abc.Stream,
    image: int = 0,
    settings: HostLinkSettings | None = None,
    *,
    busy_timeout_s: float = 60.0,
    tap: Tap | None = None,
    keep_device_ends: bool = False,
    header: bytes = b"",
) -> AsyncIterator[HostSession]:
    """A session over a stream, with the logical path established. Owns `stream`."""
    try:
        async with stream, trio.open_nursery() as nursery:
            session = HostSession(
                stream, settings, busy_timeout_s=busy_timeout_s, tap=tap, keep_device_ends=keep_device_ends
            )
            nursery.start_soon(session.wire.read)
            nursery.start_soon(session.wire.keep_time)
            nursery.start_soon(session.wire.send_last_words)
            await session.connect(image, header)
            yield session
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:  # the body's own; the reader raises nothing
            raise group.exceptions[0] from group.exceptions[0].__cause__
        raise


@asynccontextmanager
async def open_session(
    host: str,
    port: int,
    image: int = 0,
    settings: HostLinkSettings | None = None,
    *,
    busy_timeout_s: float = 60.0,
    tap: Tap | None = None,
) -> AsyncIterator[HostSession]:
    """A session with the control unit that listens at `host`, `port`. Raises OSError when nobody does."""
    stream = await trio.open_tcp_stream(host, port)
    async with session_over(stream, image, settings, busy_timeout_s=busy_timeout_s, tap=tap) as session:
        yield session


__all__ = ["HostSession", "NoPath", "SessionStatistics", "open_session", "session_over"]
