"""Benchmarks of the hot codecs (`make bench`); an ordinary test run skips them."""

from typing import Any

from ccw.bridge import BridgeHeader
from ccw.eckd import LocateRecord
from ccw.frames import DataFrame, Frame, decode_device, decode_frame, encode_device, encode_frame
from ccw.records import RecordReader, encode_record
from ccw.tracks import Record, build_track, parse_track, standard_record_zero
from tests.helpers.vectors import load_vectors

DATA = DataFrame(0x10, bytes(1024), end=True)
FRAME = Frame(0x6002, 0x4001, 0, encode_device(DATA))


def test_data_frame_encode_and_decode(benchmark: Any) -> None:
    """One 1 KiB frame there and back: link header, CRC."""
    assert benchmark(lambda: decode_frame(encode_frame(FRAME))) == FRAME


def test_data_frame_with_its_device_header(benchmark: Any) -> None:
    """The same with the device header on both sides."""
    def there_and_back() -> Any:
        payload = encode_frame(Frame(0x6002, 0x4001, 0, encode_device(DATA)))
        return decode_device(decode_frame(payload).information)

    assert benchmark(there_and_back) == DATA


def test_62_records_of_one_chunk(benchmark: Any) -> None:
    """Cut 64 KiB of stream into records; divide by 62 for one."""
    chunk = encode_record(FRAME) * 62
    reader = RecordReader()
    assert len(benchmark(reader.feed, chunk)) == 62


def test_bridge_header(benchmark: Any) -> None:
    """One track header decoded and built again."""
    data = next(vector.data for vector in load_vectors("pprc") if vector.kind == "track header")
    assert benchmark(lambda: BridgeHeader.decode(data).encode()) == data


def test_locate_record(benchmark: Any) -> None:
    """One Locate Record decoded."""
    data = bytes.fromhex("06800003000500020005000201061000")
    assert benchmark(LocateRecord.decode, data).count == 3


def test_full_track(benchmark: Any) -> None:
    """A 3390 track of twelve 4096-byte records taken apart and built again."""
    records = [Record(bytes((0, 5, 0, 2, number, 0, 0x10, 0)), b"", bytes(4096)) for number in range(1, 13)]
    image = build_track(5, 2, [standard_record_zero(5, 2), *records])
    assert benchmark(lambda: build_track(5, 2, parse_track(image))) == image
