"""Records as the characters of the link: a frame with its delimiters, a sequence as one ordered set, and back.

Nothing of a frame's content is looked at, so damaged frames go both ways unchanged.
"""

from __future__ import annotations

from ccw.errors import FormatError
from ccw.escon import (
    ABORT,
    CONNECT_SOF,
    DISCONNECT_EOF,
    PASSIVE_EOF,
    PASSIVE_SOF,
    Sequence,
)
from ccw.records import RawFrame, SequenceRecord
from ccw.sequences import ORDERED_SETS

SOF_LENGTH, EOF_LENGTH = len(CONNECT_SOF), len(PASSIVE_EOF)
_SEQUENCES = {characters: sequence for sequence, characters in ORDERED_SETS.items()}


def delimited(record: RawFrame | SequenceRecord) -> bytes:
    """SOF, payload and EOF (or abort) of a frame; the ordered set of a sequence."""
    if isinstance(record, SequenceRecord):
        return ORDERED_SETS[Sequence(record.kind)]
    end = ABORT if record.abort else DISCONNECT_EOF if record.disconnect else PASSIVE_EOF
    return (CONNECT_SOF if record.connect else PASSIVE_SOF) + record.payload + end


def record_of(data: bytes) -> RawFrame | SequenceRecord:
    """The record whose `delimited` form is `data`. FormatError: a delimiter is none, or there is no room for both."""
    if data in _SEQUENCES:
        return SequenceRecord(_SEQUENCES[data])
    if len(data) < SOF_LENGTH + EOF_LENGTH:
        raise FormatError("frame", "cut short", data, len(data))
    start, end = data[:SOF_LENGTH], data[-EOF_LENGTH:]
    if start not in (CONNECT_SOF, PASSIVE_SOF):
        raise FormatError("frame", "start-of-frame delimiter", data, 0)
    if end not in (PASSIVE_EOF, DISCONNECT_EOF, ABORT):
        raise FormatError("frame", "end-of-frame delimiter", data, len(data) - EOF_LENGTH)
    return RawFrame(data[SOF_LENGTH:-EOF_LENGTH], start == CONNECT_SOF, end == DISCONNECT_EOF, end == ABORT)
