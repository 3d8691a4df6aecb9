"""The control-unit role as tables: its states, what each state takes, and the values it works on.

```
  IDLE --command--> AWAIT_ACCEPT --ACR--> (write) AWAIT_DATA --last data--> EXECUTING
    ^                    (read) ------------------------------------------^ |
    |                                                        (read) AWAIT_REQUEST
    |<-- accepted -- AWAIT_ACCEPTED <-- ending status ----------------------'-|
    |<-- accepted -- AWAIT_NEXT <------ ending status, CI=1 ------------------'  --next command--> as after ACR
    '--- status of its own --> PRESENTING -- accepted --> IDLE, or --next command-->
```

An immediate command goes from IDLE to EXECUTING at once. A command with CD goes through AWAIT_UPDATE, where the counts
of its data chain are added up. MOVES has every change of state; docs/reference/states.md draws it. Everything is
within one connection; there is one per link.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum, auto  # hashed in C: a frame looks several of them up
from typing import Protocol

from ccw.escon import CommandFlag, ControlFunction
from ccw.frames import CommandFrame, ControlFrame, DataFrame, DataRequest, DeviceFrame, Frame, StatusFrame
from controller.channel.api import PathId
from controller.channel.ending import Ending, ending_of
from controller.channel.transfer import Transfer
from controller.commands.outcome import Command, Outcome

_UPDATE = int(CommandFlag.DATA_CHAINING_UPDATE)

UnitKey = tuple[PathId, int]  # a unit address as one logical path sees it


class CuState(IntEnum):
    """State of the one connection of this role."""

    IDLE = auto()
    AWAIT_ACCEPT = auto()  # command response sent; ACR must follow
    AWAIT_UPDATE = auto()  # the command has CD; the next count of its data chain must follow
    AWAIT_DATA = auto()  # data request sent; data must follow
    EXECUTING = auto()  # the server has the command
    AWAIT_REQUEST = auto()  # data is there; a data request must follow
    AWAIT_ACCEPTED = auto()  # ending status sent; its acceptance must follow
    AWAIT_NEXT = auto()  # ending status with CI sent; next command or acceptance must follow
    PRESENTING = auto()  # status of its own sent; acceptance, stacking or the next command must follow


class CuInput(IntEnum):
    """What a channel can send within a connection."""

    NEXT_COMMAND = auto()
    UPDATE = auto()  # a command frame with DU: the next CCW of a data chain
    ACCEPT_RESPONSE = auto()
    DATA = auto()
    DATA_REQUEST = auto()
    STATUS_ACCEPTED = auto()
    STACK_STATUS = auto()


_S, _I = CuState, CuInput

# (state, input) -> method. IGNORED: crossed a status on the wire, of no consequence. No row: protocol error.
IGNORED = "_ignore"
STATES: dict[tuple[CuState, CuInput], str] = {
    (_S.AWAIT_ACCEPT, _I.ACCEPT_RESPONSE): "_accepted_response",
    (_S.AWAIT_ACCEPTED, _I.ACCEPT_RESPONSE): IGNORED,
    (_S.AWAIT_UPDATE, _I.UPDATE): "_update",
    (_S.AWAIT_DATA, _I.DATA): "_data",
    (_S.EXECUTING, _I.DATA_REQUEST): "_data_request",
    (_S.AWAIT_REQUEST, _I.DATA_REQUEST): "_data_request",
    (_S.AWAIT_ACCEPTED, _I.DATA_REQUEST): IGNORED,
    (_S.AWAIT_NEXT, _I.DATA_REQUEST): IGNORED,
    (_S.AWAIT_ACCEPTED, _I.STATUS_ACCEPTED): "_status_accepted",
    (_S.AWAIT_NEXT, _I.STATUS_ACCEPTED): "_status_accepted",
    (_S.PRESENTING, _I.STATUS_ACCEPTED): "_status_accepted",
    (_S.AWAIT_ACCEPTED, _I.STACK_STATUS): "_stack_status",
    (_S.AWAIT_NEXT, _I.STACK_STATUS): "_stack_status",
    (_S.PRESENTING, _I.STACK_STATUS): "_stack_status",
    (_S.AWAIT_NEXT, _I.NEXT_COMMAND): "_next_command",
    (_S.PRESENTING, _I.NEXT_COMMAND): "_next_command",
}
# Every change of state, and what brings it about. The role asserts that it makes no other.
MOVES: dict[tuple[CuState, CuState], str] = {
    (_S.IDLE, _S.AWAIT_ACCEPT): "first command: CMR",
    (_S.IDLE, _S.EXECUTING): "first command, immediate",
    (_S.IDLE, _S.PRESENTING): "status of its own, or request status",
    (_S.IDLE, _S.AWAIT_ACCEPTED): "command for a working unit, or one that owes attention: busy",
    (_S.AWAIT_ACCEPT, _S.AWAIT_UPDATE): "ACR, CD",
    (_S.AWAIT_ACCEPT, _S.AWAIT_DATA): "ACR, write: data request",
    (_S.AWAIT_ACCEPT, _S.EXECUTING): "ACR, read",
    (_S.AWAIT_UPDATE, _S.AWAIT_UPDATE): "DU with CD",
    (_S.AWAIT_UPDATE, _S.AWAIT_DATA): "last DU, write: data request",
    (_S.AWAIT_UPDATE, _S.EXECUTING): "last DU, read",
    (_S.AWAIT_DATA, _S.AWAIT_DATA): "data",
    (_S.AWAIT_DATA, _S.EXECUTING): "last data",
    (_S.EXECUTING, _S.AWAIT_REQUEST): "more data than asked for",
    (_S.EXECUTING, _S.AWAIT_NEXT): "status, CI=1",
    (_S.EXECUTING, _S.AWAIT_ACCEPTED): "ending status",
    (_S.AWAIT_REQUEST, _S.AWAIT_REQUEST): "data request: data",
    (_S.AWAIT_REQUEST, _S.AWAIT_NEXT): "data request: rest, status, CI=1",
    (_S.AWAIT_REQUEST, _S.AWAIT_ACCEPTED): "data request: rest, ending status",
    **{
        (waiting, after): text
        for waiting in (_S.AWAIT_NEXT, _S.PRESENTING)
        for after, text in (
            (_S.EXECUTING, "next command, read or immediate"),
            (_S.AWAIT_DATA, "next command, write: data request"),
            (_S.AWAIT_UPDATE, "next command, CD"),
        )
    },
    (_S.AWAIT_NEXT, _S.IDLE): "accepted or stacked",
    (_S.AWAIT_ACCEPTED, _S.IDLE): "accepted or stacked",
    (_S.PRESENTING, _S.IDLE): "accepted, stacked, busy or rejected",
    **{
        (state, _S.IDLE): "recovery, cancel, reset"
        for state in (_S.AWAIT_ACCEPT, _S.AWAIT_UPDATE, _S.AWAIT_DATA, _S.EXECUTING, _S.AWAIT_REQUEST)
    },
    (_S.IDLE, _S.IDLE): "recovery, cancel, reset",
}
# States in which the channel owes a frame.
CHANNEL_OWES = frozenset(CuState) - {CuState.IDLE, CuState.EXECUTING}

CONTROL_INPUTS: dict[int, CuInput] = {
    ControlFunction.ACCEPT_COMMAND_RESPONSE: CuInput.ACCEPT_RESPONSE,
    ControlFunction.STATUS_ACCEPTED: CuInput.STATUS_ACCEPTED,
    ControlFunction.STACK_STATUS: CuInput.STACK_STATUS,
}


def input_of(device: DeviceFrame) -> CuInput | None:
    """What a frame is within a connection; None when it is nothing that a connection waits for."""
    if isinstance(device, CommandFrame):
        return CuInput.UPDATE if device.command_flags & _UPDATE else CuInput.NEXT_COMMAND
    if isinstance(device, DataFrame):
        return CuInput.DATA
    if isinstance(device, DataRequest):
        return CuInput.DATA_REQUEST
    return CONTROL_INPUTS.get(device.function) if isinstance(device, ControlFrame) else None


class Port(Protocol):
    """What the role needs of its link."""

    def send_device(self, path: PathId, frame: DeviceFrame, *, connect: bool = False, disconnect: bool = False) -> None:
        """Send a device frame to the channel of `path`."""

    def reject(self, frame: Frame, reason: int) -> None:
        """Answer `frame` with LRJ."""

    def may_connect(self) -> bool:
        """Whether a connection may be opened now: link operational, channel role not in a connection."""

    def connection_error(self) -> None:
        """The connection cannot go on: recover by unconditional disconnect."""

    def output(self) -> None:
        """There may be something to take."""


@dataclass(slots=True, eq=False)
class Chain:
    """One chain of commands in execution."""

    path: PathId
    unit_address: int
    command: CommandFrame
    transfer: Transfer
    turn: int = 0  # which command of the chain; a reply to an older one is void
    started: bool = False  # the server knows the chain
    over: bool = False
    outcome: Outcome | None = None  # of the current command, data not yet sent
    working: bool = False  # channel end was given, device end is due
    retrying: bool = False  # command retry was asked for
    device_end: Outcome | None = None  # came before channel end was accepted
    last_status: StatusFrame | None = None
    pending: int = 0  # status with attention, presented with busy in place of the command (C9)

    @property
    def key(self) -> UnitKey:
        return self.path, self.unit_address

    def continue_with(self, command: CommandFrame, transfer: Transfer) -> None:
        """The next command of the chain; channel end and device end of the one before are behind it."""
        self.working = False
        self.command = command
        self.transfer = transfer

    def update(self, command: CommandFrame) -> bool:
        """The next CCW of a data chain: its count is added, its flags count from now on. False: none was due."""
        if not self.transfer.update(command):
            return False
        self.command = replace(self.command, flags=command.flags, count=self.transfer.count)
        return True

    def begin(self, data: bytes) -> Command:
        """The current command as the server executes it, with what was written; its reply is that of this `turn`."""
        sent = self.command
        self.turn += 1
        self.started = True
        self.outcome = None
        concurrent = bool(sent.command_flags & CommandFlag.SOLICIT_SUPPLEMENTARY_STATUS)
        return Command(sent.command, sent.flags, sent.count, data, sent.chained, concurrent)

    def close(self, outcome: Outcome) -> Ending:
        """The ending status of the current command; what it leaves to be done is noted."""
        ending = ending_of(self.command, outcome)
        self.working, self.retrying, self.last_status = ending.working, ending.retry, ending.frame
        return ending
