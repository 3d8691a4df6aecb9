"""The control-unit role of one link: logical paths, selection, data transfer, status, chaining, unsolicited status.

One connection at a time; `control_unit_states.STATES` lists what each state takes. Rules, numbered for the tests:

C1. The first command of a chain executes only after ACR; chained ones get a command response and need no ACR.
C2. Immediate commands (no data phase, `is_immediate`) get no command response.
C3. CommandServer.end_chain is called exactly once for each chain of which a command was started.
C4. A reply for a command that is void by then changes nothing.
C5. Channel end alone drops the connection; device end is presented later in a connection of the control unit's own.
C6. A command wins over a status that this end is presenting: the status is withdrawn and presented again later.
C7. A status is kept until the channel accepts it; later ones of its kind are added to it. One that no chain asked for
    waits while a chain of its unit is at work, so that it never passes for that chain's device end (owed.py).
C8. A connect-SOF command makes any earlier connection of this link void.
C9. A command for a unit that owes the path attention is not executed: the status is presented with busy instead.
"""

from __future__ import annotations

from functools import partial

from ccw.ccws import UnitStatus
from ccw.escon import RejectReason
from ccw.frames import CommandFrame, ControlFrame, DataFrame, DataRequest, DeviceFrame, Frame
from controller.channel.answers import acknowledgement, address_exception, command_response
from controller.channel.api import CommandServer, LinkSettings, PathId
from controller.channel.control_requests import ControlRequests
from controller.channel.control_unit_states import (
    CHANNEL_OWES,
    MOVES,
    STATES,
    Chain,
    CuInput,
    CuState,
    Port,
    UnitKey,
    input_of,
)
from controller.channel.ending import is_immediate, takes_data
from controller.channel.logical_paths import LogicalPaths
from controller.channel.owed import Owed, covers, owed_device_end, owed_stacked
from controller.channel.path_table import PathTable
from controller.channel.presenting import Presenter
from controller.channel.timer import Timer, earliest
from controller.channel.transfer import Taken, Transfer
from controller.commands.outcome import Outcome


