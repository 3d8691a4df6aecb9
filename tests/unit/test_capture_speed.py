"""Benchmarks of captures (`make bench`): what recording costs a link, and how fast captures are read and converted."""

from __future__ import annotations

from typing import Any

from ccw.fc_sb3_converter import Converter
from ccw.frames import DataFrame, Frame, encode_device
from ccw.pcapng import (
    LINKTYPE_USER0,
    Direction,
    PcapngReader,
    encode_interface,
    encode_packet,
    encode_section,
)
from ccw.records import encode_record
from tools.frame_views import view_packet

FRAME = Frame(0x6002, 0x4001, 0, encode_device(DataFrame(0x10, bytes(1024), end=True)))
RECORD = encode_record(FRAME)
PACKETS = 1000
CAPTURE = encode_section() + encode_interface(LINKTYPE_USER0, "A 0001/1") + b"".join(
    encode_packet(0, number, RECORD, Direction.SENT) for number in range(PACKETS)
)


def test_record_a_packet(benchmark: Any) -> None:
    assert len(benchmark(encode_packet, 0, 1_700_000_000_000_000_000, RECORD, Direction.SENT)) > len(RECORD)


def test_read_a_capture(benchmark: Any) -> None:
    assert len(benchmark(lambda: list(PcapngReader().feed(CAPTURE)))) == PACKETS


def test_view_packets(benchmark: Any) -> None:
    packets = list(PcapngReader().feed(CAPTURE))
    assert len(benchmark(lambda: [view_packet(packet) for packet in packets])) == PACKETS


def test_convert_frames(benchmark: Any) -> None:
    converter = Converter()
    assert len(benchmark(lambda: [converter.convert(FRAME) for _ in range(PACKETS)])) == PACKETS
