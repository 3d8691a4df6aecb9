"""The control-unit role of a wide-area link: commands come one behind the other, with their data, unasked.

Rules, numbered for the tests:

U1. The commands of a path are executed one after the other, in the order they came; each gets its status (and its data,
    before it) in that order, whatever else has come meanwhile.
U2. After a status that ends a chain early, commands that continue it are discarded with their data.
U3. Device end that comes apart from channel end is sent before anything else of its path.
U4. A command whose data do not come whole breaks the link off: what is missing cannot be told.
U5. CommandServer.end_chain is called exactly once for each chain of which a command was started.
Source: pprc-commands 8.4.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from ccw.ccws import UnitStatus
from ccw.escon import CommandFlag, data_block_length
from ccw.frames import CommandFrame, DataFrame, DeviceFrame, Frame, StatusFrame
from controller.channel.answers import address_exception
from controller.channel.api import CommandServer, LinkSettings, PathId
from controller.channel.control_unit_states import Port
from controller.channel.ending import device_end_goes_on, ending_of, is_immediate, takes_data
from controller.channel.logical_paths import LogicalPaths
from controller.channel.path_table import PathTable
from controller.channel.timer import Timer
from controller.commands.outcome import Command, Outcome

VIEWED_BYTES_MIN = 4096
"""Shorter data are copied: a view keeps all that was read with it, and one command may have many parts."""
_SOLICIT = int(CommandFlag.SOLICIT_SUPPLEMENTARY_STATUS)
_CHANNEL_END = int(UnitStatus.CHANNEL_END)


class StreamPort(Port, Protocol):
    """What this role needs of its link beyond `Port`."""

    def break_off(self, why: str) -> None:
        """The link cannot go on: its owner ends the connection."""


@dataclass(slots=True, eq=False)
class _Incoming:
    """A command, its data so far, and how many bytes are still to come."""

    frame: CommandFrame
    due: int
    parts: list[bytes | memoryview] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Lane:
    """The commands of one path."""

    path: PathId
    waiting: deque[_Incoming] = field(default_factory=deque)
    unit_address: int | None = None  # of the chain under way
    current: CommandFrame | None = None  # executing
    working: bool = False  # channel end was sent, device end is due
    turn: int = 0  # a reply to an earlier one is void
    going_on: bool = False  # `_go_on` is at work: a reply within need not call it


class StreamedControlUnit:
    """See the module head. `paths` maps each logical path to the header its ELP carried."""

    def __init__(
        self, server: CommandServer, port: StreamPort, settings: LinkSettings, table: PathTable | None = None
    ) -> None:
        self._server = server
        self._port = port
        self._block = data_block_length(settings.dib_code)
        self.paths = LogicalPaths(server, table or PathTable(), settings.max_paths)
        self.timer = Timer()
        self._lanes: dict[PathId, _Lane] = {}
        self._open: tuple[_Lane, _Incoming] | None = None  # whose data are still coming

    @property
    def idle(self) -> bool:
        """No command waits for its data."""
        return self._open is None

    @property
    def deadline(self) -> float | None:
        """There are no timers: TCP knows whether the peer is there."""
        return None

    # Logical paths

    def establish(self, path: PathId, header: bytes) -> int | None:
        """Add a path; None, or the reason for refusing it. For a path that exists this is a system reset first."""
        if path in self.paths:
            self._drop(path)
            self._server.reset(path, None)
        reason = self.paths.admit(path, header)
        if reason is not None:
            self.remove(path)
        return reason

    def remove(self, path: PathId) -> None:
        """Remove a path with everything on it; nothing happens when it does not exist."""
        if path in self.paths:
            self._drop(path)
            self.paths.forget(path)

    def link_down(self) -> None:
        """The link failed: all paths are gone."""
        for path in list(self.paths):
            self.remove(path)

    def _drop(self, path: PathId) -> None:
        lane = self._lanes.pop(path, None)
        if lane is None:
            return
        if self._open is not None and self._open[0] is lane:
            self._open = None
        lane.turn += 1
        lane.waiting.clear()
        self._end(lane)

    def _end(self, lane: _Lane) -> None:
        """The chain is over (U5)."""
        unit_address, lane.unit_address = lane.unit_address, None
        lane.current = None
        lane.working = False
        if unit_address is not None:
            self._server.end_chain(lane.path, unit_address)

    # Frames

    def receive(self, path: PathId, frame: Frame, device: DeviceFrame) -> None:
        """Take one device frame of an established path."""
        if isinstance(device, CommandFrame):
            self._command(path, device)
        elif isinstance(device, DataFrame):
            self.data(path, device.unit_address, device.data, device.end)
        else:
            self._port.break_off("a frame that is out of place")

    def _command(self, path: PathId, frame: CommandFrame) -> None:
        if self._open is not None:
            self._port.break_off("a command without all of its data")  # U4
            return
        lane = self._lanes.get(path)
        if lane is None:
            lane = self._lanes[path] = _Lane(path)
        code, count = frame.command, frame.count
        incoming = _Incoming(frame, count if takes_data(code) and not is_immediate(code, count) else 0)
        if incoming.due:
            self._open = lane, incoming
        else:
            self._complete(lane, incoming)

    def data(self, path: PathId, unit_address: int, data: bytes | memoryview, end: bool) -> None:
        """Take the data of a command."""
        if self._open is None or self._open[0].path != path or self._open[1].frame.unit_address != unit_address:
            self._port.break_off("data of no command")
            return
        lane, incoming = self._open
        incoming.parts.append(data if len(data) >= VIEWED_BYTES_MIN else bytes(data))
        incoming.due -= len(data)
        if incoming.due < 0 or (incoming.due == 0) != end:
            self._port.break_off("data of another length than the command's")
        elif end:
            self._open = None
            self._complete(lane, incoming)

    def _complete(self, lane: _Lane, incoming: _Incoming) -> None:
        lane.waiting.append(incoming)
        if lane.current is None:
            self._go_on(lane)

    # Execution

    def _go_on(self, lane: _Lane) -> None:
        """Execute what waits, as long as each command is answered at once (U1)."""
        if lane.going_on:
            return
        lane.going_on = True
        try:
            while lane.waiting and lane.current is None:
                self._execute(lane, lane.waiting.popleft())
        finally:
            lane.going_on = False

    def _execute(self, lane: _Lane, incoming: _Incoming) -> None:
        frame = incoming.frame
        if frame.chained and lane.unit_address != frame.unit_address:
            return  # U2
        if not frame.chained:
            self._end(lane)
            if not self._server.device_exists(lane.path, frame.unit_address):
                self._port.send_device(lane.path, address_exception(frame.unit_address))
                return
        lane.current = frame
        lane.unit_address = frame.unit_address
        lane.turn += 1
        concurrent = bool(frame.command_flags & _SOLICIT)
        data = b"".join(incoming.parts)
        command = Command(frame.command, frame.flags, frame.count, data, frame.chained, concurrent)
        self._server.start(lane.path, frame.unit_address, command, partial(self._reply, lane, lane.turn))

    def _reply(self, lane: _Lane, turn: int, outcome: Outcome) -> None:
        frame = lane.current
        if lane.turn != turn or frame is None:
            return
        if lane.working:
            goes_on = self._device_end(lane, frame, outcome)
        else:
            if not takes_data(frame.command):
                self._send_data(lane.path, frame.unit_address, outcome.data)
            ending = ending_of(frame, outcome)
            self._port.send_device(lane.path, ending.frame)
            goes_on, lane.working = ending.goes_on, ending.working
        if lane.working:
            self._port.output()
            return
        if goes_on:
            lane.current = None
        else:
            self._end(lane)
        self._go_on(lane)
        self._port.output()

    def _device_end(self, lane: _Lane, frame: CommandFrame, outcome: Outcome) -> bool:
        """U3."""
        lane.working = False
        goes_on = device_end_goes_on(frame, outcome)
        sense = (outcome.sense or b"") if outcome.status & UnitStatus.UNIT_CHECK else b""
        flags = 0x10 if goes_on else 0
        status = StatusFrame(frame.unit_address, int(outcome.status), flags, sense=sense, end=not goes_on)
        self._port.send_device(lane.path, status)
        return goes_on

    def _send_data(self, path: PathId, unit_address: int, data: bytes) -> None:
        for at in range(0, len(data), self._block):
            block = data[at : at + self._block]
            self._port.send_device(path, DataFrame(unit_address, block, at + len(block) == len(data)))

    # What the link asks of either kind of control unit

    def present_status(self, path: PathId, unit_address: int, status: int, sense: bytes = b"") -> None:
        """A status that no command asked for; the peer takes it or lets it lie."""
        if path in self.paths:
            self._port.send_device(path, StatusFrame(unit_address, status, sense=sense), connect=True)

    def present_next(self) -> None:
        """Nothing waits to be presented."""

    def answered_busy(self) -> None:
        """Nothing that this role sends is answered so."""

    def answered_reject(self, reason: int) -> None:
        """The peer did not understand a frame (U4)."""
        self._port.break_off(f"the peer rejects a frame: {reason:02X}")

    def connection_dropped(self) -> None:
        """There are no connections to be dropped."""

    def tick(self, now: float) -> bool:
        """No timers."""
        return False
