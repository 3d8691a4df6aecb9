"""Which control unit a device stands behind, and what that unit can do.

Source: eckd-commands 0.4 (profiles), 2.10 (control unit codes), 3.2 (which command exists where).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """The abilities of one control unit model.

    `code` is RDC byte 42, sent in byte 2 of the 32-byte sense. `status_bytes` is the length of Sense Subsystem Status
    (40 or 44). `restricted_authority`: file-mask authority 10 is refused and 11 means 01.
    """

    name: str
    code: int
    cached: bool = True
    locate_extended: bool = False
    prefix: bool = False
    subsystem_operations: bool = False
    recalibrate: bool = False
    restricted_authority: bool = False
    status_bytes: int = 40
    status_chainable: bool = False


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("3990-3", 0x06, recalibrate=True),
        Profile("3990-6", 0x15, locate_extended=True, status_bytes=44),
        Profile("2105", 0x1B, locate_extended=True, prefix=True, restricted_authority=True, status_bytes=44),
        Profile(
            "2107",
            0x1F,
            locate_extended=True,
            prefix=True,
            subsystem_operations=True,
            restricted_authority=True,
            status_bytes=44,
            status_chainable=True,
        ),
    )
}


def profile_for(name: str) -> Profile:
    """Return the profile of that name (`3990-3`, `3990-6`, `2105`, `2107`). Raises KeyError."""
    return PROFILES[name]
