"""What lspprc, lspprcpath and lsbridge show: rows for machines, and the same as lines of a table for people.

Columns and state words are those of DSCLI, where it has them; below a pair that is not duplex stands why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ccw.pprc_codes import BridgeState, PairState
from ccw.pprc_query import PathReport, QueueReport, SecondaryFlag, VolumeFlag, VolumeQuery
from host_emulator.orders import System
from host_emulator.words.desk import Desk, NotNamed, check_asked
from host_emulator.words.explain import PRIMARY, SECONDARY, explain, is_good, path_text, used
from host_emulator.words.systems import both, own_of, paths_of, system_of, text_of
from host_emulator.words.tasks import OtherVolume, ShowPairs, ShowPaths

TOD_MICROSECOND = 1 << 12  # in units of the TOD clock
TOD_EPOCH_S = 2_208_988_800  # seconds from 1900 to 1970
NO_PAIR = "not-remote-copy-pair"
_STATES = {PairState.DUPLEX_PENDING: "Copy Pending", PairState.DUPLEX: "Full Duplex"}
_KEYS = {PairState.DUPLEX_PENDING: "copy-pending", PairState.DUPLEX: "full-duplex"}
_REASONS: dict[int, str] = {
    PairState.SUSPENDED_PRIMARY_COMMAND: "Host Source",
    PairState.SUSPENDED_SECONDARY_COMMAND: "Host Target",
    PairState.SUSPENDED_BY_PRIMARY_CONTROL: "Update Target",
    PairState.SUSPENDED_INTERNAL: "Internal Conditions",
    PairState.SUSPENDED_SECONDARY_SIMPLEX: "Simplex Target",
    PairState.SUSPENDED_SECONDARY_INTERNAL: "Internal Conditions Target",
    PairState.SUSPENDED_POWER: "Power",
    PairState.SUSPENDED_FREEZE: "Freeze",
}
_SHORT = {
    "id": "ID",
    "state_name": "State",
    "reason": "Reason",
    "type": "Type",
    "source_lss": "SourceLSS",
    "timeout_s": "Timeout (secs)",
    "critical_mode": "Critical Mode",
    "first_pass": "First Pass Status",
}
_LONG = {
    **_SHORT,
    "pair": "Pair",
    "out_of_sync_tracks": "Out Of Sync Tracks",
    "percent_in_sync": "In Sync (%)",
    "suspended": "Date Suspended",
}
_PATH_COLUMNS = {
    "source": "Src",
    "target": "Tgt",
    "state": "State",
    "target_ssid": "SS",
    "port": "Port",
    "purpose": "Used For",
    "target_serial": "Tgt Serial",
}
_BRIDGE_COLUMNS = {
    "bridge": "Bridge",
    "state": "State",
    "pair": "Pair",
    "source": "Source",
    "target": "Target",
    "tracks_left": "Tracks Left",
    "next_sequence": "Next",
    "acknowledged_sequence": "Acknowledged",
}
_PURPOSES = {0: "volume pairs", 1: "data bridge {}", 2: "status bridge {}"}


def state_name(volume: VolumeQuery) -> str:
    """The state of a volume, as DSCLI names it."""
    if volume.role == 0:
        return "Simplex"
    name = _STATES.get(PairState(volume.state), "Suspended") if volume.state in set(PairState) else "Invalid"
    return f"Target {name}" if volume.role == SECONDARY else name


def state_key(volume: VolumeQuery) -> str:
    """The same as `lspprc -state` wants it."""
    if volume.role == 0:
        return NO_PAIR
    if volume.state not in set(PairState):
        return "invalid-state"
    key = _KEYS.get(PairState(volume.state), "suspended")
    return f"target-{key}" if volume.role == SECONDARY else key


def tod_text(tod: int) -> str:
    """A TOD clock value as UTC, to the second; empty for 0."""
    if not tod:
        return ""
    seconds = tod // TOD_MICROSECOND / 1_000_000 - TOD_EPOCH_S
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


async def pair_rows(desk: Desk, task: ShowPairs, paths: PathReport, queue: QueueReport) -> list[dict[str, Any]]:
    """The volumes that were asked for, in the order of their unit addresses. Raises NotNamed."""
    check_asked(own_of(paths), task.own)
    rows = []
    for device, other, volume in await _found(desk, task):
        if volume is None:
            rows.append(_busy_row(device, paths))
            continue
        if other is not None and volume.role:
            _check_other(device, volume, other)
        if _is_listed(task, volume) and not volume.flags & VolumeFlag.BRIDGE_VOLUME:
            rows.append(_pair_row(device, volume, paths, queue))
    return rows


async def _found(desk: Desk, task: ShowPairs) -> list[tuple[int, OtherVolume | None, VolumeQuery | None]]:
    """The volumes that were named, or all: unit address, what was said of the other one, and the query's answer."""
    if task.volumes:
        return [(device, other, await desk.look(device)) for device, other in task.volumes]
    return [(device, None, volume) for device, volume in await desk.volumes()]


