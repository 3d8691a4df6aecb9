"""PPRC paths: the set of paths to each other control-unit image, and how one is brought up.

A path is one-directional: this box's port acts as a channel, the other box sees a host that has named itself
in the information field of ELP. Establish Path replaces the set; each entry carries a status code of 2.7.
Source: pprc-commands 2.2, 2.7, 4.3; escon-frames 2.7.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ccw import pprc
from controller.channel import ChainCommand, ChainResult, PathReply
from controller.remote_copy.busy import BUSY_TRIES, a_little_later, device_busy
from controller.remote_copy.pair import BoxName
from controller.remote_copy.ports import LinkPort, Surroundings
from controller.remote_copy.procedure import Procedure
from controller.remote_copy.refusal import reject
from controller.remote_copy.states import PathStatus, Reason

MAX_PATHS = 8
MAX_SECONDARIES = 4
DEFAULT_ELB_S = 120
MAX_ELB_S = 600
SENSE_ID = 0xE4
READ_CONFIGURATION_DATA = 0xFA
CONFIGURATION_BYTES = 256
OTHERS_AFTER = 2  # tries of the usual device
IDENTITY = [ChainCommand(SENSE_ID, count=7), ChainCommand(READ_CONFIGURATION_DATA, count=CONFIGURATION_BYTES)]
NODE_TAG = slice(30, 32)  # of a node descriptor
NED_SERIAL = slice(18, 30)
NED_LSS = 30
NEQ_SSID = slice(224 + 8, 224 + 10)
CHECKED_DEVICE = 0x00  # there is always one
LPR_STATUS = {2: PathStatus.NO_RESOURCES_SECONDARY, 3: PathStatus.RETRY_LATER}

LINK_ESCON, LINK_WAN = 1, 3
ESTABLISHED = frozenset({PathStatus.ESTABLISHED, PathStatus.WAN_ESTABLISHED})

VOLUME_PURPOSE, DATA_PURPOSE, STATUS_PURPOSE = 0, 1, 2


@dataclass(slots=True)
class PathEntry:
    """One path of a set."""

    said: int
    link_address: int
    image: int
    secondary_port: int
    status: PathStatus = PathStatus.NONE
    purpose: int = VOLUME_PURPOSE
    bridge: int = 0
    peer_port: int = 0  # the far port's identifier, from its node descriptor
    turned: bool = False  # used by the other box towards this one
    link_type: int = LINK_ESCON  # as it was asked for: 01 is good for a wide-area port too
    under_way: int = 0  # orders and questions that are not answered yet
    heard: float = 0.0  # when one was answered last
    in_vain: bool = False  # the last that ended was not answered

    @property
    def good(self) -> bool:
        return self.status in ESTABLISHED and not self.turned


@dataclass(slots=True)
class PathSet:
    """All paths to one control-unit image of another box."""

    box: BoxName
    entries: list[PathEntry] = field(default_factory=list)
    cgroup: bool = False
    elb_seconds: int = DEFAULT_ELB_S

    def good(self) -> list[PathEntry]:
        return [entry for entry in self.entries if entry.good]

    def free(self) -> list[PathEntry]:
        """Good paths that no bridge has taken, lowest SAID first."""
        return sorted((e for e in self.good() if e.purpose == VOLUME_PURPOSE), key=lambda e: e.said)


def peer_header(own: BoxName, peer: BoxName) -> bytes:
    """The 40 bytes that mark an ELP as a peer's: the sender is named as primary, the rest is zero."""
    return pprc.PprcHeader(
        order=0,
        flags=0,
        length=40,
        format=1,
        selector=0,
        request_sequence=0,
        primary_ssid=own.ssid,
        primary_lss=own.lss,
        primary_cca=0,
        secondary_ssid=peer.ssid,
        secondary_lss=peer.lss,
        secondary_cca=0,
        primary_identity=own.identity,
        secondary_identity=peer.identity,
    ).encode()


