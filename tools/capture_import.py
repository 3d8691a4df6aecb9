"""Puts channel programs together from a capture of frames, as `--capture` writes it.

Every exchange of every logical path is followed from its command frame to its ending status: the data that went each
way, the status, residual count and sense. A chain becomes one channel program. Incorrect length is the channel's to
find and is worked out from what the status says, as a channel would. Commands whose end is not in the capture are left
out, with the rest of their chain; so are frames of link control, and everything that lies outside a chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from ccw.ccws import UnitStatus
from ccw.errors import FormatError
from ccw.escon import CommandFlag, StatusFlag
from ccw.frames import CommandFrame, DataFrame, StatusFrame, decode_device, decode_frame
from ccw.pcapng import Packet
from ccw.records import RawFrame, decode_record
from host_emulator.channel import Response, is_input
from tools.follower import channel_status_of
from tools.recording import RecordedCommand, RecordedProgram

CHAINABLE = 0x60
Key = tuple[int, int, int, int]  # interface, channel, control unit, unit address


@dataclass(slots=True)
class _Command:
    """A command that has been sent and not answered yet."""

    frame: CommandFrame
    count: int
    flags: int
    data: bytearray = field(default_factory=bytearray)
    answered: bool = False  # by anything but status, so it was no immediate operation


@dataclass(slots=True)
class _Chain:
    """The chain of one unit on one path."""

    started_us: int
    commands: list[RecordedCommand] = field(default_factory=list)
    current: _Command | None = None
    status_so_far: int = 0


class CaptureImport:
    """Reads one capture. `left_out` counts chains whose end is missing, and records that are no frames."""

    def __init__(self) -> None:
        self.left_out: dict[str, int] = {}
        self._chains: dict[Key, _Chain] = {}
        self._first_ns: int | None = None
        self._number = 0

    def programs(self, packets: Iterable[Packet]) -> Iterator[RecordedProgram]:
        """Yield channel programs in the order they ended. Unit addresses stand for device numbers."""
        for packet in packets:
            if self._first_ns is None and packet.time_ns is not None:
                self._first_ns = packet.time_ns
            yield from self._take(packet)
        for chain in self._chains.values():
            if chain.current is not None:
                self._leave_out("the end of the chain is not in the capture")

    def _leave_out(self, why: str) -> None:
        self.left_out[why] = self.left_out.get(why, 0) + 1

    def _take(self, packet: Packet) -> Iterator[RecordedProgram]:
        try:
            record = decode_record(packet.data)
            if not isinstance(record, RawFrame) or record.abort:
                return
            frame = decode_frame(record.payload, connect=record.connect, disconnect=record.disconnect)
            if frame.link_control:
                return
            device = decode_device(frame.information)
        except FormatError:
            self._leave_out("a record that is no frame")
            return
        interface = id(packet.interface)
        forward = interface, frame.source, frame.destination, device.unit_address
        backward = interface, frame.destination, frame.source, device.unit_address
        if isinstance(device, CommandFrame):
            yield from self._command(forward, device, packet)
        elif isinstance(device, StatusFrame):
            yield from self._status(backward, device)
        elif isinstance(device, DataFrame):
            for key in (forward, backward):
                chain = self._chains.get(key)
                if chain is not None and chain.current is not None:
                    chain.current.data += device.data
                    chain.current.answered = True
                    break

    def _command(self, key: Key, command: CommandFrame, packet: Packet) -> Iterator[RecordedProgram]:
        chain = self._chains.get(key)
        if command.command_flags & CommandFlag.DATA_CHAINING_UPDATE and chain is not None and chain.current is not None:
            chain.current.count += command.count
            chain.current.flags = command.flags
            return
        if not command.chained or chain is None:
            if chain is not None:
                yield from self._end(key)
            time_ns = packet.time_ns if packet.time_ns is not None else self._first_ns
            chain = self._chains[key] = _Chain(((time_ns or 0) - (self._first_ns or 0)) // 1000)
        chain.current = _Command(command, command.count, command.flags)
        chain.status_so_far = 0

    def _status(self, key: Key, status: StatusFrame) -> Iterator[RecordedProgram]:
        chain = self._chains.get(key)
        if chain is None or chain.current is None:
            return  # a status that no command asked for
        if status.flags & StatusFlag.COMMAND_RETRY:
            chain.current.data.clear()
            return
        chain.status_so_far |= status.unit_status
        if status.unit_status == UnitStatus.CHANNEL_END:
            return  # device end follows
        current, chain.current = chain.current, None
        chain.commands.append(_recorded(current, status, chain.status_so_far))
        if status.end or not status.flags & StatusFlag.CHAINING_INDICATION:
            yield from self._end(key)

    def _end(self, key: Key) -> Iterator[RecordedProgram]:
        chain = self._chains.pop(key)
        if chain.current is not None:
            self._leave_out("the end of the chain is not in the capture")
        elif chain.commands:
            self._number += 1
            last = chain.commands[-1]
            yield RecordedProgram(
                number=self._number,
                device=key[3],
                ccw_format=1,
                suppress_length=False,
                ended="end",
                commands=tuple(chain.commands),
                status=last.status,
                channel_status=last.channel_status,
                residual=last.residual,
                time_us=chain.started_us,
            )


def _recorded(current: _Command, status: StatusFrame, unit_status: int) -> RecordedCommand:
    """What became of one command."""
    code, data = current.frame.command, bytes(current.data)
    reads = is_input(code)
    valid = bool(status.flags & StatusFlag.RESIDUAL_VALID)
    residual = status.residual if valid else current.count - (len(data) if reads else 0)
    response = Response(
        unit_status,
        data if reads else b"",
        residual,
        bool(status.flags & StatusFlag.LONG_RECORD),
        status.sense or None,
        not current.answered,
    )
    command = RecordedCommand(
        code=code,
        flags=current.flags & CHAINABLE,
        count=current.count,
        data_out=b"" if reads else data,
        data_in=response.data,
        status=unit_status,
        channel_status=0,
        residual=residual,
        more=response.long_record,
        sense=response.sense,
        immediate=response.immediate,
        executed=True,
    )
    return with_channel_status(command, response)


def with_channel_status(command: RecordedCommand, response: Response) -> RecordedCommand:
    """The same command with the incorrect length that a channel shows for it (format 1, length not suppressed)."""
    program = RecordedProgram(0, 0, 1, False, "end", (command,), 0, 0, 0)
    return replace(command, channel_status=channel_status_of(program, command, response))