def _check_other(device: int, volume: VolumeQuery, said: OtherVolume) -> None:
    """Raises NotNamed when the volume is paired with another one than was said."""
    system, address = _other(volume)
    lss = system.lss if said.lss is None else said.lss
    really, said_so = f"{system.lss:02X}{address:02X}", f"{lss:02X}{said.device:02X}"
    if really != said_so:
        raise NotNamed(f"{device:02X} is paired with {really}, not with {said_so}")


def _busy_row(device: int, paths: PathReport) -> dict[str, Any]:
    """A device that cannot be asked, because an order for it is under way."""
    why = {"code": "busy", "text": "busy: an order for it is under way", "remedy": ""}
    return {"device": f"{device:02X}", "id": f"{paths.lss:02X}{device:02X}", "role": "busy", "state": None,
            "state_name": "Busy", "pair": None, "total_tracks": 0, "out_of_sync_tracks": 0, "percent_in_sync": 0,
            "queue_position": 0, "why": why}  # fmt: skip


def _other(volume: VolumeQuery) -> tuple[System, int]:
    """The other side of a pair: its system and its unit address there."""
    primary, secondary = both(volume)
    return (secondary, volume.secondary_cca) if volume.role == PRIMARY else (primary, volume.primary_cca)


def _is_listed(task: ShowPairs, volume: VolumeQuery) -> bool:
    if task.states and state_key(volume) not in task.states:
        return False
    if not volume.role:
        return bool(task.volumes or task.states)  # asked for by name, or as one that is in no pair
    return task.other.fits(_other(volume)[0])


def _pair_row(device: int, volume: VolumeQuery, paths: PathReport, queue: QueueReport) -> dict[str, Any]:
    why = explain(volume, queue, paths)
    row: dict[str, Any] = {"device": f"{device:02X}", "id": f"{paths.lss:02X}{device:02X}", "role": "simplex",
                           "state": volume.state, "state_name": state_name(volume), "why": None}  # fmt: skip
    if not volume.role:
        return row
    secondary = paths_of(paths, volume) if volume.role == PRIMARY else None
    first, second = both(volume)
    suspended = volume.state >= PairState.SUSPENDED_PRIMARY_COMMAND
    return {
        **row,
        "id": f"{volume.primary_lss:02X}{volume.primary_cca:02X}:{volume.secondary_lss:02X}{volume.secondary_cca:02X}",
        "role": "primary" if volume.role == PRIMARY else "secondary",
        "pair": volume.pair_id,
        "reason": _REASONS.get(volume.state, "-") if suspended else "-",
        "type": "Global Copy" if volume.flags & VolumeFlag.EXTENDED_DISTANCE else "Metro Mirror",
        "source_lss": f"{volume.primary_lss:02X}",
        "primary": text_of(first),
        "secondary": text_of(second),
        "timeout_s": None if secondary is None else secondary.elb_seconds,
        "critical_mode": "Enabled" if volume.flags & VolumeFlag.CRITICAL else "Disabled",
        "first_pass": _first_pass(volume),
        "total_tracks": volume.total_tracks,
        "out_of_sync_tracks": volume.out_of_sync_tracks,
        "percent_in_sync": volume.percent_in_sync,
        "queue_position": volume.queue_position,
        "suspended": tod_text(volume.suspend_tod) if suspended else "",
        "why": {"code": why.code, "text": why.text, "remedy": why.remedy} if why.code else None,
    }


