"""The array's formats: any bytes are a value or an error, any value survives the way there and back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccw.errors import FormatError
from controller.array import CorruptionError, StoredTrack, compress_track, expand_track
from controller.array.directory import decode_value, encode_value
from controller.array.format import (
    RECORD_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    SEGMENTS_MAX,
    Kind,
    RecordHeader,
    SegmentHeader,
    decode_record_header,
    decode_segment_header,
    digest,
    encode_record_header,
    encode_segment_header,
    pack_location,
    peek_record_header,
    unpack_location,
)
from controller.array.track_map import TrackMap

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
record_headers = st.builds(
    RecordHeader, st.integers(1, 9), st.integers(0, 255), u32, u32, u32, u32, u32, u32, u32, u64, u64, u64
)
segment_headers = st.builds(SegmentHeader, u32, u64, u64, u64, u32, u64, u64)


def test_the_format_never_changes() -> None:
    """Vectors: the bytes that this version has written and must read for ever."""
    segment = encode_segment_header(SegmentHeader(2, 0x0123456789ABCDEF, 32 << 20, 1000, 3, 0x77, 0x66))
    assert segment.hex(" ", 8) == (
        "5442415252415900 0002005000000002 0123456789abcdef 0000000002000000 00000000000003e8"
        " 0000000300000000 0000000000000077 0000000000000066 0000000000000000 b139af57eb5fb976"
    )
    record = encode_record_header(RecordHeader(Kind.MOVE, 0, 3, 0x120, 5, 0x1F0, 9, 0, 0, 1001, 998, 0x11), 7)
    assert record.hex(" ", 8) == (
        "54424c5202020000 0000000300000120 00000005000001f0 0000000900000000"
        " 0000000000000000 00000000000003e9 00000000000003e6 0000000000000011 802fcae2cc1a7d46"
    )


@given(record_headers, u64)
def test_a_record_header_survives(header: RecordHeader, seed: int) -> None:
    data = encode_record_header(header, seed)
    assert len(data) == RECORD_HEADER_BYTES
    assert decode_record_header(data, seed) == header
    assert decode_record_header(data + b"more", seed) == header
    assert decode_record_header(data, seed ^ 1) is None
    assert decode_record_header(data[:-1], seed) is None
    peeked = (header.kind, header.track, header.payload_length, header.sequence, header.epoch)
    assert peek_record_header(b"at" + data, seed, 2) == peeked
    assert peek_record_header(data[:-1], seed, 0) is None


@given(record_headers, u64, st.integers(0, RECORD_HEADER_BYTES * 8 - 1))
def test_any_flipped_bit_of_a_record_header_is_seen(header: RecordHeader, seed: int, bit: int) -> None:
    data = bytearray(encode_record_header(header, seed))
    data[bit // 8] ^= 1 << bit % 8
    assert decode_record_header(bytes(data), seed) is None
    assert peek_record_header(bytes(data), seed, 0) is None


def test_a_record_of_a_later_version_is_refused_and_not_passed_over() -> None:
    data = bytearray(encode_record_header(RecordHeader(Kind.MOVE, 0, 3, 1, 5, 1, 9, 0, 0, 1001, 998, 0), 7))
    data[4] = 3
    data[64:] = digest(bytes(data[:64]), 7).to_bytes(8)
    for decode in (lambda: decode_record_header(bytes(data), 7), lambda: peek_record_header(bytes(data), 7, 0)):
        with pytest.raises(FormatError, match="later program"):
            decode()


@given(st.binary(max_size=200), u64)
def test_any_bytes_are_no_record(data: bytes, seed: int) -> None:
    assert decode_record_header(data, seed) is None
    assert decode_record_header(b"TBLR" + data, seed) is None


@given(segment_headers)
def test_a_segment_header_survives(header: SegmentHeader) -> None:
    data = encode_segment_header(header)
    assert decode_segment_header(data, header.number) == header
    with pytest.raises(CorruptionError):
        decode_segment_header(data, header.number ^ 1)


@given(segment_headers, st.integers(0, SEGMENT_HEADER_BYTES * 8 - 1))
def test_any_flipped_bit_of_a_segment_header_is_seen(header: SegmentHeader, bit: int) -> None:
    data = bytearray(encode_segment_header(header))
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises((FormatError, CorruptionError)):
        decode_segment_header(bytes(data), header.number)


@given(st.integers(1, SEGMENTS_MAX), st.integers(0, (1 << 28) - 1), st.integers(0, 1 << 21))
def test_a_location_survives(segment: int, unit: int, size: int) -> None:
    location = pack_location(segment, unit * 8, size)
    assert 0 < location < 1 << 64
    found_segment, offset, hint = unpack_location(location)
    assert (found_segment, offset) == (segment, unit * 8)
    assert hint >= min(size, 511 * 256)


repetitive = st.builds(lambda part, times: part * times, st.binary(min_size=1, max_size=9), st.integers(1, 5000))


@given(st.binary(min_size=1, max_size=3000) | repetitive)
def test_a_track_survives_compression(image: bytes) -> None:
    stored = compress_track(image)
    assert expand_track(stored) == image
    assert len(stored.payload) <= len(image)


@given(st.integers(-1, 4), st.integers(-1, 2**21), st.binary(max_size=300))
def test_any_stored_track_expands_or_is_refused(codec: int, raw_length: int, payload: bytes) -> None:
    try:
        image = expand_track(StoredTrack(codec, raw_length, payload))
    except FormatError:
        return
    assert len(image) == raw_length


@given(st.binary(min_size=50, max_size=500), st.integers(-3, 3), st.binary(max_size=3))
def test_a_stream_that_is_not_exactly_the_track_is_refused(text: bytes, more: int, behind: bytes) -> None:
    image = text * 4
    stored = compress_track(image)
    changed = StoredTrack(stored.codec, stored.raw_length + more, stored.payload + behind)
    if changed == stored:
        assert expand_track(changed) == image
    else:
        with pytest.raises(FormatError):
            expand_track(changed)


def test_a_bomb_is_refused_without_being_expanded() -> None:
    stored = compress_track(bytes(1 << 20))
    with pytest.raises(FormatError):
        expand_track(StoredTrack(stored.codec, 1000, stored.payload))


@given(st.text(min_size=1, max_size=30), st.binary(max_size=50))
def test_a_value_survives(key: str, value: bytes) -> None:
    assert decode_value(encode_value(key, value)) == (key, value)


track_numbers = st.integers(0, 2000) | st.integers(0, 2**32 - 2)
map_changes = st.lists(
    st.tuples(st.just("set"), st.integers(0, 2), track_numbers, st.just(0))
    | st.tuples(st.just("clear"), st.integers(0, 2), track_numbers, st.integers(0, 3000))
    | st.tuples(st.just("snapshot"), st.integers(0, 2), st.integers(0, 2), st.just(0))
    | st.tuples(st.just("extent"), st.integers(0, 2), st.integers(0, 2000), st.sampled_from((0, 1, 512, 1024, 700))),
    max_size=60,
)


@settings(max_examples=200)
@given(map_changes)
def test_maps_that_share_pages_behave_as_if_they_did_not(changes: list[tuple[str, int, int, int]]) -> None:  # I2
    maps = [TrackMap() for _ in range(3)]
    plain: list[dict[int, int]] = [{} for _ in range(3)]
    for sequence, (verb, number, argument, length) in enumerate(changes, 1):
        if verb == "set":
            maps[number].set(argument, sequence << 9, sequence)
            plain[number][argument] = sequence
        elif verb == "clear":
            maps[number].clear(argument, argument + length)
            plain[number] = {t: s for t, s in plain[number].items() if not argument <= t < argument + length}
        elif verb == "extent":  # 1100 tracks of map `number` from `argument` on, into the next map
            target = (number + 1) % 3
            maps[target].copy_extent(maps[number], argument, 1100, argument + length)
            taken = {t: s for t, s in plain[number].items() if argument <= t < argument + 1100}
            first = argument + length
            plain[target] = {t: s for t, s in plain[target].items() if not first <= t < first + 1100}
            plain[target] |= {t - argument + first: s for t, s in taken.items()}
        else:
            maps[argument] = maps[number].snapshot()
            plain[argument] = dict(plain[number])
        for tracks, expected in zip(maps, plain, strict=True):
            assert tracks.allocated == len(expected)
            assert tracks.written_since(0).tolist() == sorted(expected)
            assert tracks.written_since(sequence // 2).tolist() == sorted(
                t for t, s in expected.items() if s > sequence // 2
            )
            assert all(tracks.find(track) == (s << 9, s) for track, s in expected.items())
