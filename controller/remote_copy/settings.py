"""What remote copy is to do without being told each time: the configuration's part of it."""

from dataclasses import dataclass, field

from controller.remote_copy.pair import BoxName
from controller.remote_copy.states import BridgeRole

WINDOW_RECORDS, WINDOW_RECORDS_MAX = 64, 4096


@dataclass(frozen=True, slots=True)
class BridgeVolume:
    """A volume that is one end of a bridge from the start, as if Define Bridge Volume had said so (step 600)."""

    volume: int  # unit address
    role: BridgeRole
    number: int  # 1-8


@dataclass(frozen=True, slots=True)
class Mirror:
    """How volumes of this box are to be mirrored to another. `auto_establish`: a host's write begins it.

    `links`: SAIDs of the paths; `pairs`: primary unit address to secondary; `bridges`: number to the unit address of
    the secondary data bridge volume.
    """

    box: BoxName
    links: tuple[int, ...]
    pairs: dict[int, int]
    bridges: dict[int, int]
    consistency_group: bool = False
    auto_establish: bool = True


@dataclass(frozen=True, slots=True)
class CopySettings:
    """All of it. `reestablish`: paths, bridges and pairs come back by themselves (`upkeep`).

    `window`: records under way on a bridge. `critical_all`: CRIT(YES) refuses writes after any error, not only while no
    path to the secondary is left.
    """

    reestablish: bool = True
    window: int = WINDOW_RECORDS
    critical_all: bool = False
    bridge_volumes: tuple[BridgeVolume, ...] = ()
    mirrors: tuple[Mirror, ...] = field(default=())