class ControlUnitRole:
    """See the module head. `paths` maps each logical path to the header its ELP carried."""

    def __init__(
        self, server: CommandServer, port: Port, settings: LinkSettings, table: PathTable | None = None
    ) -> None:
        self._server = server
        self._port = port
        self._settings = settings
        self.paths = LogicalPaths(server, table or PathTable(), settings.max_paths)
        self._requests = ControlRequests(self, server, port)
        self.state = CuState.IDLE
        self.timer = Timer()
        self._working: dict[UnitKey, Chain] = {}  # channel end accepted, device end not
        self.presenter = Presenter(port, settings, self._working)
        self._chain: Chain | None = None
        self._owed = self.presenter.owed

    @property
    def idle(self) -> bool:
        """No connection of this role."""
        return self.state is CuState.IDLE

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called."""
        return earliest(self.timer.deadline, self.presenter.retry_timer.deadline)

    # Logical paths

    def establish(self, path: PathId, header: bytes) -> int | None:
        """Add a path; None, or the reason for refusing it. For a path that exists this is a system reset first."""
        if path in self.paths:
            self.reset(path, None)
        reason = self.paths.admit(path, header)
        if reason is not None:
            self.remove(path)
        return reason

    def remove(self, path: PathId) -> None:
        """Remove a path with everything on it; nothing happens when it does not exist."""
        if path in self.paths:
            self.drop(path, None)
            self.paths.forget(path)

    def link_down(self) -> None:
        """The link failed: the connection and all paths are gone."""
        for path in list(self.paths):
            self.remove(path)
        self._leave()

    # Status of its own

    def present_status(self, path: PathId, unit_address: int, status: int, sense: bytes = b"") -> None:
        """Present a status when the link allows it; kept until the channel accepts it (C7). No path: nothing."""
        if path in self.paths:
            self._owed.add((path, unit_address), Owed(status, sense))

    def present_next(self) -> None:
        """Open a connection for the first status that waits, if the link is free."""
        if self.idle and self._port.may_connect():
            first = self.presenter.take_next()
            if first is not None:
                self._present(*first, connect=True)

    def _present(self, key: UnitKey, owed: Owed, connect: bool) -> None:
        self._enter(CuState.PRESENTING)
        self.presenter.present(key, owed, connect)

    def answered_busy(self) -> None:
        """The channel or a switch answered LBY or PBY: present the status again after a while."""
        if self.presenter.current is not None:
            self.presenter.withdraw(after_a_while=True)
            self._leave()

    def answered_reject(self, reason: int) -> None:
        """The channel rejected the status. It will not take it, so it is dropped; what was damaged is sent again."""
        presented, chain = self.presenter.key, self.presenter.chain
        if presented is None:
            return
        if reason == RejectReason.TRANSMISSION_ERROR and self.presenter.attempted():
            self.answered_busy()
            return
        self._leave()
        self._end(chain)
        if reason == RejectReason.LOGICAL_PATH_NOT_ESTABLISHED:
            self.remove(presented[0])

    # Frames of the channel

    def receive(self, path: PathId, frame: Frame, device: DeviceFrame) -> None:
        """Take one device frame of an established path. `frame` carries the delimiters."""
        what = input_of(device)
        if isinstance(device, CommandFrame) and frame.connect:
            self._first_command(path, frame, device)
        elif what is not None:
            self._dispatch(path, frame, device, what)
        elif isinstance(device, ControlFrame):
            self._requests.receive(path, frame, device)

    def _dispatch(self, path: PathId, frame: Frame, device: DeviceFrame, what: CuInput) -> None:
        action = STATES.get((self.state, what))
        if action is None or (path, device.unit_address) != self._connected_to():
            self._port.reject(frame, RejectReason.PROTOCOL_ERROR)
        else:
            getattr(self, action)(frame, device)

    def _connected_to(self) -> UnitKey | None:
        return self.presenter.key or (self._chain.key if self._chain is not None else None)

    def _ignore(self, frame: Frame, device: DeviceFrame) -> None:
        """Crossed a frame of ours on the wire; of no consequence."""

    # Selection

    def _first_command(self, path: PathId, frame: Frame, command: CommandFrame) -> None:
        if command.chained:
            self._port.reject(frame, RejectReason.PROTOCOL_ERROR)
            return
        self._void_connection()
        unit_address = command.unit_address
        if not self._server.device_exists(path, unit_address):
            self._port.send_device(path, address_exception(unit_address), disconnect=True)
            return
        self._owed.unstack(path)
        self._chain = chain = Chain(path, unit_address, command, Transfer(command, self._settings))
        pending = self._owed.take_attention(chain.key)
        if pending is not None:
            chain.pending = pending.status
            self._send_status(chain, Outcome(pending.status | UnitStatus.BUSY, residual=command.count))
        elif chain.key in self._working:
            self._send_status(chain, Outcome(UnitStatus.BUSY, residual=command.count))
        elif is_immediate(command.command, command.count):
            self._execute(chain, b"")
        else:
            self._port.send_device(chain.path, command_response(chain.unit_address, self._settings.pacing))
            self._enter(CuState.AWAIT_ACCEPT)

    def _void_connection(self) -> None:
        """The channel opens a new connection: whatever the old one waited for has been decided (C6, C8)."""
        chain = self._chain
        if self.presenter.current is not None:
            self.presenter.withdraw()
            self._leave()
        elif chain is not None and chain.working:
            self._disconnect(chain)
        elif chain is not None:
            self._leave()
            self._end(chain)

    def _next_command(self, frame: Frame, command: CommandFrame) -> None:
        chain = self._chain
        if self.presenter.goes_on:
            chain = self.presenter.chain
        if chain is None or not command.chained:
            self._port.reject(frame, RejectReason.PROTOCOL_ERROR)
            return
        self.presenter.current = None
        self._working.pop(chain.key, None)
        chain.continue_with(command, Transfer(command, self._settings))
        self._chain = chain
        if is_immediate(command.command, command.count):
            self._execute(chain, b"")
        else:
            self._port.send_device(chain.path, command_response(chain.unit_address, self._settings.pacing))
            self._transfer(chain)

    def _accepted_response(self, frame: Frame, device: DeviceFrame) -> None:
        assert self._chain is not None
        self._transfer(self._chain)

    # Data

    def _transfer(self, chain: Chain) -> None:
        """The command may begin when its count is known: ask for the data of a write, start a read."""
        if chain.transfer.update_due:
            self._enter(CuState.AWAIT_UPDATE)
        elif takes_data(chain.command.command):
            self._request_data(chain)
        else:
            self._execute(chain, b"")

    def _update(self, frame: Frame, command: CommandFrame) -> None:
        chain = self._chain
        assert chain is not None
        if chain.update(command):
            self._transfer(chain)
        else:
            self._port.reject(frame, RejectReason.PROTOCOL_ERROR)

    def _request_data(self, chain: Chain) -> None:
        for request in chain.transfer.requests():
            self._port.send_device(chain.path, request)
        self._enter(CuState.AWAIT_DATA)

    def _data(self, frame: Frame, device: DataFrame) -> None:
        chain = self._chain
        assert chain is not None
        taken = chain.transfer.take(device)
        if taken is Taken.BROKEN:
            self._port.connection_error()
        elif taken is Taken.COMPLETE:
            self._execute(chain, chain.transfer.data)
        else:
            self._request_data(chain)

    def _data_request(self, frame: Frame, device: DataRequest) -> None:
        chain = self._chain
        assert chain is not None
        if not chain.transfer.asked(device):
            self._port.reject(frame, RejectReason.PROTOCOL_ERROR)
        elif self.state is CuState.AWAIT_REQUEST:
            self._send_data(chain)

    def _send_data(self, chain: Chain) -> None:
        """Send what was asked for; the status follows the last of it."""
        assert chain.outcome is not None
        for frame in chain.transfer.blocks():
            self._port.send_device(chain.path, frame)
        if chain.transfer.drained:
            self._send_status(chain, chain.outcome)
        else:
            self._enter(CuState.AWAIT_REQUEST)

    # Execution and ending status

    def _execute(self, chain: Chain, data: bytes) -> None:
        command = chain.begin(data)
        self._enter(CuState.EXECUTING)
        reply = partial(self._reply, chain, chain.turn)
        self._server.start(chain.path, chain.unit_address, command, reply)

    def _reply(self, chain: Chain, turn: int, outcome: Outcome) -> None:
        """The server's answer, possibly late (C4)."""
        if chain.over or chain.turn != turn:
            return
        if chain.working:
            self._device_end(chain, outcome)
        elif chain.outcome is None:
            chain.outcome = outcome
            chain.transfer.supply(b"" if takes_data(chain.command.command) else outcome.data)
            self._send_data(chain)
        self._port.output()

    def _send_status(self, chain: Chain, outcome: Outcome) -> None:
        ending = chain.close(outcome)
        self._port.send_device(chain.path, ending.frame)
        self._enter(CuState.AWAIT_NEXT if ending.goes_on else CuState.AWAIT_ACCEPTED)

    def _device_end(self, chain: Chain, outcome: Outcome) -> None:
        """Device end of a chain whose channel end was given; presented once the channel has accepted that (C5)."""
        chain.turn += 1  # no further reply counts
        if chain is self._chain:
            chain.device_end = outcome
            return
        self._owed.add(chain.key, owed_device_end(chain, outcome))

    def _status_accepted(self, frame: Frame, device: DeviceFrame) -> None:
        chain = self._chain
        if self.presenter.current is not None:
            chain = self.presenter.chain
        if chain is not None and chain is self._chain and chain.working:
            self._disconnect(chain)
        else:
            if chain is not None:
                chain.pending = 0
            self._leave()
            self._end(chain)

    def _disconnect(self, chain: Chain) -> None:
        """Channel end is accepted: the device works on without a connection."""
        self._leave()
        self._working[chain.key] = chain
        if chain.device_end is not None:
            self._device_end(chain, chain.device_end)

    def _stack_status(self, frame: Frame, device: DeviceFrame) -> None:
        """The channel cannot take the status now: keep it until the channel asks or sends a command."""
        if self.presenter.current is not None:
            path = self.presenter.stack()
        else:
            chain = self._chain
            assert chain is not None
            path = chain.path
            if not chain.pending:
                self._working[chain.key] = chain
            self._owed.add(chain.key, owed_stacked(chain))
        self._leave()
        self._port.send_device(path, acknowledgement(device.unit_address), disconnect=True)

    # Requests outside a chain (control_requests.py)

    def present_owed(self, path: PathId, unit_address: int | None) -> bool:
        """Present, in the channel's connection, what a unit or (None) any unit owes it; False when nothing is owed."""
        owed = self._owed.take_for(path, unit_address)
        if owed is not None:
            self._present(*owed, connect=False)
        return owed is not None

    def reset(self, path: PathId, unit_address: int | None) -> None:
        """Selective reset of a unit, or (None) system reset of the path."""
        self.drop(path, unit_address)
        self._owed.discard(path, unit_address)
        self._server.reset(path, unit_address)

    # Ends

    def drop(self, path: PathId, unit_address: int | None) -> None:
        """End the chains of one unit, or (None) of the path, and the connection with it."""
        key = self._connected_to()
        chains = [chain for chain in self._working.values() if covers(path, unit_address, chain.key)]
        if key is not None and covers(path, unit_address, key):
            if self._chain is not None and self._chain not in chains:
                chains.append(self._chain)
            self._leave()
        for chain in chains:
            self._end(chain)

    def connection_dropped(self) -> None:
        """Unconditional disconnect: the chain of the connection is void, a status is presented again later."""
        chain = self._chain
        if self.presenter.current is not None:
            self.presenter.dropped()
            chain = None
        self._leave()
        self._end(chain)

    def tick(self, now: float) -> bool:
        """Arm the timers; True when the channel owed a frame too long."""
        self.presenter.retry_timer.expired(now)
        return self.timer.expired(now)

    def _enter(self, state: CuState) -> None:
        assert (self.state, state) in MOVES, f"{self.state.name} to {state.name} is no move"
        self.state = state
        if state in CHANNEL_OWES:
            self.timer.start(self._settings.link_timeout_s)
        else:
            self.timer.stop()

    def _leave(self) -> None:
        """No connection any more."""
        self._chain = None
        self.presenter.current = None
        self._enter(CuState.IDLE)

    def _end(self, chain: Chain | None) -> None:
        """The chain is over (C3)."""
        if chain is None or chain.over:
            return
        chain.over = True
        if chain.pending:  # presented with busy, and not accepted
            self._owed.add(chain.key, Owed(chain.pending))
        if self._working.get(chain.key) is chain:
            del self._working[chain.key]
        self._owed.discard_chain(chain)
        if chain.started:
            self._server.end_chain(chain.path, chain.unit_address)
