"""What a device tells about itself: Sense, Sense ID, characteristics, configuration, buffered log.

Source: eckd-commands 2.10-2.13, 4.1; the bytes are built in ccw.identity.
"""

from __future__ import annotations

from controller.commands.chain import ChainState
from controller.commands.checks import invalid_sequence
from controller.commands.ending import Ending, sent
from controller.commands.outcome import Command
from controller.commands.sensing import take_sense

READ_CHARACTERISTICS = 0x64
READ_CONFIGURATION = 0xFA
SUSPEND_RECONNECTION = 0x5B
CHARACTERISTICS_SET = 0x04
NOTHING: frozenset[int] = frozenset()


def basic_sense(chain: ChainState, command: Command) -> Ending:
    """Basic Sense 04: 32 bytes, which are cleared."""
    return sent(take_sense(chain))


def sense_id(chain: ChainState, command: Command) -> Ending:
    """Sense ID E4: types and models, and the command information words."""
    return sent(chain.device.sense_id)


def read_device_characteristics(chain: ChainState, command: Command) -> Ending:
    """Read Device Characteristics 64: 64 bytes; byte 6 shows if Set System Characteristics came from this group."""
    chain.rewind()
    device = chain.device
    data = device.characteristics
    if device.paths.identity(chain.path) in device.system_characteristics:
        data = data[:6] + bytes((data[6] | CHARACTERISTICS_SET,)) + data[7:]
    return sent(data)


def read_configuration_data(chain: ChainState, command: Command) -> Ending:
    """Read Configuration Data FA: 256 bytes."""
    return sent(chain.device.configuration_data)


def read_buffered_log(chain: ChainState, command: Command) -> Ending:
    """Read and Reset Buffered Log A4: 32 zeros, nothing is logged."""
    require_early(chain)
    return sent(bytes(32))


def require_early(chain: ChainState) -> None:
    """First in the chain, behind 64 or FA, or behind a first 5B."""
    previous = chain.previous
    if chain.position == 0 or previous in (READ_CHARACTERISTICS, READ_CONFIGURATION):
        return
    if chain.position != 1 or previous != SUSPEND_RECONNECTION:
        raise invalid_sequence()
