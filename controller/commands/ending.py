"""How a command function ends: (unit status, bytes for the channel, bytes the command moves when nothing limits it).

The device turns it into an `Outcome` with residual count and length indication. Source: eckd-commands 1.6, 1.8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from controller.commands.chain import ChainState
from controller.commands.outcome import Command

NORMAL_END = 0x0C
STATUS_MODIFIER = 0x40
BUSY = 0x10
UNIT_CHECK = 0x02
UNIT_EXCEPTION = 0x01
END_OF_FILE = NORMAL_END | UNIT_EXCEPTION
UNIT_CHECK_END = NORMAL_END | UNIT_CHECK

Ending: TypeAlias = tuple[int, bytes, int]
CommandFunction: TypeAlias = Callable[[ChainState, Command], Ending]


def sent(data: bytes) -> Ending:
    """Normal end of a command that sends `data`."""
    return NORMAL_END, data, len(data)


def accepted(length: int) -> Ending:
    """Normal end of a command that takes `length` bytes."""
    return NORMAL_END, b"", length
