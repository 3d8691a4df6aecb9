"""Reports, the minimiser, and importers of logs and captures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
import trio
from click.testing import CliRunner, Result

from ccw.geometry import Cchh
from ccw.plain_images import plain_header
from ccw.tracks import Record, build_track, null_track, standard_record_zero
from controller import app
from controller.config import load_config
from controller.links.system import StorageSystem
from host_emulator import orders
from host_emulator.session import open_session
from tests.helpers.configurations import CONFIG
from tests.helpers.patience import PATIENCE_S
from tools.captures import capturing
from tools.cli import main
from tools.hercules_log import HerculesLog
from tools.minimiser import Minimiser, ddmin
from tools.recording import RecordedProgram, load_recording
from tools.recording_writer import RecordingWriter
from tools.replay_report import as_html, as_text
from tools.replayer import Replayer
from traces import recording_folder

NAME = "linux-cdl-2107"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["replay", *arguments])


# Reports


def test_the_report_tells_commands_rules_and_response_times() -> None:
    report = Replayer(load_recording(recording_folder(NAME))).run_in_process()
    figures = report.figures()
    assert sum(row["count"] for row in figures["commands_by_code"]) == 10_843
    assert [row["name"] for row in figures["commands_by_code"] if row["code"] == "86"] == ["read data, multitrack"]
    (rule,) = figures["rules"]
    assert rule["rule"] == "group-id-forgotten" and rule["reason"] and rule["source"] and rule["count"] == 1
    (device,) = figures["response_times"]
    assert device["device"] == "0120" and device["count"] == 266
    parts = device["pend_ms"] + device["disconnect_ms"] + device["connect_ms"]
    assert parts == pytest.approx(device["mean_ms"], abs=0.001)
    assert device["p50_ms"] <= device["p95_ms"] <= device["p99_ms"]
    assert device["cache"]["normal_reads"] > 0
    assert all("response" in row for row in figures["commands_by_code"])
    text = as_text(report)
    assert "10,843 commands: 0 differences, 1 explained" in text and "device 0120" in text


def test_the_page_stands_alone_and_escapes(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    result = run(str(recording_folder(NAME)), "--html", str(page))
    assert result.exit_code == 0
    html = page.read_text()
    assert "Nothing unexplained differs" in html and "Predicted response times" in html
    assert "http" not in html and "<script" not in html
    report = Replayer(load_recording(recording_folder(NAME))).run_in_process()
    report.name = "<&>"
    assert "<&>" not in as_html(report) and "&lt;&amp;&gt;" in as_html(report)


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    result = run(str(recording_folder("linux-readonly")), "--html", str(tmp_path / "no" / "where.html"))
    assert result.exit_code == 2 and "where.html: No such file" in result.output


def test_recorded_time_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times faster, by a clock on which only the sleeps take time."""
    now = 100.0
    begun: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        assert seconds >= 0
        now += seconds
        begun.append(now - 100.0)

    monkeypatch.setattr("tools.replayer.time", SimpleNamespace(perf_counter=lambda: now, sleep=sleep))
    recording = load_recording(recording_folder("linux-readonly"))
    times = [program.time_us for program in recording.programs()]
    assert not Replayer(recording, 10.0).run_in_process().differs
    assert begun == pytest.approx([time_us / 1e7 for time_us in times])


# The minimiser


@pytest.mark.parametrize("seed", range(30))
def test_ddmin_finds_what_is_needed(seed: int) -> None:
    random = Random(seed)
    items = list(range(random.randrange(1, 60)))
    needed = set(random.sample(items, random.randrange(0, min(5, len(items)) + 1)))
    assert ddmin(items, lambda some: needed <= set(some)) == sorted(needed)


def test_a_difference_is_reduced_to_the_program_that_made_it(tmp_path: Path) -> None:
    """A read whose data are changed needs the write before it, and nothing of the other 260 programs."""
    original = load_recording(recording_folder(NAME))
    (device,) = original.devices.values()
    programs = list(original.programs())
    place = next(
        index
        for index, program in enumerate(programs)
        if index > 200 and program.commands[-1].code == 0x86 and any(program.commands[-1].data_in)
    )
    wrong = programs[place].commands[-1]
    data = bytes((wrong.data_in[0] ^ 0xFF,)) + wrong.data_in[1:]
    changed = replace(programs[place], commands=(*programs[place].commands[:-1], replace(wrong, data_in=data)))
    with RecordingWriter(tmp_path / "changed", "changed") as writer:
        writer.add_device(device, original.initial_tracks(device))
        for program in [*programs[:place], changed]:
            writer.add_program(program)
    result = run(str(tmp_path / "changed"), "--minimise", str(tmp_path / "small"), "--json")
    assert result.exit_code == 1
    figures = json.loads(result.stdout)
    assert figures["differences"] == 1 and figures["minimised"]["programs"] <= 4  # of more than 200
    again = run(str(tmp_path / "small"), "--json")
    assert again.exit_code == 1
    found = json.loads(again.stdout)
    assert found["programs"] == figures["minimised"]["programs"]
    assert found["commands"] == figures["minimised"]["commands"] <= 40
    wanted, shown = figures["difference_list"][0], found["difference_list"][-1]
    for key in ("program", "code", "field", "offset", "expected", "got"):
        assert shown[key] == wanted[key]


