"""The link level of a channel: sequences, recovery, unsolicited status, and the scripts that exchanges are.

An exchange is a generator (`Script`): it sends, and yields the number of seconds it is willing to wait for what must
follow; it is sent what was heard, or `Silence`. `LinkEnd` carries one script at a time. Whatever the script does, the
link level goes on: sequences are answered, unsolicited status is accepted, requests get their answers.

Source: assumed, the link level this project defines for ESCON.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from enum import Enum, auto
from typing import Any, NamedTuple

from ccw import escon
from ccw.ccws import UnitStatus
from ccw.errors import FormatError
from ccw.escon import ControlFunction, LinkControl, RejectReason, Sequence
from ccw.frames import (
    ControlFrame,
    DeviceFrame,
    Frame,
    StatusFrame,
    decode_device,
    decode_frame,
    encode_device,
)
from ccw.link_control import LinkControlInfo, decode_link_control, link_control_frame
from ccw.records import RawFrame, SequenceRecord
from host_emulator.channel import InterfaceControlCheck
from host_emulator.link_values import (
    INCIDENTS_KEPT,
    LINK_INCIDENT_BYTES,
    UNSOLICITED_KEPT,
    HostCounters,
    HostLinkSettings,
    LinkFailure,
    NoPath,
    StateChanged,
    Unsolicited,
)

_ANSWERS = frozenset({"LPE", "LPR", "LACK", "LRJ", "LBY", "TIR", "PRJ", "PBY", "IDR", "ILA"})


class Silence(Enum):
    """What an exchange hears instead of a frame."""

    TIMEOUT = auto()
    DROPPED = auto()  # the connection is gone by unconditional disconnect


class Heard(NamedTuple):
    """A frame for the exchange under way."""

    frame: Frame
    device: DeviceFrame | None = None
    info: LinkControlInfo | None = None


class ConnectionBroken(Exception):
    """The connection was dropped in the middle of an exchange. Exchanges turn it into a LinkFailure."""


Script = Generator[float, Any, Any]


class LinkEnd:
    """The link level of a channel, with a logical path to one control-unit image at a time."""

    def __init__(self, settings: HostLinkSettings | None = None) -> None:
        self.settings = settings or HostLinkSettings()
        self.link_address = self.settings.link_address
        self.image: int | None = None  # of the logical path
        self.counters = HostCounters()
        self.unsolicited: deque[Unsolicited] = deque(maxlen=UNSOLICITED_KEPT)
        self.state_changes: deque[StateChanged] = deque(maxlen=UNSOLICITED_KEPT)
        self.incidents: deque[bytes] = deque(maxlen=INCIDENTS_KEPT)  # link-incident records
        self._output: list[Frame | SequenceRecord] = [SequenceRecord(Sequence.IDLE)]
        self._script: Script | None = None
        self._deadline: float | None = None
        self._result: Any = None
        self._failure: InterfaceControlCheck | None = None
        self.lost = False
        self._recovering = False  # UD is out, what comes before UDR is void
        self.selecting = False  # a first command is out: it wins over any status
        self.connected: int | None = None  # unit address of the connection
        self.awaiting: int | None = None  # unit address whose device end is due without a connection
        self.chained = False  # the connection is open for the next command
        self.stacking = False  # statuses of their own account are not taken now
        self._stacked: int | None = None  # unit address whose DACK is due

    # The owner's side

    @property
    def busy(self) -> bool:
        """An exchange is under way."""
        return self._script is not None

    @property
    def chaining(self) -> bool:
        """The control unit holds the connection for the next command of a chain."""
        return self.chained

    @property
    def next_wake(self) -> float | None:
        """When `wake` is to be called."""
        return self._deadline

    def begin(self, script: Script, now: float) -> None:
        """Start an exchange."""
        assert self._script is None, "one exchange at a time"
        self._result, self._failure = None, None
        if self.lost:
            script.close()
            self._failure = LinkFailure("the link is lost")
            return
        self._script = self._after_recovery(script) if self._recovering else script
        self._step(None, now)

    @property
    def failed(self) -> bool:
        """The last exchange ended in a failure, which `result` raises."""
        return self._failure is not None

    def result(self) -> Any:
        """The value of the last exchange; raises what it ended with. Called when not busy."""
        assert self._script is None
        if self._failure is not None:
            raise self._failure
        return self._result

    def take(self) -> list[Frame | SequenceRecord]:
        """What is to be sent now, in order."""
        taken, self._output = self._output, []
        return taken

    def wake(self, now: float) -> None:
        """The exchange has waited long enough, if the time says so."""
        if self._deadline is not None and now >= self._deadline:
            self._step(Silence.TIMEOUT, now)

    def abandon(self, now: float) -> None:
        """Give the exchange up in the middle; the connection, if any, is recovered before the next one."""
        if self._script is not None:
            self._script.close()
            self._script = None
            self._deadline = None
        if self.connected is not None or self.selecting:
            self._recovering = True
            self._send_sequence(Sequence.UD)
        self.forget_connection()

    def connection_lost(self, now: float) -> None:
        """The medium is gone; every further exchange fails."""
        self.lost = True
        self._output.clear()
        self.forget_connection()
        self.image = None
        if self._script is not None:
            self._throw(LinkFailure("the link is lost"))

    def receive(self, record: RawFrame | SequenceRecord, now: float) -> None:
        """Take one record. Never raises, whatever the bytes are."""
        if isinstance(record, SequenceRecord):
            self._sequence(record.kind, now)
            return
        self.counters.frames_in += 1
        self.counters.bytes_in += len(record.payload)
        if self._recovering or self.lost:
            self.counters.out_of_place += 1
            return
        try:
            if record.abort:
                raise FormatError("frame", "aborted", record.payload)
            frame = decode_frame(record.payload, connect=record.connect, disconnect=record.disconnect)
            device = None if frame.link_control else decode_device(frame.information)
        except FormatError:
            self.counters.damaged += 1
            return
        if device is None:
            self._hear_link_control(frame, now)
        else:
            self._hear_device(frame, device, now)

    # What exchanges are made of

    def hear(self, seconds: float) -> Generator[float, Any, Heard]:
        """The next frame of the connection. Raises ConnectionBroken after recovering from silence."""
        heard = yield seconds
        if heard is Silence.TIMEOUT:
            self.counters.timeouts += 1
            yield from self.recover()
        if isinstance(heard, Silence):
            raise ConnectionBroken
        assert isinstance(heard, Heard)
        return heard

    def recover(self) -> Generator[float, Any, None]:
        """Unconditional disconnect until the other end answers."""
        self.forget_connection()
        self._recovering = True
        for _ in range(self.settings.recovery_tries):
            self._send_sequence(Sequence.UD)
            heard = yield self.settings.recovery_s
            if heard is Silence.DROPPED:
                return
        raise LinkFailure("no answer to unconditional disconnect")

    def _after_recovery(self, script: Script) -> Script:
        yield from self.recover()
        return (yield from script)

    def refused(self, heard: Heard) -> LinkFailure:
        """The failure for a link-control frame that answers a device frame."""
        assert heard.info is not None
        self.forget_connection()
        reason = heard.info.reason
        if heard.frame.link_control == LinkControl.LRJ and reason == RejectReason.LOGICAL_PATH_NOT_ESTABLISHED:
            self.image = None
            return NoPath("the control unit has no logical path for this channel")
        return LinkFailure(f"{LinkControl(heard.frame.link_control).name} reason {reason:02X}")

    def require_path(self) -> None:
        if self.image is None:
            raise NoPath("no logical path is established")

    # Hearing

    def _sequence(self, kind: int, now: float) -> None:
        if kind == Sequence.NOS:
            self._send_sequence(Sequence.OLS)
            self._drop(now, paths=True)
        elif kind == Sequence.OLS:
            self._send_sequence(Sequence.UD)
            self._drop(now, paths=True)
            self._recovering = True
        elif kind == Sequence.UD:
            self._recovering = False
            self._send_sequence(Sequence.UDR)
            self._drop(now)
        elif kind in (Sequence.UDR, Sequence.IDLE) and self._recovering:
            self._recovering = False
            if kind == Sequence.UDR:
                self._send_sequence(Sequence.IDLE)
            self._drop(now)

    def _drop(self, now: float, paths: bool = False) -> None:
        """The connection is gone; the exchange hears of it, unless it waits for a device without a connection."""
        self.counters.recoveries += 1
        waiting_apart = self.awaiting is not None and not paths
        awaited = self.awaiting
        self.forget_connection()
        if paths:
            self.image = None
        if waiting_apart:
            self.awaiting = awaited
        elif self._script is not None:
            self._step(Silence.DROPPED, now)

    def _hear_link_control(self, frame: Frame, now: float) -> None:
        info = decode_link_control(frame)
        name = LinkControl(frame.link_control).name if frame.link_control in set(LinkControl) else ""
        if name == "ILA":
            self.image = None  # this end uses an address that is not its own
        if name in _ANSWERS:
            if self._script is not None and self.awaiting is None:
                self._step(Heard(frame, info=info), now)
            else:
                self.counters.out_of_place += 1
        elif frame.link_control == LinkControl.RID:
            node = self.settings.node
            self.send(link_control_frame(LinkControl.IDR, frame.source, frame.destination, trailer=node))
        elif frame.link_control in (LinkControl.SCN, LinkControl.LIR):
            if frame.link_control == LinkControl.SCN:
                self._state_changed(info)
            elif len(info.trailer) == LINK_INCIDENT_BYTES:
                self.incidents.append(info.trailer)
            self.send(link_control_frame(LinkControl.LACK, frame.source, frame.destination))
        else:
            self._reject(frame, RejectReason.UNRECOGNISED_LINK_CONTROL)

    def _state_changed(self, info: LinkControlInfo) -> None:
        """A director tells that a port can be reached, or no longer: a path that led there is gone."""
        change = StateChanged(info.parameters[0], info.parameters[1])
        self.state_changes.append(change)
        unreachable = change.change == escon.StateChange.BECAME_UNREACHABLE
        if unreachable and change.link_address == self.settings.control_unit_address:
            self.image = None

    def _hear_device(self, frame: Frame, device: DeviceFrame, now: float) -> None:
        if self.image is None or frame.source != self.unit_image(self.image):
            self._reject(frame, RejectReason.LOGICAL_PATH_NOT_ESTABLISHED)
        elif isinstance(device, StatusFrame) and frame.connect:
            self._hear_connecting_status(frame, device, now)
        elif self._stacked == device.unit_address and _is_acknowledgement(device):
            self._stacked = None
        elif isinstance(device, ControlFrame) and device.function == ControlFunction.REQUEST_CONNECT:
            self.send_device(ControlFrame(device.unit_address, ControlFunction.REQUEST_STATUS, ready=True))
        elif self._script is not None and self.connected == device.unit_address and not self.chained:
            self._step(Heard(frame, device), now)
        else:
            self.counters.out_of_place += 1
            self._reject(frame, RejectReason.PROTOCOL_ERROR)

    def _hear_connecting_status(self, frame: Frame, status: StatusFrame, now: float) -> None:
        """The control unit opened a connection: for the device end we wait for, or on its own account."""
        if self.selecting or self.connected is not None:
            return  # our command wins, the control unit presents again
        if self.awaiting == status.unit_address and status.unit_status & UnitStatus.DEVICE_END:
            self._step(Heard(frame, status), now)
        elif self.stacking:
            self._stacked = status.unit_address
            self.send_device(ControlFrame(status.unit_address, ControlFunction.STACK_STATUS))
        else:
            awaiting = self.awaiting  # a device that still works on our chain is not forgotten over another's status
            self.note(status)
            self.accept(status.unit_address)
            self.awaiting = awaiting

    def note(self, status: StatusFrame) -> None:
        self.counters.unsolicited += 1
        self.unsolicited.append(Unsolicited(status.unit_address, status.unit_status, status.sense))

    # Scripts in motion

    def _step(self, signal: Heard | Silence | None, now: float) -> None:
        """Let the exchange go on with what was heard (None: begin it)."""
        script = self._script
        assert script is not None
        try:
            wait = next(script) if signal is None else script.send(signal)
        except StopIteration as stop:
            self._end(stop.value, None)
        except InterfaceControlCheck as failure:
            self._end(None, failure)
        else:
            self._deadline = now + wait

    def _throw(self, failure: InterfaceControlCheck) -> None:
        assert self._script is not None
        self._script.close()
        self._end(None, failure)

    def _end(self, value: Any, failure: InterfaceControlCheck | None) -> None:
        self._script = None
        self._deadline = None
        self._result, self._failure = value, failure

    def forget_connection(self) -> None:
        self.connected = None
        self.awaiting = None
        self.selecting = False
        self.chained = False

    # Sending

    def own(self) -> int:
        return self.link_address << 8 | self.settings.channel_image

    def unit_image(self, image: int) -> int:
        return self.settings.control_unit_address << 8 | image

    def accept(self, unit_address: int) -> None:
        """Status accepted, and the connection ends with it."""
        accepted = ControlFrame(unit_address, ControlFunction.STATUS_ACCEPTED, end=True)
        self.send_device(accepted, disconnect=True)
        self.forget_connection()

    def _reject(self, frame: Frame, reason: int) -> None:
        parameters = bytes((int(reason), 0, 0, 0))
        self.send(link_control_frame(LinkControl.LRJ, frame.source, frame.destination, parameters))

    def send_device(self, frame: DeviceFrame, *, connect: bool = False, disconnect: bool = False) -> None:
        assert self.image is not None
        destination = self.unit_image(self.image)
        information = encode_device(frame)
        self.send(Frame(destination, self.own(), escon.DEVICE_FRAME, information, connect, disconnect))

    def send(self, frame: Frame) -> None:
        self.counters.frames_out += 1
        self.counters.bytes_out += escon.FRAME_LENGTH_MIN + len(frame.information)
        self._output.append(frame)

    def _send_sequence(self, kind: Sequence) -> None:
        self._output.append(SequenceRecord(int(kind)))


def _is_acknowledgement(device: DeviceFrame) -> bool:
    return isinstance(device, ControlFrame) and device.function == ControlFunction.DEVICE_LEVEL_ACKNOWLEDGEMENT
