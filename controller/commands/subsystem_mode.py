"""Set Subsystem Mode, and Sense Subsystem Status, which shows what it set for caching, fast write and their storage.

Every request is remembered and shown; none changes how data is kept, for a write is durable before it ends in any case.
Source: eckd-commands 2.13 and 3.12.5; that the status shows the requests: 3.12.5, inferred there.
"""

from __future__ import annotations

from dataclasses import replace

from ccw.identity import CachingStatus, DeviceStatus1, NvsStatus, SubsystemStatus
from controller.commands.chain import ChainState
from controller.commands.checks import invalid_parameter
from controller.commands.device_state import DeviceState, SubsystemModes
from controller.commands.ending import NORMAL_END, Ending, sent
from controller.commands.outcome import Command
from controller.commands.self_description import NOTHING, require_early

READ_MESSAGE_ID = 0x4E
SUBSYSTEM_MODE_BYTES = 2
ONLY_MESSAGE_ID = frozenset({READ_MESSAGE_ID})

RESERVED = 0x0207
MESSAGE_REQUIRED = 0x0100
CACHE_ON, CACHE_OFF, ALL_CACHE_ON, ALL_CACHE_OFF, ALL_CACHE_OFF_FORCED = 1, 2, 3, 4, 5
CACHE_FAST_WRITE_ON, CACHE_FAST_WRITE_OFF = 3, 4
FAST_WRITE_ON, FAST_WRITE_OFF, FAST_WRITE_OFF_FORCED, STORAGE_ON, STORAGE_OFF = 1, 2, 3, 4, 5
RECORD_CACHE_LAST = 2
# What takes long on a real control unit, so that a message may be asked for when it is done.
_SLOW_CACHE = frozenset({CACHE_OFF, ALL_CACHE_ON, ALL_CACHE_OFF})
_SLOW_STORAGE = frozenset({FAST_WRITE_OFF, STORAGE_ON, STORAGE_OFF})


def set_subsystem_mode(chain: ChainState, command: Command) -> Ending:
    """Set Subsystem Mode 87: at most one request in 2 bytes, for the device or the subsystem."""
    word = command.data[0] << 8 | command.data[1]
    cache, cache_fast_write, message = word >> 13, word >> 10 & 7, bool(word & MESSAGE_REQUIRED)
    storage, record_cache = word >> 5 & 7, word >> 3 & 3
    if (
        word & RESERVED
        or cache > ALL_CACHE_OFF_FORCED
        or cache_fast_write not in (0, CACHE_FAST_WRITE_ON, CACHE_FAST_WRITE_OFF)
        or storage > STORAGE_OFF
        or record_cache > RECORD_CACHE_LAST
    ):
        raise invalid_parameter()
    if sum(map(bool, (cache, cache_fast_write, storage, record_cache))) > 1:
        raise invalid_parameter()
    slow = cache in _SLOW_CACHE or cache_fast_write == CACHE_FAST_WRITE_OFF or storage in _SLOW_STORAGE
    if message and not slow:
        raise invalid_parameter()
    device = chain.device
    _set_for_device(device, cache, storage)
    _set_for_subsystem(device.modes, cache, cache_fast_write, storage)
    chain.gate = ONLY_MESSAGE_ID if message else NOTHING
    return NORMAL_END, b"", SUBSYSTEM_MODE_BYTES


def _set_for_device(device: DeviceState, cache: int, storage: int) -> None:
    if cache in (CACHE_ON, CACHE_OFF):
        device.caching = cache == CACHE_ON
    if storage in (FAST_WRITE_ON, FAST_WRITE_OFF, FAST_WRITE_OFF_FORCED):
        device.fast_write = storage == FAST_WRITE_ON


def _set_for_subsystem(modes: SubsystemModes, cache: int, cache_fast_write: int, storage: int) -> None:
    if cache in (ALL_CACHE_ON, ALL_CACHE_OFF, ALL_CACHE_OFF_FORCED):
        modes.caching = cache == ALL_CACHE_ON
    if cache_fast_write:
        modes.cache_fast_write = cache_fast_write == CACHE_FAST_WRITE_ON
    if storage in (STORAGE_ON, STORAGE_OFF):
        modes.nonvolatile_storage = storage == STORAGE_ON


def sense_subsystem_status(chain: ChainState, command: Command) -> Ending:
    """Sense Subsystem Status 54: 40 or 44 bytes; first, or behind 64, FA or a first Suspend Multipath Reconnection."""
    require_early(chain)
    if not chain.device.profile.status_chainable:
        chain.gate = NOTHING
    return sent(_status(chain.device))


def _status(device: DeviceState) -> bytes:
    modes = device.modes
    caching = (0 if modes.caching else CachingStatus.CACHING_4) | (
        0 if modes.cache_fast_write else CachingStatus.CACHE_FAST_WRITE_OFF
    )
    deactivated = (0 if device.caching else DeviceStatus1.CACHING_2 | DeviceStatus1.CACHING_1) | (
        0 if device.fast_write else DeviceStatus1.FAST_WRITE_2 | DeviceStatus1.FAST_WRITE_1
    )
    return replace(
        SubsystemStatus.decode(device.subsystem_status),
        caching_status=int(caching),
        nvs_status=0 if modes.nonvolatile_storage else int(NvsStatus.TERMINATED_BY_HOST),
        device_status_1=int(deactivated),
    ).encode()
