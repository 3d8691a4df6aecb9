"""One session, as a word uses it: orders, queries, and the names of the systems that nobody said.

A device that does not exist is None; a link that fails is `Unanswered`; an order or query that is refused is `Refused`
with what the channel program ended with. What an operator named wrongly, or not precisely enough, is `NotNamed`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from ccw.ccws import ChannelStatus, UnitStatus
from ccw.pprc import PprcOrder
from ccw.pprc_query import PathReport, QueueReport, VolumeQuery
from host_emulator import orders
from host_emulator.channel import ChannelProgram, ProgramResult
from host_emulator.orders import System
from host_emulator.session import HostSession
from host_emulator.words.systems import both, own_of, system_of, text_of
from host_emulator.words.tasks import ANY, Naming

UNIT_ADDRESSES = 256
BUSY_S = 2.0  # how long a query waits for a device that others use


class Unanswered(Exception):
    """The link failed: the system may have done what was asked, or not."""


class Refused(Exception):
    """The system refused: `result` has status and sense."""

    def __init__(self, result: ProgramResult) -> None:
        super().__init__("refused")
        self.result = result


class Busy(Refused):
    """The device is busy and stays so: an order for it waits for its copy (MSGREQ)."""


class NotNamed(Exception):
    """The system that is asked is another than was named, or a system that has to be known was not named."""


class Desk:
    """What a word sees of a session."""

    def __init__(self, session: HostSession) -> None:
        self._session = session
        self._device: int | None = None  # one that is there
        self._avoided: set[int] = set()  # those that have been found busy

    async def order(self, device: int, order: PprcOrder) -> None:
        """Send an order. Raises Refused, Unanswered, NotNamed when the device does not exist."""
        if await self._run(device, orders.pprc(order)) is None:
            raise NotNamed(f"there is no device {device:02X}")

    async def volume(self, device: int) -> VolumeQuery | None:
        """What the volume query says; None where there is no such device. Raises Refused, Busy, Unanswered."""
        data = await self._ask(device, orders.SCOPE_VOLUME)
        return None if data is None else VolumeQuery.decode(data)

    async def look(self, device: int) -> VolumeQuery | None:
        """The same of a device that exists; None where it is busy for BUSY_S. Raises Refused, Unanswered, NotNamed."""
        try:
            return await self.need_volume(device)
        except Busy:
            return None

    async def need_volume(self, device: int) -> VolumeQuery:
        """The same. Raises NotNamed where there is no such device."""
        found = await self.volume(device)
        if found is None:
            raise NotNamed(f"there is no device {device:02X}")
        return found

    async def paths(self) -> PathReport:
        """What the path query says. Raises Refused, Unanswered, NotNamed."""
        return PathReport.decode(await self._ask_any(orders.SCOPE_PATHS))

    async def queue(self) -> QueueReport:
        """What the queue query says. Raises Refused, Unanswered, NotNamed."""
        return QueueReport.decode(await self._ask_any(orders.SCOPE_QUEUE))

    async def volumes(self) -> list[tuple[int, VolumeQuery | None]]:
        """Every device there is, with what its query says, None where it is busy. Raises Refused, Unanswered."""
        found: list[tuple[int, VolumeQuery | None]] = []
        for device in range(UNIT_ADDRESSES):
            with suppress(NotNamed):
                found.append((device, await self.look(device)))
        return found

    async def any_device(self) -> int:
        """A device that exists and is not busy. Raises NotNamed when there is none."""
        await self._ask_any(orders.SCOPE_VOLUME)
        assert self._device is not None
        return self._device

    async def _ask_any(self, scope: int) -> bytes:
        """What some device that is not busy answers. Raises Refused, Unanswered, NotNamed."""
        first = [] if self._device is None else [self._device]
        for device in (*first, *range(UNIT_ADDRESSES)):
            if device in self._avoided:
                continue
            try:
                data = await self._ask(device, scope)
            except Busy:
                self._avoided.add(device)
                continue
            if data is not None:
                self._device = device
                return data
        self._avoided.clear()
        raise NotNamed("there is no device at this control-unit image that answers")

    async def _ask(self, device: int, scope: int) -> bytes | None:
        result = await self._run(device, orders.query(scope), BUSY_S)
        return None if result is None else result.data

    async def _run(
        self, device: int, program: ChannelProgram, busy_timeout_s: float | None = None
    ) -> ProgramResult | None:
        """None where there is no such device. Raises Refused, Busy, Unanswered."""
        result = await self._session.run_program(device, program, busy_timeout_s=busy_timeout_s)
        if result.not_operational:
            return None
        if result.channel_status & ChannelStatus.INTERFACE_CONTROL_CHECK:
            raise Unanswered(result.problem or "no answer")
        if not result.completed:
            raise (Busy if result.unit_status & UnitStatus.BUSY else Refused)(result)
        return result

    # Names

    async def own(self) -> System:
        """The system that is asked. Raises Refused, Unanswered, NotNamed."""
        return own_of(await self.paths())

    async def asked(self, named: Naming) -> System:
        """The same, which has to be the one that was named. Raises Refused, Unanswered, NotNamed."""
        own = await self.own()
        check_asked(own, named)
        return own

    async def names(self, own: Naming, other: Naming, device: int | None = None) -> tuple[System, System]:
        """The system that is asked and the other one, as whole as they have to be.

        `device`: of the system that is asked; when it is in a pair, that pair's other system is meant before others.
        Raises NotNamed, Refused, Unanswered.
        """
        report = await self.paths()
        mine = own_of(report)
        check_asked(mine, own)
        if other.whole is not None:
            return mine, other.whole
        if device is not None:
            volume = await self.need_volume(device)
            partners = [system for system in both(volume) if system != mine] if volume.role else []
            if len(partners) == 1 and other.fits(partners[0]):
                return mine, partners[0]
        return mine, _only(other, map(system_of, report.secondaries))


def check_asked(own: System, named: Naming) -> None:
    """Raises NotNamed when the system that is asked is not the one that was named."""
    if not named.fits(own):
        raise NotNamed(f"this is {text_of(own)}, not {named}")


def _only(naming: Naming, known: Iterable[System]) -> System:
    """The one that fits. Raises NotNamed."""
    fitting = [system for system in known if naming.fits(system)]
    if len(fitting) == 1:
        return fitting[0]
    wanted = "the other system" if naming == ANY else f"the other system, {naming},"
    if not fitting:
        raise NotNamed(f"{wanted} has to be named whole, -remotedev SSID:LSS:SERIAL: there are no paths to it yet")
    choices = ", ".join(text_of(system) for system in fitting)
    raise NotNamed(f"{wanted} can be any of {choices}: say which (-remotedev)")
