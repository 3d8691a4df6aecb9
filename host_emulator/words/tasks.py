"""What an operator's word asks for, whichever spelling it came in. Nothing is sent here; see perform.py.

A word names storage systems as far as its spelling has it: TSO commands whole (SSID, serial number, LSS), DSCLI by
serial number and LSS, or not at all. `Naming` holds what was said; the rest is asked of the system when it is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from ccw.pprc import PathDescriptor
from host_emulator.orders import System


class Naming(NamedTuple):
    """One storage system and control-unit image as somebody named it; None for what was left out."""

    ssid: int | None = None
    lss: int | None = None
    serial: str | None = None

    def fits(self, system: System) -> bool:
        """Does what was said hold for this system?"""
        return (
            self.ssid in (None, system.ssid)
            and self.lss in (None, system.lss)
            and (self.serial is None or self.serial.rjust(12, "0") == system.serial.rjust(12, "0"))
        )

    @property
    def whole(self) -> System | None:
        """The system, when nothing is left out."""
        if self.ssid is None or self.lss is None or self.serial is None:
            return None
        return System(self.ssid, self.lss, self.serial)

    def __str__(self) -> str:
        ssid = "any" if self.ssid is None else f"{self.ssid:04X}"
        lss = "any" if self.lss is None else f"{self.lss:02X}"
        return f"{ssid}:{lss}:{self.serial or 'any'}"


ANY = Naming()


class Mode(IntEnum):
    """Byte 40 of Establish Pair."""

    COPY = 0
    NOCOPY = 1
    RESYNC = 2


class Action(IntEnum):
    """Byte 42 of Establish Pair."""

    NONE = 0
    FAILOVER = 1
    FAILBACK = 2


SYNCHRONOUS, EXTENDED_DISTANCE = 0, 1  # byte 41 of Establish Pair


class Task:
    """One thing to be done."""

    __slots__ = ()

    @property
    def subject(self) -> str:
        """What it is about, in short; empty where it is about a whole system."""
        return ""


@dataclass(frozen=True, slots=True)
class PathTask(Task):
    """Something about all paths from primary to secondary. `device`: any of the primary, None: one that is there."""

    primary: Naming
    secondary: Naming
    device: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EstablishPaths(PathTask):
    """D0: make these the paths."""

    links: tuple[PathDescriptor, ...]
    consistency_group: bool = False
    reset_host_path: bool = False
    seconds: int = 0


@dataclass(frozen=True, slots=True)
class DeletePaths(PathTask):
    """D1."""


@dataclass(frozen=True, slots=True)
class PairTask(Task):
    """Something about one pair: `device` of the primary, `other` of the secondary (unit addresses)."""

    primary: Naming
    secondary: Naming
    device: int
    other: int

    @property
    def subject(self) -> str:
        """Both unit addresses."""
        return f"{self.device:02X}:{self.other:02X}"


@dataclass(frozen=True, slots=True)
class EstablishPair(PairTask):
    """D2. With action FAILOVER it is sent to what is the secondary now and is named as primary."""

    mode: Mode = Mode.COPY
    option: int = SYNCHRONOUS
    action: Action = Action.NONE
    pace: int = 0
    flags: int = 0  # ccw.pprc_flags.PairFlag
    wait: bool = False  # until the copy is complete


@dataclass(frozen=True, slots=True)
class DeletePair(PairTask):
    """D3."""

    unconditional: bool = False


@dataclass(frozen=True, slots=True)
class SuspendPair(PairTask):
    """D4, to the primary or to the secondary; `at_secondary` None: to whichever the target is."""

    at_secondary: bool | None = None
    flags: int = 0  # ccw.pprc_flags.SuspendFlag


@dataclass(frozen=True, slots=True)
class RecoverPair(PairTask):
    """D5, to the secondary."""

    old_serial: str | None = None
    new_serial: str | None = None


@dataclass(frozen=True, slots=True)
class Freeze(PathTask):
    """D6 FREEZE; `seconds` of extended long busy, 0: as the paths were made."""

    seconds: int = 0


@dataclass(frozen=True, slots=True)
class Run(PathTask):
    """D6 RUN."""


@dataclass(frozen=True, slots=True)
class DefineBridge(Task):
    """D8: the volume's role in a bridge, 0 for none. `system` is its own, the one that is asked."""

    system: Naming
    device: int
    role: int
    number: int

    @property
    def subject(self) -> str:
        """The unit address."""
        return f"{self.device:02X}"


@dataclass(frozen=True, slots=True)
class EstablishBridge(PairTask):
    """D2 for a bridge: `device` and `other` are its data bridge volumes (steps 602-614)."""

    number: int = 1


@dataclass(frozen=True, slots=True)
class DeleteBridge(PairTask):
    """D3 for a bridge, named as in EstablishBridge."""

    number: int = 1
    unconditional: bool = False


class OtherVolume(NamedTuple):
    """The other volume of a pair, as somebody named it; no LSS where it was left out."""

    lss: int | None
    device: int


@dataclass(frozen=True, slots=True)
class ShowPairs(Task):
    """Scope 02 of volumes, with what the queue and the paths say of them. No `volumes`: all that are in a pair.

    It is said to either side of a pair: `own` is the system that is asked, `other` that of the pairs to be shown.
    """

    own: Naming = ANY
    other: Naming = ANY
    volumes: tuple[tuple[int, OtherVolume | None], ...] = ()  # (device, what it is paired with)
    states: frozenset[str] = frozenset()  # only those, as `lspprc -state` names them; empty: all pairs
    long: bool = False
    must_be_duplex: bool = False


@dataclass(frozen=True, slots=True)
class ShowPaths(Task):
    """Scope 01."""

    primary: Naming = ANY
    secondary: Naming = ANY


@dataclass(frozen=True, slots=True)
class ShowBridges(Task):
    """Scope 03."""


@dataclass(frozen=True, slots=True)
class Query(Task):
    """CQUERY: a report of scope 02 (volume) or 01 (paths, links) in the form of that command."""

    device: int
    what: str = "VOLUME"  # or PATHS, LINKINFO
    formatted: bool = True
    bitmap: bool = True

    @property
    def subject(self) -> str:
        """The unit address."""
        return f"{self.device:02X}"