def test_nothing_to_minimise(tmp_path: Path) -> None:
    result = run(str(recording_folder("linux-readonly")), "--minimise", str(tmp_path / "small"))
    assert result.exit_code == 0 and not (tmp_path / "small").exists()
    loaded = load_recording(recording_folder("linux-readonly"))
    report = Replayer(loaded).run_in_process()
    assert not report.followed.differences
    other = replace(_difference(), program=1)
    with pytest.raises(LookupError, match="does not show"):
        Minimiser(loaded).minimise(other)


def _difference() -> object:
    from tools.follower import Difference

    return Difference(1, 0, 0xE4, "status", None, "0C", "0E")


# Logs of Hercules

LOG_3_13 = b"""\
10:00:01 HHCCP048I 0123:CCW=07001000 40000006=>00000000 00000000 00000000 00000000 ................
HHCCP075I 0123:Stat=0C00 Count=0000 \0
0123:HHCDA038I seeking to cyl 0 head 0
HHCCP048I 0123:CCW=31001002 40000005=>00000000 01000000 00000000 00000000 ................
HHCCP075I 0123:Stat=0C00 Count=0000\x20
HHCCP048I 0123:CCW=08001008 00000000=>31001002 40000005 00000000 00000000 ................
HHCCP048I 0123:CCW=31001002 40000005=>00000000 01000000 00000000 00000000 ................
HHCCP075I 0123:Stat=4C00 Count=0000\x20
HHCCP048I 0123:CCW=06002000 20000050=>00000000 00000000 00000000 00000000 ................
HHCCP075I 0123:Stat=0C00 Count=0000 =>E5D6D3F1 F0F1F2F3 F4F54040 40404040 VOL1012345......
HHCCP049I 0123:Stat=0C00 Count=0000  CCW=001020
HHCCP048I 0123:CCW=06002000 20000050=>00000000 00000000 00000000 00000000 ................
HHCCP075I 0123:Stat=0E00 Count=0050 =>00000000 00000000 00000000 00000000 ................
HHCCP076I 0123:Sense=80000000 00000002 00000000 00000000 00000000 00000000
HHCCP077I 0123:Sense=CMDREJ
HHCCP050I 0123:SCSW=00004007 Stat=0E00 Count=0050  CCW=00001008
"""


def parsed(text: bytes) -> tuple[list[RecordedProgram], HerculesLog]:
    log = HerculesLog()
    return list(log.programs(text.split(b"\n"))), log


def test_a_log_of_3_13() -> None:
    (first, second), _ = parsed(LOG_3_13)
    assert [command.code for command in first.commands] == [0x07, 0x31, 0x31, 0x06]  # a TIC is no command
    assert [command.status for command in first.commands] == [0x0C, 0x0C, 0x4C, 0x0C]
    assert first.commands[0].data_out == bytes(6) and first.commands[0].data_out_known is None
    read = first.commands[3]
    assert (read.count, read.residual, read.data_in_known, len(read.data_in)) == (80, 0, 16, 80)
    assert read.data_in[:4].hex() == "e5d6d3f1" and not any(read.data_in[16:]) and read.more is None
    assert (first.ended, first.ccw_format, first.device) == ("end", 0, 0x123)
    refused = second.commands[0]
    assert (refused.status, refused.residual, refused.sense_known) == (0x0E, 80, 24)
    assert refused.sense is not None and refused.sense[7] == 0x02


def test_format_1_shows_in_the_interruption() -> None:
    text = b"""\
HHCCP048I 0123:CCW=63600010 00001000=>40C00000 00000000 00000000 0031000E ................
HHCCP075I 0123:Stat=0C00 Count=0000\x20
HHCCP048I 0123:CCW=05001000 00002000=>11111111 22222222 33333333 44444444 ................
HHCCP075I 0123:Stat=0C00 Count=0000\x20
HHCCP050I 0123:SCSW=00C04007 Stat=0C00 Count=0000  CCW=00001010
"""
    (program,), _ = parsed(text)
    extent, write = program.commands
    assert (program.ccw_format, extent.code, extent.flags, extent.count) == (1, 0x63, 0x60, 16)
    assert extent.data_out_known is None and extent.data_out[:2].hex() == "40c0"
    assert (write.count, write.data_out_known, len(write.data_out)) == (0x1000, 16, 0x1000)


