"""The channel role of one link: logical paths towards another controller, and chains on them.

One exchange at a time; later ones wait in order. `exchanges.STATES` lists what each state takes. Rules, numbered for
the tests:

H1. ACR follows the command response of the first command of a chain, not of chained ones.
H2. Supplementary status is always solicited: sense comes with the status.
H3. A connect-SOF status is ignored while a command response is due: the command wins.
H4. Channel end alone is accepted and the connection given up; the chain goes on when its device end comes. Other
    exchanges may run meanwhile.
H5. A chain whose connection is lost begins again from its first command, at most `tries` times. The orders and bridge
    records that travel here bear that: they carry sequence numbers.
H6. Every request is answered exactly once.
H7. Command retry: the same command is sent again, at once or in the connection of its device end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from ccw.ccws import UnitStatus
from ccw.escon import ControlFunction, LinkControl, RejectReason, StatusFlag, data_block_length
from ccw.frames import ControlFrame, DataFrame, DataRequest, DeviceFrame, Frame, StatusFrame
from ccw.link_control import LinkControlInfo
from controller.channel.api import ChainCommand, ChainResult, LinkSettings
from controller.channel.ending import is_immediate, takes_data
from controller.channel.exchanges import (
    BUSY,
    CONNECTED,
    CONTROL_INPUTS,
    FINAL_REASONS,
    MOVES,
    REFUSALS,
    STATES,
    ChainRun,
    ChannelInput,
    ChannelState,
    Port,
    Request,
    refusal_text,
)
from controller.channel.path_requests import PathRequests
from controller.channel.timer import Timer, earliest

MAX_RETRIES = 256  # of the commands of one chain
_NORMAL_END = int(UnitStatus.CHANNEL_END | UnitStatus.DEVICE_END)


class ChannelRole:
    """See the module head. `paths`: the requests of link control."""

    def __init__(self, port: Port, settings: LinkSettings) -> None:
        self._port = port
        self._settings = settings
        self.paths = PathRequests(self._submit)
        self.state = ChannelState.IDLE
        self.timer = Timer()
        self.retry_timer = Timer()  # before a refused request is repeated
        self._waiting: deque[Request | ChainRun] = deque()
        self._current: Request | ChainRun | None = None
        self._disconnected: dict[tuple[int, int], ChainRun] = {}
        self.unsolicited: Callable[[int, int, int], None] = lambda image, unit_address, status: None

    @property
    def images(self) -> set[int]:
        """Control-unit images of the peer to which a logical path exists."""
        return self.paths.images

    @property
    def connected(self) -> bool:
        """A connection of this role exists, or is asked for."""
        return self.state in CONNECTED

    @property
    def awaits_data(self) -> bool:
        """Data that come may be for this role."""
        return self.connected

    @property
    def selecting(self) -> bool:
        """The first command of a chain was sent and not answered yet."""
        current = self._current
        return self.state is ChannelState.AWAIT_RESPONSE and isinstance(current, ChainRun) and current.index == 0

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called."""
        if not self._disconnected:
            return earliest(self.timer.deadline, self.retry_timer.deadline)
        chains = (run.waiting.deadline for run in self._disconnected.values())
        return earliest(self.timer.deadline, self.retry_timer.deadline, *chains)

    # Requests

    def start_chain(
        self, image: int, unit_address: int, commands: Sequence[ChainCommand], reply: Callable[[ChainResult], None]
    ) -> None:
        """Send a chain of at least one command."""
        assert commands
        self._submit(ChainRun(image, unit_address, tuple(commands), reply))

    def _submit(self, item: Request | ChainRun) -> None:
        if len(self._waiting) >= self._settings.max_queued:
            item.fail("queue full")
        else:
            self._waiting.append(item)

    def start_next(self) -> None:
        """Begin the next exchange if the link is free."""
        while self.state is ChannelState.IDLE and self._waiting and self.retry_timer.deadline is None:
            if not self._port.may_exchange():
                return
            item = self._waiting.popleft()
            if isinstance(item, Request):
                self._current = item
                self._enter(ChannelState.AWAIT_ANSWER)
                self._port.send_request(item)
            elif item.image not in self.images:
                item.fail("no path")
            else:
                self._current = item
                item.restart()
                self._send_command(item, connect=True)

    # Link-control answers

    def answer(self, frame: Frame, info: LinkControlInfo) -> bool:
        """Take a link-control frame that may answer the request in hand; False when it does not."""
        item = self._current
        if isinstance(item, ChainRun):
            return self._chain_refused(item, frame.link_control, info)
        if item is None or self.state is not ChannelState.AWAIT_ANSWER:
            return False
        code = frame.link_control
        if code in item.answers and frame.source & 0x0F == item.image:
            asks_again = code == LinkControl.LPR and item.function == LinkControl.ELP
            if asks_again and info.reason not in FINAL_REASONS and self._repeat(item):
                return True
            self._leave()
            item.done(code, info, None)
            return True
        if code in REFUSALS:
            if not self._repeat(item, busy=code in BUSY):
                self._leave()
                item.done(None, None, refusal_text(code, info))
            return True
        return False

    def _repeat(self, item: Request | ChainRun, busy: bool = False) -> bool:
        """Put the exchange in hand back to the front, to be tried again after a while; False when that is enough."""
        if busy:
            item.busy += 1
        else:
            item.attempts += 1
        if item.attempts >= self._settings.tries or item.busy >= self._settings.busy_tries:
            return False
        self._leave()
        self._waiting.appendleft(item)
        self.retry_timer.start(self._settings.recovery_s)
        return True

    def _chain_refused(self, run: ChainRun, code: int, info: LinkControlInfo) -> bool:
        if code not in REFUSALS or not self.connected:
            return False
        if code in BUSY:
            if not self._repeat(run, busy=True):
                self._finish(run, "busy")
        elif code == LinkControl.LRJ and info.reason == RejectReason.TRANSMISSION_ERROR:
            if not self._repeat(run):
                self._finish(run, refusal_text(code, info))
        elif code == LinkControl.LRJ and info.reason == RejectReason.LOGICAL_PATH_NOT_ESTABLISHED:
            self.images.discard(run.image)
            self._finish(run, "no path")
        else:
            self._finish(run, refusal_text(code, info))
        return True

    # Device frames of the control unit

    def receive(self, image: int, frame: Frame, device: DeviceFrame) -> None:
        """Take one device frame from a control-unit image to which a path exists."""
        if isinstance(device, StatusFrame):
            if frame.connect:
                self._connecting_status(image, device)
            else:
                self._dispatch(image, frame, device, ChannelInput.STATUS)
        elif isinstance(device, DataFrame):
            self._dispatch(image, frame, device, ChannelInput.DATA)
        elif isinstance(device, DataRequest):
            self._dispatch(image, frame, device, ChannelInput.DATA_REQUEST)
        elif isinstance(device, ControlFrame) and device.function in CONTROL_INPUTS:
            self._dispatch(image, frame, device, CONTROL_INPUTS[device.function])
        elif isinstance(device, ControlFrame) and device.function == ControlFunction.REQUEST_CONNECT:
            self._send_control(image, device.unit_address, ControlFunction.REQUEST_STATUS)

    def _dispatch(self, image: int, frame: Frame, device: DeviceFrame, what: ChannelInput) -> None:
        action = STATES.get((self.state, what))
        run = self._current
        if action is None or not isinstance(run, ChainRun) or (run.image, run.unit_address) != (
            image,
            device.unit_address,
        ):
            self._port.reject(frame, RejectReason.PROTOCOL_ERROR)
        else:
            getattr(self, action)(run, device)

    def _connecting_status(self, image: int, status: StatusFrame) -> None:
        if self.connected:
            return  # H3
        run = self._disconnected.get((image, status.unit_address))
        if run is None or not status.unit_status & UnitStatus.DEVICE_END:
            self._send_control(image, status.unit_address, ControlFunction.STATUS_ACCEPTED, end=True)
            self.unsolicited(image, status.unit_address, status.unit_status)
            return
        if self.state is ChannelState.AWAIT_ANSWER:
            return  # a link-control answer is due; the control unit presents again
        del self._disconnected[run.image, run.unit_address]
        run.waiting.stop()
        self._current = run
        self._ended(run, status)

    # One command

    def _send_command(self, run: ChainRun, connect: bool = False) -> None:
        self._enter(ChannelState.AWAIT_RESPONSE)
        frame = run.command_frame(self._settings.dib_code, chained=not connect)
        self._port.send_to_image(run.image, frame, connect=connect)

    def _responded(self, run: ChainRun, device: DeviceFrame) -> None:
        if run.index == 0:
            self._send_control(run.image, run.unit_address, ControlFunction.ACCEPT_COMMAND_RESPONSE)
        if is_immediate(run.command.code, run.count):
            self._enter(ChannelState.TRANSFER)
        elif takes_data(run.command.code):
            self._enter(ChannelState.AWAIT_REQUEST)
        else:
            self._enter(ChannelState.TRANSFER)
            self._port.send_to_image(run.image, DataRequest(run.unit_address, run.count))

    def _data_request(self, run: ChainRun, request: DataRequest) -> None:
        if not takes_data(run.command.code):
            self._port.connection_error()
            return
        for block in run.blocks(request.count, data_block_length(self._settings.dib_code)):
            self._port.send_to_image(run.image, block)
        self._enter(ChannelState.TRANSFER)

    def _data(self, run: ChainRun, device: DataFrame) -> None:
        run.received += device.data
        if takes_data(run.command.code) or len(run.received) > run.count:
            self._port.connection_error()
        else:
            self.timer.start(self._settings.link_timeout_s)

    def _exception(self, run: ChainRun, device: DeviceFrame) -> None:
        self._finish(run, "device exception")

    def _ended(self, run: ChainRun, status: StatusFrame) -> None:
        """Ending status of the current command, or the device end that was still due."""
        moved_data = status.flags & StatusFlag.RESIDUAL_VALID and status.unit_status & UnitStatus.CHANNEL_END
        if moved_data and not takes_data(run.command.code) and len(run.received) != run.count - status.residual:
            self._port.connection_error()  # a data frame was lost
            return
        if status.flags & StatusFlag.COMMAND_RETRY:
            run.retrying = True
        run.status_so_far |= status.unit_status
        result = run.result
        result.status = run.status_so_far
        result.sense = status.sense
        if status.flags & StatusFlag.RESIDUAL_VALID:
            result.residual = status.residual
        if result.status & ~(UnitStatus.STATUS_MODIFIER if run.retrying else 0) == UnitStatus.CHANNEL_END:
            self._await_device_end(run)
            return
        if run.retrying and result.status & ~UnitStatus.STATUS_MODIFIER == _NORMAL_END and self._retried(run):
            return
        result.data.append(bytes(run.received))
        normal = result.status & ~UnitStatus.STATUS_MODIFIER == _NORMAL_END
        result.completed += normal
        step = 2 if result.status & UnitStatus.STATUS_MODIFIER else 1
        goes_on = normal and bool(status.flags & StatusFlag.CHAINING_INDICATION)
        if goes_on and run.index + step < len(run.commands):
            run.index += step
            self._send_command(run)
            return
        self._send_control(run.image, run.unit_address, ControlFunction.STATUS_ACCEPTED, end=True)
        self._finish(run, None)

    def _retried(self, run: ChainRun) -> bool:
        """Send the same command again (H7); False when that was done often enough."""
        run.retrying = False
        run.retries += 1
        if run.retries > MAX_RETRIES:
            return False
        self._send_command(run)
        return True

    def _await_device_end(self, run: ChainRun) -> None:
        self._send_control(run.image, run.unit_address, ControlFunction.STATUS_ACCEPTED, end=True)
        self._leave()
        self._disconnected[run.image, run.unit_address] = run
        run.waiting.start(self._settings.device_end_timeout_s)

    def _send_control(self, image: int, unit_address: int, function: ControlFunction, end: bool = False) -> None:
        """Send a control frame; one that ends the exchange also ends the connection."""
        self._port.send_to_image(image, ControlFrame(unit_address, function, end=end), disconnect=end)

    def _finish(self, run: ChainRun, failure: str | None) -> None:
        self._leave()
        run.result.failure = failure
        run.reply(run.result)

    # Loss of connection, link, patience

    def withdraw(self) -> None:
        """The peer's command goes first: put the chain that was selecting back to the front."""
        run = self._current
        if run is not None:
            self._leave()
            self._waiting.appendleft(run)

    def connection_dropped(self) -> None:
        """Unconditional disconnect: the chain in hand begins again, or fails."""
        run = self._current
        if isinstance(run, ChainRun):
            self._leave()
            run.attempts += 1
            if run.attempts < self._settings.tries:
                self._waiting.appendleft(run)
            else:
                run.fail("timeout")

    def link_down(self) -> None:
        """Every exchange fails; no logical path is left."""
        self.paths.link_down()
        self._fail_all()

    def peer_unreachable(self) -> None:
        """A director tells that the peer is gone (P2); the link as such works."""
        self.images.clear()
        self._fail_all()

    def _fail_all(self) -> None:
        items = [self._current] if self._current is not None else []
        items += [*self._disconnected.values(), *self._waiting]
        self._leave()
        self.retry_timer.stop()
        self._disconnected.clear()
        self._waiting.clear()
        for item in items:
            item.fail("link lost")

    def tick(self, now: float) -> bool:
        """Arm the timers, end what waited too long; True when the connection must be recovered."""
        self.retry_timer.expired(now)
        for key, run in list(self._disconnected.items()) if self._disconnected else ():
            if run.waiting.expired(now):
                del self._disconnected[key]
                run.fail("timeout")
        if not self.timer.expired(now):
            return False
        item = self._current
        if isinstance(item, Request):
            if not self._repeat(item):
                self._leave()
                item.fail("timeout")
            return False
        return True

    def _enter(self, state: ChannelState) -> None:
        assert (self.state, state) in MOVES, f"{self.state.name} to {state.name} is no move"
        self.state = state
        if state is ChannelState.IDLE:
            self.timer.stop()
        elif state is ChannelState.TRANSFER:
            self.timer.start(self._settings.device_end_timeout_s)
        else:
            self.timer.start(self._settings.link_timeout_s)

    def _leave(self) -> None:
        self._current = None
        self._enter(ChannelState.IDLE)