def establish_path(
    around: Surroundings, own: BoxName, peer: BoxName, entry: PathEntry, device: int = CHECKED_DEVICE
) -> Procedure[None]:
    """Bring up one path; the result is `entry.status` (and the far port). Never raises.

    device: whose configuration data names the other box. A bridge volume is never busy with a host.
    """
    port = around.links.get(entry.said)
    if port is None or entry.link_address or (entry.link_type == LINK_WAN and not port.wan):
        entry.status = PathStatus.CONFIGURATION_ERROR  # no such adapter, or a director address without a director
        return
    if port.has_host_paths and not port.wan:  # a wide-area link is used in both directions at once
        entry.status = PathStatus.HOST_PATH_PRESENT
        return
    link = port.link
    if link is None:
        down = PathStatus.WAN_REFUSED if port.refused else PathStatus.WAN_LINK_DOWN
        entry.status = down if port.wan else PathStatus.LINK_OFFLINE
        return
    if peer == own:
        entry.status = PathStatus.SAME_CLUSTER
        return
    header = peer_header(own, peer)
    reply: PathReply = yield lambda answer: link.establish_path(entry.image, header, answer, around.clock.now())
    if not reply.established:
        entry.status = _path_failure(reply)
        return
    node: bytes | None = yield lambda answer: link.identify(answer, around.clock.now())
    if node is None or len(node) < NODE_TAG.stop:
        entry.status = PathStatus.INITIALISATION_FAILED
        return
    entry.peer_port = int.from_bytes(node[NODE_TAG], "big")
    entry.status = yield from _check_identity(around, link, peer, entry, device)
    if entry.status is PathStatus.ESTABLISHED and port.wan:
        entry.status = PathStatus.WAN_ESTABLISHED
    if entry.status not in ESTABLISHED:
        yield lambda answer: link.remove_path(entry.image, answer, around.clock.now())


def remove_path(around: Surroundings, entry: PathEntry) -> Procedure[None]:
    """Give up this box's logical path on the link, if there is light; the entry has no path then."""
    port = around.links.get(entry.said)
    link = port.link if port is not None else None
    if link is not None:
        yield lambda reply: link.remove_path(entry.image, reply, around.clock.now())
    entry.status = PathStatus.NONE


def _path_failure(reply: PathReply) -> PathStatus:
    if reply.reason is not None:
        return LPR_STATUS.get(reply.reason, PathStatus.INITIALISATION_FAILED)
    if reply.failure == "link lost":
        return PathStatus.LINK_OFFLINE
    return PathStatus.TIME_OUT if reply.failure == "timeout" else PathStatus.INITIALISATION_FAILED


def _check_identity(
    around: Surroundings, link: LinkPort, peer: BoxName, entry: PathEntry, device: int
) -> Procedure[PathStatus]:
    """Sense ID and Read Configuration Data of a device behind the path: is it the box that was named?

    The device may be busy with a host, perhaps for as long as this path is missing: any other says the same of the box.
    """
    for attempt in range(BUSY_TRIES):
        result = yield from _ask_identity(around, link, entry, range(256) if attempt >= OTHERS_AFTER else (device,))
        if not device_busy(result):
            break
        yield from a_little_later(around)
    if result.failure == "link lost":
        return PathStatus.LINK_OFFLINE
    if result.completed != len(IDENTITY) or len(result.data[1]) != CONFIGURATION_BYTES:
        return PathStatus.SSID_MISMATCH  # the I/O that collects the identity failed
    data = result.data[1]
    if int.from_bytes(data[NEQ_SSID], "big") != peer.ssid:
        return PathStatus.SSID_MISMATCH
    if data[NED_SERIAL] != peer.identity or data[NED_LSS] != peer.lss:
        return PathStatus.SERIAL_MISMATCH
    return PathStatus.ESTABLISHED


def _ask_identity(
    around: Surroundings, link: LinkPort, entry: PathEntry, devices: Iterable[int]
) -> Procedure[ChainResult]:
    """What the first of the devices that is there, and not busy, says; else what the last said that is there."""
    clock = around.clock
    busy: ChainResult | None = None
    for device in devices:
        result: ChainResult = yield lambda answer, asked=device: link.start_chain(  # type: ignore[misc]
            entry.image, asked, IDENTITY, answer, clock.now()
        )
        if device_busy(result):
            busy = result
        elif result.failure != "device exception":
            return result
    return busy or result


class PathTable:
    """The path sets of this box, by the other box."""

    def __init__(self) -> None:
        self.sets: dict[BoxName, PathSet] = {}

    def __iter__(self) -> Iterator[PathSet]:
        return iter(self.sets.values())

    def get(self, box: BoxName) -> PathSet | None:
        return self.sets.get(box)

    def need(self, box: BoxName) -> PathSet:
        """The set towards `box`. Raises Refused when there is none, or none of its paths works."""
        found = self.sets.get(box)
        if found is None:
            raise reject(Reason.NO_PATH_SET)
        if not found.good():
            status = found.entries[-1].status if found.entries else PathStatus.NONE
            raise reject(Reason.NO_WORKING_PATH, path_status=int(status))
        return found

    def link_lost(self, said: int) -> list[tuple[PathSet, PathEntry]]:
        """The link of a port is gone: its entries go offline. Returns those that were good or turned."""
        lost = []
        for paths in self.sets.values():
            for entry in paths.entries:
                if entry.said == said and (entry.good or entry.turned):
                    entry.status = PathStatus.LINK_OFFLINE
                    entry.turned = False
                    lost.append((paths, entry))
        return lost