LOG_4_9 = b"""\
10:00:01 HHC01334I 0:0123 CHAN: ORB: IntP:00000000 Key:0 LPM:80 Flags:00C28 ....F....... L.......X CCW:00001000
10:00:01 HHC01315I 0:0123 CHAN: ccw 07400006 00001000=>00000000 0000     ......
10:00:01 HHC01315I 0:0123 CHAN: ccw 07400006 00001000=>00000000 0000     ......
10:00:01 HHC01312I 0:0123 CHAN: stat 0C00, count 0000
10:00:01 HHC01315I 0:0123 CHAN: ccw 1A200005 00002000=>00000000 00       .....
10:00:01 HHC01312I 0:0123 CHAN: stat 0C00, count 0000
10:00:02 HHC01317I 0:0123 CHAN: scsw 00C04007, stat 0C00, count 0000, ccw 00001010
10:00:03 HHC01315I 0:0123 CHAN: ccw 00400008 00002000=>00000001 02000008 ........
10:00:03 HHC01312I 0:0123 CHAN: stat 0C00, count 0000
10:00:03 HHC01317I 0:0123 CHAN: scsw 00C04007, stat 0C00, count 0000, ccw 00001010
10:00:04 HHC01315I 0:0123 CHAN: ccw E4200007 00002000=>FF399002 339002   .......
10:00:04 HHC01312I 0:0123 CHAN: stat 0E00, count 0007
10:00:04 HHC01313I 0:0123 CHAN: sense 80000000 00000001 00000000 00000000 00000000 00000000 00000000 00000000
"""


def test_a_log_of_4_9_says_what_it_leaves_out() -> None:
    (first, second), log = parsed(LOG_4_9)
    assert [command.code for command in first.commands] == [0x07, 0x1A]  # repeated lines count once
    assert first.commands[1].data_in == bytes(5) and first.commands[1].data_in_known is None
    assert (first.ccw_format, first.ended, first.time_us) == (1, "end", 0)
    assert log.summary.left_out == {"the first CCWs of a data chain are not in the log": 1}
    assert (second.ended, second.commands[0].sense_known, second.time_us) == ("unfinished", None, 3_000_000)


def test_any_bytes_are_no_log() -> None:
    noise = Random(7).randbytes(50_000)
    marked = noise.replace(b"\x0a", b"\nHHCCP048I 0123:CCW=")
    assert parsed(noise)[0] == []
    parsed(marked)  # whatever comes of it, it is no exception


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_log_raises_nothing(seed: int) -> None:
    random = Random(seed)
    for text in (LOG_3_13, LOG_4_9):
        damaged = bytearray(text)
        for _ in range(20):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        parsed(bytes(damaged))


def volume(path: Path) -> None:
    """A 2311 whose first track has a volume label behind 24 bytes of record 1."""
    label = bytes.fromhex("E5D6D3F1F0F1F2F3F4F5404040404040").ljust(80, b"\x40")
    first = build_track(0, 0, [standard_record_zero(0, 0), Record(bytes.fromhex("0000000001000050"), b"", label)])
    header = plain_header(10, 4096, 0x2311)
    slots = [first, *(null_track(*divmod(track, 10)) for track in range(1, 2030))]
    path.write_bytes(header + b"".join(slot.ljust(4096, b"\0") for slot in slots))


