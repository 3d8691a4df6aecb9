"""`trackbridge frames` on captures: what is shown, filters, the way back, export, and how bad input is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ccw.delimited import delimited, record_of
from ccw.escon import ControlFunction, LinkControl, Sequence
from ccw.frames import CommandFrame, ControlFrame, DataFrame, DataRequest, Frame, StatusFrame, encode_device
from ccw.pcapng import LINKTYPE_USER0, PcapngReader, encode_interface, encode_packet, encode_section
from ccw.records import RawFrame, decode_record, encode_record, encode_sequence
from tests.helpers.vectors import load_vectors
from tools.cli import main

HOST, PEER = ("A 0001/1", "SAID 0001, host port"), ("A 0010/1", "SAID 0010, peer port")
TO, FROM = (0x6002, 0x4001), (0x4001, 0x6002)


def device(item: Any, ends: tuple[int, int] = TO, **delimiters: bool) -> bytes:
    return encode_record(Frame(*ends, 0, encode_device(item), **delimiters))


BAD_CRC = bytes.fromhex("01 01 0007 60024001 41 0000")
RECORDS = [                                                                 # link, record
    (0, encode_sequence(Sequence.IDLE)),                                                                        # 1
    (0, encode_record(Frame(*TO, LinkControl.ELP, bytes(4), True, True))),                                      # 2
    (0, encode_record(Frame(*FROM, LinkControl.LPE, bytes(4), True, True))),                                    # 3
    (0, device(CommandFrame(0x10, 0xE4, 0x20, 256), connect=True)),                                             # 4
    (0, device(ControlFrame(0x10, ControlFunction.COMMAND_RESPONSE, b"\2\0\0"), FROM)),                         # 5
    (0, device(ControlFrame(0x10, ControlFunction.ACCEPT_COMMAND_RESPONSE))),                                   # 6
    (0, device(DataRequest(0x10, 256))),                                                                        # 7
    (1, device(CommandFrame(0x11, 0x06, 0x20, 5), connect=True)),                                               # 8
    (0, device(DataFrame(0x10, b"hello", end=True), FROM)),                                                     # 9
    (0, device(StatusFrame(0x10, 0x0E, 1, 251, sense=b"\x80" + bytes(31)), FROM)),                              # 10
    (0, device(ControlFrame(0x10, ControlFunction.STATUS_ACCEPTED, end=True), disconnect=True)),                # 11
    (1, BAD_CRC),                                                                                               # 12
    (1, encode_record(Frame(*TO, LinkControl.SCN, bytes(4), abort=True))),                                      # 13
]  # fmt: skip
START = encode_section("tests") + b"".join(encode_interface(LINKTYPE_USER0, *names) for names in (HOST, PEER))
CAPTURE = START + b"".join(
    encode_packet(link, 1_700_000_000_000_000_000 + at * 1000, record, at % 2 + 1)
    for at, (link, record) in enumerate(RECORDS)
)


@pytest.fixture
def capture(tmp_path: Path) -> str:
    path = tmp_path / "session.pcapng"
    path.write_bytes(CAPTURE)
    return str(path)


def run(*arguments: str, text: str | bytes | None = None) -> Result:
    return CliRunner().invoke(main, ["frames", *arguments], input=text)


def shown(*arguments: str, text: bytes | None = None) -> list[dict[str, Any]]:
    result = run("decode", "--json", *arguments, text=text)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_json_tells_everything(capture: str) -> None:
    packets = shown(capture)
    assert [packet["type"] for packet in packets] == [
        "sequence", "link-control", "link-control", "command", "control", "control", "data", "command", "data",
        "status", "control", "damaged", "link-control"]  # fmt: skip
    fourth = packets[3]
    assert (fourth["packet"], fourth["link"], fourth["description"], fourth["port"]) == (4, *HOST, 0)
    assert (fourth["time_ns"], fourth["direction"]) == (1_700_000_000_000_003_000, "sent")
    assert (fourth["device"], fourth["command"], fourth["form"]) == ("10", "E4", "escon")
    assert "sense ID" in fourth["text"] and fourth["error"] is None
    assert "CRC" in packets[11]["error"]
    for packet, (_, record) in zip(packets, RECORDS, strict=True):
        characters = b"".join(bytes.fromhex(field["value"]) for field in packet["fields"])
        assert record_of(characters) == decode_record(record)
        at = 0
        for field in packet["fields"]:
            assert (field["offset"], field["length"]) == (at, len(field["value"]) // 2)
            at += field["length"]


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--link", "SAID 0010"], [8, 12, 13]), (["--link", "A 0001/1"], [1, 2, 3, 4, 5, 6, 7, 9, 10, 11]),
        (["--link", "nowhere"], []), (["--device", "11"], [8]), (["--type", "status"], [10]),
        (["--type", "data"], [7, 9]), (["--type", "damaged"], [12]), (["--type", "sequence"], [1]),
        (["--command", "06"], [8]), (["--command", "e4"], [4]), (["--from", "12"], [12, 13]), (["--to", "2"], [1, 2]),
        (["--from", "4", "--to", "9", "--type", "command"], [4, 8]), (["--from", "9", "--to", "4"], []),
    ],
)
def test_filters(capture: str, options: list[str], numbers: list[int]) -> None:
    assert [packet["packet"] for packet in shown(*options, capture)] == numbers


def test_the_listing(capture: str) -> None:
    lines = run("decode", capture).stdout.splitlines()
    assert len(lines) == 14
    assert lines[4].split()[:5] == ["4", "0.000003", "A", "0001/1", "sent"] and "sense ID count 256" in lines[4]
    assert "damaged: frame: CRC" in lines[12]
    assert "CCW count" in run("decode", "--fields", "--type", "command", capture).stdout


def test_standard_input_may_be_a_capture() -> None:
    assert len(shown(text=CAPTURE)) == 13


def test_a_file_may_hold_hex(tmp_path: Path) -> None:
    path = tmp_path / "frame.txt"
    path.write_text("3CFC 60024001 41 00000000 F998 DC3C3C\n", encoding="ascii")
    assert "ELP" in run("decode", str(path)).stdout
    path.write_bytes(b" " * ((1 << 20) + 1))
    refused(run("decode", str(path)), "neither a capture nor the hex of one frame")


def test_classic_pcap(tmp_path: Path) -> None:
    path = tmp_path / "old.pcap"
    header = bytes.fromhex("A1B2C3D4") + struct.pack(">HHIIII", 2, 4, 0, 0, 65535, LINKTYPE_USER0)
    path.write_bytes(header + b"".join(struct.pack(">IIII", 1, 2, len(r), len(r)) + r for _, r in RECORDS))
    packets = shown(str(path))
    assert (len(packets), packets[0]["time_ns"], packets[0]["direction"]) == (13, 1_000_002_000, "unknown")


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("trackbridge: ")
    for word in words:
        assert word in result.stderr


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (CAPTURE[:-1], ("cut short", "after packet 12")),
        (CAPTURE + b"\1\2\3\4" * 3, ("block length", f"at byte {len(CAPTURE) + 4}", "after packet 13")),
        (START + encode_packet(0, 0, b"\1\0\0\5"), ("packet 1 at byte", "record: cut short at byte 4")),
        (START + encode_packet(0, 0, b"\3\0\0\0"), ("packet 1 at byte", "record: type at byte 0")),
        (START + encode_packet(0, 0, b""), ("packet 1 at byte", "record: cut short at byte 0")),
        (encode_section() + encode_interface(1) + encode_packet(0, 0, bytes(60)), ("packet 1", "link type 1, not 147")),
        (CAPTURE[:30], ("cut short", "after packet 0")),
    ],
)
def test_a_bad_capture_is_one_line(tmp_path: Path, data: bytes, words: tuple[str, ...]) -> None:
    path = tmp_path / "bad.pcapng"
    path.write_bytes(data)
    refused(run("decode", str(path)), "bad.pcapng", *words)
    refused(run("export", "--fc-sb3", str(path), str(tmp_path / "out")), "bad.pcapng", *words)


def test_what_precedes_the_damage_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "bad.pcapng"
    path.write_bytes(CAPTURE[:-1])
    assert len(run("decode", "--json", str(path)).stdout.splitlines()) == 12


# The way back


def test_encode_is_the_inverse(capture: str, tmp_path: Path) -> None:
    lines = run("decode", "--json", capture).stdout
    again = tmp_path / "again.pcapng"
    assert run("encode", "--capture", str(again), text=lines).exit_code == 0
    old, new = (list(PcapngReader().feed(data)) for data in (CAPTURE, again.read_bytes()))
    assert [(p.data, p.time_ns, p.direction, p.interface.name, p.interface.description) for p in new] == [
        (p.data, p.time_ns, p.direction, p.interface.name, p.interface.description) for p in old]
    hexes = run("encode", text=lines).stdout.split()
    assert hexes == [delimited(decode_record(record)).hex().upper() for _, record in RECORDS]


@pytest.mark.parametrize("vector", load_vectors("escon_frames"), ids=lambda vector: vector.name)
def test_hex_comes_back(vector: Any) -> None:
    text = run("decode", "--json", vector.data.hex()).stdout
    assert run("encode", text=text).stdout.strip() == vector.data.hex().upper()


def test_fc_packets_come_back(capture: str, tmp_path: Path) -> None:
    exported, again = tmp_path / "fc.pcapng", tmp_path / "again.pcapng"
    assert run("export", "--fc-sb3", capture, str(exported)).exit_code == 0
    packets = shown(str(exported))
    assert [packet["type"] for packet in packets] == [
        "link-control", "link-control", "command", "control", "command", "data", "status", "control"]
    assert [packet["device"] for packet in packets] == [None, None, "10", "10", "11", "10", "10", "10"]
    assert all(packet["form"] == "fc-sb3" and not packet["error"] for packet in packets)
    run("encode", "--capture", str(again), text=run("decode", "--json", str(exported)).stdout)
    old, new = (list(PcapngReader().feed(path.read_bytes())) for path in (exported, again))
    assert [packet.data for packet in new] == [packet.data for packet in old]
    assert [packet["packet"] for packet in shown("--command", "06", str(exported))] == [5]


def test_a_changed_field_gets_a_new_crc() -> None:
    frame = json.loads(run("decode", "--json", load_vectors("escon_frames")[0].data.hex()).stdout)
    (source,) = (field for field in frame["fields"] if field["name"] == "source link address")
    source["value"] = "41"
    wrong, right = (run("encode", *options, text=json.dumps(frame)).stdout for options in ([], ["--fix-crc"]))
    assert run("decode", wrong).exit_code == 2
    assert run("decode", right).exit_code == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2, column 2: not JSON"), ("[" * 100_000, "line 2, column 1: not JSON"),
        ("7", "line 2: packet: no object with a list of fields"), ('{"fields": 3}', "no object with a list of fields"),
        ('{"fields": [{"value": "XY"}]}', "field 0 has no value"), ('{"fields": [3]}', "field 0 has no value"),
        ('{"fields": [{"value": "3CFC"}]}', "cut short"), ('{"fields": [{"value": "0000DC9C3C"}]}', "start-of-frame"),
        ('{"fields": [{"value": "3CFC000000"}]}', "end-of-frame"),
        ('{"fields": [], "form": "x"}', "form is not one of"),
        ('{"fields": [], "form": []}', "form is no str"),
        ('{"fields": [{"value": "BC"}], "direction": "up"}', "direction 'up'"),
        ('{"fields": [{"value": "BC"}], "time_ns": -1}', "time_ns -1"),
        ('{"fields": [{"value": "BC"}], "link": 7}', "link is no str"),
        ('{"fields": [{"value": "3CFC' + "00" * 40_000 + 'DC9C3C"}]}', "length"),
        ('{"fields": [{"value": "3CFC' + "00" * 70_000 + 'DC9C3C"}]}', "length"),
    ],
)  # fmt: skip
def test_bad_json_is_one_line(line: str, words: str) -> None:
    result = run("encode", text='{"fields": [{"value": "BC"}]}\n' + line + "\n")
    refused(result, "standard input", words)
    assert result.stdout == "BC\n"


def test_encode_overwrites_nothing(capture: str) -> None:
    refused(run("encode", "--capture", capture, text=""), "File exists")
    refused(run("encode", "/no/such/file"), "No such file")


def test_export_counts_what_it_leaves_out(capture: str, tmp_path: Path) -> None:
    result = run("export", "--fc-sb3", "--json", capture, str(tmp_path / "out.pcapng"))
    assert json.loads(result.stdout) == {"written": 8, "left_out": {
        "sequences": 1, "accept command response": 1, "data requests": 1, "damaged frames": 1,
        "frames that ended with abort": 1}}
    refused(run("export", "--fc-sb3", capture, capture), "is the capture that is exported")
    refused(run("export", "--fc-sb3", str(tmp_path / "nothing"), "out"), "No such file")
    assert Path(capture).read_bytes() == CAPTURE


def test_an_empty_capture_is_one(tmp_path: Path) -> None:
    path = tmp_path / "empty.pcapng"
    path.write_bytes(encode_section())
    assert shown(str(path)) == []


def test_delimited_keeps_damaged_frames() -> None:
    for payload in (b"", b"\0" * 5, bytes(range(256))):
        for flags in ((True, False, False), (False, True, False), (True, False, True)):
            record = RawFrame(payload, *flags)
            assert record_of(delimited(record)) == record
