"""Sense images of a chain: where it stands and what it was doing, in the two layouts of `ccw.sense`.

Source: eckd-commands 4.1-4.5; units before the 3990: older-ckd-devices 3; conditions of remote copy: pprc-commands 6.1.
"""

from __future__ import annotations

from ccw import older_sense, sense
from ccw.geometry import Cchh
from ccw.older_sense import SIX, DriveCode, SixByteCondition0, SixByteCondition1
from ccw.sense import SenseByte1
from controller.commands.chain import ChainState
from controller.commands.checks import IMPRECISE_ENDING
from controller.commands.device_state import DeviceState
from controller.commands.outcome import UnitCheck

NO_COUNT_AREA = SenseByte1.INVALID_TRACK_FORMAT | SenseByte1.NO_RECORD_FOUND
# Conditions of remote copy: their sense carries the unit address in byte 4 (pprc-commands 6.1).
REMOTE_COPY_MESSAGES = frozenset({0x0E, 0xF5, 0xFB})
REMOTE_COPY_REASONS = range(0x40, 0x6D)


def sense_image(device: DeviceState, track: int, check: UnitCheck, remaining_count: int = 0) -> bytes:
    """Return the sense bytes of `check` with the access at `track`: as many as the control unit has, 6, 24 or 32.

    `remaining_count` counts where the ending is imprecise.
    """
    length = device.profile.sense_bytes
    if check.image is not None:
        return check.image[:length]
    if length == SIX:
        return _six_bytes(device, check)
    if device.kind.before_eckd:
        return _twenty_four_bytes(device, track, check)
    return _compatible(device, track, check, remaining_count)[:length]


def _six_bytes(device: DeviceState, check: UnitCheck) -> bytes:
    """Two conditions have a place of their own here: a write that is inhibited, and a track without count areas."""
    byte_0, byte_1 = check.byte0, check.byte1
    if byte_1 & SenseByte1.WRITE_INHIBITED:
        byte_0, byte_1 = SixByteCondition0.COMMAND_REJECT, 0
    elif byte_1 == NO_COUNT_AREA:
        byte_1 = SixByteCondition1.NO_RECORD_FOUND | SixByteCondition1.MISSING_ADDRESS_MARKER
    return older_sense.six_byte_sense(byte_0, byte_1, state=device.kind.state, operation=check.operation)


def _twenty_four_bytes(device: DeviceState, track: int, check: UnitCheck) -> bytes:
    geometry, kind = device.geometry, device.kind
    model = older_sense.ROTATIONAL_POSITION_SENSING | geometry.model if kind.model_in_sense else 0
    return older_sense.twenty_four_byte_sense(
        check.byte0,
        check.byte1,
        check.message,
        geometry=geometry,
        track=track,
        drive=older_sense.drive_byte(kind.drive, device.settings.unit_address),
        byte_2=check.byte2 | model,
        operation=check.operation,
        detail=bytes((check.reason,)) + check.detail,
    )


def _compatible(device: DeviceState, track: int, check: UnitCheck, remaining_count: int) -> bytes:
    settings, geometry = device.settings, device.geometry
    device_id = 0
    if check.message in REMOTE_COPY_MESSAGES or (check.message == 0x0F and check.reason in REMOTE_COPY_REASONS):
        device_id = settings.unit_address
    elif device.kind.drive is DriveCode.LOW_NIBBLE:
        device_id = older_sense.drive_byte(device.kind.drive, settings.unit_address)
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
    """Return the sense bytes of `check` at the chain's position."""
    return sense_image(chain.device, chain.track, check, chain.domain.count if chain.domain else 0)


def take_sense(chain: ChainState) -> bytes:
    """Return the sense held for the chain's path, and clear it; without any, only the address fields are filled."""
    held = chain.device.take_sense(chain.device.paths.allegiance_of(chain.path))
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
