"""Follows recorded channel programs command by command and compares what comes back with what was recorded.

`follow` speaks the protocol of `host_emulator.channel`: it yields a `Start` for each recorded command and is sent an
`Answer`. So it runs in process against a device, whose outcomes are answers as they are, and over any link that carries
channel programs. The channel's own part (incorrect length, chaining) is worked out here by the rules of eckd-commands
1.8 and 1.9.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Protocol

from host_emulator.channel import InterfaceControlCheck, Start
from tools.deviations import Deviation, explain, repeats
from tools.found import Found
from tools.recording import RecordedCommand, RecordedProgram

CHAIN_COMMAND = 0x40
SUPPRESS_LENGTH = 0x20
INCORRECT_LENGTH = 0x40
STATUS_MODIFIER = 0x40
CHANNEL_END = 0x08
NORMAL_END = 0x0C
SHOWN_BYTES = 16
CONTEXT_BEFORE, CONTEXT_BEHIND = 12, 3
SET_PATH_GROUP = 0xAF
WRITE_HOME_ADDRESS = 0x19
HOME_ADDRESS_BYTES = 5
DISBAND_OR_RESIGN = 0x60


class Answer(Protocol):
    """What came of a command: a `Response` of a channel, or the `Outcome` of a device."""

    @property
    def status(self) -> int: ...
    @property
    def data(self) -> bytes: ...
    @property
    def residual(self) -> int: ...
    @property
    def long_record(self) -> bool: ...
    @property
    def sense(self) -> bytes | None: ...
    @property
    def immediate(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that came back otherwise than recorded.

    `program` is its number in the recording, `index` the command in it, from 0; `offset` the first byte that differs
    (data and sense only). `expected` and `got` are text; of data, what stands at the offset. `explained_by` names the
    deviation rule, None when there is none. `chain`: the codes of the program around the command, which stands in
    brackets.
    """

    program: int
    index: int
    code: int
    field: str
    offset: int | None
    expected: str
    got: str
    explained_by: str | None = None
    chain: str = ""

    def __str__(self) -> str:
        place = f"program {self.program}, command {self.index} ({self.code:02X})"
        if self.offset is not None:
            return f"{place}: {self.field} at byte {self.offset}: expected {self.expected}, got {self.got}"
        return f"{place}: {self.field}: expected {self.expected}, got {self.got}"


@dataclass(slots=True)
class Followed:
    """What following the programs of a recording has shown so far."""

    programs: int = 0
    programs_differing: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    explained: list[Difference] = field(default_factory=list)
    left_groups: set[int] = field(default_factory=set)
    home_flags: dict[int, dict[bytes, int]] = field(default_factory=dict)
    explained_senses: dict[int, tuple[Found, Deviation]] = field(default_factory=dict)

    @property
    def commands(self) -> int:
        """How many commands were answered."""
        return self.codes.total()

    def flags_of(self, device: int) -> dict[bytes, int]:
        """The flags, other than 00, that were written to home addresses of a device, by their CCHH."""
        return self.home_flags.setdefault(device, {})

    def note(
        self,
        program: RecordedProgram,
        index: int,
        name: str,
        expected: bytes | int | bool | None,
        got: bytes | int | bool | None,
    ) -> bool:
        """Record one difference; is it explained?"""
        device = program.device
        found = Found(program, index, name, expected, got, device in self.left_groups, self.flags_of(device))
        before = self.explained_senses.get(device)
        if before is not None and repeats(found, before[0]):
            deviation: Deviation | None = before[1]
        else:
            deviation = explain(found)
        if name == "sense" and deviation is not None:
            self.explained_senses[device] = found, deviation
        offset, expected_text, got_text = _shown(expected, got)
        difference = Difference(
            program=program.number,
            index=index,
            code=program.commands[index].code,
            field=name,
            offset=offset,
            expected=expected_text,
            got=got_text,
            explained_by=deviation.name if deviation is not None else None,
            chain=_chain_around(program, index),
        )
        (self.differences if deviation is None else self.explained).append(difference)
        return deviation is not None


def follow(program: RecordedProgram, followed: Followed) -> Generator[Start, Answer, None]:
    """Issue the commands of one recorded program as long as the answers lead where the recording went.

    Differences go into `followed`. Ends early where the device's answer would have ended the program or branched.
    """
    codes, differences_before = followed.codes, len(followed.differences)
    channel_status = residual = status = 0
    last = len(program.commands) - 1
    for index, (command, start) in enumerate(zip(program.commands, program.starts, strict=True)):
        if not command.executed:
            break
        try:
            answer = yield start
        except InterfaceControlCheck as problem:
            followed.note(program, index, "link", None, str(problem).encode())
            break
        code = command.code
        codes[code] += 1
        status, residual, long_record = answer.status, answer.residual, answer.long_record
        channel_status = 0
        if (residual or long_record or answer.immediate) and not command.flags & SUPPRESS_LENGTH:
            channel_status = channel_status_of(program, command, answer)
        alike = (  # all of it as recorded, as it nearly always is; `_same` knows what may be unknown
            status == command.status
            and channel_status == command.channel_status
            and residual == command.residual
            and answer.data == command.data_in
            and answer.sense == command.sense
            and (long_record == command.more or code & 1)
        )
        if not alike and not _same(command, answer, channel_status):
            channel_status = _compare(program, index, command, answer, channel_status, followed)
        if code == SET_PATH_GROUP and status == NORMAL_END and command.data_out[0] & DISBAND_OR_RESIGN:
            followed.left_groups.add(program.device)
        if code == WRITE_HOME_ADDRESS and status == NORMAL_END and command.data_out:
            _note_flag(command, followed.flags_of(program.device))
        if index == last:
            continue
        goes_on = goes_to_next(command.flags, status, channel_status)
        if not goes_on or (status ^ command.status) & STATUS_MODIFIER:
            followed.note(program, index, "chaining", True, goes_on)
            break
    else:
        _compare_end(program, status, channel_status, residual, followed)
    followed.programs += 1
    if len(followed.differences) != differences_before:
        followed.programs_differing += 1


