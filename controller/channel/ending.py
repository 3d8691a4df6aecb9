"""How a command ends at the control unit: the ending status as a frame, and what that means for the chain."""

from __future__ import annotations

from typing import NamedTuple

from ccw.ccws import CcwFlag, UnitStatus, command_class
from ccw.escon import CommandFlag, StatusFlag
from ccw.frames import CommandFrame, StatusFrame
from controller.commands.outcome import Outcome

# Control-class commands without parameters. Source: eckd-commands, master table.
_IMMEDIATE_CODES = frozenset({0x03, 0x13, 0x17, 0x5B})
# Flags as plain numbers: every command of every host passes here, and enum flags cost ten times as much.
_CHANNEL_END, _DEVICE_END = int(UnitStatus.CHANNEL_END), int(UnitStatus.DEVICE_END)
_NORMAL_END = _CHANNEL_END | _DEVICE_END
_WITHOUT_MODIFIER = 0xFF & ~int(UnitStatus.STATUS_MODIFIER)
_UNIT_CHECK = int(UnitStatus.UNIT_CHECK)
_CC, _SLI = int(CcwFlag.CC), int(CcwFlag.SLI)
_RESIDUAL_VALID, _LONG_RECORD = int(StatusFlag.RESIDUAL_VALID), int(StatusFlag.LONG_RECORD)
_CHAINING_INDICATION = int(StatusFlag.CHAINING_INDICATION)
_SOLICIT = int(CommandFlag.SOLICIT_SUPPLEMENTARY_STATUS)
_OUTPUT = frozenset(code for code in range(256) if command_class(code) in ("write", "control"))
_INPUT = frozenset(code for code in range(256) if command_class(code) in ("read", "sense", "read backward"))
_WITHOUT_DATA = _IMMEDIATE_CODES | (frozenset(range(256)) - _OUTPUT - _INPUT)


def takes_data(code: int) -> bool:
    """Whether data of this command goes from channel to device."""
    return code in _OUTPUT


def is_immediate(code: int, count: int) -> bool:
    """Whether a command has no data phase: nothing to move, or nothing that could be moved."""
    return count == 0 or code in _WITHOUT_DATA


class Ending(NamedTuple):
    """An ending status and its consequence."""

    frame: StatusFrame
    goes_on: bool  # the channel may send the next command within the connection
    working: bool  # channel end alone: device end is still due
    retry: bool = False  # the next command is this one again


def ending_of(command: CommandFrame, outcome: Outcome) -> Ending:
    """The ending status of a command.

    The chain goes on (CI=1, E=0) when the command asked for it (CC), ended with channel end and device end and nothing
    but perhaps status modifier, and had the right length or does not mind (SLI, or an immediate operation, whose length
    only the channel can judge).
    """
    status = int(outcome.status)
    wrong_length = (outcome.residual != 0 or outcome.long_record) and not outcome.immediate
    chains = bool(command.flags & _CC) and (bool(command.flags & _SLI) or not wrong_length)
    if outcome.retry:
        return _retry_of(command, outcome)
    working = status == _CHANNEL_END
    normal = status & _WITHOUT_MODIFIER == _NORMAL_END
    flags = _RESIDUAL_VALID
    if outcome.long_record:
        flags |= _LONG_RECORD
    chaining = chains and (normal or working)
    if chaining:
        flags |= _CHAINING_INDICATION
    frame = StatusFrame(
        command.unit_address,
        status,
        flags,
        outcome.residual,
        sense=solicited_sense(command, outcome),
        end=not (chaining or working),
    )
    return Ending(frame, goes_on=chains and normal, working=working)


def _retry_of(command: CommandFrame, outcome: Outcome) -> Ending:
    """Command retry: the channel sends the same command again, now or after device end."""
    status = int(outcome.status)
    flags = int(StatusFlag.COMMAND_RETRY | StatusFlag.CHAINING_INDICATION)
    working = not status & _DEVICE_END
    return Ending(
        StatusFrame(command.unit_address, status, flags, end=False), goes_on=not working, working=working, retry=True
    )


def device_end_goes_on(command: CommandFrame, outcome: Outcome) -> bool:
    """Whether the channel may continue its chain after a device end that came apart from channel end."""
    return outcome.status == _DEVICE_END and bool(command.flags & _CC)


def solicited_sense(command: CommandFrame, outcome: Outcome) -> bytes:
    """The sense bytes that go with a status: with unit check, when the channel asked for them."""
    wanted = command.command_flags & _SOLICIT
    return (outcome.sense or b"") if wanted and outcome.status & _UNIT_CHECK else b""
