"""The capture containers: bytes by hand, every cut, both byte orders, what is refused and where."""

from __future__ import annotations

import struct

import pytest

from ccw.errors import FormatError
from ccw.pcap import PcapReader, reader_for
from ccw.pcapng import (
    BLOCK_LENGTH_MAX,
    INTERFACES_MAX,
    LINKTYPE_FC_2,
    LINKTYPE_USER0,
    Direction,
    Packet,
    PcapngReader,
    encode_interface,
    encode_packet,
    encode_section,
)

NOW_NS = 1_700_000_000_123_456_789
SECTION = encode_section("tests")
PORT = encode_interface(LINKTYPE_USER0, "A 0001/1", "SAID 0001")
FILE = SECTION + PORT + encode_packet(0, NOW_NS, b"abcde", Direction.SENT) + encode_packet(0, NOW_NS + 1, b"", 1, "why")


def read(data: bytes, step: int | None = None) -> list[Packet]:
    reader = reader_for(data)
    assert reader is not None
    packets = []
    for at in range(0, len(data), step or len(data)):
        packets += list(reader.feed(data[at : at + (step or len(data))]))
    reader.finish()
    return packets


def test_a_packet_is_the_documented_bytes() -> None:
    assert encode_packet(3, 0x1122334455667788, b"abcde", Direction.RECEIVED) == bytes.fromhex(
        "06000000 34000000 03000000 44332211 88776655 05000000 05000000 6162636465000000"
        "02000400 01000000 00000000 34000000"
    )
    assert encode_section() == bytes.fromhex("0A0D0D0A 1C000000 4D3C2B1A 01000000 FFFFFFFFFFFFFFFF 1C000000")
    assert encode_interface(147, "x") == bytes.fromhex(
        "01000000 28000000 93000000 00000000 0200010078000000 0900010009000000 00000000 28000000"
    )


@pytest.mark.parametrize("step", [None, 1, 7])
def test_what_was_written_is_read(step: int | None) -> None:
    first, second = read(FILE, step)
    assert (first.number, first.time_ns, first.direction, first.data) == (1, NOW_NS, Direction.SENT, b"abcde")
    assert FILE[first.offset : first.offset + 5] == b"abcde"
    assert (first.interface.name, first.interface.description) == ("A 0001/1", "SAID 0001")
    assert (second.number, second.data, second.direction, second.comment) == (2, b"", Direction.RECEIVED, "why")


def test_every_cut_is_seen_and_loses_only_the_last_block() -> None:
    ends = [len(SECTION), len(SECTION + PORT), len(FILE) - len(encode_packet(0, NOW_NS + 1, b"", 1, "why")), len(FILE)]
    for stop in range(4, len(FILE)):
        reader = PcapngReader()
        packets = list(reader.feed(FILE[:stop]))
        assert len(packets) == sum(end <= stop for end in ends[2:])
        assert reader.offset == max((end for end in ends if end <= stop), default=0)
        if stop in ends:
            reader.finish()
        else:
            with pytest.raises(FormatError, match=f"cut short at byte {stop}, after packet {len(packets)}"):
                reader.finish()


def test_sections_number_their_interfaces_anew() -> None:
    other = encode_section() + encode_interface(LINKTYPE_FC_2, "B") + encode_packet(0, 5, b"z")
    packets = read(FILE + other)
    assert [(p.number, p.interface.name) for p in packets] == [(1, "A 0001/1"), (2, "A 0001/1"), (3, "B")]


def block(kind: int, body: bytes, order: str = ">") -> bytes:
    ends = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + ends + body + ends


