"""What the people do in one run; faults come on top. One of:

OPERATED    an operator sets everything up; now and then he suspends a pair and takes it up again
AUTOMATIC   nobody does anything: a host's first write to a volume begins its mirroring (`auto_establish`)
GROUP       volumes of one application over two bridges with CGROUP(YES), their writes depend on each other; automation
            freezes when a pair fails, lets the hosts go on, and brings everything back later
FAILOVER    A is lost, hosts go on at B, A comes back and becomes the secondary
RECOVERED   a secondary is made simplex while faults last, and a host writes to it there; later its owner orders a full
            copy from the primary, which is the named override
"""

from dataclasses import dataclass
from enum import Enum, auto
from random import Random

from controller.remote_copy.settings import BridgeVolume, CopySettings, Mirror
from controller.remote_copy.states import BridgeRole
from tests.helpers.two_systems import PEER_PORTS, VOLUMES, box

DATA, STATUS = {1: 0xF0, 2: 0xF2}, {1: 0xF1, 2: 0xF3}  # bridge volumes by bridge number, at both boxes


class Kind(Enum):
    """See the module text."""

    OPERATED = auto()
    AUTOMATIC = auto()
    GROUP = auto()
    RECOVERED = auto()
    FAILOVER = auto()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run's."""

    kind: Kind = Kind.OPERATED
    volumes: tuple[int, ...] = VOLUMES
    links: int = 4
    bridges: tuple[int, ...] = (1,)

    @property
    def saids(self) -> tuple[int, ...]:
        """The ports of A that paths are established on."""
        return PEER_PORTS["A"][: 2 if self.kind is Kind.FAILOVER else self.links]

    @property
    def grouped(self) -> bool:
        """CGROUP(YES), and writes that depend on each other."""
        return self.kind is Kind.GROUP

    def settings(self, site: str) -> CopySettings:
        """What the configuration of a site says."""
        if self.kind is not Kind.AUTOMATIC:
            return CopySettings()
        roles = (BridgeRole.PRIMARY_DATA, BridgeRole.SECONDARY_STATUS)
        if site == "B":
            roles = (BridgeRole.SECONDARY_DATA, BridgeRole.PRIMARY_STATUS)
        volumes = tuple(
            BridgeVolume(volume, role, number)
            for number in self.bridges
            for volume, role in zip((DATA[number], STATUS[number]), roles, strict=True)
        )
        pairs = {volume: volume for volume in self.volumes}
        mirror = Mirror(box("B"), self.saids, pairs, {number: DATA[number] for number in self.bridges})
        return CopySettings(bridge_volumes=volumes, mirrors=(mirror,) if site == "A" else ())


def draw_scenario(random: Random) -> Scenario:
    """One of all kinds, of all sizes."""
    kind = random.choices(list(Kind), weights=(4, 2, 3, 2, 2))[0]
    volumes = VOLUMES[: random.choice((3, 4))]
    if kind is Kind.FAILOVER:
        return Scenario(kind, volumes)
    if kind is Kind.GROUP:
        return Scenario(kind, volumes, 4, (1, 2))
    links = random.choice((2, 4))
    return Scenario(kind, volumes, links, (1, 2) if links == 4 and random.random() < 0.3 else (1,))