def test_a_log_is_replayed_against_its_volume(tmp_path: Path) -> None:
    log, image = tmp_path / "hercules.log", tmp_path / "volume.ckd"
    log.write_bytes(LOG_3_13[: LOG_3_13.index(b"HHCCP049I") + 60])
    volume(image)
    unknown = run(str(log))
    assert unknown.exit_code == 2 and "--device 0123=TYPE:CYLINDERS" in unknown.output
    good = run(str(log), "--device", f"0123=2311:203:{image}", "--json")
    assert good.exit_code == 0, good.output
    figures = json.loads(good.stdout)
    assert (figures["commands"], figures["differences"], figures["tracks_compared"]) == (4, 0, 0)
    assert any("1 reads beyond what the trace shows" in text for text in figures["not_compared"])
    empty = run(str(log), "--device", "0123=2311:203")
    assert empty.exit_code == 1  # the search finds no record 1 on an empty volume
    folder = tmp_path / "converted"
    converted = run(str(log), "--device", f"0123=2311:203:{image}", "--convert", str(folder))
    assert converted.exit_code == 0 and run(str(folder)).exit_code == 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--device", "0123=3390"), "is not NNNN=TYPE:CYLINDERS"),
        (("--device", "0123=9999:5"), "9999"),
        (("--speed", "0"), "--speed"),
    ],
)
def test_bad_options(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    log = tmp_path / "hercules.log"
    log.write_bytes(LOG_3_13)
    result = run(str(log), *arguments)
    assert result.exit_code == 2 and message in result.output


def test_files_that_are_neither(tmp_path: Path) -> None:
    for content in (b"", b"hello\n" * 100, bytes(5000)):
        path = tmp_path / "file"
        path.write_bytes(content)
        result = run(str(path))
        assert result.exit_code == 2 and "neither a capture of frames nor a log" in result.output


# Captures


async def captured(folder: Path) -> Path:
    """A capture of a short session with a running system."""
    path = folder / "session.pcapng"
    config = folder / "one.toml"
    config.write_text(CONFIG)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            system: StorageSystem = await nursery.start(app.serve, load_config(config))
            (adapter,) = system.adapters.by_said.values()
            assert adapter.address is not None
            with capturing(path) as capture:
                assert capture is not None
                tap = capture.tap("session", "test")
                async with open_session(adapter.address[0], adapter.address[1], tap=tap) as session:
                    records = [orders.NewRecord(bytes((number,)) * 2000) for number in range(1, 4)]
                    await session.run_program(0x10, orders.sense_id())
                    await session.run_program(0x10, orders.format_track(Cchh(1, 0), records))
                    await session.run_program(0x10, orders.read_record(Cchh(1, 0), 2, 2000))
                    await session.run_program(0x10, orders.read_record(Cchh(1, 0), 7))  # no such record
            nursery.cancel_scope.cancel()
    return path


def test_a_capture_is_replayed(tmp_path: Path) -> None:
    path = trio.run(captured, tmp_path)
    folder = tmp_path / "converted"
    assert run(str(path), "--device", "10=3390:5", "--convert", str(folder)).exit_code == 0
    programs = list(load_recording(folder).programs())
    codes = [[command.code for command in program.commands] for program in programs]
    assert codes == [[0xE4], [0x63, 0x47, 0x1D, 0x1D, 0x1D], [0x63, 0x47, 0x06], [0x63, 0x47]]
    assert programs[1].commands[3].data_out[8:] == bytes((2,)) * 2000
    assert programs[2].commands[2].data_in == bytes((2,)) * 2000
    refused = programs[3].commands[1]
    assert refused.status == 0x0E and refused.sense is not None and refused.sense[1] == 0x08
    result = run(str(path), "--device", "10=3390:5", "--json")
    differences = json.loads(result.stdout)["difference_list"]
    assert {difference["code"] for difference in differences} <= {0xE4}  # the box is another model than is assumed


def test_a_capture_that_is_cut_short(tmp_path: Path) -> None:
    path = trio.run(captured, tmp_path)
    path.write_bytes(path.read_bytes()[:-200])
    result = run(str(path), "--device", "10=3390:5")
    assert result.exit_code == 2 and "session.pcapng" in result.output


async def replayed_at_target(folder: Path, options: tuple[str, ...]) -> Result:
    """Replay a log against a running system, whose volume 10 is a 3390 of five cylinders."""
    config = folder / "one.toml"
    config.write_text(CONFIG)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            system: StorageSystem = await nursery.start(app.serve, load_config(config))
            (adapter,) = system.adapters.by_said.values()
            assert adapter.address is not None
            target = f"tcp://{adapter.address[0]}:{adapter.address[1]}"
            arguments = (str(recording_folder("linux-readonly")), "--target", target, "--unit-address", "10", *options)
            result = await trio.to_thread.run_sync(lambda: run(*arguments))
            nursery.cancel_scope.cancel()
    return result


def test_a_target_of_another_size_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    result = trio.run(replayed_at_target, tmp_path, ())
    assert result.exit_code == 2
    assert "unit 10 of the target is a 3390 of 5 cylinders and 15 heads, the recording has a 3390" in result.output


def test_the_benchmark_of_replaying() -> None:
    folder = str(recording_folder("linux-readonly"))
    result = CliRunner().invoke(main, ["bench", "replay", folder, "--runs", "1", "--json"])
    assert result.exit_code == 0
    rows = json.loads(result.stdout)["replay"]
    assert [row["recording"] for row in rows] == ["linux-readonly", "all"]
    assert rows[0]["commands"] == rows[1]["commands"] > 0 < rows[1]["best_per_s"]


def test_the_benchmark_of_the_frame_path() -> None:
    arguments = ["bench", "frames", "--links", "2", "--records", "2", "--rounds", "1", "--seconds", "0.2", "--json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)["frames"]
    assert row["links"] == 2 and row["best_reads_per_s"] > 0 and row["frames_per_read"] > 5