def test_the_other_byte_order_other_times_and_other_packets() -> None:
    section = block(0x0A0D0D0A, bytes.fromhex("1A2B3C4D 0001 0000 FFFFFFFFFFFFFFFF"))
    micro = block(1, struct.pack(">HHI", 147, 0, 0))
    times = bytes.fromhex("0009000185000000 000E0008000000000000000A 00000000")
    binary = block(1, struct.pack(">HHI", 147, 0, 0) + times)
    enhanced = block(6, struct.pack(">IIIII", 1, 0, 48, 2, 2) + b"hi\0\0" + bytes.fromhex("0002000400000002 00000000"))
    simple = block(3, struct.pack(">I", 3) + b"abc\0")
    old = block(2, struct.pack(">HHIIII", 0, 0, 0, 7, 4, 4) + b"wxyz")
    unknown = block(0xBAD, b"ABCD")
    packets = read(section + micro + binary + enhanced + unknown + simple + old)
    assert [(p.data, p.time_ns, p.direction, p.interface.number) for p in packets] == [
        (b"hi", 11_500_000_000, Direction.SENT, 1), (b"abc", None, 0, 0), (b"wxyz", 7000, 0, 0)]


@pytest.mark.parametrize(
    ("name", "data", "where"),
    [
        ("no section", PORT, "no section header at byte 0"),
        ("magic", SECTION[:8] + b"\1\2\3\4" + SECTION[12:], "byte-order magic at byte 8"),
        ("version", SECTION[:12] + b"\2" + SECTION[13:], "version at byte 12"),
        ("huge", SECTION + struct.pack("<II", 6, BLOCK_LENGTH_MAX + 4) + bytes(4), f"at byte {len(SECTION) + 4}"),
        ("odd", SECTION + struct.pack("<II", 6, 33) + bytes(40), "block length 33"),
        ("end", FILE[:-4] + bytes(4), "block length at its end"),
        ("interface", SECTION + encode_packet(0, 0, b"x"), "packet 1 of unknown interface 0"),
        ("short", SECTION + PORT + block(6, bytes(8), "<"), "block too short"),
        ("packet", SECTION + PORT + block(6, struct.pack("<5I", 0, 0, 0, 9, 9) + bytes(8), "<"), "length of packet 1"),
        ("option", SECTION + block(1, struct.pack("<HHIHH", 1, 0, 0, 2, 99), "<"), "option length"),
        ("resolution", SECTION + block(1, struct.pack("<HHIHH", 1, 0, 0, 9, 0), "<"), "length of a time option"),
    ],
)
def test_damage_is_named(name: str, data: bytes, where: str) -> None:
    reader = PcapngReader()
    with pytest.raises(FormatError, match=where):
        list(reader.feed(data))


def test_memory_is_bounded() -> None:
    reader = PcapngReader()
    list(reader.feed(SECTION))
    with pytest.raises(FormatError, match=f"more than {INTERFACES_MAX} interfaces"):
        for _ in range(INTERFACES_MAX // 256 + 1):
            list(reader.feed(PORT * 256))
    assert len(reader._buffer) <= 256 * len(PORT)


@pytest.mark.parametrize(
    ("magic", "order", "unit_ns"),
    [("A1B2C3D4", ">", 1000), ("D4C3B2A1", "<", 1000), ("A1B23C4D", ">", 1), ("4D3CB2A1", "<", 1)],
)
def test_classic_pcap(magic: str, order: str, unit_ns: int) -> None:
    header = bytes.fromhex(magic) + struct.pack(order + "HHIIII", 2, 4, 0, 0, 65535, LINKTYPE_FC_2)
    data = header + struct.pack(order + "IIII", 5, 6, 3, 3) + b"abc" + struct.pack(order + "IIII", 7, 0, 0, 0)
    for step in (None, 1):
        first, second = read(data, step)
        assert (first.time_ns, first.data, first.offset) == (5_000_000_000 + 6 * unit_ns, b"abc", 40)
        assert (first.interface.link_type, second.number) == (LINKTYPE_FC_2, 2)
    for stop in range(4, len(data)):
        reader = PcapReader()
        list(reader.feed(data[:stop]))
        if stop in (24, 43):
            reader.finish()
        else:
            with pytest.raises(FormatError, match=f"cut short at byte {stop}"):
                reader.finish()
    with pytest.raises(FormatError, match=r"length 4294967295 of packet 1 at byte 32"):
        list(PcapReader().feed(header + b"\xff" * 16))


def test_what_is_no_capture() -> None:
    assert reader_for(b"") is None
    assert reader_for(b"3CFC") is None
    with pytest.raises(FormatError, match="magic"):
        list(PcapReader().feed(bytes(24)))
