"""Data frames as parts and views against the codec of records and frames: the same bytes, the same records."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccw.errors import FormatError
from ccw.escon import WAN_INFORMATION_LENGTH_MAX
from ccw.frames import (
    CommandFrame,
    DataFrame,
    Frame,
    StatusFrame,
    decode_device,
    decode_frame,
    decode_repeating,
    encode_device,
)
from ccw.records import RawFrame, RecordReader, SequenceRecord, encode_raw, encode_record, encode_sequence
from ccw.streamed import ReceivedData, StreamedReader, encode_data, encode_repeating

addresses = st.builds(lambda link, logical: link << 8 | logical, st.integers(0, 255), st.integers(0, 15))
units = st.integers(0, 255)
pieces = st.lists(st.binary(max_size=40), min_size=1, max_size=4).filter(lambda parts: any(parts))
data_records = st.builds(
    lambda to, by, unit, parts, end: b"".join(encode_data(to, by, unit, parts, end).parts),
    addresses, addresses, units, pieces, st.booleans(),
)  # fmt: skip
other_frames = st.one_of(
    st.builds(CommandFrame, units, units, units, st.integers(0, 65535)),
    st.builds(StatusFrame, units, units),
    st.builds(DataFrame, units, st.binary(min_size=1, max_size=9), st.just(True), st.just(True)),
)
others = st.one_of(
    st.builds(lambda to, by, frame, connect: encode_record(Frame(to, by, 0, encode_device(frame), connect)),
              addresses, addresses, other_frames, st.booleans()),
    st.builds(encode_sequence, st.integers(1, 5)),
)  # fmt: skip
streams = st.lists(st.one_of(data_records, others), max_size=6).map(b"".join)


@given(addresses, addresses, units, pieces, st.booleans())
def test_the_same_bytes_as_the_record_of_a_frame(to: int, by: int, unit: int, parts: list[bytes], end: bool) -> None:
    frame = Frame(to, by, 0, encode_device(DataFrame(unit, b"".join(parts), end)))
    assert b"".join(encode_data(to, by, unit, parts, end).parts) == encode_record(frame, WAN_INFORMATION_LENGTH_MAX)


@given(addresses, addresses, st.one_of(
    st.builds(CommandFrame, units, units, units, st.integers(0, 65535), st.booleans()),
    st.builds(StatusFrame, units, units, units, sense=st.binary(max_size=32)),
), st.booleans(), st.integers(0, 400), st.integers(0, 255))  # fmt: skip
def test_what_repeats_is_encoded_and_decoded_as_ever(
    to: int, by: int, device: CommandFrame | StatusFrame, connect: bool, at: int, damage: int
) -> None:
    frame = Frame(to, by, 0, encode_device(device), connect)
    record = encode_record(frame)
    for _ in range(2):  # made, and remembered
        assert encode_repeating(to, by, device, connect, False).parts == (record,)
        assert decode_repeating(record[4:], connect, False) == (frame, device)
    payload = bytearray(record[4:])
    payload[at % len(payload)] ^= damage
    try:
        again = decode_frame(bytes(payload), connect=connect)
        expected = (again, decode_device(again.information)) if again.link_control == 0 else None
    except FormatError:
        expected = None
    assert decode_repeating(bytes(payload), connect, False) == expected


def _feed(reader: StreamedReader | RecordReader, stream: bytes, cuts: list[int]) -> tuple[list[bytes], str]:
    """Every record as bytes, however it came; and the complaint that ended it."""
    found: list[bytes] = []
    at = 0
    try:
        for cut in [*sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]:
            piece, at = stream[at:cut], cut
            for record in reader.feed(piece):
                found.append(record.encode() if isinstance(record, ReceivedData) else encode_raw(record))
        reader.finish()
    except FormatError as error:
        return found, f"{error.what}: {error.where}"
    return found, ""


@given(streams, st.lists(st.integers(0, 10_000), max_size=5), st.integers(0, 10_000), st.integers(0, 255))
def test_the_same_records_however_they_are_cut_or_damaged(stream: bytes, cuts: list[int], at: int, by: int) -> None:
    damaged = bytearray(stream)
    if damaged:
        damaged[at % len(damaged)] ^= by
    plain = _feed(RecordReader(WAN_INFORMATION_LENGTH_MAX), bytes(damaged), cuts)
    assert _feed(StreamedReader(), bytes(damaged), cuts) == plain


@given(addresses, addresses, units, pieces, st.booleans())
def test_a_good_data_frame_comes_as_a_view(to: int, by: int, unit: int, parts: list[bytes], end: bool) -> None:
    (record,) = StreamedReader().feed(b"".join(encode_data(to, by, unit, parts, end).parts))
    assert isinstance(record, ReceivedData)
    assert (record.destination, record.source, record.unit_address, record.end) == (to, by, unit, end)
    assert bytes(record.data) == b"".join(parts)


def test_a_damaged_data_frame_comes_as_a_frame_that_nobody_can_decode() -> None:
    record = bytearray(b"".join(encode_data(0x0200, 0x0100, 0xF0, [b"data"], True).parts))
    record[14] ^= 1
    (found,) = StreamedReader().feed(bytes(record))
    assert isinstance(found, RawFrame)
    with pytest.raises(FormatError, match="CRC"):
        decode_frame(found.payload)


def test_the_longest_and_what_is_longer() -> None:
    full = b"".join(encode_data(0x0200, 0x0100, 0xF0, [bytes(64), bytes(32_704)], True).parts)
    (record,) = StreamedReader().feed(full)
    assert isinstance(record, ReceivedData) and len(record.data) == 32_768
    frame = decode_frame(full[4:], information_limit=WAN_INFORMATION_LENGTH_MAX)
    assert decode_device(frame.information) == DataFrame(0xF0, bytes(32_768), True)
    for parts in ([bytes(32_769)], [b""]):
        with pytest.raises(FormatError):
            encode_data(0x0200, 0x0100, 0xF0, parts, True)
    assert StreamedReader().feed(encode_sequence(1)) == [SequenceRecord(1)]
