"""Which control unit a device stands behind, and what that unit can do.

Source: eckd-commands 0.4 (profiles), 2.10 (control unit codes), 3.2 (which command exists where).
"""

from __future__ import annotations

from dataclasses import dataclass

from ccw.profiles import PROFILES as PRESENTATIONS
from ccw.profiles import ControlUnitProfile


@dataclass(frozen=True, slots=True)
class Profile:
    """The abilities of one control unit model.

    `restricted_authority`: file-mask authority 10 is refused and 11 means 01. `status_chainable`: commands may be
    chained behind Sense Subsystem Status.
    """

    presentation: ControlUnitProfile
    cached: bool = True
    locate_extended: bool = False
    prefix: bool = False
    subsystem_operations: bool = False
    recalibrate: bool = False
    restricted_authority: bool = False
    status_chainable: bool = False

    @property
    def name(self) -> str:
        """The name that configuration uses."""
        return self.presentation.name


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(PRESENTATIONS["3990-3"], recalibrate=True),
        Profile(PRESENTATIONS["3990-6"], locate_extended=True),
        Profile(PRESENTATIONS["2105"], locate_extended=True, prefix=True, restricted_authority=True),
        Profile(
            PRESENTATIONS["2107"],
            locate_extended=True,
            prefix=True,
            subsystem_operations=True,
            restricted_authority=True,
            status_chainable=True,
        ),
    )
}


def profile_for(name: str) -> Profile:
    """Return the profile of that name (`3990-3`, `3990-6`, `2105`, `2107`). Raises KeyError."""
    return PROFILES[name]
