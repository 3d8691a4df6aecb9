"""Benchmarks of captures (`make bench`): what recording costs a link, and how fast captures are read and converted."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from ccw.fc_sb3_converter import Converter
from ccw.frames import CommandFrame, DataFrame, Frame, StatusFrame, encode_device
from ccw.pcapng import (
    LINKTYPE_USER0,
    Direction,
    Interface,
    Packet,
    PcapngReader,
    encode_interface,
    encode_packet,
    encode_section,
)
from ccw.records import encode_record
from tools.frame_columns import candidates
from tools.frame_views import Filter, view_packet

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


MIXED = [encode_record(Frame(0x6002, 0x4001, 0, encode_device(device))) for device in (
    CommandFrame(0x10, 0x02, 0x20, 64), DataFrame(0x10, bytes(64), end=True), StatusFrame(0x11, 0x0C),
)]
A_PAGE = [Packet(n + 1, Interface(0, LINKTYPE_USER0), 0, Direction.SENT, MIXED[n % 3], 0) for n in range(6000)]
WANTED = Filter(kind="command", device=0x11)        # of which there is none: all that is measured is the search


def test_filter_a_page_by_columns(benchmark: Any) -> None:
    """What a filter costs for each packet that is not wanted, against looking at it; the ratio comes from one run."""
    assert benchmark(lambda: list(candidates(A_PAGE, WANTED))) == []
    rounds = [(seconds_of(lambda: [packet for packet in A_PAGE[:600] if WANTED.wants(view_packet(packet))]) * 10,
               seconds_of(lambda: list(candidates(A_PAGE, WANTED)))) for _ in range(9)]
    ratio = statistics.median(looked / by_columns for looked, by_columns in rounds)
    benchmark.extra_info["times faster than looking"] = round(ratio, 1)
    assert ratio >= 5, f"{ratio:.1f} times"


def seconds_of(function: Callable[[], Any]) -> float:
    """Processor time of one call."""
    start = time.process_time()
    function()
    return time.process_time() - start
