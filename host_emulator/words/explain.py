"""Why a pair is not duplex, read from what the queries return: the volume, the queue with its bridges, the paths.

A `Why` has a code that stays the same, a sentence for people, and the word that helps, where one does.
Source: pprc-commands 2.7 (path status), 2.8 (states), 4.13 (queries).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ccw.pprc_codes import BridgeState, PairState, PathStatus
from ccw.pprc_query import BridgeEntry, PathEntry, PathReport, QueueReport, SecondaryFlag, SecondaryPaths, VolumeQuery
from ccw.pprc_query import VolumeFlag as Flag
from host_emulator.words.systems import paths_of

PRIMARY, SECONDARY = 1, 2
GOOD = frozenset({PathStatus.ESTABLISHED, PathStatus.FCP_ESTABLISHED, PathStatus.WAN_ESTABLISHED})

# What stopped a pair, by its state: code, text at the primary, text at the secondary.
_SUSPENDED: dict[int, tuple[str, str, str]] = {
    PairState.SUSPENDED_PRIMARY_COMMAND: ("host-command", "suspended by a host's command to the primary", ""),
    PairState.SUSPENDED_SECONDARY_COMMAND: ("host-command-secondary", "suspended by a host's command to the secondary",
                                            "suspended by a host's command to the secondary"),
    PairState.SUSPENDED_BY_PRIMARY_CONTROL: ("primary-system", "", "suspended by the primary system"),
    PairState.SUSPENDED_INTERNAL: ("error", "suspended by an error of either system or of the link between them", ""),
    PairState.SUSPENDED_SECONDARY_SIMPLEX: ("secondary-simplex",
                                            "suspended: its secondary was recovered, deleted or failed over", ""),
    PairState.SUSPENDED_SECONDARY_INTERNAL: ("secondary-error", "suspended by an error of the secondary", ""),
    PairState.SUSPENDED_POWER: ("power", "suspended because a system was restarted", ""),
    PairState.SUSPENDED_FREEZE: ("frozen", "suspended by freeze", ""),
}  # fmt: skip
_RESUMED = frozenset(  # a system resynchronises these by itself, unless they are of a consistency group
    {PairState.SUSPENDED_INTERNAL, PairState.SUSPENDED_SECONDARY_INTERNAL, PairState.SUSPENDED_POWER}
)
_LAST: dict[int, str] = {  # what makes it duplex again
    PairState.SUSPENDED_PRIMARY_COMMAND: "resumepprc (failbackpprc after a failover)",
    PairState.SUSPENDED_SECONDARY_SIMPLEX: "after a failover failbackpprc there; else rmpprc and mkpprc",
}
_STATUS_WORDS = {
    PathStatus.NONE: "no path",
    PathStatus.INITIALISATION_FAILED: "refused by the other end",
    PathStatus.TIME_OUT: "no answer",
    PathStatus.NO_RESOURCES_PRIMARY: "no logical path left here",
    PathStatus.NO_RESOURCES_SECONDARY: "no logical path left there",
    PathStatus.SERIAL_MISMATCH: "another serial number or LSS there",
    PathStatus.SSID_MISMATCH: "another SSID there, or its identity cannot be read",
    PathStatus.LINK_OFFLINE: "link offline",
    PathStatus.RETRY_LATER: "is tried again",
    PathStatus.HOST_PATH_PRESENT: "the port has host paths",
    PathStatus.SAME_CLUSTER: "leads to this very system",
    PathStatus.CONFIGURATION_ERROR: "no such port, or a wrong link address",
    PathStatus.WAN_REFUSED: "connection refused",
    PathStatus.WAN_LINK_DOWN: "connection lost",
}

CODES: dict[str, str] = {
    "waiting-turn": "in the queue; the bridges copy others, or one will take it at once",
    "waiting-bridge": "in the queue, and no bridge is up: none is defined, set up, or left",
    "path-down": "to be copied, and no path to the secondary works",
    "copying": "being copied",
    "extended-distance": "extended distance never becomes duplex",
    "host-command": "suspended by a host's command to the primary",
    "host-command-secondary": "suspended by a host's command to the secondary",
    "primary-system": "a secondary that its primary system suspended",
    "error": "suspended by an error of either system or of the link between them",
    "secondary-simplex": "the secondary is none any more: it was recovered, deleted or failed over",
    "secondary-error": "suspended by an error of the secondary",
    "power": "a system was restarted; duplex is never assumed after that",
    "frozen": "suspended by freeze",
    "busy": "it cannot be asked: an order for it is under way, which waits for its copy (MSGREQ)",
    "unknown": "a state that is not known here",
}


class Why(NamedTuple):
    """One reason. `code` is empty when there is nothing to explain."""

    code: str
    text: str
    remedy: str = ""


DUPLEX = Why("", "")


def path_text(status: int) -> str:
    """A path status for people."""
    if status in GOOD:
        return "established"
    if status in set(PathStatus):
        known = PathStatus(status)
        return _STATUS_WORDS.get(known, known.name.lower().replace("_", " ").replace("fcp ", ""))
    return f"status {status:02X}"


def is_good(path: PathEntry) -> bool:
    """Is the path established?"""
    return path.status in GOOD


def fault_text(path: PathEntry) -> str:
    """A path that is not established, with its port and status."""
    return f"{path.said:04X} {path_text(path.status)} ({path.status:02X})"


def used(secondary: SecondaryPaths) -> list[PathEntry]:
    """The entries that stand for a path; the rest of the eight are zeros."""
    return [path for path in secondary.paths if path.said or path.status]


def explain(volume: VolumeQuery, queue: QueueReport, paths: PathReport) -> Why:
    """Why the volume is not duplex; a `Why` without code when it is, or is in no pair."""
    if volume.state == PairState.SIMPLEX or volume.state == PairState.DUPLEX:
        return DUPLEX
    if volume.role == SECONDARY:
        return _at_secondary(volume)
    secondary = paths_of(paths, volume)
    if volume.state == PairState.DUPLEX_PENDING:
        return _pending(volume, queue, secondary)
    return _suspended(volume, queue, secondary)


def _at_secondary(volume: VolumeQuery) -> Why:
    if volume.state == PairState.DUPLEX_PENDING:
        return Why("copying", "the primary copies; it knows how far it is", "ask the primary: lspprc")
    code, at_primary, here = _SUSPENDED.get(volume.state, ("unknown", f"state {volume.state:02X}", ""))
    return Why(code, here or at_primary, "resumepprc at the primary, or failoverpprc here")


def goes_on(volume: VolumeQuery, secondary: SecondaryPaths | None) -> bool:
    """Does the system of a suspended primary resynchronise it by itself, unless that is turned off?"""
    grouped = secondary is None or secondary.flags & SecondaryFlag.CONSISTENCY_GROUP
    return volume.state in _RESUMED and not grouped


def _suspended(volume: VolumeQuery, queue: QueueReport, secondary: SecondaryPaths | None) -> Why:
    code, text, _ = _SUSPENDED.get(volume.state, ("unknown", f"state {volume.state:02X}", ""))
    flags = secondary.flags if secondary is not None else 0
    if volume.flags & Flag.LONG_BUSY and volume.state == PairState.SUSPENDED_PRIMARY_COMMAND:
        text += "; hosts wait until it is suspended without QUIESCE, or deleted"
    elif volume.flags & Flag.LONG_BUSY and secondary is not None:
        text += f"; hosts wait, {secondary.elb_seconds} s at most"
    if volume.flags & Flag.CRITICAL_STATE:
        text += "; writes are refused (critical state)"
    down = _down(secondary)
    text += f"; {down}" if down else ""
    last = _LAST.get(volume.state, "resumepprc")
    first = ["unfreezepprc"] if flags & SecondaryFlag.FROZEN else []
    first += ["mkpprcpath"] if down else []
    first += ["mkbridge"] if queue.bridges and not any(map(is_ready, queue.bridges)) else []
    remedy = ", then ".join([", ".join(first), last] if first else [last])
    by_itself = goes_on(volume, secondary)
    return Why(code, text, f"it goes on by itself; where that is turned off: {remedy}" if by_itself else remedy)


def _pending(volume: VolumeQuery, queue: QueueReport, secondary: SecondaryPaths | None) -> Why:
    left = f"{volume.out_of_sync_tracks:,} of {volume.total_tracks:,} tracks left"
    copying = next((bridge for bridge in queue.bridges if bridge.pair_id == volume.pair_id), None)
    if volume.flags & Flag.BEING_COPIED or (copying is not None and not volume.flags & Flag.QUEUED):
        return Why("copying", f"{_by(copying)}{left}")
    down = _down(secondary)
    remedy = "mkpprcpath, then mkbridge" if queue.bridges else "mkpprcpath"
    if volume.flags & Flag.QUEUED or volume.queue_position:
        place = f"queued at position {volume.queue_position} of {len(queue.queue)}"
        if down:
            return Why("path-down", f"{place}; {down}", remedy)
        bridge = _bridges(queue.bridges)
        return Why(f"waiting-{bridge.code}", f"{place}; {bridge.text}", bridge.remedy)
    if down:
        return Why("path-down", down, remedy)
    if volume.flags & Flag.EXTENDED_DISTANCE:
        return Why("extended-distance", f"extended distance never becomes duplex; {left}", "mkpprc -type mmir")
    return Why("copying", f"being copied, {left}")


def _by(bridge: BridgeEntry | None) -> str:
    if bridge is None:
        return "being copied, "
    doing: dict[int, str] = {BridgeState.SNAPPING: "snaps it", BridgeState.DRAINING: "ends the copy"}
    return f"bridge {bridge.bridge_number} {doing.get(bridge.bridge_state, 'copies it')}, "


def is_ready(bridge: BridgeEntry) -> bool:
    """Is the bridge set up, so that it copies or can?"""
    return BridgeState.IDLE <= bridge.bridge_state < BridgeState.FAILED


def _bridges(bridges: Sequence[BridgeEntry]) -> Why:
    """What a queued pair waits for."""
    ready = list(filter(is_ready, bridges))
    busy = [b for b in ready if b.pair_id]
    if busy:
        return Why("turn", f"waiting for its turn: {', '.join(map(_copying, busy))}")
    if ready:
        return Why("turn", "waiting for its turn")
    if any(b.bridge_state == BridgeState.ESTABLISHING for b in bridges):
        return Why("bridge", "waiting for a bridge that is being set up")
    failed = [b for b in bridges if b.bridge_state == BridgeState.FAILED]
    if failed:
        names = ", ".join(str(b.bridge_number) for b in failed)
        return Why("bridge", f"waiting for a bridge: bridge {names} has failed", "mkbridge")
    if bridges:
        return Why("bridge", "waiting for a bridge: it is defined, not set up", "mkbridge")
    return Why("bridge", "waiting for a bridge: none is defined", "mkbridgevol, then mkbridge")


def _copying(bridge: BridgeEntry) -> str:
    volumes = f"{bridge.source_lss:02X}{bridge.source_cca:02X}:{bridge.destination_lss:02X}{bridge.destination_cca:02X}"
    return f"bridge {bridge.bridge_number} copies {volumes} ({bridge.tracks_left:,} left)"


def _down(secondary: SecondaryPaths | None) -> str:
    """What is wrong with the paths, when none of them works."""
    if secondary is None:
        return "there are no paths"
    paths = used(secondary)
    if any(is_good(path) for path in paths):
        return ""
    bad = ", ".join(map(fault_text, paths))
    return f"no path works: {bad}" if bad else "there are no paths"
