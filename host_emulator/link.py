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
from ccw.escon import CommandFlag, ControlFunction, StatusFlag
from ccw.frames import CommandFrame, ControlFrame, DataFrame, DataRequest, StatusFrame
from host_emulator.channel import Response, Start, is_input
from host_emulator.link_end import ConnectionBroken, Heard, Script, Silence
from host_emulator.link_requests import BUSY, LinkControlExchanges
from host_emulator.link_values import (
    HostCounters,
    HostLinkSettings,
    LinkFailure,
    NoPath,
    NotOperational,
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

# Flags as plain numbers: every command passes here several times, and enum flags cost ten times as much.
_CD, _CC_AND_SLI = int(CcwFlag.CD), int(CcwFlag.CC | CcwFlag.SLI)
_SOLICIT, _UPDATE = int(CommandFlag.SOLICIT_SUPPLEMENTARY_STATUS), int(CommandFlag.DATA_CHAINING_UPDATE)
_CHANNEL_END, _STATUS_MODIFIER = int(UnitStatus.CHANNEL_END), int(UnitStatus.STATUS_MODIFIER)
_RESIDUAL_VALID, _LONG_RECORD = int(StatusFlag.RESIDUAL_VALID), int(StatusFlag.LONG_RECORD)
_COMMAND_RETRY, _CHAINING_INDICATION = int(StatusFlag.COMMAND_RETRY), int(StatusFlag.CHAINING_INDICATION)


@dataclass(slots=True)
class _Transfer:
    """One command under way."""

    unit_address: int
    start: Start
    received: bytearray = field(default_factory=bytearray)
    asked: int = 0  # bytes of a read
    sent: int = 0
    accepted: bool = False  # ACR sent, or not needed: from here on a link error is not harmless
    immediate: bool = True
    retry: bool = False  # the device wants the same command once more


class HostLink(LinkControlExchanges):
    """One channel on one link."""

    # Device-level exchanges

    def command(self, unit_address: int, start: Start) -> Script:
        """One command, to its ending status with device end. Returns the Response."""
        tries = retries = 0
        while tries < self.settings.tries:
            transfer = _Transfer(unit_address, start)
            try:
                response = yield from self._carry_out(transfer)
                if not transfer.retry:
                    return response
                retries += 1
                if retries > self.settings.retries or not self.chained:
                    raise LinkFailure(f"unit {unit_address:02X} asks for command retry without end")
                start = start._replace(chained=True)
            except ConnectionBroken:
                tries += 1
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

    def cancel(self, unit_address: int) -> Script:
        """End what the device does for this path; DACK answers."""
        return self._control(unit_address, ControlFunction.CANCEL)

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
            self._require_device(heard)
            return heard
        raise LinkFailure(f"no answer to {function.name.lower().replace('_', ' ')}")

    def _carry_out(self, transfer: _Transfer) -> Generator[float, Any, Response]:
        yield from self._select(transfer)
        heard = yield from self.hear(self.settings.link_timeout_s)
        busy = 0
        while heard.info is not None:
            busy += 1
            if heard.frame.link_control not in BUSY or busy > self.busy_limit():
                raise self.refused(heard)
            self.forget_connection()
            yield self.settings.recovery_s
            yield from self._select(transfer)
            heard = yield from self.hear(self.settings.link_timeout_s)
        self.selecting = False
        device = heard.device
        self._require_device(heard)
        if isinstance(device, StatusFrame):
            return (yield from self._conclude(transfer, device))
        if not isinstance(device, ControlFrame) or device.function != ControlFunction.COMMAND_RESPONSE:
            yield from self.recover()
            raise ConnectionBroken
        transfer.accepted = True
        transfer.immediate = False
        if not transfer.start.chained:
            self.send_device(ControlFrame(transfer.unit_address, ControlFunction.ACCEPT_COMMAND_RESPONSE))
        self._show_data_chain(transfer)
        status = yield from (self._read(transfer) if is_input(transfer.start.code) else self._write(transfer))
        return (yield from self._conclude(transfer, status))

    def _require_device(self, heard: Heard) -> None:
        """Raises NotOperational when the answer was device-level exception."""
        device = heard.device
        if isinstance(device, ControlFrame) and device.function == ControlFunction.DEVICE_LEVEL_EXCEPTION:
            self.forget_connection()
            raise NotOperational(f"unit {device.unit_address:02X} does not exist (code {device.parameters[0]})")

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
        shown = self._shown_counts(start)
        frame = self._command_frame(transfer, shown[0] if shown else start.count, chaining=bool(shown))
        self.send_device(frame, connect=not start.chained)

    def _shown_counts(self, start: Start) -> tuple[int, ...]:
        """The counts of a data chain that is shown; empty where one command with their sum is sent."""
        whole = sum(start.counts) == start.count  # else the sum is more than a count can say
        return start.counts if self.settings.show_data_chains and whole else ()

    def _command_frame(
        self, transfer: _Transfer, count: int, chaining: bool, update: bool = False
    ) -> CommandFrame:
        """`chaining`: another CCW of the data chain follows. `update`: this one continues a data chain."""
        start = transfer.start
        flags = _SOLICIT if self.settings.solicit_sense and start.solicit_sense else 0
        flags |= _UPDATE if update else 0
        return CommandFrame(
            transfer.unit_address,
            start.code,
            _CD if chaining else start.flags & _CC_AND_SLI,
            count,
            chained=start.chained or update,
            dib_code=escon.DIB_CODE_ESCON,
            data_requests=self.settings.data_requests,
            command_flags=flags,
        )

    def _show_data_chain(self, transfer: _Transfer) -> None:
        """Send the CCWs of a data chain that follow the first, each as an update."""
        counts = self._shown_counts(transfer.start)
        for index, count in enumerate(counts[1:], 2):
            self.send_device(self._command_frame(transfer, count, chaining=index < len(counts), update=True))

    def _read(self, transfer: _Transfer) -> Generator[float, Any, StatusFrame]:
        patience = self.settings.device_timeout_s
        while True:
            self._request_data(transfer)
            heard = yield from self.hear(patience)
            device = heard.device
            if isinstance(device, StatusFrame):
                return device
            if not isinstance(device, DataFrame) or len(transfer.received) + len(device.data) > transfer.start.count:
                yield from self.recover()
                raise ConnectionBroken
            transfer.received += device.data
            patience = self.settings.link_timeout_s

    def _request_data(self, transfer: _Transfer) -> None:
        """Ask for what is still to come, with as many requests outstanding as the settings allow."""
        count = transfer.start.count
        if transfer.asked == count:
            return  # nearly always: the first request was for all of it
        piece = self.settings.request_bytes or count
        outstanding = -(-(transfer.asked - len(transfer.received)) // piece) if transfer.asked else 0
        while transfer.asked < count and outstanding <= self.settings.data_requests >> 4:
            step = min(piece, count - transfer.asked)
            self.send_device(DataRequest(transfer.unit_address, step))
            transfer.asked += step
            outstanding += 1

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
        early = transfer.start.count > len(data)
        while transfer.sent < stop:
            piece = data[transfer.sent : min(transfer.sent + block, stop)]
            transfer.sent += len(piece)
            last = transfer.sent == len(data)
            self.send_device(DataFrame(transfer.unit_address, piece, end=last, early_end=last and early))

    def _conclude(self, transfer: _Transfer, status: StatusFrame) -> Generator[float, Any, Response]:
        """Take the ending status, and wait for device end where it did not come with channel end."""
        unit_address, start = transfer.unit_address, transfer.start
        valid = bool(status.flags & _RESIDUAL_VALID)
        residual = status.residual if valid else start.count - len(transfer.received)
        moved = start.count - status.residual
        judged = valid and is_input(start.code) and bool(status.unit_status & _CHANNEL_END)
        if judged and len(transfer.received) != moved:
            yield from self.recover()  # a data frame was lost
            raise ConnectionBroken
        unit_status, sense, last = status.unit_status, status.sense, status
        transfer.retry = bool(status.flags & _COMMAND_RETRY)
        if unit_status & ~(_STATUS_MODIFIER if transfer.retry else 0) == _CHANNEL_END:
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
        if last.flags & _CHAINING_INDICATION and not last.end:
            self.chained = True
        else:
            self.accept(unit_address)
        long_record = bool(status.flags & _LONG_RECORD)
        return Response(
            unit_status, bytes(transfer.received), residual, long_record, sense or None, transfer.immediate
        )
