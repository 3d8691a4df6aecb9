"""`trackbridge frames decode`: what it prints, and how it refuses."""

import json

import pytest
from click.testing import CliRunner, Result

from ccw.frames import CommandFrame, encode_device, encode_frame
from ccw.frames import Frame as LinkFrame
from tests.helpers.vectors import Vector, load_vectors
from tools.frames import frames

EXAMPLES = load_vectors("escon_frames")
COMMAND = next(vector for vector in EXAMPLES if vector.name == "E3 command")


def run(*arguments: str, text: str | bytes | None = None) -> Result:
    return CliRunner().invoke(frames, ["decode", *arguments], input=text)


@pytest.mark.parametrize("vector", EXAMPLES, ids=lambda vector: vector.name)
def test_json_has_every_byte_of_the_frame(vector: Vector) -> None:
    result = run("--json", vector.data.hex(" "))
    assert result.exit_code == 0 and result.stderr == ""
    fields = json.loads(result.stdout)["fields"]
    assert "".join(field["value"] for field in fields) == vector.data.hex().upper()
    assert all(set(field) == {"offset", "length", "name", "value", "meaning"} for field in fields)


def test_json_names_fields_with_offsets_from_the_sof() -> None:
    fields = {field["name"]: field for field in json.loads(run("--json", COMMAND.data.hex()).stdout)["fields"]}
    assert fields["command"] == {"offset": 11, "length": 1, "name": "command", "value": "02", "meaning": "read IPL"}
    assert fields["CCW count"]["offset"] == 13 and fields["CCW count"]["meaning"] == "16"
    assert fields["CRC"] == {"offset": 19, "length": 2, "name": "CRC", "value": "BB64", "meaning": "correct"}


def test_table_from_standard_input_with_bars_and_blanks() -> None:
    result = run(text="3C FC | 60 02 40 01 00 | 11 00 10 00\n02 20 00 10 06 77 00 00 | BB 64 | DC 9C 3C\n")
    assert result.exit_code == 0
    assert "connect-SOF" in result.stdout and "read IPL" in result.stdout and "passive-EOF" in result.stdout


def test_hex_may_come_as_several_arguments() -> None:
    assert run("--json", *COMMAND.data.hex(" ").split()).exit_code == 0


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("frames decode: ")
    for word in words:
        assert word in result.stderr


@pytest.mark.parametrize("length", range(len(COMMAND.data)))
def test_cut_frame(length: int) -> None:
    refused(run(COMMAND.data[:length].hex() or "|"), "frame", "byte")


@pytest.mark.parametrize("position", range(len(COMMAND.data)))
def test_damaged_frame(position: int) -> None:
    damaged = bytearray(COMMAND.data)
    damaged[position] ^= 0x20
    refused(run(damaged.hex()), "frame", "byte")


def test_trailing_bytes() -> None:
    refused(run(COMMAND.data.hex() + "00"), "end-of-frame delimiter at byte 22")


@pytest.mark.parametrize(("text", "where"), [
    ("3C FG", "character 'G' at byte 4"), ("3CF", "half a byte"), ("", "cut short at byte 0"),
    ("frame", "character 'r'"),
])
def test_not_hex(text: str, where: str) -> None:
    refused(run(text=text), where)


def test_binary_input() -> None:
    refused(run(text=b"\x3c\xfc\x60"), "byte FC at byte 1")


def test_reserved_bits_of_the_information_field_count_from_the_sof() -> None:
    information = bytearray(encode_device(CommandFrame(0x10, 2, 0, 1)))
    information[10] = 1
    frame = b"\x3c\xfc" + encode_frame(LinkFrame(0x6002, 0x4001, 0, bytes(information))) + b"\xdc\x9c\x3c"
    refused(run(frame.hex()), "command frame: reserved byte at byte 17")


def test_unknown_option_is_bad_usage() -> None:
    assert run("--nonsense").exit_code == 2
