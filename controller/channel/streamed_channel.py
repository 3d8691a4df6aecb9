"""The channel role of a wide-area link: chains are sent whole and at once, statuses come back in their order.

Logical paths and other requests are those of channel_role.py. Rules, numbered for the tests:

S1. The data frames of a write follow its command; commands of a chain, and chains, follow one another. Nothing is
    waited for: whoever starts chains bounds what is under way (the window of the bridge protocol).
S2. Every status belongs to the oldest chain that has not ended. One that ends a chain early ends it for the peer
    too, which discards the rest of its commands; those of the next chain are executed.
S3. Channel end alone leaves the command with its chain; device end comes before any other status.
S4. What cannot be understood, or is owed for too long, breaks the link off: only a new connection has a known state.
S5. A status with connect-SOF belongs to no chain.
Source: pprc-commands 8.4; S3-S5 project-defined.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from ccw.ccws import UnitStatus
from ccw.escon import StatusFlag, data_block_length
from ccw.frames import ControlFrame, DataFrame, DeviceFrame, Frame, StatusFrame
from ccw.streamed import Buffer
from controller.channel.api import ChainCommand, ChainResult, LinkSettings
from controller.channel.channel_role import ChannelRole
from controller.channel.ending import takes_data
from controller.channel.exchanges import ChainRun, Port, Request
from controller.channel.timer import Timer, earliest

_NORMAL_END = int(UnitStatus.CHANNEL_END | UnitStatus.DEVICE_END)
_CHANNEL_END = int(UnitStatus.CHANNEL_END)
_WITHOUT_MODIFIER = 0xFF & ~int(UnitStatus.STATUS_MODIFIER)
_CHAINING, _RESIDUAL_VALID = int(StatusFlag.CHAINING_INDICATION), int(StatusFlag.RESIDUAL_VALID)


class StreamPort(Port, Protocol):
    """What this role needs of its link beyond `Port`."""

    def send_data(self, image: int, unit_address: int, parts: Sequence[Buffer], end: bool) -> None:
        """Send a data frame of these parts."""

    def break_off(self, why: str) -> None:
        """The link cannot go on: its owner ends the connection."""


class StreamedChannel(ChannelRole):
    """See the module head."""

    def __init__(self, port: StreamPort, settings: LinkSettings) -> None:
        super().__init__(port, settings)
        self._stream = port
        self._under_way: deque[ChainRun] = deque()
        self._patience = Timer()
        self._block = data_block_length(settings.dib_code)

    @property
    def awaits_data(self) -> bool:
        """Data that come may be for this role."""
        return bool(self._under_way)

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called."""
        return earliest(super().deadline, self._patience.deadline)

    def start_chain(
        self, image: int, unit_address: int, commands: Sequence[ChainCommand], reply: Callable[[ChainResult], None]
    ) -> None:
        """Send a chain of at least one command (S1)."""
        assert commands
        run = ChainRun(image, unit_address, commands, reply)
        if image not in self.images:
            run.fail("no path")
            return
        if len(self._under_way) >= self._settings.max_queued:
            run.fail("queue full")
            return
        for index in range(len(commands)):
            run.index = index
            frame = run.command_frame(self._settings.dib_code, chained=index > 0)
            self._port.send_to_image(image, frame, connect=index == 0)
            self._send_data(run)
        run.index = 0
        if not self._under_way:
            self._patience.start(self._settings.device_end_timeout_s)
        self._under_way.append(run)

    def _send_data(self, run: ChainRun) -> None:
        """The data of a write in frames of at most one block; the prefix goes into the first."""
        command = run.command
        data = memoryview(command.data)
        head: list[Buffer] = [command.prefix] if command.prefix else []
        at = min(len(data), self._block - len(command.prefix))
        if not (head or at):
            return
        self._stream.send_data(run.image, run.unit_address, [*head, data[:at]] if at else head, at == len(data))
        while at < len(data):
            stop = min(at + self._block, len(data))
            self._stream.send_data(run.image, run.unit_address, [data[at:stop]], stop == len(data))
            at = stop

    # What comes back

    def receive(self, image: int, frame: Frame, device: DeviceFrame) -> None:
        """Take one device frame from a control-unit image to which a path exists."""
        if isinstance(device, StatusFrame) and frame.connect:
            self.unsolicited(image, device.unit_address, device.unit_status)  # S5
            return
        run = self._under_way[0] if self._under_way else None
        if run is None or (run.image, run.unit_address) != (image, device.unit_address):
            self._stream.break_off("a frame of no chain")
        elif isinstance(device, StatusFrame):
            self._ended(run, device)
        elif isinstance(device, DataFrame):
            self._data(run, device)
        elif isinstance(device, ControlFrame):
            self._next(run, "device exception")
        else:
            self._stream.break_off("a frame that is out of place")

    def _data(self, run: ChainRun, device: DataFrame) -> None:
        run.received += device.data
        if takes_data(run.command.code) or len(run.received) > run.count:
            self._stream.break_off("data that nobody asked for")

    def _ended(self, run: ChainRun, status: StatusFrame) -> None:
        result = run.result
        run.status_so_far |= status.unit_status
        result.status = run.status_so_far
        result.sense = status.sense
        if status.flags & _RESIDUAL_VALID:
            result.residual = status.residual
        if run.status_so_far == _CHANNEL_END:
            return  # S3
        result.data.append(bytes(run.received))
        normal = result.status & _WITHOUT_MODIFIER == _NORMAL_END
        result.completed += normal
        if normal and status.flags & _CHAINING and run.index + 1 < len(run.commands):
            run.index += 1
            run.received.clear()
            run.status_so_far = 0
            self._patience.start(self._settings.device_end_timeout_s)
        else:
            self._next(run, None)

    def _next(self, run: ChainRun, failure: str | None) -> None:
        """The oldest chain is over."""
        self._under_way.popleft()
        if self._under_way:
            self._patience.start(self._settings.device_end_timeout_s)
        else:
            self._patience.stop()
        run.result.failure = failure
        run.reply(run.result)

    # Ends

    def link_down(self) -> None:
        """Every exchange fails; no logical path is left."""
        runs, self._under_way = self._under_way, deque()
        self._patience.stop()
        super().link_down()
        for run in runs:
            run.fail("link lost")

    def tick(self, now: float) -> bool:
        """Arm the timers, end what waited too long (S4)."""
        if self._patience.expired(now):
            self._stream.break_off("a status is missing")
        asked = self._current
        again = super().tick(now)
        if isinstance(asked, Request) and asked is not self._current and asked.attempts >= self._settings.tries:
            self._stream.break_off("a request is not answered")
        return again
