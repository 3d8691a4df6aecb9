"""The fast frame codecs against their construct specification, and any bytes against all of them."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ccw.crc import crc16
from ccw.describe import describe
from ccw.dissect import dissect
from ccw.errors import FormatError
from ccw.frames import (
    CommandFrame,
    ControlFrame,
    DataFrame,
    DataRequest,
    DeviceFrame,
    Frame,
    StatusFrame,
    decode_device,
    decode_frame,
    encode_device,
    encode_frame,
)
from ccw.frames_spec import (
    crc_by_definition,
    specified_decode_device,
    specified_decode_frame,
    specified_encode_device,
    specified_encode_frame,
)
from ccw.link_control import decode_link_control
from ccw.records import FRAME_RECORD, RecordReader, SequenceRecord, encode_record, encode_sequence

byte = st.integers(0, 255)
half = st.integers(0, 65535)
addresses = st.builds(lambda link, logical: link << 8 | logical, byte, st.integers(0, 15))
informations = st.binary(max_size=60)
frames = st.builds(Frame, addresses, addresses, byte, informations)

device_frames: st.SearchStrategy[DeviceFrame] = st.one_of(
    st.builds(CommandFrame, byte, byte, byte, half, st.booleans(), byte, byte, byte),
    st.builds(DataFrame, byte, st.binary(min_size=1, max_size=60), st.just(True), st.booleans()),
    st.builds(DataFrame, byte, st.binary(min_size=1, max_size=60)),
    st.builds(DataRequest, byte, half, byte),
    st.builds(StatusFrame, byte, byte, byte, half, half, half, st.binary(max_size=32), st.booleans()),
    st.builds(ControlFrame, byte, byte, st.binary(min_size=3, max_size=3), st.booleans(), st.booleans(), st.booleans()),
)


@st.composite
def nearly_device_frames(draw: st.DrawFn) -> bytes:
    """A good information field with up to three bytes changed and perhaps another length."""
    data = bytearray(encode_device(draw(device_frames)))
    for _ in range(draw(st.integers(0, 3))):
        data[draw(st.integers(0, len(data) - 1))] = draw(byte)
    if draw(st.booleans()):
        return bytes(data[: draw(st.integers(0, len(data)))]) + draw(st.binary(max_size=3))
    return bytes(data)


@st.composite
def nearly_frames(draw: st.DrawFn) -> bytes:
    """A body that may have reserved bits, with a CRC that is mostly right."""
    body = draw(st.binary(max_size=40))
    return body + (draw(st.binary(min_size=2, max_size=2)) if draw(st.integers(0, 9)) == 0
                   else crc16(body).to_bytes(2, "big"))


def outcome(decode: Any, data: Any) -> Any:
    """The value, or FormatError itself: anything else fails the test."""
    try:
        return decode(data)
    except FormatError as error:
        assert error.offset is None or 0 <= error.offset <= len(error.data)
        return FormatError


@given(st.binary(max_size=200))
def test_crc_equals_its_definition(data: bytes) -> None:
    assert crc16(data) == crc_by_definition(data)


@given(frames)
def test_frame_encoding_equals_the_specification(frame: Frame) -> None:
    payload = encode_frame(frame)
    assert payload == specified_encode_frame(frame)
    assert decode_frame(payload) == frame == specified_decode_frame(payload)


@given(st.one_of(nearly_frames(), st.binary(max_size=40)))
def test_frame_decoding_equals_the_specification(payload: bytes) -> None:
    fast = outcome(decode_frame, payload)
    assert fast == outcome(specified_decode_frame, payload)
    if fast is not FormatError:
        assert encode_frame(fast) == payload


@given(st.builds(Frame, st.integers(-2, 70000), st.integers(-2, 70000), st.integers(-1, 256), informations))
def test_frame_that_cannot_be_built_is_refused_by_both(frame: Frame) -> None:
    assert outcome(encode_frame, frame) == outcome(specified_encode_frame, frame)


@given(device_frames)
def test_device_frame_encoding_equals_the_specification(frame: DeviceFrame) -> None:
    information = encode_device(frame)
    assert information == specified_encode_device(frame)
    assert decode_device(information) == frame == specified_decode_device(information)


@given(st.one_of(nearly_device_frames(), st.binary(max_size=50)))
def test_device_frame_decoding_equals_the_specification(information: bytes) -> None:
    fast = outcome(decode_device, information)
    assert fast == outcome(specified_decode_device, information)
    if fast is not FormatError:
        assert encode_device(fast) == information


@given(st.one_of(frames, st.builds(Frame, addresses, addresses, st.just(0), nearly_device_frames())))
def test_any_frame_has_one_line_and_all_its_fields(frame: Frame) -> None:
    assert "\n" not in describe(frame)
    decode_link_control(frame)
    data = b"\xbc\xfc" + encode_frame(frame) + b"\xdc\x9c\x3c"
    views = outcome(dissect, data)
    if views is not FormatError:
        assert b"".join(view.value for view in views) == data


# --- records ----------------------------------------------------------------------------------------------------------

sequences = st.integers(1, 5).map(SequenceRecord)
flagged = st.builds(Frame, addresses, addresses, byte, informations, st.booleans(), st.booleans())


def record_of(item: Frame | SequenceRecord) -> bytes:
    return encode_sequence(item.kind) if isinstance(item, SequenceRecord) else encode_record(item)


def read_in_pieces(data: bytes, cuts: list[int]) -> tuple[list[Any], int | None]:
    """Records read when the stream comes in these pieces, and where it was found bad."""
    reader, records, start = RecordReader(), [], 0
    for cut in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
        try:
            records += reader.feed(data[start:cut])
        except FormatError:
            break
        start = cut
    return records, reader.failed.offset if reader.failed else None


@given(st.lists(st.one_of(sequences, flagged), max_size=6), st.lists(st.integers(0, 400), max_size=6))
def test_records_do_not_depend_on_how_the_stream_is_cut(items: list[Any], cuts: list[int]) -> None:
    stream = b"".join(map(record_of, items))
    records, failed = read_in_pieces(stream, cuts)
    assert failed is None
    rebuilt = [
        record if isinstance(record, SequenceRecord) else
        decode_frame(record.payload, connect=record.connect, disconnect=record.disconnect, abort=record.abort)
        for record in records
    ]
    assert rebuilt == items


@given(st.one_of(st.binary(max_size=60), st.lists(st.one_of(sequences.map(record_of), st.binary(max_size=6)))),
       st.lists(st.integers(0, 60), max_size=6))
def test_any_stream_gives_the_same_records_and_the_same_end_however_cut(stream: Any, cuts: list[int]) -> None:
    data = stream if isinstance(stream, bytes) else b"".join(stream)
    assert read_in_pieces(data, cuts) == read_in_pieces(data, []) == read_in_pieces(data, list(range(len(data))))


@given(flagged)
def test_frame_record_equals_its_specification(frame: Frame) -> None:
    record = encode_record(frame)
    fields = FRAME_RECORD.parse(record)
    assert (fields.type, fields.flags) == (1, frame.connect | frame.disconnect << 1)
    assert fields.payload == encode_frame(frame)
    assert FRAME_RECORD.build({"type": 1, "flags": fields.flags, "payload": fields.payload}) == record
