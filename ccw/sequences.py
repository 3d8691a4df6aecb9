"""Ordered sets on the line: what a link sends when it sends no frame.

    sequence                       characters     bytes
    idle                           K28.5          BC
    not operational (NOS)          K28.5 D0.2     BC 40
    offline (OLS)                  K28.5 D24.2    BC 58
    unconditional disconnect (UD)  K28.5 D15.2    BC 4F
    UD response (UDR)              K28.5 D16.2    BC 50

A sequence is an ordered set sent over and over. A receiver believes it after 8 equal ones in a row. Between sequences
of an emulated link a record (records.py) stands for all of its ordered sets; this is the form of the real line.

Source: assumed, see escon.py.
"""

from __future__ import annotations

from enum import Enum

from construct import Byte, Const, GreedyRange, OneOf, Struct

from ccw.errors import FormatError
from ccw.escon import (
    IDLE_SET,
    NOT_OPERATIONAL_SET,
    OFFLINE_SET,
    ORDERED_SETS_TO_RECOGNISE,
    UNCONDITIONAL_DISCONNECT_RESPONSE_SET,
    UNCONDITIONAL_DISCONNECT_SET,
    Sequence,
)

ORDERED_SETS = {
    Sequence.IDLE: IDLE_SET,
    Sequence.OLS: OFFLINE_SET,
    Sequence.NOS: NOT_OPERATIONAL_SET,
    Sequence.UD: UNCONDITIONAL_DISCONNECT_SET,
    Sequence.UDR: UNCONDITIONAL_DISCONNECT_RESPONSE_SET,
}
_IDLE = IDLE_SET[0]
_BY_CHARACTER = {ordered_set[1]: kind for kind, ordered_set in ORDERED_SETS.items() if len(ordered_set) == 2}

ORDERED_SET = Struct(
    "idle" / Const(IDLE_SET) * "K28.5",                                         # 0
    "command" / OneOf(Byte, list(_BY_CHARACTER)) * "the character that replaces an idle",       # 1
)
MODIFIED_IDLES = GreedyRange(ORDERED_SET)


def encode_ordered_sets(kind: int, count: int = ORDERED_SETS_TO_RECOGNISE) -> bytes:
    """`count` ordered sets of a sequence. FormatError when `kind` is none."""
    if kind not in Sequence.__members__.values():
        raise FormatError("ordered set", f"sequence {kind}", b"")
    return ORDERED_SETS[Sequence(kind)] * count


class _Violation(Enum):
    HERE = 0


_VIOLATION = _Violation.HERE


class SequenceDetector:
    """Tells which sequence a line carries. Remembers one character and a count."""

    def __init__(self, needed: int = ORDERED_SETS_TO_RECOGNISE) -> None:
        """`needed`: equal ordered sets in a row before a sequence is believed."""
        self._needed = needed
        self._kind = Sequence.IDLE
        self._count = 0
        self._after_idle = False
        self._offset = 0
        self.violation: FormatError | None = None

    def feed(self, data: bytes) -> list[Sequence]:
        """The sequences that `data` completes, each once, when it is recognised.

        A character that is no part of an ordered set is skipped, and what was counted before it forgotten. When `data`
        has such a character and completes no sequence that is a FormatError; in any case it is kept as `violation`,
        the first of this call. Its offset counts from the beginning of the line.
        """
        found: list[Sequence] = []
        self.violation = None
        for position, character in enumerate(data):
            kind = self._set(character)
            if kind is None:
                continue
            if kind is _VIOLATION:
                self._count, self._after_idle = 0, False
                if self.violation is None:
                    where = f"character {character:02X}"
                    self.violation = FormatError("ordered set", where, data, self._offset + position)
                continue
            self._count = self._count + 1 if kind is self._kind else 1
            self._kind = kind
            if self._count == self._needed:
                found.append(kind)
        self._offset += len(data)
        if self.violation is not None and not found:
            raise self.violation
        return found

    def _set(self, character: int) -> Sequence | _Violation | None:
        """The ordered set that a character completes, if it completes one."""
        if character == _IDLE:
            was, self._after_idle = self._after_idle, True
            return Sequence.IDLE if was else None
        kind = _BY_CHARACTER.get(character)
        if kind is None or not self._after_idle:
            return _VIOLATION
        self._after_idle = False
        return kind
