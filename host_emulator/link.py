"""The channel's end of an ESCON link: its exchanges, written as scripts of frames. No input or output.

Every exchange is a generator that reads like the exchanges of the frame description:

    link.begin(link.command(unit_address, start), now)
    link.receive(record, now) / link.wake(now)      while link.busy
    link.result()                                   the value, or what went wrong as an exception
    link.take()                                     records to send; after every call

Errors: LinkFailure (an interface control check) for everything that keeps a command from being carried out. A link
error before the command was accepted voids the command, which is then sent again, at most `tries` times.
Source: assumed, the exchanges this project defines for ESCON.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from ccw import escon
from ccw.ccws import CcwFlag, UnitStatus
from ccw.escon import CommandFlag, ControlFunction, LinkControl, StatusFlag
from ccw.frames import CommandFrame, ControlFrame, DataFrame, DataRequest, StatusFrame
from ccw.link_control import LinkControlInfo, link_control_frame
from host_emulator.channel import Response, Start, is_input
from host_emulator.link_end import (
    ConnectionBroken,
    Heard,
    HostCounters,
    HostLinkSettings,
    LinkEnd,
    LinkFailure,
    NoPath,
    NotOperational,
    Script,
    Silence,
    StateChanged,
    Unsolicited,
)

__all__ = [
    "HostCounters",
    "HostLink",
    "HostLinkSettings",
    "LinkFailure",
    "NoPath",
    "NotOperational",
    "StateChanged",
    "Unsolicited",
]


_BUSY = frozenset({LinkControl.LBY, LinkControl.PBY})


@dataclass(slots=True)
class _Transfer:
    """One command under way."""

    unit_address: int
    start: Start
    received: bytearray = field(default_factory=bytearray)
    sent: int = 0
    accepted: bool = False  # ACR sent, or not needed: from here on a link error is not harmless
    immediate: bool = True


class HostLink(LinkEnd):
    """One channel on one link."""

    # Link-level exchanges

    def acquire_address(self) -> Script:
        """ALA. Returns True when a director assigned an address, False when this end took its own."""
        for _ in range(self.settings.tries):
            source = escon.WHO_AM_I << 8
            self.send(link_control_frame(LinkControl.ALA, escon.TO_WHOM_IT_MAY_CONCERN << 8, source))
            heard = yield escon.ACQUIRE_LINK_ADDRESS_RETRY_S
            if isinstance(heard, Heard) and heard.info is not None:
                if heard.frame.link_control == LinkControl.LACK:
                    self.link_address = heard.info.parameters[0]
                    return True
                if heard.frame.link_control == LinkControl.LRJ:
                    self.link_address = self.settings.link_address
                    return False
            self.counters.timeouts += heard is Silence.TIMEOUT
        raise LinkFailure("no answer to acquire link address")

    def establish(self, image: int) -> Script:
        """ELP to a control-unit image, 0-15. Raises NoPath with the reason of LPR."""
        self.image = None
        answer, info = yield from self._request(LinkControl.ELP, image, LinkControl.LPE, LinkControl.LPR)
        if answer == LinkControl.LPR:
            reason = info.reason
            raise NoPath(f"logical path to image {image:X} refused, reason {reason}", reason)
        self.image = image

    def remove(self) -> Script:
        """RLP for the path there is."""
        image, self.image = self.image, None
        if image is not None:
            yield from self._request(LinkControl.RLP, image, LinkControl.LPR)

    def identify(self) -> Script:
        """RID; returns the 32-byte node descriptor."""
        _, info = yield from self._request(LinkControl.RID, 0, LinkControl.IDR)
        return info.trailer

    def _request(self, function: int, image: int, *answers: int) -> Generator[float, Any, tuple[int, LinkControlInfo]]:
        """Send a link-control request until one of `answers` comes.

        Raises NoPath when it was refused to the end, LinkFailure when nobody answered.
        """
        refusal = ""
        attempts = busy = 0
        while attempts < self.settings.tries:
            self.send(link_control_frame(function, self.unit_image(image), self.own()))
            heard = yield self.settings.link_timeout_s
            attempts += 1
            if isinstance(heard, Heard) and heard.info is not None:
                if heard.frame.link_control in answers:
                    return heard.frame.link_control, heard.info
                if heard.frame.link_control in _BUSY and busy < self._busy_limit():
                    attempts, busy = attempts - 1, busy + 1
                refusal = f"{LinkControl(heard.frame.link_control).name} reason {heard.info.reason:02X}"
                yield self.settings.recovery_s
            else:
                self.counters.timeouts += 1
        name = LinkControl(function).name
        if refusal:
            raise NoPath(f"{name} was answered by {refusal}")
        raise LinkFailure(f"no answer to {name}")

    def _busy_limit(self) -> int:
        """How often a busy answer is taken before it counts as a refusal."""
        return int(self.settings.busy_timeout_s / self.settings.recovery_s)

    # Device-level exchanges

    def command(self, unit_address: int, start: Start) -> Script:
        """One command, to its ending status with device end. Returns the Response."""
        for _ in range(self.settings.tries):
            transfer = _Transfer(unit_address, start)
            try:
                return (yield from self._carry_out(transfer))
            except ConnectionBroken:
                if transfer.accepted or start.chained:
                    raise LinkFailure("the connection was lost in the middle of a command") from None
        raise LinkFailure(f"no command response from unit {unit_address:02X}")

    def end_chain(self) -> None:
        """Accept the last status and give the connection up, where the control unit waits for a next command."""
        if self.chained and self.connected is not None:
            self.accept(self.connected)
        self.chained = False

    def selective_reset(self, unit_address: int) -> Script:
        """Reset one device for this path; DACK answers."""
        return self._control(unit_address, ControlFunction.SELECTIVE_RESET)

    def system_reset(self) -> Script:
        """Reset everything on this path; DACK answers."""
        return self._control(None, ControlFunction.SYSTEM_RESET)

    def request_status(self, unit_address: int) -> Script:
        """Ask for a stacked status; what there is goes to `unsolicited`. Returns whether there was one."""
        heard = yield from self._ask(unit_address, ControlFunction.REQUEST_STATUS)
        status = heard.device
        if not isinstance(status, StatusFrame):
            return False
        self.note(status)
        self.accept(unit_address)
        return True

    def _control(self, unit_address: int | None, function: ControlFunction) -> Script:
        yield from self._ask(unit_address, function)

    def _ask(self, unit_address: int | None, function: ControlFunction) -> Generator[float, Any, Heard]:
        """Send a control function that opens a connection, and hear its answer."""
        for _ in range(self.settings.tries):
            self.require_path()
            self.forget_connection()
            self.connected = unit_address or 0
            self.selecting = True
            specific = unit_address is not None
            self.send_device(ControlFrame(unit_address or 0, function, address_specific=specific), connect=True)
            try:
                heard = yield from self.hear(self.settings.link_timeout_s)
            except ConnectionBroken:
                continue
            if heard.frame.disconnect:
                self.forget_connection()
            if heard.info is not None:
                raise self.refused(heard)
            self.selecting = False
            return heard
        raise LinkFailure(f"no answer to {function.name.lower().replace('_', ' ')}")

    def _carry_out(self, transfer: _Transfer) -> Generator[float, Any, Response]:
        yield from self._select(transfer)
        heard = yield from self.hear(self.settings.link_timeout_s)
        busy = 0
        while heard.info is not None:
            busy += 1
            if heard.frame.link_control not in _BUSY or busy > self._busy_limit():
                raise self.refused(heard)
            self.forget_connection()
            yield self.settings.recovery_s
            yield from self._select(transfer)
            heard = yield from self.hear(self.settings.link_timeout_s)
        self.selecting = False
        device = heard.device
        if isinstance(device, ControlFrame) and device.function == ControlFunction.DEVICE_LEVEL_EXCEPTION:
            self.forget_connection()
            raise NotOperational(f"unit {transfer.unit_address:02X} does not exist (code {device.parameters[0]})")
        if isinstance(device, StatusFrame):
            return (yield from self._conclude(transfer, device))
        if not isinstance(device, ControlFrame) or device.function != ControlFunction.COMMAND_RESPONSE:
            yield from self.recover()
            raise ConnectionBroken
        transfer.accepted = True
        transfer.immediate = False
        if not transfer.start.chained:
            self.send_device(ControlFrame(transfer.unit_address, ControlFunction.ACCEPT_COMMAND_RESPONSE))
        status = yield from (self._read(transfer) if is_input(transfer.start.code) else self._write(transfer))
        return (yield from self._conclude(transfer, status))

    def _select(self, transfer: _Transfer) -> Generator[float, Any, None]:
        """Send the command frame."""
        start = transfer.start
        self.require_path()
        if start.chained and (not self.chained or self.connected != transfer.unit_address):
            raise LinkFailure("the connection was lost between two commands of a chain")
        if not start.chained:
            if self.connected is not None:
                yield from self.recover()
            self.connected = transfer.unit_address
            self.selecting = True
        self.chained = False
        flags = CommandFlag.SOLICIT_SUPPLEMENTARY_STATUS if self.settings.solicit_sense else 0
        frame = CommandFrame(
            transfer.unit_address,
            start.code,
            start.flags & (CcwFlag.CC | CcwFlag.SLI),
            start.count,
            chained=start.chained,
            dib_code=escon.DIB_CODE_ESCON,
            data_requests=escon.DATA_REQUESTS_EIGHT,
            command_flags=int(flags),
        )
        self.send_device(frame, connect=not start.chained)

    def _read(self, transfer: _Transfer) -> Generator[float, Any, StatusFrame]:
        self.send_device(DataRequest(transfer.unit_address, transfer.start.count))
        patience = self.settings.device_timeout_s
        while True:
            heard = yield from self.hear(patience)
            device = heard.device
            if isinstance(device, StatusFrame):
                return device
            if not isinstance(device, DataFrame) or len(transfer.received) + len(device.data) > transfer.start.count:
                yield from self.recover()
                raise ConnectionBroken
            transfer.received += device.data
            patience = self.settings.link_timeout_s

    def _write(self, transfer: _Transfer) -> Generator[float, Any, StatusFrame]:
        patience = self.settings.link_timeout_s
        while True:
            heard = yield from self.hear(patience)
            device = heard.device
            if isinstance(device, StatusFrame):
                return device
            if not isinstance(device, DataRequest):
                yield from self.recover()
                raise ConnectionBroken
            self._send_data(transfer, device.count)
            patience = self.settings.device_timeout_s

    def _send_data(self, transfer: _Transfer, wanted: int) -> None:
        data = transfer.start.data
        block = escon.data_block_length(escon.DIB_CODE_ESCON)
        stop = min(transfer.sent + wanted, len(data))
        early = transfer.sent + wanted > len(data)
        while transfer.sent < stop:
            piece = data[transfer.sent : min(transfer.sent + block, stop)]
            transfer.sent += len(piece)
            last = transfer.sent == len(data)
            self.send_device(DataFrame(transfer.unit_address, piece, end=last, early_end=last and early))

    def _conclude(self, transfer: _Transfer, status: StatusFrame) -> Generator[float, Any, Response]:
        """Take the ending status, and wait for device end where it did not come with channel end."""
        unit_address, start = transfer.unit_address, transfer.start
        valid = bool(status.flags & StatusFlag.RESIDUAL_VALID)
        residual = status.residual if valid else start.count - len(transfer.received)
        moved = start.count - status.residual
        judged = valid and is_input(start.code) and bool(status.unit_status & UnitStatus.CHANNEL_END)
        if judged and len(transfer.received) != moved:
            yield from self.recover()  # a data frame was lost
            raise ConnectionBroken
        unit_status, sense, last = status.unit_status, status.sense, status
        if unit_status == UnitStatus.CHANNEL_END:
            self.accept(unit_address)
            self.awaiting = unit_address
            heard = yield self.settings.device_timeout_s
            self.awaiting = None
            if not isinstance(heard, Heard) or not isinstance(heard.device, StatusFrame):
                self.counters.timeouts += heard is Silence.TIMEOUT
                raise LinkFailure(f"no device end from unit {unit_address:02X}")
            last = heard.device
            self.connected = unit_address
            unit_status |= last.unit_status
            sense = last.sense
        if last.flags & StatusFlag.CHAINING_INDICATION and not last.end:
            self.chained = True
        else:
            self.accept(unit_address)
        long_record = bool(status.flags & StatusFlag.LONG_RECORD)
        return Response(
            unit_status, bytes(transfer.received), residual, long_record, sense or None, transfer.immediate
        )
