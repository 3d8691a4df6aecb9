"""Reads channel programs from the CCW trace in a log of the Hercules emulator, releases 3.13 and 4.9.

What such a log has: every CCW with (of its data) at most 16 bytes, the status and residual count of each, 24 or 32
sense bytes, and where the interruption was taken the final status. What it has not, and what is made of that:

* data beyond what is shown: unknown, zeros are sent and nothing is compared there;
* whether the device had more data than the count, unless incorrect length says so: not compared;
* in 4.9 the first CCWs of a data chain (only the last is printed): such a program cannot be replayed and is left out;
* in 3.13 the CCW format, except that the interruption shows it: without one, format 0.

3.13 prints transfers in channel, which have no status of their own; 4.9 does not. The first CCW of a program is
printed again when the emulator starts it a second time, asynchronously: repetitions with no status between them are
dropped. Handler lines and everything else is passed over.
Source: observed, Hercules 3.13 and SDL Hercules 4.9.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ccw.ccws import Ccw, CcwFlag, ChannelStatus, CommandCode, decode_ccw
from host_emulator.channel import is_input
from tools.recording import RecordedCommand, RecordedProgram

FORMAT_1 = 0x0080_0000  # in the first word of the SCSW
SHOWN, SHOWN_OF_PREFIX = 16, 64
PARTIAL_SENSE, WHOLE_SENSE = 24, 32
_HEX = rb"[0-9A-Fa-f]"
_DATA = rb"=>((?:" + _HEX + rb"{8} ){0,15}(?:" + _HEX + rb"{2}){1,4})?"  # words; the text behind may look like one

# (pattern, what): groups are device, then what the line says.
_OLD = rb"HHCCP%d(?:I|E) (" + _HEX + rb"{4}): ?"
_NEW = rb"HHC%d(?:I|E) \d:(" + _HEX + rb"{4}) CHAN: "
_PAIR = rb"(" + _HEX + rb"{8}) (" + _HEX + rb"{8})"
_STATUS = rb"(" + _HEX + rb"{2})(" + _HEX + rb"{2})"
_LINES = (
    ("ccw", re.compile(_OLD.replace(b"%d", b"048") + rb"CCW=" + _PAIR + rb"(?:" + _DATA + rb")?")),
    ("stat", re.compile(_OLD.replace(b"%d", b"075") + rb"Stat=" + _STATUS + rb" Count=(" + _HEX + rb"{4})"
                        rb"(?: *" + _DATA + rb")?")),
    ("sense", re.compile(_OLD.replace(b"%d", b"076") + rb"Sense=((?:" + _HEX + rb"{8} ?){1,8})")),
    ("idaw", re.compile(_OLD.replace(b"%d", b"06[34]") + rb"IDAW=")),
    ("csw", re.compile(_OLD.replace(b"%d", b"049") + rb"Stat=" + _STATUS + rb" Count=(" + _HEX + rb"{4})")),
    ("scsw", re.compile(_OLD.replace(b"%d", b"050") + rb"SCSW=(" + _HEX + rb"{8}) Stat=" + _STATUS
                        + rb" Count=(" + _HEX + rb"{4})")),
    ("ccw", re.compile(_NEW.replace(b"%d", b"01315") + rb"ccw " + _PAIR + rb"(?:" + _DATA + rb")?")),
    ("stat", re.compile(_NEW.replace(b"%d", b"01312") + rb"stat " + _STATUS + rb", count (" + _HEX + rb"{4})")),
    ("sense", re.compile(_NEW.replace(b"%d", b"01313") + rb"sense ((?:" + _HEX + rb"{8} ?){1,8})")),
    ("orb", re.compile(_NEW.replace(b"%d", b"01334") + rb"ORB: .*Flags:\S+ (\S{12}) (\S)")),
    ("csw", re.compile(_NEW.replace(b"%d", b"01316") + rb"csw \S+, stat " + _STATUS + rb", count (" + _HEX + rb"{4})")),
    ("scsw", re.compile(_NEW.replace(b"%d", b"01317") + rb"scsw (" + _HEX + rb"{8}), stat " + _STATUS
                        + rb", count (" + _HEX + rb"{4})")),
)  # fmt: skip
_CLOCK = re.compile(rb"^(\d\d):(\d\d):(\d\d) ")
MARK = b"HHCCP0", b"HHC013"  # every line of a CCW trace has one of them


@dataclass(slots=True)
class _Shown:
    """One CCW as printed: its 8 bytes and the data behind it."""

    raw: bytes
    data: bytes


@dataclass(slots=True)
class _Step:
    """One operation: its CCWs, and how it ended."""

    shown: list[_Shown] = field(default_factory=list)
    status: int = 0
    channel_status: int = 0
    residual: int = 0
    data_after: bytes = b""  # what a read of 3.13 shows behind its status
    sense: bytes = b""
    ended: bool = False


@dataclass(slots=True)
class _Program:
    """The channel program that a device is at."""

    device: int
    started_us: int
    format: int | None = None
    suppress_length: bool = False
    steps: list[_Step] = field(default_factory=list)


@dataclass(slots=True)
class LogSummary:
    """What was read: lines of the trace, programs, and those left out with the reason, each counted."""

    lines: int = 0
    programs: int = 0
    newer: bool = False  # lines are those of 4.9
    left_out: dict[str, int] = field(default_factory=dict)


class HerculesLog:
    """Reads one log. `programs` yields what can be replayed, `summary` says what could not."""

    def __init__(self) -> None:
        self.summary = LogSummary()
        self._open: dict[int, _Program] = {}
        self._format: dict[int, int] = {}  # last known of a device
        self._clock_us = self._first_us = 0

    def programs(self, lines: Iterable[bytes]) -> Iterator[RecordedProgram]:
        """Yield the channel programs of the lines of a log, in the order they ended."""
        for line in lines:
            if MARK[0] not in line and MARK[1] not in line:
                continue
            self._tell_time(line)
            for kind, pattern in _LINES:
                match = pattern.search(line)
                if match is not None:
                    self.summary.lines += 1
                    self.summary.newer = MARK[1] in line
                    yield from self._take(kind, int(match[1], 16), match.groups()[1:])
                    break
        for program in list(self._open.values()):
            yield from self._close(program)

    def _tell_time(self, line: bytes) -> None:
        match = _CLOCK.match(line)
        if match is not None:
            now = (int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3])) * 1_000_000
            self._first_us = self._first_us or now
            self._clock_us = max(self._clock_us, now - self._first_us)  # midnight: time stands still

    def _take(self, kind: str, device: int, said: tuple[bytes | None, ...]) -> Iterator[RecordedProgram]:
        program = self._open.get(device)
        if kind == "orb":
            if program is not None:
                yield from self._close(program)
            program = self._open[device] = _Program(device, self._clock_us)
            letters, length = said[0] or b"", said[1] or b""
            program.format = 1 if letters[4:5] == b"F" else 0
            program.suppress_length = length == b"L"
        elif kind == "ccw":
            if program is not None and self._is_over(program):
                yield from self._close(program)
                program = None
            if program is None:
                program = self._open[device] = _Program(device, self._clock_us)
            self._take_ccw(program, bytes.fromhex((said[0] or b"").decode() + (said[1] or b"").decode()), said[2])
        elif program is not None:
            yield from self._take_ending(kind, program, said)

    def _take_ccw(self, program: _Program, raw: bytes, data: bytes | None) -> None:
        shown = _Shown(raw, _hex(data)[: SHOWN_OF_PREFIX if raw[0] == CommandCode.PREFIX else SHOWN])
        steps = program.steps
        if not steps or steps[-1].ended:
            steps.append(_Step())
        step = steps[-1]
        if step.shown and step.shown[-1].raw == raw:
            step.shown[-1] = shown  # started a second time, asynchronously; in 4.9 a read shows its data only then
        else:
            step.shown.append(shown)

    def _take_ending(self, kind: str, program: _Program, said: tuple[bytes | None, ...]) -> Iterator[RecordedProgram]:
        step = program.steps[-1] if program.steps else None
        if kind == "stat" and step is not None and not step.ended:
            step.status, step.channel_status, step.residual = (int(said[part] or b"0", 16) for part in range(3))
            step.data_after = _hex(said[3])[:SHOWN] if len(said) > 3 else b""
            step.ended = True
        elif kind == "sense" and step is not None:
            step.sense = _hex(said[0])
        elif kind == "idaw" and step is not None and step.shown:
            step.shown[-1].data = b""
        elif kind in ("csw", "scsw"):
            if kind == "scsw":
                program.format = 1 if int(said[0] or b"0", 16) & FORMAT_1 else 0
            elif program.format is None:
                program.format = 0
            yield from self._close(program, tuple(int(text or b"0", 16) for text in said[-3:]))

    def _is_over(self, program: _Program) -> bool:
        """The last operation ended and did not ask for another one: what comes is another program."""
        if not program.steps or not program.steps[-1].ended:
            return False
        step = program.steps[-1]
        formats = (0, 1) if program.format is None else (program.format,)  # not known yet: it may be either
        chains = any(decode_ccw(step.shown[-1].raw, one).flags & (CcwFlag.CC | CcwFlag.CD) for one in formats)
        normal = step.status & ~0x40 == 0x0C and not step.channel_status & ~ChannelStatus.PCI
        return not (normal and chains)

    def _format_of(self, program: _Program) -> int:
        return program.format if program.format is not None else self._format.get(program.device, 0)

    def _close(
        self, program: _Program, ending: tuple[int, ...] | None = None
    ) -> Iterator[RecordedProgram]:
        """The program is over; yield it, or count why it cannot be replayed."""
        self._open.pop(program.device, None)
        if not program.steps:
            return
        ccw_format = self._format[program.device] = self._format_of(program)
        try:
            ended = [step for step in program.steps if step.ended]
            commands = tuple(_command(some, ccw_format, self.summary.newer) for some in _by_command(ended, ccw_format))
        except _Unusable as problem:
            self.summary.left_out[str(problem)] = self.summary.left_out.get(str(problem), 0) + 1
            return
        if not commands:
            return
        last = commands[-1]
        status, channel_status, residual = ending or (last.status, last.channel_status, last.residual)
        self.summary.programs += 1
        yield RecordedProgram(
            number=self.summary.programs,
            device=program.device,
            ccw_format=ccw_format,
            suppress_length=program.suppress_length,
            ended="end" if ending is not None else "unfinished",
            commands=commands,
            status=status,
            channel_status=channel_status,
            residual=residual,
            time_us=program.started_us,
        )


class _Unusable(Exception):
    """Why a program cannot be replayed."""


def _hex(text: bytes | None) -> bytes:
    return bytes.fromhex((text or b"").decode("ascii").replace(" ", ""))


def _by_command(steps: Iterable[_Step], ccw_format: int) -> list[list[_Step]]:
    """The steps of each command: more than one where data were chained to the CCWs of a read, each with its status."""
    commands: list[list[_Step]] = []
    chained = False
    for step in steps:
        if chained:
            commands[-1].append(step)
        else:
            commands.append([step])
        chained = bool(decode_ccw(step.shown[-1].raw, ccw_format).flags & CcwFlag.CD)
    return commands


def _command(steps: list[_Step], ccw_format: int, new: bool) -> RecordedCommand:
    """Put one command together from its CCWs. Raises _Unusable."""
    step = steps[-1]
    ccws = [(decode_ccw(shown.raw, ccw_format), shown.data) for one in steps for shown in one.shown]
    real = [(ccw, data) for ccw, data in ccws if ccw.command & 0x0F != 0x08 or (ccw_format == 1 and ccw.command != 8)]
    if not real:
        raise _Unusable("a transfer in channel that leads nowhere")
    first, last = real[0][0], real[-1][0]
    if new and first.command & 0x0F == 0:
        raise _Unusable("the first CCWs of a data chain are not in the log")
    count = sum(ccw.count for ccw, _ in real)
    if step.status == 0 and step.channel_status & ChannelStatus.PROGRAM_CHECK:
        return RecordedCommand(first.command, last.flags, count, b"", b"", 0, 0, 0, None, None, False, False)
    if is_input(first.command):
        data_in, known = _received(steps, ccw_format, new)
        moved = len(data_in)
        return _made(step, first, last, count, count - moved, b"", data_in, None, known if known < moved else None)
    residual = min(count, step.residual)
    data_out, known = _sent(real)
    complete = known == count
    return _made(step, first, last, count, residual, data_out, b"", None if complete else known, None)


def _received(steps: Iterable[_Step], ccw_format: int, new: bool) -> tuple[bytes, int]:
    """The data of a read, zeros where the log shows none, and how many bytes from the start are known."""
    data, known, whole = b"", 0, True
    for step in steps:
        shown = step.shown[-1]
        ccw = decode_ccw(shown.raw, ccw_format)
        moved = max(0, ccw.count - step.residual)
        hidden = ccw.flags & (CcwFlag.SKIP | CcwFlag.IDA)
        visible = b"" if hidden else (shown.data if new else step.data_after)[:moved]
        data += visible.ljust(moved, b"\0")
        if whole:
            known += len(visible)
            whole = len(visible) == moved
    return data, known


def _sent(real: list[tuple[Ccw, bytes]]) -> tuple[bytes, int]:
    """The data of a write, zeros where the log shows none, and how many bytes from the start are known."""
    data, known, whole = b"", 0, True
    for ccw, shown in real:
        visible = b"" if ccw.flags & CcwFlag.IDA else shown[: ccw.count]
        data += visible.ljust(ccw.count, b"\0")
        if whole:
            known += len(visible)
            whole = len(visible) == ccw.count
    return data, known


def _made(
    step: _Step,
    first: Ccw,
    last: Ccw,
    count: int,
    residual: int,
    data_out: bytes,
    data_in: bytes,
    out_known: int | None,
    in_known: int | None,
) -> RecordedCommand:
    sense = step.sense or None
    length = len(step.sense)
    incorrect = bool(step.channel_status & ChannelStatus.INCORRECT_LENGTH)
    return RecordedCommand(
        code=first.command,
        flags=last.flags,
        count=count,
        data_out=data_out,
        data_in=data_in,
        status=step.status,
        channel_status=step.channel_status & ~int(ChannelStatus.PCI),
        residual=residual,
        more=True if incorrect and not residual else None,
        sense=sense,
        immediate=False,
        executed=True,
        data_out_known=out_known,
        data_in_known=in_known,
        sense_known=length if sense is not None and length < WHOLE_SENSE else None,
    )
