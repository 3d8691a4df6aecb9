"""A whole recorded host session as FC-SB-3: what tshark dissects, field by field, against our own decoding.

Two systems run as processes with --capture: bridge set-up, paths, pairs, writes, reads, sense ID, a unit check with
sense. A test of its own shows that tshark's verdicts can fail.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from ccw.dissect import decode_delimited
from ccw.escon import ControlFunction, LinkControl
from ccw.frames import CommandFrame, ControlFrame, DataFrame, Frame, StatusFrame, decode_device
from ccw.link_control import decode_link_control
from ccw.pcapng import LINKTYPE_FC_2, PcapngReader, encode_interface, encode_packet, encode_section
from tests.helpers.configurations import copy_examples
from tests.helpers.light import until_lit
from tests.helpers.patience import PATIENCE_S
from tools.cli import main
from tools.demo_sites import SiteProcess, start_site

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")

SESSION = """\
sense-id             device=05
read-characteristics device=05
write-record         device=05 cylinder=0 head=1 record=1 data={data}
read-record          device=05 cylinder=0 head=1 record=1
""".format(data="C1C2C3" + "40" * 77)
REFUSED = "read-record device=15 cylinder=0 head=1 record=2\n"
LEFT_OUT_CODES = {"ALA", "RID", "IDR", "SCN", "LIR", "PRJ", "PBY", "ILA"}
FIELDS = (
    "frame.comment", "frame.interface_name", "fc.type", "fc.d_id", "fc.s_id", "fcsb3.iui", "fcsb3.dhflags",
    "fcsb3.chid", "fcsb3.cuid", "fcsb3.devaddr", "fcsb3.databytecnt", "fcsb3.iucnt", "fcsb3.ccwcmd", "fcsb3.ccwflags",
    "fcsb3.ccwcnt", "fcsb3.cmdflags", "fcsb3.statusflags", "fcsb3.status", "fcsb3.residualcnt", "fcsb3.ctlfn",
    "fcsb3.ctlparam", "fcsb3.linkctlfn", "fcsb3.lrjcode", "fcsb3.lprcode", "fcsb3.linkctlinfo", "data.data",
    "fcsb3", "_ws.malformed",
)  # fmt: skip


class Recorded(NamedTuple):
    """The captures of one session, made once."""

    folder: Path
    names: tuple[str, ...] = ("a", "b", "host")


def host(folder: Path, port: int, script: Path, *options: str) -> int:
    command = [sys.executable, "-m", "tools", "host", *options, "--target", f"tcp://127.0.0.1:{port}", str(script)]
    return subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False).returncode


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    folder = tmp_path_factory.mktemp("session")
    ports = copy_examples(folder)
    (folder / "session.txt").write_text(SESSION, encoding="ascii")
    (folder / "refused.txt").write_text(REFUSED, encoding="ascii")
    capture = ("--capture", str(folder / "host.pcapng"))
    with ExitStack() as stack:
        for name in ("b", "a"):
            starting = start_site(folder, folder / f"{name}.toml", "--capture", str(folder / f"{name}.pcapng"))
            site = stack.enter_context(starting)
            stack.enter_context(stopping(site))
        until_lit(site, 0x10, 0x11)  # A, which connects
        assert host(folder, ports["4001"], folder / "bridge-at-b.txt") == 0
        assert host(folder, ports["4000"], folder / "mirror.txt") == 0
        assert host(folder, ports["4000"], folder / "session.txt", *capture) == 0
        assert host(folder, ports["4001"], folder / "refused.txt", *capture) == 1
    return Recorded(folder)


class stopping:
    """Ends a system in order, so that its capture is whole."""

    def __init__(self, site: SiteProcess) -> None:
        self._site = site

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._site.process.terminate()
        assert self._site.process.wait(PATIENCE_S) == 0


def trackbridge(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["frames", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def tshark(capture: Path) -> Iterator[dict[str, str]]:
    options = [part for name in FIELDS for part in ("-e", name)]
    command = ["tshark", "-r", str(capture), "-T", "fields", "-E", "separator=;", "-E", "occurrence=f", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    for line in done.stdout.splitlines():
        yield dict(zip(FIELDS, line.split(";"), strict=True))


def numbers(row: dict[str, str], *names: str) -> list[int | None]:
    """Values of fields, None where tshark has none."""
    return [int(row[f"fcsb3.{name}"], 0) if row[f"fcsb3.{name}"] else None for name in names]


@pytest.mark.parametrize("name", Recorded._field_defaults["names"])
def test_tshark_reads_what_we_decode(recorded: Recorded, name: str) -> None:
    capture, exported = recorded.folder / f"{name}.pcapng", recorded.folder / f"{name}.fc.pcapng"
    figures = json.loads(trackbridge("export", "--fc-sb3", "--json", str(capture), str(exported)))
    ours = {}
    left_out: Counter[str] = Counter()
    for line in trackbridge("decode", "--json", str(capture)).splitlines():
        packet = json.loads(line)
        assert packet["type"] != "damaged", packet["text"]
        if packet["type"] == "sequence":
            left_out["sequence"] += 1
            continue
        frame = decode_delimited(bytes.fromhex("".join(field["value"] for field in packet["fields"])))
        if is_left_out(frame):
            left_out["frame"] += 1
        else:
            ours[f"packet {packet['packet']}"] = packet["link"], frame
    assert sum(figures["left_out"].values()) == left_out.total()
    rows = list(tshark(exported))
    assert [row["frame.comment"] for row in rows] == list(ours)
    assert figures["written"] == len(rows) > 30
    for row in rows:
        link, frame = ours[row["frame.comment"]]
        assert row["frame.interface_name"] == link
        assert (row["fcsb3"], row["_ws.malformed"]) == ("FC-SB3", "")
        assert row["fc.d_id"] == f"01.{frame.destination >> 8:02x}.00"
        assert row["fc.s_id"] == f"01.{frame.source >> 8:02x}.00"
        if frame.link_control:
            check_link_control(row, frame)
        else:
            check_device(row, frame)


def is_left_out(frame: Frame) -> bool:
    if frame.link_control:
        return LinkControl(frame.link_control).name in LEFT_OUT_CODES
    device = decode_device(frame.information)
    if isinstance(device, ControlFrame):
        return device.function == ControlFunction.ACCEPT_COMMAND_RESPONSE
    return not isinstance(device, CommandFrame | DataFrame | StatusFrame)


def check_link_control(row: dict[str, str], frame: Frame) -> None:
    info = decode_link_control(frame)
    assert numbers(row, "iui", "dhflags", "devaddr", "linkctlfn") == [5, 0, 0, frame.link_control]
    by_channel = {LinkControl.ELP: "0x1b", LinkControl.RLP: "0x1b", LinkControl.LPE: "0x1c", LinkControl.LPR: "0x1c"}
    assert row["fc.type"] == by_channel.get(LinkControl(frame.link_control), row["fc.type"])
    if frame.link_control == LinkControl.LRJ:
        assert numbers(row, "lrjcode") == [info.reason]
    elif frame.link_control == LinkControl.LPR:
        assert numbers(row, "lprcode") == [info.reason]
    elif frame.link_control in (LinkControl.ELP, LinkControl.LPE):
        assert numbers(row, "linkctlinfo") == [int.from_bytes(info.parameters[:2], "big")]


def check_device(row: dict[str, str], frame: Frame) -> None:
    device = decode_device(frame.information)
    unit = getattr(device, "unit_address", 0)
    assert numbers(row, "iui", "devaddr") == [frame.information[0], unit]
    assert numbers(row, "dhflags") == [frame.information[3] & 0x98]
    channel, control_unit = frame.source & 15, frame.destination & 15
    if row["fc.type"] == "0x1c":
        channel, control_unit = control_unit, channel
    assert numbers(row, "chid", "cuid") == [channel, control_unit]
    if isinstance(device, CommandFrame):
        assert row["fc.type"] == "0x1b"
        assert numbers(row, "ccwcmd", "ccwflags", "ccwcnt", "cmdflags") == [
            device.command, device.flags, device.count, device.command_flags]
    elif isinstance(device, DataFrame):
        assert numbers(row, "iucnt", "databytecnt") == [1, len(device.data)]
        assert row["data.data"][: 2 * len(device.data)] == device.data.hex()
    elif isinstance(device, StatusFrame):
        assert row["fc.type"] == "0x1c"
        assert numbers(row, "statusflags", "status", "databytecnt") == [
            device.flags, device.unit_status, len(device.sense)]
        if device.flags & 1:
            assert numbers(row, "residualcnt") == [device.residual]
        assert row["data.data"][: 2 * len(device.sense)] == device.sense.hex()
    elif isinstance(device, ControlFrame):
        assert numbers(row, "ctlfn") == [device.function]
        if row["fcsb3.ctlparam"]:
            assert numbers(row, "ctlparam") == [int.from_bytes(device.parameters, "big")]
    else:
        raise AssertionError(device)


def test_the_session_has_what_it_should_have(recorded: Recorded) -> None:
    """Otherwise the comparison says little."""
    rows = [row for name in recorded.names for row in tshark(exported(recorded, name))]
    commands = {row["fcsb3.ccwcmd"] for row in rows}
    assert commands >= {"0xe4", "0x64", "0x63", "0x47", "0x06", "0x85", "0x1d", "0x27", "0x3e"}
    assert {"0x41", "0x51", "0x11"} <= {row["fcsb3.linkctlfn"] for row in rows}
    checked = [row for row in rows if row["fcsb3.status"] == "0x0e" and row["fcsb3.databytecnt"] == "32"]
    assert len(checked) >= 1
    assert {"0x1b", "0x1c"} == {row["fc.type"] for row in rows}
    peers = {row["frame.interface_name"] for row in rows}
    assert {"A 0010/1", "A 0011/1", "A 0001/1", "B 0020/1", "B 0021/1", "B 0001/1"} <= peers


def exported(recorded: Recorded, name: str) -> Path:
    target = recorded.folder / f"{name}.again.pcapng"
    trackbridge("export", "--fc-sb3", str(recorded.folder / f"{name}.pcapng"), str(target))
    return target


def test_both_ends_of_a_link_record_the_same(recorded: Recorded) -> None:
    """Peer link 10 of A is link 20 of B: what one sent the other received, in order."""
    def records(name: str, link: str, direction: str) -> list[str]:
        lines = trackbridge("decode", "--json", "--link", link, str(recorded.folder / f"{name}.pcapng")).splitlines()
        packets = [json.loads(line) for line in lines]
        return ["".join(field["value"] for field in packet["fields"])
                for packet in packets if packet["direction"] == direction]

    for a_link, b_link in (("SAID 0010", "SAID 0020"), ("SAID 0011", "SAID 0021")):
        sent, received = records("a", a_link, "sent"), records("b", b_link, "received")
        shorter = min(len(sent), len(received))     # the side that stops first may miss the last ones
        assert shorter > 3 and sent[:shorter] == received[:shorter]


def test_every_frame_of_the_session_survives_json(recorded: Recorded) -> None:
    """decode | encode: the same records, byte for byte; the same hex as the decoder prints of the new capture."""
    for name in recorded.names:
        capture, lines = recorded.folder / f"{name}.pcapng", recorded.folder / f"{name}.jsonl"
        again = recorded.folder / f"{name}.encoded.pcapng"
        again.unlink(missing_ok=True)
        lines.write_text(trackbridge("decode", "--json", str(capture)), encoding="utf-8")
        trackbridge("encode", "--capture", str(again), str(lines))
        assert raw(again) == raw(capture)
        hexes = trackbridge("encode", str(lines)).split()
        assert len(hexes) == len(raw(capture))


def raw(capture: Path) -> list[tuple[object, ...]]:
    return [(packet.data, packet.time_ns, packet.direction, packet.interface.name, packet.interface.description)
            for packet in PcapngReader().feed(capture.read_bytes())]


def test_tshark_sees_a_unit_that_is_cut(recorded: Recorded, tmp_path: Path) -> None:
    """The verdict can fail: one packet without its last twenty bytes is malformed."""
    packet = next(iter(PcapngReader().feed(exported(recorded, "host").read_bytes())))
    cut = tmp_path / "cut.pcapng"
    cut.write_bytes(encode_section() + encode_interface(LINKTYPE_FC_2) + encode_packet(0, 0, packet.data[:-20]))
    (row,) = tshark(cut)
    assert row["_ws.malformed"].startswith("[Malformed")
