"""Sense images of a chain: where it stands and what it was doing, in the two layouts of `ccw.sense`.

Source: eckd-commands 4.1-4.5; conditions of remote copy: pprc-commands 6.1.
"""

from __future__ import annotations

from ccw import sense
from ccw.geometry import Cchh
from controller.commands.chain import ChainState
from controller.commands.checks import IMPRECISE_ENDING
from controller.commands.device_state import DeviceState
from controller.commands.outcome import UnitCheck

DEVICE_TYPE_3380 = 0x3380
# Conditions of remote copy: their sense carries the unit address in byte 4 (pprc-commands 6.1).
REMOTE_COPY_MESSAGES = frozenset({0x0E, 0xF5, 0xFB})
REMOTE_COPY_REASONS = range(0x40, 0x6D)


def sense_image(device: DeviceState, track: int, check: UnitCheck, remaining_count: int = 0) -> bytes:
    """Return the 32 bytes of `check` with the access at `track`; `remaining_count` where the ending is imprecise."""
    if check.image is not None:
        return check.image
    settings, geometry = device.settings, device.geometry
    device_id = 0
    if check.message in REMOTE_COPY_MESSAGES or (check.message == 0x0F and check.reason in REMOTE_COPY_REASONS):
        device_id = settings.unit_address
    elif geometry.device_type == DEVICE_TYPE_3380:
        device_id = settings.unit_address & 0x0F
    return sense.compatible_sense(
        check.byte0,
        check.byte1,
        check.message,
        byte_2=check.byte2,
        address=geometry.address_of(track),
        cylinders=geometry.cylinders,
        remaining_count=remaining_count if check.byte1 & IMPRECISE_ENDING else 0,
        device_id=device_id,
        detail=bytes((check.reason,)) + check.detail,
    )


def chain_sense(chain: ChainState, check: UnitCheck) -> bytes:
    """Return the 32 bytes of `check` at the chain's position."""
    return sense_image(chain.device, chain.track, check, chain.domain.count if chain.domain else 0)


def take_sense(chain: ChainState) -> bytes:
    """Return the sense held for the chain's path, and clear it; without any, only the address fields are filled."""
    held = chain.device.take_sense(chain.path)
    return held if held is not None else chain_sense(chain, UnitCheck(0))


def length_mismatch(chain: ChainState, length: int) -> UnitCheck:
    """The record has `length` bytes, not the announced number (CKD conversion): native sense, action 0F."""
    domain = chain.domain
    assert domain is not None
    head = native_head(chain.device, chain.track)
    image = sense.length_mismatch(*head, domain.parameters, domain.count, length)
    return UnitCheck(image[0], image[1], image=image)


def incomplete_domain(chain: ChainState) -> UnitCheck:
    """The chain ends inside a write domain: native sense with what is left of it."""
    domain = chain.domain
    assert domain is not None
    image = sense.incomplete_domain(*native_head(chain.device, chain.track), domain.parameters, domain.count)
    return UnitCheck(image[0], image[1], image=image)


def state_change_pending(device: DeviceState, track: int) -> UnitCheck:
    """The host waits for attention (85) and tries again: native sense, action 1D. Also for extended long busy."""
    return UnitCheck(0, image=sense.state_change_pending(*native_head(device, track)))


def native_head(device: DeviceState, track: int) -> tuple[int, int, int, Cchh]:
    """What every image in the native layout begins with: control unit code, unit address, SSID, position."""
    settings = device.settings
    code = device.profile.presentation.type_code
    return code, settings.unit_address, settings.identity.ssid, device.geometry.address_of(track)
