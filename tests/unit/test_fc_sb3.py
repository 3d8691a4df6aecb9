"""Frames as FC-SB-3 units: three published packets to the byte, what is left out, who is the channel, exchanges."""

from __future__ import annotations

import pytest

from ccw.dissect import decode_delimited, parse_hex
from ccw.errors import FormatError
from ccw.escon import ControlFunction, LinkControl
from ccw.fc_sb3 import FC_HEADER, UNIT_HEADER, LeftOut, Place, UnitType, encode_unit
from ccw.fc_sb3_converter import Converter
from ccw.fc_sb3_fields import view_unit
from ccw.frames import (
    CommandFrame,
    ControlFrame,
    DataFrame,
    DataRequest,
    DeviceFrame,
    Frame,
    StatusFrame,
    encode_device,
)

CHANNEL, UNIT = 0x4001, 0x6002
ELP = "3CFC 60024001 41 00000000 F998 DC3C3C"
COMMAND = "3CFC 60024001 00 11001000 02200010 06770000 BB64 DC9C3C"
STATUS = "BCFC 40016002 00 12001080 010C0000 00000000 1116 DC9C3C"
PACKETS = [                                     # frame, place, packet: worked example E8
    (ELP, Place(True, 0x02, 0x1000), "02016000 00014000 1B290000 02000000 1000FFFF 00000000"
     "00010002 00000000 05000000 00000000 00410000 00000000 00000000 FABFFFFD"),
    (COMMAND, Place(True, 0x07, 0x1001), "06016000 00014000 1B290000 07000000 1001FFFF 00000000"
     "00010002 00100000 11000000 00000000 02200010 00000000 00000000 ECCEFFED"),
    (STATUS, Place(False, 0x0A, 0x1001), "07014000 00016000 1C290000 0A000000 1001FFFF 00000000"
     "00010002 00100000 12800000 00000000 010C0000 00000000 00000000 EC62FFFD"),
]  # fmt: skip


def frame(device: DeviceFrame, *, up: bool = True, connect: bool = False, disconnect: bool = False) -> Frame:
    ends = (UNIT, CHANNEL) if up else (CHANNEL, UNIT)
    return Frame(*ends, 0, encode_device(device), connect, disconnect)


@pytest.mark.parametrize(("hex_text", "place", "packet"), PACKETS)
def test_published_packets(hex_text: str, place: Place, packet: str) -> None:
    assert encode_unit(decode_delimited(parse_hex(hex_text)), place) == bytes.fromhex(packet)


def test_sense_data_and_bitmap_are_the_payload() -> None:
    packet = encode_unit(frame(StatusFrame(0x10, 0x0E, sense=b"\x80" + bytes(31)), up=False), Place(False))
    assert isinstance(packet, bytes)
    view = view_unit(packet)
    assert (view.kind, view.unit_address, len(packet)) == (UnitType.STATUS, 0x10, 24 + 32 + 32)
    assert view.fields[-1].value == b"\x80" + bytes(31)
    for length in range(1, 9):
        packet = encode_unit(frame(DataFrame(0x10, bytes(range(length)), end=True)), Place(True))
        assert isinstance(packet, bytes)
        assert len(packet) % 4 == 0 and packet[11] & 3 == -length % 4
        assert [field.value for field in view_unit(packet).fields if field.name == "data"] == [bytes(range(length))]
    packet = encode_unit(Frame(CHANNEL, UNIT, LinkControl.TIR, b"\0\5\0\0" + bytes(range(32))), Place(False))
    assert isinstance(packet, bytes) and packet.endswith(bytes(range(32)))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (Frame(UNIT, CHANNEL, LinkControl.RID, bytes(4)), LeftOut.LINK_CONTROL),
        (Frame(UNIT, CHANNEL, 0x71, bytes(4)), LeftOut.LINK_CONTROL),
        (frame(DataRequest(0x10, 5)), LeftOut.DATA_REQUEST),
        (frame(ControlFrame(0x10, ControlFunction.ACCEPT_COMMAND_RESPONSE)), LeftOut.ACCEPT_COMMAND_RESPONSE),
        (Frame(UNIT, CHANNEL, LinkControl.ELP, bytes(4), abort=True), LeftOut.ABORT),
        (Frame(UNIT, CHANNEL, 0, b"\x17\0\0\0\0"), LeftOut.DAMAGED),
    ],
)
def test_left_out(given: Frame, why: LeftOut) -> None:
    assert encode_unit(given, Place(True)) is why
    assert Converter().convert(given) is why


