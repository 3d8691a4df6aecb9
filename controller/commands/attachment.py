"""Which control unit a device stands behind: the one that is asked for, if it takes such devices, or the usual one.

Source: older-ckd-devices 1 (devices before ECKD); the others go behind every control unit that has the ECKD commands,
3380 behind a 3880 besides. A volume of more than 65,520 cylinders is meant for a 2107; the others take it all the same.
"""

from __future__ import annotations

from ccw.geometry import Geometry
from controller.commands.device_types import DEVICE_TYPES
from controller.commands.profiles import PROFILES, Profile

BEFORE_ECKD = frozenset(name for kind in DEVICE_TYPES.values() for name in kind.control_units)
_ALSO = {0x3380: frozenset({"3880"})}
# Control units that take nothing but these device types.
_ONLY = {"3880-3": frozenset({0x3380}), "3990-2": frozenset({0x3380, 0x3390}), "9343": frozenset({0x9345})}


def control_units_for(geometry: Geometry) -> tuple[str, ...]:
    """Return the names of the profiles that take devices of this type, the usual one first where there is one."""
    own = DEVICE_TYPES[geometry.device_type].control_units
    if own:
        return own
    also = _ALSO.get(geometry.device_type, frozenset())
    return tuple(name for name in PROFILES if (name not in BEFORE_ECKD or name in also) and _takes(name, geometry))


def _takes(name: str, geometry: Geometry) -> bool:
    return geometry.device_type in _ONLY.get(name, {geometry.device_type})


def has_usual_control_unit(geometry: Geometry) -> bool:
    """Devices before ECKD have a control unit of their own."""
    return bool(DEVICE_TYPES[geometry.device_type].control_units)


def profile_of(geometry: Geometry, wanted: str = "") -> Profile:
    """Return the profile `wanted`, or where none is, the usual one of the type. ValueError: none, or not for it."""
    known = control_units_for(geometry)
    if not wanted and has_usual_control_unit(geometry):
        return PROFILES[known[0]]
    if wanted not in known:
        raise ValueError(f"control unit {wanted!r} is none of {', '.join(known)}, where a {geometry.name} can be")
    return PROFILES[wanted]
