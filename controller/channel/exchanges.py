"""What the channel role does one after the other: link-control requests and chains, with the tables that steer them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, auto  # hashed in C: a frame looks several of them up
from functools import lru_cache
from typing import Protocol

from ccw.ccws import CcwFlag
from ccw.escon import DATA_REQUESTS_EIGHT, CommandFlag, ControlFunction, LinkControl, RemovedReason
from ccw.frames import CommandFrame, DataFrame, DeviceFrame, Frame
from ccw.link_control import LinkControlInfo
from controller.channel.api import ChainCommand, ChainResult
from controller.channel.timer import Timer


class ChannelState(IntEnum):
    """State of the exchange in hand."""

    IDLE = auto()
    AWAIT_ANSWER = auto()  # a link-control request was sent; its answer must follow
    AWAIT_RESPONSE = auto()  # a command was sent; command response or status must follow
    AWAIT_REQUEST = auto()  # a write was accepted; the data request must follow
    TRANSFER = auto()  # data and ending status must follow


class ChannelInput(IntEnum):
    """What a control unit can send within a connection."""

    COMMAND_RESPONSE = auto()
    DATA = auto()
    DATA_REQUEST = auto()
    STATUS = auto()
    EXCEPTION = auto()


_S, _I = ChannelState, ChannelInput

# (state, input) -> method of ChannelRole. No row: protocol error.
STATES: dict[tuple[ChannelState, ChannelInput], str] = {
    (_S.AWAIT_RESPONSE, _I.COMMAND_RESPONSE): "_responded",
    (_S.AWAIT_RESPONSE, _I.STATUS): "_ended",
    (_S.AWAIT_RESPONSE, _I.EXCEPTION): "_exception",
    (_S.AWAIT_REQUEST, _I.DATA_REQUEST): "_data_request",
    (_S.AWAIT_REQUEST, _I.STATUS): "_ended",
    (_S.TRANSFER, _I.DATA_REQUEST): "_data_request",
    (_S.TRANSFER, _I.DATA): "_data",
    (_S.TRANSFER, _I.STATUS): "_ended",
}
# Every change of state, and what brings it about. The role asserts that it makes no other.
MOVES: dict[tuple[ChannelState, ChannelState], str] = {
    (_S.IDLE, _S.AWAIT_ANSWER): "link-control request",
    (_S.AWAIT_ANSWER, _S.IDLE): "answer, refusal or timeout",
    (_S.IDLE, _S.AWAIT_RESPONSE): "first command, or next after device end",
    (_S.AWAIT_RESPONSE, _S.AWAIT_RESPONSE): "status, CI=1: next command",
    (_S.AWAIT_RESPONSE, _S.AWAIT_REQUEST): "CMR, write",
    (_S.AWAIT_RESPONSE, _S.TRANSFER): "CMR, read: data request",
    (_S.AWAIT_RESPONSE, _S.IDLE): "ending status, exception, refusal or recovery",
    (_S.AWAIT_REQUEST, _S.TRANSFER): "data request: data",
    (_S.AWAIT_REQUEST, _S.AWAIT_RESPONSE): "status, CI=1: next command",
    (_S.AWAIT_REQUEST, _S.IDLE): "ending status, refusal or recovery",
    (_S.TRANSFER, _S.TRANSFER): "data request: data",
    (_S.TRANSFER, _S.AWAIT_RESPONSE): "status, CI=1: next command",
    (_S.TRANSFER, _S.IDLE): "ending status, refusal or recovery",
    (_S.IDLE, _S.IDLE): "device end that ends the chain",
}
# States within a connection.
CONNECTED = frozenset({_S.AWAIT_RESPONSE, _S.AWAIT_REQUEST, _S.TRANSFER})

CONTROL_INPUTS: dict[int, ChannelInput] = {
    ControlFunction.COMMAND_RESPONSE: ChannelInput.COMMAND_RESPONSE,
    ControlFunction.DEVICE_LEVEL_EXCEPTION: ChannelInput.EXCEPTION,
}
# Answers that refuse a link-control request for now.
REFUSALS = frozenset({LinkControl.LRJ, LinkControl.LBY, LinkControl.PRJ, LinkControl.PBY})
# Those of them that ask for patience.
BUSY = frozenset({LinkControl.LBY, LinkControl.PBY})


def refusal_text(code: int, info: LinkControlInfo) -> str:
    """A refusal in the words of ChainResult.failure."""
    if code in BUSY:
        return "busy"
    return f"{'port ' if code == LinkControl.PRJ else ''}reject {info.reason:02X}"


# Removal reasons that asking again does not change. Source: escon-frames 2.7, mapping of path status.
FINAL_REASONS = frozenset({RemovedReason.OUT_OF_RESOURCES, RemovedReason.DEVICE_INITIALISATION_IN_PROGRESS})


class Port(Protocol):
    """What the channel role needs of its link."""

    def send_to_image(self, image: int, frame: DeviceFrame, *, connect: bool = False, disconnect: bool = False) -> None:
        """Send a device frame to a control-unit image of the peer."""

    def send_request(self, request: Request) -> None:
        """Send a link-control request to the peer, or to the address that it names."""

    def reject(self, frame: Frame, reason: int) -> None:
        """Answer `frame` with LRJ."""

    def may_exchange(self) -> bool:
        """Whether an exchange may begin now: link operational, control-unit role not in a connection."""

    def connection_error(self) -> None:
        """The connection cannot go on: recover by unconditional disconnect."""

    def output(self) -> None:
        """There may be something to take."""


@lru_cache(1024)
def _command_frame(
    unit_address: int, code: int, count: int, last: bool, chained: bool, dib_code: int
) -> CommandFrame:
    """The frame of a command of a chain. Those made lately are kept: a copy sends the same few for ever."""
    return CommandFrame(
        unit_address,
        code,
        int(CcwFlag.SLI if last else CcwFlag.CC | CcwFlag.SLI),
        count,
        chained=chained,
        dib_code=dib_code,
        data_requests=DATA_REQUESTS_EIGHT,
        command_flags=int(CommandFlag.SOLICIT_SUPPLEMENTARY_STATUS),
    )


@dataclass(slots=True, eq=False)
class Request:
    """A link-control request and the answers that end it."""

    function: int
    image: int
    answers: frozenset[int]
    done: Callable[[int | None, LinkControlInfo | None, str | None], None]  # answer, its content, failure
    trailer: bytes = b""
    parameters: bytes = bytes(4)
    address: int | None = None  # link address; None: the peer's
    attempts: int = 0
    busy: int = 0  # answers that said busy

    def fail(self, failure: str) -> None:
        """Report that no answer came."""
        self.done(None, None, failure)


@dataclass(slots=True, eq=False)
class ChainRun:
    """A chain that is sent to a unit of the peer; from the beginning again when its connection is lost."""

    image: int
    unit_address: int
    commands: Sequence[ChainCommand]
    reply: Callable[[ChainResult], None]
    attempts: int = 0
    busy: int = 0  # answers that said busy
    index: int = 0
    received: bytearray = field(default_factory=bytearray)
    sent: int = 0  # bytes of the current command's data
    result: ChainResult = field(default_factory=ChainResult)
    status_so_far: int = 0  # channel end that came alone
    retrying: bool = False  # command retry was asked for
    retries: int = 0
    waiting: Timer = field(default_factory=Timer)  # for device end, without a connection

    @property
    def command(self) -> ChainCommand:
        return self.commands[self.index]

    @property
    def count(self) -> int:
        """CCW count of the current command."""
        return len(self.command.prefix) + len(self.command.data) or self.command.count

    def command_frame(self, dib_code: int, chained: bool) -> CommandFrame:
        """The current command begins: its frame. Supplementary status is always solicited (H2)."""
        self.received.clear()
        self.sent = 0
        self.status_so_far = 0
        last = self.index == len(self.commands) - 1
        return _command_frame(self.unit_address, self.command.code, self.count, last, chained, dib_code)

    def blocks(self, asked: int, limit: int) -> list[DataFrame]:
        """The next data of a write, as much as one data request asks for, in blocks of at most `limit` bytes."""
        data = self.command.written
        start, stop = self.sent, min(self.sent + asked, len(data))
        frames = []
        for at in range(start, stop, limit):
            block = data[at : min(at + limit, stop)]
            last = at + len(block) == len(data)
            frames.append(DataFrame(self.unit_address, block, last, last and start + asked > len(data)))
        self.sent = stop
        return frames

    def restart(self) -> None:
        """Begin with the first command again."""
        self.index = 0
        self.received.clear()
        self.sent = 0
        self.status_so_far = 0
        self.retrying = False
        self.result = ChainResult()

    def fail(self, failure: str) -> None:
        """Report that the chain did not come to its end."""
        self.result.failure = failure
        self.reply(self.result)