def places(frames: list[Frame]) -> list[tuple[bool, int, int, int]]:
    """TYPE is the channel's, SEQ_ID, OX_ID, CCW number."""
    converter, found = Converter(), []
    for item in frames:
        packet = converter.convert(item)
        assert isinstance(packet, bytes)
        header = FC_HEADER.decode(packet[:24])
        number = UNIT_HEADER.decode(packet[24:40]).ccw_number
        found.append((header.type == 0x1B, header.sequence_id, header.originator_exchange, number))
    return found


def test_a_converter_counts_packets_connections_and_commands() -> None:
    read = CommandFrame(0x10, 0x06, 0x40, 4)
    assert places([
        Frame(UNIT, CHANNEL, LinkControl.ELP, bytes(44), True, True),
        Frame(CHANNEL, UNIT, LinkControl.LPE, bytes(4), True, True),
        frame(read, connect=True),
        frame(ControlFrame(0x10, ControlFunction.COMMAND_RESPONSE), up=False),
        frame(DataFrame(0x10, b"data", end=True), up=False),
        frame(StatusFrame(0x10, 0x0C, end=False), up=False),
        frame(CommandFrame(0x10, 0x06, 0, 4, chained=True)),
        frame(DataFrame(0x10, b"data", end=True), up=True),
        frame(StatusFrame(0x10, 0x0C), up=False),
        frame(ControlFrame(0x10, ControlFunction.STATUS_ACCEPTED, end=True), disconnect=True),
        frame(read, connect=True),
    ]) == [
        (True, 0, 0x1000, 0), (False, 1, 0x1001, 0),
        (True, 2, 0x1002, 0), (False, 3, 0x1002, 0), (False, 4, 0x1002, 0), (False, 5, 0x1002, 0),
        (True, 6, 0x1002, 1), (True, 7, 0x1002, 1), (False, 8, 0x1002, 1), (True, 9, 0x1002, 1), (True, 10, 0x1003, 0),
    ]  # fmt: skip


def test_a_path_that_is_turned_round_turns_the_roles() -> None:
    there = Frame(UNIT, CHANNEL, LinkControl.ELP, bytes(4), True, True)
    back = Frame(CHANNEL, UNIT, LinkControl.ELP, bytes(4), True, True)
    refused = Frame(CHANNEL, UNIT, LinkControl.LRJ, b"\x06\0\0\0", True, True)
    assert [row[0] for row in places([refused, there, refused, back, refused])] == [False, True, False, True, True]


def test_numbers_wrap() -> None:
    elp = Frame(UNIT, CHANNEL, LinkControl.ELP, bytes(4), True, True)
    found = places([elp] * 61_442)
    assert (found[255][1], found[256][1]) == (255, 0)
    assert (found[61_438][2], found[61_439][2]) == (0xFFFE, 0x1000)


def test_a_packet_in_error_is_refused_where_it_is() -> None:
    packet = bytearray(bytes.fromhex(PACKETS[1][2]))
    view = view_unit(bytes(packet))
    assert b"".join(field.value for field in view.fields) == packet
    for stop in range(len(packet)):
        with pytest.raises(FormatError):
            view_unit(bytes(packet[:stop]))
    for at, value, where in ((0, 0x22, "routing control"), (8, 8, "type at byte 8"), (32, 7, "type of the unit"),
                             (51, 1, "data count"), (55, 0, "LRC")):
        wrong = bytearray(packet)
        wrong[at] = value
        with pytest.raises(FormatError, match=where):
            view_unit(bytes(wrong))
