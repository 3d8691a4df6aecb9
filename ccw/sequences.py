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

from collections.abc import Iterator

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


class SequenceDetector:
    """Tells which sequence a line carries. Remembers one character and a count."""

    def __init__(self, needed: int = ORDERED_SETS_TO_RECOGNISE) -> None:
        """`needed`: equal ordered sets in a row before a sequence is believed."""
        self._needed = needed
        self._kind = Sequence.IDLE
        self._count = 0
        self._after_idle = False
        self._offset = 0

    def feed(self, data: bytes) -> list[Sequence]:
        """The sequences that `data` completes, each once, when it is recognised.

        FormatError at a character that is no part of an ordered set; its offset counts from the beginning of the line.
        What was counted before is then forgotten, and the character skipped.
        """
        found: list[Sequence] = []
        for position, character in enumerate(data):
            for kind in self._sets(character, data, position):
                self._count = self._count + 1 if kind is self._kind else 1
                self._kind = kind
                if self._count == self._needed:
                    found.append(kind)
        self._offset += len(data)
        return found

    def _sets(self, character: int, data: bytes, position: int) -> Iterator[Sequence]:
        if character == _IDLE:
            if self._after_idle:
                yield Sequence.IDLE
            self._after_idle = True
            return
        kind = _BY_CHARACTER.get(character)
        if kind is None or not self._after_idle:
            self._count, self._after_idle = 0, False
            self._offset += position + 1
            raise FormatError("ordered set", f"character {character:02X}", data, position)
        self._after_idle = False
        yield kind
