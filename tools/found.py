"""One difference between a recording and a replay, as the deviation rules look at it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from ccw.ccws import UnitStatus
from tools.recording import RecordedCommand, RecordedProgram

LOCATES = frozenset({0x47, 0x4B, 0xE7})
SENSE_BYTES_MIN = 24
SUPPRESS_LENGTH = 0x20


@dataclass(frozen=True, slots=True)
class Found:
    """One difference: the command at `index` of `program`, the `field` (as reported) and both values.

    For data fields the values are the whole bytes. `left_group`: the path gave its group id back earlier, by
    disband or resign. `home_flags`: the flags, other than 00, that were written to home addresses of the device, by
    their CCHH.
    """

    program: RecordedProgram
    index: int
    field: str
    expected: bytes | int | bool | None
    got: bytes | int | bool | None
    left_group: bool
    home_flags: Mapping[bytes, int] = dataclasses.field(default_factory=dict)

    @property
    def command(self) -> RecordedCommand:
        """The command that differs."""
        return self.program.commands[self.index]

    @property
    def code(self) -> int:
        """Its code."""
        return self.command.code

    @property
    def is_output(self) -> bool:
        """Does the command send to the device: a write, a search, a control command?"""
        return self.code & 3 in (1, 3)

    @property
    def in_domain(self) -> bool:
        """Does a locate stand before it in the program?"""
        return any(command.code in LOCATES for command in self.program.commands[: self.index])

    @property
    def checked(self) -> bool:
        """Was unit check recorded, or unit exception?"""
        return bool(self.command.status & (UnitStatus.UNIT_CHECK | UnitStatus.UNIT_EXCEPTION))

    def data(self) -> tuple[bytes, bytes] | None:
        """Both sides of a difference in data, where they are of one length."""
        return self._both("data")

    def senses(self, shortest: int = SENSE_BYTES_MIN) -> tuple[bytes, bytes] | None:
        """Both sides of a difference in sense of `shortest` bytes or more, as far as the recording knows them."""
        known = self.command.sense_known
        both = self._both("sense", known)
        return both if both is not None and len(both[0]) >= shortest else None

    def _both(self, name: str, known: int | None = None) -> tuple[bytes, bytes] | None:
        expected, got = self.expected, self.got
        if self.field != name or not isinstance(expected, bytes) or not isinstance(got, bytes):
            return None
        expected, got = expected[:known], got[:known]
        return (expected, got) if len(expected) == len(got) else None