def _first_pass(volume: VolumeQuery) -> str | None:
    """Has everything been copied once? Only the primary knows."""
    if volume.role != PRIMARY:
        return None
    return "Valid" if volume.state == PairState.DUPLEX or not volume.out_of_sync_tracks else "Invalid"


def pair_lines(rows: Sequence[Mapping[str, Any]], *, long: bool) -> list[str]:
    """The table, with why a pair is not duplex below it."""
    if not rows:
        return ["no pairs"]
    table = _table(_LONG if long else _SHORT, rows)
    lines = table[:2]
    for row, line in zip(rows, table[2:], strict=True):
        lines.append(line)
        if row["why"]:
            remedy = f" [{row['why']['remedy']}]" if row["why"]["remedy"] else ""
            lines.append(f"  why: {row['why']['text']}{remedy}")
    return lines


def path_rows(report: PathReport, task: ShowPaths) -> list[dict[str, Any]]:
    """One row a path. Raises NotNamed when another system is asked than was named."""
    check_asked(own_of(report), task.primary)
    rows = []
    for secondary in report.secondaries:
        target = system_of(secondary)
        if not task.secondary.fits(target):
            continue
        for path in used(secondary):
            good = is_good(path)
            rows.append({
                "source": f"{report.lss:02X}",
                "target": f"{target.lss:02X}",
                "state": "Success" if good else f"Failed ({path_text(path.status)})",
                "status": f"{path.status:02X}",
                "target_ssid": f"{target.ssid:04X}",
                "target_serial": target.serial,
                "port": f"{path.said:04X}",
                "link_address": f"{path.link_address:02X}",
                "control_unit_image": f"{path.cu_image:02X}",
                "purpose": _PURPOSES.get(path.purpose, "purpose {}").format(path.bridge_number),
                "consistency_group": bool(secondary.flags & SecondaryFlag.CONSISTENCY_GROUP),
                "frozen": bool(secondary.flags & SecondaryFlag.FROZEN),
                "timeout_s": secondary.elb_seconds,
            })  # fmt: skip
    return rows


def path_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The table, with what holds for all paths to a system below it."""
    if not rows:
        return ["no paths"]
    lines = _table(_PATH_COLUMNS, rows)
    notes = {}
    for row in rows:
        words = ["consistency group"] if row["consistency_group"] else []
        words += ["frozen: unfreezepprc, then mkpprcpath"] if row["frozen"] else []
        if words:
            notes[f"{row['target_ssid']}:{row['target']}:{row['target_serial']}"] = ", ".join(words)
    return lines + [f"  {target}: {words}" for target, words in notes.items()]


def bridge_rows(report: QueueReport) -> tuple[list[dict[str, Any]], list[int]]:
    """One row a bridge, and the pairs that wait, next first."""
    rows = []
    for bridge in report.bridges:
        busy = bool(bridge.pair_id)
        rows.append({
            "bridge": bridge.bridge_number,
            "state": BridgeState(bridge.bridge_state).name.lower()
            if bridge.bridge_state in set(BridgeState) else f"{bridge.bridge_state:02X}",
            "pair": bridge.pair_id if busy else None,
            "source": f"{bridge.source_lss:02X}{bridge.source_cca:02X}" if busy else None,
            "target": f"{bridge.destination_lss:02X}{bridge.destination_cca:02X}" if busy else None,
            "tracks_left": bridge.tracks_left if busy else None,
            "next_sequence": bridge.next_sequence,
            "acknowledged_sequence": bridge.acknowledged_sequence,
        })  # fmt: skip
    return rows, list(report.queue)


def bridge_lines(rows: Sequence[Mapping[str, Any]], waiting: Sequence[int]) -> list[str]:
    """The table and the queue."""
    lines = _table(_BRIDGE_COLUMNS, rows) if rows else ["no bridges"]
    queue = ", ".join(map(str, waiting)) or "nothing"
    return [*lines, f"waiting for a bridge, next first: {queue}"]


def _table(columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Head, rule and rows, in columns as wide as they have to be."""
    cells = [[_cell(row.get(name)) for name in columns] for row in rows]
    widths = [max(len(head), *(len(line[at]) for line in cells)) for at, head in enumerate(columns.values())]
    lines = [list(columns.values()), *cells]
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return [texts[0], "=" * (sum(widths) + 2 * (len(widths) - 1)), *texts[1:]]


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)
