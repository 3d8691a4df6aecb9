"""Host scripts: every verb parses, every mistake is one line with its place; orders match the golden vectors."""

from __future__ import annotations

import pytest

from ccw.ccws import Ccw, decode_ccw
from ccw.geometry import Cchh
from ccw.sense import state_change_pending
from host_emulator import orders
from host_emulator.runner import plain, program_for
from host_emulator.script import HELP, VERBS, ScriptError, parse_script
from host_emulator.sense_text import describe_sense

A = orders.System(0x0100, 0x00, "000000012345")
B = orders.System(0x0200, 0x00, "000000067890")
SYSTEMS = "primary=0100:00:000000012345 secondary=0200:00:000000067890"
EVERY_VERB = f"""
# a session
establish-path device=F0 {SYSTEMS} links=0010,0011,0012,0013 cgroup=yes   # four links
delete-path device=F0 {SYSTEMS}
define-bridge device=F0 system=0100:00:000000012345 role=primary-data number=1
establish-pair device=F0 secondary-device=F0 {SYSTEMS} mode=nocopy bridge=data:1 msgreq=yes
establish-pair device=05 secondary-device=15 {SYSTEMS} crit=yes
suspend device=05 secondary-device=15 {SYSTEMS}
delete-pair device=05 secondary-device=15 {SYSTEMS} unconditional=yes
recover device=15 primary-device=05 {SYSTEMS} old-serial=OLD001 new-serial=NEW001
freeze device=05 {SYSTEMS} seconds=60
run device=05 {SYSTEMS}
query pair device=05
query paths device=05
query queue device=05
wait-duplex device=05 timeout=2.5
read-record device=05 cylinder=5 head=2 record=3
write-record device=05 cylinder=5 head=2 record=3 data=C1C2C3
read-track device=05 cylinder=5 head=2
format device=05 cylinder=5 head=2 records=12 length=4096 fill=E5
sense device=05
sense-id device=05
read-characteristics device=05
read-configuration device=05
selective-reset device=05
identify
"""
NO_PROGRAM = {"wait-duplex", "selective-reset", "identify"}


def parameters(program: object, index: int = 0) -> bytes:
    """The data of CCW `index` of a program."""
    assert isinstance(program, orders.ChannelProgram)
    ccw = decode_ccw(program.storage.fetch(program.address + 8 * index, 8), program.format)
    return program.storage.fetch(ccw.address, ccw.count)


def ccws(program: orders.ChannelProgram, count: int) -> list[Ccw]:
    return [decode_ccw(program.storage.fetch(program.address + 8 * index, 8), 1) for index in range(count)]


def test_every_verb_parses_and_builds() -> None:
    steps = parse_script(EVERY_VERB)
    assert {step.verb for step in steps} == set(VERBS)
    assert steps[0].line == 3
    for step in steps:
        if step.verb not in NO_PROGRAM:
            program_for(step)
    for verb in VERBS:
        assert verb in HELP


def test_golden_vectors() -> None:
    """V1, V2, V5 of pprc-commands 4.14, from script lines; V8 for the public query."""
    steps = parse_script(EVERY_VERB)
    v1 = (
        "D0400050 01000000 01000000 02000000 F0F0F0F0 F0F0F0F1 F2F3F4F5 F0F0F0F0 F0F0F0F6 F7F8F9F0 01040000 00000000"
        "00100000 00000000 00110000 00000000 00120000 00000000 00130000 00000000"
    )
    v2 = (
        "D2200040 01000000 010000F0 020000F0 F0F0F0F0 F0F0F0F1 F2F3F4F5 F0F0F0F0 F0F0F0F6 F7F8F9F0 0100000F 01010000"
        "00000000 00000000 00000000 00000000"
    )
    v5 = (
        "D2400040 01000000 01000005 02000015 F0F0F0F0 F0F0F0F1 F2F3F4F5 F0F0F0F0 F0F0F0F6 F7F8F9F0 0000000F 00000000"
        "00000000 00000000 00000000 00000000"
    )
    for step, vector in ((steps[0], v1), (steps[3], v2), (steps[4], v5)):
        assert parameters(program_for(step)) == bytes.fromhex(vector)
    assert parameters(orders.query(4)) == bytes.fromhex("18000000 00005004 00000000")


def test_bridge_definition_has_no_secondary() -> None:
    order = orders.define_bridge(A, 0xF0, 1, 3).encode()
    assert order[:16] == bytes.fromhex("D8000030 01000000 010000F0 00000000")
    assert order[28:] == bytes(12) + bytes((1, 3)) + bytes(6)


