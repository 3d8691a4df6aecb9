"""Why a pair is not duplex, and the reports of CQUERY, from the replies of the queries."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ccw.pprc_query import BridgeEntry, PathEntry, PathReport, QueueReport, SecondaryPaths, VolumeFlag, VolumeQuery
from host_emulator.words.cquery import report, state_of
from host_emulator.words.explain import CODES, explain
from host_emulator.words.listing import bridge_lines, bridge_rows, state_key, state_name, tod_text
from host_emulator.words.tasks import Query

A, B = ("F0" * 7 + "F1F2F3F4F5"), ("F0" * 7 + "F6F7F8F9F0")
VOLUME = VolumeQuery(
    role=1, state=1, primary_ssid=0x100, primary_cca=5, secondary_ssid=0x200, secondary_cca=0x15,
    primary_identity=bytes.fromhex(A), secondary_identity=bytes.fromhex(B), pair_id=7, total_tracks=300,
    out_of_sync_tracks=120, percent_in_sync=60, first_cylinder=2, last_cylinder=19,
)  # fmt: skip
GOOD, OFFLINE = PathEntry(0x10, 0, 0, 0, 1), PathEntry(0x11, 0xC1, 2, 0, 8)


def paths(*entries: PathEntry, flags: int = 0, elb: int = 120) -> PathReport:
    filled = (*entries, *[PathEntry()] * (8 - len(entries)))
    good = sum(entry.status == 1 for entry in entries)
    secondary = SecondaryPaths(0x200, 0, good, bytes.fromhex(B), bytes(8), flags, 1, elb, paths=filled)
    return PathReport(0x100, 0, 0, bytes.fromhex(A), bytes(8), secondaries=(secondary,))


UP, DOWN = paths(GOOD, OFFLINE), paths(OFFLINE)
NO_PATHS = replace(UP, secondaries=())
QUEUED = replace(VOLUME, flags=int(VolumeFlag.QUEUED), queue_position=3)
WAITING = (3, 4, 7)


def queue(*bridges: BridgeEntry) -> QueueReport:
    return QueueReport(bridges, WAITING)


@pytest.mark.parametrize(
    ("volume", "bridges", "report", "code", "text", "remedy"),
    [
        (replace(VOLUME, state=2), queue(), UP, "", "", ""),
        (VolumeQuery(0, 0), queue(), NO_PATHS, "", "", ""),
        (QUEUED, queue(BridgeEntry(1, 5, pair_id=9, source_cca=4, destination_cca=0x14, tracks_left=1200)), UP,
         "waiting-turn", "queued at position 3 of 3; waiting for its turn: bridge 1 copies 0004:0014 (1,200 left)", ""),
        (QUEUED, queue(BridgeEntry(1, 3)), UP, "waiting-turn", "queued at position 3 of 3; waiting for its turn", ""),
        (QUEUED, queue(), UP, "waiting-bridge", "waiting for a bridge: none is defined", "mkbridgevol, then mkbridge"),
        (QUEUED, queue(BridgeEntry(1, 1)), UP, "waiting-bridge", "it is defined, not set up", "mkbridge"),
        (QUEUED, queue(BridgeEntry(1, 2)), UP, "waiting-bridge", "a bridge that is being set up", ""),
        (QUEUED, queue(BridgeEntry(1, 7), BridgeEntry(2, 7)), UP, "waiting-bridge", "bridge 1, 2 has failed",
         "mkbridge"),
        (QUEUED, queue(BridgeEntry(1, 3)), DOWN, "path-down",
         "queued at position 3 of 3; no path works: 0011 link offline (08)", "mkpprcpath, then mkbridge"),
        (QUEUED, queue(), NO_PATHS, "path-down", "queued at position 3 of 3; there are no paths", "mkpprcpath"),
        (replace(VOLUME, flags=int(VolumeFlag.BEING_COPIED)), queue(BridgeEntry(2, 5, pair_id=7)), UP, "copying",
         "bridge 2 copies it, 120 of 300 tracks left", ""),
        (replace(VOLUME, flags=int(VolumeFlag.BEING_COPIED)), queue(BridgeEntry(2, 4, pair_id=7)), UP, "copying",
         "bridge 2 snaps it", ""),
        (replace(VOLUME, flags=int(VolumeFlag.BEING_COPIED)), queue(BridgeEntry(2, 99, pair_id=7)), UP, "copying",
         "bridge 2 copies it", ""),
        (replace(VOLUME, flags=int(VolumeFlag.BEING_COPIED)), queue(), UP, "copying", "being copied, 120 of 300", ""),
        (VOLUME, queue(), DOWN, "path-down", "no path works", "mkpprcpath"),
        (replace(VOLUME, flags=int(VolumeFlag.EXTENDED_DISTANCE)), queue(), UP, "extended-distance",
         "never becomes duplex", "mkpprc -type mmir"),
        (VOLUME, queue(), UP, "copying", "being copied, 120 of 300 tracks left", ""),
        (replace(VOLUME, state=3), queue(), UP, "host-command", "a host's command to the primary",
         "resumepprc (failbackpprc after a failover)"),
        (replace(VOLUME, state=3, flags=int(VolumeFlag.LONG_BUSY)), queue(), UP, "host-command",
         "hosts wait until it is suspended without QUIESCE, or deleted", "resumepprc (failbackpprc after a failover)"),
        (replace(VOLUME, state=4), queue(), UP, "host-command-secondary", "command to the secondary", "resumepprc"),
        (replace(VOLUME, state=6), queue(BridgeEntry(1, 7)), DOWN, "error",
         "either system or of the link between them; no path works: 0011 link offline (08)",
         "it goes on by itself; where that is turned off: mkpprcpath, mkbridge, then resumepprc"),
        (replace(VOLUME, state=6), queue(), paths(GOOD, flags=0x80), "error", "error of either system", "resumepprc"),
        (replace(VOLUME, state=7), queue(), UP, "secondary-simplex", "recovered, deleted or failed over",
         "after a failover failbackpprc there; else rmpprc and mkpprc"),
        (replace(VOLUME, state=8), queue(), UP, "secondary-error", "an error of the secondary",
         "it goes on by itself; where that is turned off: resumepprc"),
        (replace(VOLUME, state=9), queue(), NO_PATHS, "power", "restarted; there are no paths",
         "mkpprcpath, then resumepprc"),
        (replace(VOLUME, state=10, flags=int(VolumeFlag.LONG_BUSY)), queue(), paths(replace(GOOD, status=0),
         flags=0xE0, elb=42), "frozen", "suspended by freeze; hosts wait, 42 s at most; no path works: 0010 no path",
         "unfreezepprc, mkpprcpath, then resumepprc"),
        (replace(VOLUME, state=6, flags=int(VolumeFlag.CRITICAL_STATE)), queue(), UP, "error", "writes are refused",
         "it goes on by itself; where that is turned off: resumepprc"),
        (replace(VOLUME, state=0x0B), queue(), UP, "unknown", "state 0B", "resumepprc"),
        (replace(VOLUME, role=2), queue(), NO_PATHS, "copying", "the primary copies", "ask the primary: lspprc"),
        (replace(VOLUME, role=2, state=5), queue(), NO_PATHS, "primary-system", "by the primary system",
         "resumepprc at the primary, or failoverpprc here"),
        (replace(VOLUME, role=2, state=9), queue(), NO_PATHS, "power", "a system was restarted",
         "resumepprc at the primary, or failoverpprc here"),
    ],
)  # fmt: skip
def test_why(
    volume: VolumeQuery, bridges: QueueReport, report: PathReport, code: str, text: str, remedy: str
) -> None:
    why = explain(volume, bridges, report)
    assert (why.code, why.remedy) == (code, remedy)
    assert text in why.text
    assert "\n" not in why.text
    assert code == "" or code in CODES


def test_every_path_status_has_words() -> None:
    for status in range(256):
        entry = replace(OFFLINE, status=status)
        text = explain(VOLUME, queue(), paths(entry)).text
        assert (f"({status:02X})" in text) == (status not in (0x01, 0x13, 0x20))


def test_names_of_states() -> None:
    shown = [(state_name(v), state_key(v)) for v in (VOLUME, replace(VOLUME, role=2, state=2), VolumeQuery(0, 0),
                                                     replace(VOLUME, state=10), replace(VOLUME, state=99))]  # fmt: skip
    assert shown == [
        ("Copy Pending", "copy-pending"),
        ("Target Full Duplex", "target-full-duplex"),
        ("Simplex", "not-remote-copy-pair"),
        ("Suspended", "suspended"),
        ("Invalid", "invalid-state"),
    ]
    assert tod_text(0) == "" and tod_text(0x7D91048BCA000000) == "1970-01-01T00:00:00Z"


def test_bridges() -> None:
    rows, waiting = bridge_rows(queue(BridgeEntry(1, 5, pair_id=9, source_cca=5, destination_cca=0x15,
                                                  tracks_left=1200), BridgeEntry(2, 99)))  # fmt: skip
    lines = bridge_lines(rows, waiting)
    assert "copying" in lines[2] and "0005" in lines[2] and "1,200" in lines[2]
    assert lines[3].split()[:3] == ["2", "63", "-"]
    assert lines[-1] == "waiting for a bridge, next first: 3, 4, 7"


@pytest.mark.parametrize("what", ["VOLUME", "PATHS", "LINKINFO"])
@pytest.mark.parametrize("volume", [VOLUME, VolumeQuery(0, 0), replace(VOLUME, role=2, state=5)], ids=range(3))
def test_the_box_is_square(what: str, volume: VolumeQuery) -> None:
    eight = paths(*[replace(GOOD, said=0x10 + index) for index in range(8)])
    for found in (UP, NO_PATHS, eight):
        lines, _ = report(Query(5, what), volume, found)
        assert {len(line) for line in lines} == {70}
        assert all(line[0] == line[-1] == "*" for line in lines)


def test_the_report_of_a_volume() -> None:
    pending = replace(VOLUME, path_status=1, path_count=1, flags=int(VolumeFlag.CRITICAL))
    lines, fields = report(Query(5, formatted=False), pending, paths(GOOD, OFFLINE, flags=0x80))
    assert lines == [
        "VOLUME REPORT",
        "0005,PRIMARY,PENDING,ACTIVE,",
        "0100,05,000000012345,0200,15,000000067890,YES-PATHS,YES,",
        "2,0010/0000,01,0011/C102,08,",
        "120,300,60,,",
    ]
    assert fields["percent_copied"] == 60
    lines, _ = report(Query(5, formatted=False, bitmap=False), pending, UP)
    assert lines[-1] == ",300,,,"
    lines, _ = report(Query(5), pending, UP)
    text = "\n".join(lines)
    assert "PRIMARY.. PENDING.... ACTIVE..... 0100 05 00   0200 15 00" in text
    assert "  1   0010 0000 01      established" in text and "0011 C102 08      link offline" in text
    assert "TRACKS OUT OF SYNC: 120 OF 300, COPIED: 60 %" in text
    assert "CYLINDERS OUT OF SYNC: FIRST 2 LAST 19" in text


def test_the_report_of_paths() -> None:
    many = paths(*[replace(GOOD, said=0x10 + index) for index in range(6)])
    lines, _ = report(Query(5, "PATHS", formatted=False), VOLUME, many)
    assert lines[:2] == ["PATHS REPORT", "000000012345,0100,3990,"]
    assert lines[2].startswith("000000067890,0200,6,0010/0000,01,") and lines[2].endswith("0013/0000,01,")
    assert lines[3] == "0014/0000,01,0015/0000,01,"
    lines, _ = report(Query(5, "LINKINFO", formatted=False), VOLUME, UP)
    assert lines == ["LINKINFO REPORT", "000000012345,0100,", "0010,0,0200/0000,", "0011,2,0200/C102,"]


def test_a_port_has_connections_when_any_of_its_paths_works() -> None:
    one_port = paths(replace(OFFLINE, status=3), replace(GOOD, said=OFFLINE.said), OFFLINE)
    lines, _ = report(Query(5, "LINKINFO", formatted=False), VOLUME, one_port)
    assert lines[2:] == ["0011,0,0200/C102 0200/0000 0200/C102,"]


@pytest.mark.parametrize(
    ("volume", "state"),
    [
        (VolumeQuery(0, 0), "SIMPLEX"),
        (VOLUME, "PENDING"),
        (replace(VOLUME, flags=int(VolumeFlag.EXTENDED_DISTANCE)), "PENDING.XD"),
        (replace(VOLUME, state=2), "DUPLEX"),
        (replace(VOLUME, state=10), "SUSPEND(A)"),
        (replace(VOLUME, state=3, flags=int(VolumeFlag.EXTENDED_DISTANCE)), "SUSP(3).XD"),
        (replace(VOLUME, state=99), "UNKNOWN"),
    ],
)
def test_the_field_state(volume: VolumeQuery, state: str) -> None:
    assert state_of(volume) == state
