"""The reports of CQUERY: a volume, the paths of its system, the ports they use; in a box, or with commas.

Field names, their order and their values are those of the TSO command, so that what reads the one can read the other;
the box is drawn here. A field without a value is filled with dots, or hyphens where a path could be.
Source: z/OS DFSMS Advanced Copy Services (fields), messages ANTP0091I, ANTP0096I; pprc-commands 2.6.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ccw.pprc_codes import PairState
from ccw.pprc_query import NO_CYLINDER, PathEntry, PathReport, SecondaryFlag, SecondaryPaths, VolumeFlag, VolumeQuery
from host_emulator.words.explain import GOOD, PRIMARY, SECONDARY, path_text, used
from host_emulator.words.listing import tod_text
from host_emulator.words.systems import paths_of
from host_emulator.words.tasks import Query

WIDTH = 70  # of a box, its two stars included
SECONDARIES, PATHS_A_LINE, PATHS = 4, 4, 8
TYPES = {0: "3990", 1: "2105"}
_ORDINALS = ("FIRST", "SECOND", "THIRD", "FOURTH")
_NO_SERIAL = "." * 12
_GOOD = frozenset(f"{status:02X}" for status in GOOD)


def report(task: Query, volume: VolumeQuery, paths: PathReport) -> tuple[list[str], dict[str, Any]]:
    """The lines of the report, and what it says as fields."""
    if task.what == "VOLUME":
        found = paths_of(paths, volume) if volume.role == PRIMARY else None
        fields = _volume_fields(task, volume, found)
        return (_volume_box(fields) if task.formatted else _volume_commas(fields)), fields
    fields = _path_fields(paths)
    if task.what == "LINKINFO":
        return (_link_box(fields) if task.formatted else _link_commas(fields)), fields
    return (_paths_box(fields) if task.formatted else _paths_commas(fields)), fields


def state_of(volume: VolumeQuery) -> str:
    """The field STATE."""
    distance = ".XD" if volume.flags & VolumeFlag.EXTENDED_DISTANCE else ""
    if volume.role == 0 or volume.state == PairState.SIMPLEX:
        return "SIMPLEX"
    if volume.state == PairState.DUPLEX_PENDING:
        return f"PENDING{distance}"
    if volume.state == PairState.DUPLEX:
        return "DUPLEX"
    if volume.state not in set(PairState):
        return "UNKNOWN"
    return f"SUSP({volume.state:X}){distance}" if distance else f"SUSPEND({volume.state:X})"


def _destination(path: PathEntry) -> str:
    return f"{path.link_address:02X}{path.cu_image:02X}"


def _path_list(secondary: SecondaryPaths | None) -> list[dict[str, str]]:
    found = [] if secondary is None else used(secondary)
    return [
        {"said": f"{p.said:04X}", "dest": _destination(p), "status": f"{p.status:02X}", "text": path_text(p.status)}
        for p in found
    ]


def _established(paths: Iterable[dict[str, str]]) -> int:
    return sum(path["status"] in _GOOD for path in paths)


def _volume_fields(task: Query, volume: VolumeQuery, secondary: SecondaryPaths | None) -> dict[str, Any]:
    in_pair = volume.role != 0
    level = {PRIMARY: "PRIMARY", SECONDARY: "SECONDARY"}.get(volume.role, "")
    critical = "YES-PATHS" if volume.flags & VolumeFlag.CRITICAL else "NO"
    copied = volume.percent_in_sync if task.bitmap and in_pair and volume.state != PairState.DUPLEX else None
    left = volume.out_of_sync_tracks if in_pair and task.bitmap else None
    first, last = (c if c != NO_CYLINDER else None for c in (volume.first_cylinder, volume.last_cylinder))
    return {
        "device": f"{task.device:04X}",
        "level": level,
        "state": state_of(volume),
        "path_status": "" if not in_pair else "ACTIVE" if volume.path_status else "INACTIVE",
        "primary": _side(volume.primary_ssid, volume.primary_cca, volume.primary_lss, volume.primary_identity, in_pair),
        "secondary": _side(
            volume.secondary_ssid, volume.secondary_cca, volume.secondary_lss, volume.secondary_identity, in_pair
        ),
        "crit": critical if volume.role == PRIMARY else "",
        "cgrplb": "YES" if secondary is not None and secondary.flags & SecondaryFlag.CONSISTENCY_GROUP else "NO",
        "paths": _path_list(secondary),
        "tracks_out_of_sync": left,
        "tracks": volume.total_tracks,
        "percent_copied": copied,
        "first_cylinder": first,
        "last_cylinder": last,
        "suspended": tod_text(volume.suspend_tod) if volume.state >= PairState.SUSPENDED_PRIMARY_COMMAND else "",
    }


def _side(ssid: int, cca: int, lss: int, identity: bytes, in_pair: bool) -> dict[str, str]:
    if not in_pair:
        return {"ssid": "....", "cca": "..", "lss": "..", "serial": _NO_SERIAL}
    return {"ssid": f"{ssid:04X}", "cca": f"{cca:02X}", "lss": f"{lss:02X}", "serial": identity.decode("cp037")}


def _dots(text: str, width: int) -> str:
    return text.ljust(width, ".")


def _box(title: str, lines: Iterable[str]) -> list[str]:
    head = f" PPRC REMOTE COPY CQUERY - {title} "
    return [head.center(WIDTH, "*"), *(f"* {line[: WIDTH - 4]:{WIDTH - 4}} *" for line in lines), "*" * WIDTH]


def _volume_box(fields: dict[str, Any]) -> list[str]:
    one, two = fields["primary"], fields["secondary"]
    lines = [
        "                                         (PRIMARY)    (SECONDARY)",
        "                                         SSID CCA LSS SSID CCA LSS",
        "DEVICE LEVEL     STATE       PATH STATUS SERIAL#      SERIAL#",
        "------ --------- ----------- ----------- ------------ ------------",
        f" {fields['device']}  {_dots(fields['level'], 9)} {_dots(fields['state'], 11)} "
        f"{_dots(fields['path_status'], 11)} {one['ssid']} {one['cca']} {one['lss']}   "
        f"{two['ssid']} {two['cca']} {two['lss']}",
        f"       {_dots('CRIT(' + fields['crit'] + ')' if fields['crit'] else '', 15)} "
        f"{_dots('CGRPLB(' + fields['cgrplb'] + ')', 17)} {one['serial']} {two['serial']}",
        "PATHS SAID/DEST STATUS: DESCRIPTION",
        "----- --------- ------  -----------------------",
    ]
    count = _established(fields["paths"])
    for at in range(max(SECONDARIES, len(fields["paths"]))):
        path = fields["paths"][at] if at < len(fields["paths"]) else None
        number = f"{count:3}" if at == 0 else "   "
        shown = "---- ---- 00      no path" if path is None else (
            f"{path['said']} {path['dest']} {path['status']}      {path['text']}"
        )  # fmt: skip
        lines.append(f"{number}   {shown}".rstrip())
    return _box("VOLUME", [*lines, *_progress(fields)])


def _progress(fields: dict[str, Any]) -> list[str]:
    """What a pending or suspended volume has still to be copied."""
    if not fields["level"] or fields["state"] == "DUPLEX":
        return []
    lines = []
    if fields["percent_copied"] is not None:
        lines.append(f"TRACKS OUT OF SYNC: {fields['tracks_out_of_sync']} OF {fields['tracks']}, "
                     f"COPIED: {fields['percent_copied']} %")  # fmt: skip
    if fields["first_cylinder"] is not None:
        lines.append(f"CYLINDERS OUT OF SYNC: FIRST {fields['first_cylinder']} LAST {fields['last_cylinder']}")
    return lines + ([f"SUSPENDED: {fields['suspended']}"] if fields["suspended"] else [])


def _volume_commas(fields: dict[str, Any]) -> list[str]:
    one, two = fields["primary"], fields["secondary"]
    lines = [
        "VOLUME REPORT",
        _commas(fields[name] for name in ("device", "level", "state", "path_status")),
        _commas([one["ssid"], one["cca"], one["serial"], two["ssid"], two["cca"], two["serial"], fields["crit"],
                 fields["cgrplb"]]),
    ]  # fmt: skip
    lines += _path_commas(fields["paths"], [])
    lines.append(_commas([fields["tracks_out_of_sync"], fields["tracks"], fields["percent_copied"],
                          fields["suspended"]]))  # fmt: skip
    return lines


def _commas(values: Iterable[Any]) -> str:
    return ",".join("" if value is None else str(value) for value in values) + ","


def _path_commas(paths: Sequence[dict[str, str]], before: Sequence[str]) -> list[str]:
    """The count and up to four paths; a second line with the rest."""
    cells = [[f"{path['said']}/{path['dest']}", path["status"]] for path in paths]
    first = [cell for pair in cells[:PATHS_A_LINE] for cell in pair]
    rest = [cell for pair in cells[PATHS_A_LINE:PATHS] for cell in pair]
    return [_commas([*before, len(paths), *first])] + ([_commas(rest)] if rest else [])


def _path_fields(report: PathReport) -> dict[str, Any]:
    secondaries = [
        {
            "serial": found.serial.decode("cp037"),
            "ssid": f"{found.ssid:04X}",
            "lss": f"{found.lss:02X}",
            "count": _established(_path_list(found)),
            "paths": _path_list(found),
        }
        for found in report.secondaries[:SECONDARIES]
    ]
    return {
        "serial": report.serial.decode("cp037"),
        "ssid": f"{report.ssid:04X}",
        "type": TYPES.get(report.control_unit_type, f"{report.control_unit_type:02X}"),
        "lss": f"{report.lss:02X}",
        "secondaries": secondaries,
    }


def _paths_box(fields: dict[str, Any]) -> list[str]:
    columns = [fields["secondaries"][at] if at < len(fields["secondaries"]) else None for at in range(SECONDARIES)]

    def line(label: str, cells: Iterable[str]) -> str:
        return f"{label:11}" + "".join(f"{cell:14}" for cell in cells)

    lines = [
        f"PRIMARY UNIT: SERIAL#= {fields['serial']} SSID= {fields['ssid']} SS= {fields['type']} LSS= {fields['lss']}",
        line("", (word.center(12) for word in _ORDINALS)),
        line("", ("SECONDARY".center(12) for _ in columns)),
        line("SERIAL NO:", (_NO_SERIAL if c is None else c["serial"] for c in columns)),
        line("SSID LSS:", (".... .." if c is None else f"{c['ssid']} {c['lss']}" for c in columns)),
        line("PATHS:", ("0" if c is None else str(c["count"]) for c in columns)),
        line("", ("SAID DEST S*" for _ in columns)),
        line("", ("--------- --" for _ in columns)),
    ]
    rows = max(SECONDARIES, *(len(c["paths"]) for c in columns if c is not None), 0)
    for at in range(rows):
        lines.append(line(f"{at + 1:8}:", (_path_cell(c, at) for c in columns)))
    seen = {path["status"]: path["text"] for c in fields["secondaries"] for path in c["paths"]}
    lines += ["", "S* = PATH STATUS:", *(f"{code}={text}" for code, text in sorted({"00": "no path", **seen}.items()))]
    return _box("PATHS", lines)


def _path_cell(column: dict[str, Any] | None, at: int) -> str:
    if column is None or at >= len(column["paths"]):
        return "---- ---- 00"
    path = column["paths"][at]
    return f"{path['said']} {path['dest']} {path['status']}"


def _paths_commas(fields: dict[str, Any]) -> list[str]:
    lines = ["PATHS REPORT", _commas([fields["serial"], fields["ssid"], fields["type"]])]
    for secondary in fields["secondaries"]:
        lines += _path_commas(secondary["paths"], [secondary["serial"], secondary["ssid"]])
    return lines


def _link_rows(fields: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Port, adapter status, where its paths lead.

    The status: 0 a path works, 1 none does, 2 the link is offline, 3 there is no such port, or it cannot be used.
    """
    found: dict[str, tuple[list[str], list[str]]] = {}
    for secondary in fields["secondaries"]:
        for path in secondary["paths"]:
            states, targets = found.setdefault(path["said"], ([], []))
            states.append({"08": "2", "10": "3"}.get(path["status"], "0" if path["status"] in _GOOD else "1"))
            targets.append(f"{secondary['ssid']}/{path['dest']}")
    return [
        (said, "0" if "0" in states else states[0], " ".join(targets))
        for said, (states, targets) in sorted(found.items())
    ]


def _link_box(fields: dict[str, Any]) -> list[str]:
    lines = [f"PRIMARY UNIT: SERIAL#= {fields['serial']} SSID= {fields['ssid']}", "PRIMARY      SECONDARY",
             "ADAPTER STAT SSID/DEST", "------- ---- ---------"]  # fmt: skip
    return _box("LINKINFO", [*lines, *(f"   {said}    {status} {targets}" for said, status, targets in
                                       _link_rows(fields))])  # fmt: skip


def _link_commas(fields: dict[str, Any]) -> list[str]:
    return ["LINKINFO REPORT", _commas([fields["serial"], fields["ssid"]]), *map(_commas, _link_rows(fields))]