def test_programs_for_records_and_tracks() -> None:
    """Parameter strings of eckd-commands 6."""
    track = Cchh(5, 2)
    program = orders.write_record(track, 5, b"\xaa" * 4096)
    assert [(ccw.command, ccw.flags) for ccw in ccws(program, 3)] == [(0x63, 0x40), (0x47, 0x40), (0x85, 0)]
    assert parameters(program, 0) == bytes.fromhex("80C00000 00000000 00050002 00050002")
    assert parameters(program, 1) == bytes.fromhex("01800001 00050002 00050002 05 FF 1000")
    program = orders.read_track(track)
    assert parameters(program, 1) == bytes.fromhex("4C000001 00050002 00050002 00 FF 0000")
    program = orders.format_track(track, [orders.NewRecord(b"ab"), orders.NewRecord(b"", b"key")])
    assert parameters(program, 1) == bytes.fromhex("03000002 00050002 00050002 00 FF 0000")
    assert parameters(program, 3) == bytes.fromhex("00050002 02 03 0000") + b"key"
    program = orders.read_record_by_search(track, 3, 4096)
    assert [ccw.command for ccw in ccws(program, 4)] == [0x07, 0x31, 0x08, 0x06]
    assert ccws(program, 4)[2].address == program.address + 8
    assert ccws(program, 4)[2].flags == 0


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("establish", "1:1", "no such command"),
        ("\n\nsense", "3:6", "needs device=HH"),
        ("query", "1:6", "pair, paths or queue"),
        ("query everything device=05", "1:7", "pair, paths or queue"),
        ("sense device=5g", "1:14", "hexadecimal"),
        ("sense device=", "1:14", "hexadecimal"),
        ("sense device=100", "1:14", "hexadecimal"),
        ("sense device=05 device=06", "1:17", "twice"),
        ("sense device=05 colour=red", "1:17", "no option 'colour'"),
        ("  sense 05", "1:9", "option=value"),
        ("read-track device=05 cylinder=-1 head=2", "1:31", "number from 0"),
        ("read-track device=05 cylinder=1 head=16", "1:38", "number from 0 to 15"),
        ("write-record device=05 cylinder=1 head=0 record=1 data=ABC", "1:56", "hexadecimal digits"),
        (f"delete-path device=05 {SYSTEMS.replace('0100:', '100:')}", "1:31", "SSID:LSS:SERIAL"),
        (f"establish-pair device=05 secondary-device=05 {SYSTEMS} bridge=data:9", "1:113", "data:N"),
        (f"establish-pair device=05 secondary-device=05 {SYSTEMS} mode=fast", "1:111", "copy, nocopy, resync"),
        (f"establish-path device=05 {SYSTEMS} links=10,,11", "1:92", "hexadecimal"),
        ("wait-duplex device=05 timeout=soon", "1:31", "seconds"),
    ],
)
def test_mistakes_have_a_place(text: str, place: str, words: str) -> None:
    with pytest.raises(ScriptError) as caught:
        parse_script(text, "a.host")
    message = str(caught.value)
    assert message.startswith(f"a.host:{place}: ") and words in message and "\n" not in message


def test_sense_for_people() -> None:
    sense = bytearray(32)
    sense[0], sense[7], sense[8], sense[9], sense[27] = 0x80, 0x0F, 0x44, 0xFF, 0x80
    expected = "command reject, message 0F status not as required, reason 44 device or pair id is not the one named"
    assert describe_sense(bytes(sense)) == expected
    sense[8], sense[9], sense[10], sense[11] = 0x5B, 0xFF, 0x0F, 0x4D
    assert describe_sense(bytes(sense)).endswith(
        "reason 5B peer refused, which said 0F4D not defined as a bridge for that role"
    )
    sense[8], sense[15] = 0x47, 0x08
    assert describe_sense(bytes(sense)).endswith("reason 47 no working path, path status 08")
    sense[7], sense[8], sense[9] = 0x04, 0, 17
    assert describe_sense(bytes(sense)).endswith("message 04 invalid parameter, parameter byte 17")
    waits = state_change_pending(0x1F, 0x05, 0x0100, Cchh(0, 1))
    assert describe_sense(waits) == "32-byte sense, program action 1D state change pending: wait for attention"
    assert describe_sense(b"\x80\x01") == "80 01"


def test_plain_values() -> None:
    header = orders.establish_path(A, B, [0x10])
    shown = plain(header)
    assert shown["header"]["primary_identity"] == "000000012345"
    assert "reserved_46" not in shown
    assert shown["paths"][0]["said"] == "0010"