def _note_flag(command: RecordedCommand, flags: dict[bytes, int]) -> None:
    """Remember the flag of a home address that was written; skip displacements stand in front of it."""
    flag, *address = command.data_out[-HOME_ADDRESS_BYTES:]
    if flag:
        flags[bytes(address)] = flag
    else:
        flags.pop(bytes(address), None)


def _chain_around(program: RecordedProgram, index: int) -> str:
    """The codes from the start of the program to shortly behind a command; of a long one, the last before it."""
    first = max(0, index - CONTEXT_BEFORE)
    codes = [f"{command.code:02X}" for command in program.commands[first : index + 1 + CONTEXT_BEHIND]]
    codes[index - first] = f"[{codes[index - first]}]"
    return " ".join(["…"] * bool(first) + codes)


def channel_status_of(program: RecordedProgram, command: RecordedCommand, response: Answer) -> int:
    """Return incorrect length (40) or 0, by the rules of 1.8; beside unit check or exception for reads only."""
    if response.immediate:
        wrong = program.ccw_format == 1 and command.count > 0 and not program.suppress_length
    else:
        wrong = response.residual != 0 or response.long_record
    if not wrong or command.flags & SUPPRESS_LENGTH:
        return 0
    normal = response.status & ~STATUS_MODIFIER == NORMAL_END
    reads = command.code & 3 in (0, 2)
    return INCORRECT_LENGTH if normal or (reads and response.status & CHANNEL_END) else 0


def goes_to_next(flags: int, status: int, channel_status: int) -> bool:
    """True when the channel goes on with the next command (1.9)."""
    return bool(flags & CHAIN_COMMAND) and status & ~STATUS_MODIFIER == NORMAL_END and not channel_status


def _same(command: RecordedCommand, response: Answer, channel_status: int) -> bool:
    """Quick look: everything as recorded?"""
    return (
        response.status == command.status
        and channel_status == command.channel_status
        and response.residual == command.residual
        and _same_data(command, response.data)
        and _same_sense(command, response.sense)
        and (response.long_record == command.more or command.code & 3 in (1, 3) or command.more is None)
    )


def _same_data(command: RecordedCommand, data: bytes) -> bool:
    """What is known of the data is as recorded; how much there was, the residual count tells."""
    known = command.data_in_known
    return data == command.data_in if known is None else data[:known] == command.data_in[:known]


def _same_sense(command: RecordedCommand, sense: bytes | None) -> bool:
    """What is known of the sense bytes is as recorded."""
    known = command.sense_known
    if known is None or sense is None or command.sense is None:
        return sense == command.sense
    return sense[:known] == command.sense[:known]


def _compare(
    program: RecordedProgram,
    index: int,
    command: RecordedCommand,
    response: Answer,
    channel_status: int,
    followed: Followed,
) -> int:
    """Compare everything. The channel status to go on with: the recorded one where a rule explains that it differs,
    for the channel is on this side, and what it took no notice of did not end the chain."""
    pairs: list[tuple[str, bytes | int | bool | None, bytes | int | bool | None]] = [
        ("status", command.status, response.status),
        ("channel status", command.channel_status, channel_status),
        ("data", command.data_in[: command.data_in_known], response.data[: command.data_in_known]),
        ("residual", command.residual, response.residual),
    ]
    if not _same_sense(command, response.sense):
        pairs.append(("sense", command.sense, response.sense))
    if command.code & 3 in (0, 2) and command.more is not None:  # only reads and senses can be seen to have had more
        pairs.append(("more", command.more, response.long_record))
    for name, expected, got in pairs:
        if expected != got and followed.note(program, index, name, expected, got) and name == "channel status":
            channel_status = command.channel_status
    return channel_status


def _compare_end(
    program: RecordedProgram, status: int, channel_status: int, residual: int, followed: Followed
) -> None:
    """Compare the ending with what the interruption showed; what a command already showed is not said twice."""
    if not program.commands or program.ended != "end":
        return
    last = program.commands[-1]
    index = len(program.commands) - 1
    pairs = (
        ("ending status", program.status, last.status, status),
        ("ending channel status", program.channel_status, last.channel_status, channel_status),
        ("ending residual", program.residual, last.residual, residual),
    )
    for name, expected, seen_before, got in pairs:
        if expected != got and expected != seen_before:
            followed.note(program, index, name, expected, got)


def _shown(expected: object, got: object) -> tuple[int | None, str, str]:
    """Return (offset of the first differing byte, expected, got) as text."""
    if isinstance(expected, bytes) or isinstance(got, bytes):
        left = expected if isinstance(expected, bytes) else b""
        right = got if isinstance(got, bytes) else b""
        offset = first_difference(left, right)
        return offset, _hex(left, offset), _hex(right, offset)
    return None, _text(expected), _text(got)


def first_difference(left: bytes, right: bytes) -> int:
    """Return the offset of the first byte that differs, the shorter length when one begins with the other."""
    for offset, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return offset
    return min(len(left), len(right))


def _hex(data: bytes, offset: int) -> str:
    shown = data[offset : offset + SHOWN_BYTES].hex().upper()
    if not shown:
        return f"nothing ({len(data)} bytes)"
    return shown + ("…" if len(data) > offset + SHOWN_BYTES else "")


def _text(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return f"{value:02X}" if isinstance(value, int) else str(value)
