"""Frames, records, link control: the worked examples, and each thing that decoding refuses."""

import pytest

from ccw.crc import crc16
from ccw.describe import describe
from ccw.dissect import decode_delimited, dissect, parse_hex
from ccw.errors import FormatError
from ccw.escon import (
    CONNECT_SOF,
    CRC_CHECK,
    DISCONNECT_EOF,
    INFORMATION_LENGTH_MAX,
    PASSIVE_EOF,
    PASSIVE_SOF,
    ControlFunction,
    LinkControl,
    RejectReason,
    Sequence,
)
from ccw.frames import (
    CommandFrame,
    ControlFrame,
    DataFrame,
    DataRequest,
    Frame,
    StatusFrame,
    decode_device,
    decode_frame,
    encode_device,
    encode_frame,
)
from ccw.frames_spec import crc_by_definition, specified_decode_device, specified_decode_frame
from ccw.link_control import (
    LinkIncident,
    NodeDescriptor,
    decode_link_control,
    decode_path_bitmap,
    encode_path_bitmap,
    link_control_frame,
)
from ccw.records import RawFrame, RecordReader, SequenceRecord, encode_record, encode_sequence
from tests.helpers.vectors import Vector, check_exact, check_fields, expect_format_error, feed_by_bytes, load_vectors

EXAMPLES = load_vectors("escon_frames")


def of_name(name: str) -> Vector:
    return next(vector for vector in EXAMPLES if vector.name == name)


def delimited(frame: Frame) -> bytes:
    start = CONNECT_SOF if frame.connect else PASSIVE_SOF
    return start + encode_frame(frame) + (DISCONNECT_EOF if frame.disconnect else PASSIVE_EOF)


def information_of(frame: Frame) -> bytes:
    return frame.information


def test_crc_is_the_one_that_the_constants_define() -> None:
    assert crc16(b"123456789") == crc_by_definition(b"123456789") == CRC_CHECK
    assert crc16(b"") == crc_by_definition(b"")


def test_every_function_has_an_example() -> None:
    frames = [decode_delimited(vector.data) for vector in EXAMPLES]
    assert {frame.link_control for frame in frames if frame.link_control} == set(LinkControl)
    devices = [decode_device(frame.information) for frame in frames if not frame.link_control]
    assert {device.function for device in devices if isinstance(device, ControlFrame)} == set(ControlFunction)
    assert {type(device) for device in devices} == {CommandFrame, ControlFrame, DataFrame, DataRequest, StatusFrame}


@pytest.mark.parametrize("vector", EXAMPLES, ids=lambda vector: vector.name)
def test_worked_example(vector: Vector) -> None:
    frame = check_exact(decode_delimited, delimited, vector.data)
    check_fields(frame, {path: value for path, value in vector.fields.items() if not path.startswith("device.")})
    assert specified_decode_frame(vector.data[2:-3], connect=frame.connect, disconnect=frame.disconnect) == frame
    device_fields = {path[7:]: value for path, value in vector.fields.items() if path.startswith("device.")}
    if device_fields:
        device = decode_device(frame.information)
        check_fields(device, device_fields)
        assert encode_device(device) == frame.information
        assert specified_decode_device(frame.information) == device


@pytest.mark.parametrize("vector", EXAMPLES, ids=lambda vector: vector.name)
def test_every_bit_of_a_damaged_example_is_noticed(vector: Vector) -> None:
    payload = vector.data[2:-3]
    for bit in range(len(payload) * 8):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 0x80 >> bit % 8
        expect_format_error(decode_frame, bytes(damaged))


@pytest.mark.parametrize("vector", EXAMPLES, ids=lambda vector: vector.name)
def test_fields_of_an_example_cover_it_without_gaps(vector: Vector) -> None:
    views = dissect(vector.data)
    assert b"".join(view.value for view in views) == vector.data
    assert [view.offset for view in views] == [sum(before.length for before in views[:i]) for i in range(len(views))]


DEVICE_EXAMPLES = [vector for vector in EXAMPLES if any(path.startswith("device.") for path in vector.fields)]


@pytest.mark.parametrize("vector", DEVICE_EXAMPLES, ids=lambda vector: vector.name)
def test_device_frame_with_any_byte_changed_is_refused_or_kept(vector: Vector) -> None:
    information = decode_delimited(vector.data).information
    for position in range(len(information)):
        for change in range(1, 256):
            changed = bytearray(information)
            changed[position] ^= change
            try:
                device = decode_device(bytes(changed))
            except FormatError as error:
                assert error.offset is not None and error.offset <= len(information)
            else:
                assert encode_device(device) == changed


@pytest.mark.parametrize(("information", "where", "offset"), [
    ("", "cut short", 0),
    ("11001000", "cut short", 4),
    ("31001000 0220001006770000", "information-field identifier 31", 0),
    ("14001000 0220001006770000", "information-field identifier 14", 0),
    ("01001000 0220001006770000", "information-field identifier 01", 0),
    ("11011000 0220001006770000", "device address above 255", 1),
    ("11001080 0220001006770000", "device-header flags", 3),
    ("11001000 02200010067700", "length", 11),
    ("11001000 022000100677000000", "length", 12),
    ("11001000 0220001006770100", "reserved byte", 10),
    ("10001008 00", "device-header flags", 3),
    ("10001001 00", "device-header flags", 3),
    ("100010A0 00100200", "device-header flags", 3),
    ("10001020 00100201", "reserved byte", 7),
    ("10001020 001002", "length", 7),
    ("12001090 000E000000000000", "device-header flags", 3),
    ("12001080 000E0000000000", "length", 11),
    ("12001080 000E000000000000 80", "length", 12),
    ("1A001080 000E000000000000", "length", 12),
    ("1A001080 000E000000000000" + "00" * 33, "sense above 32 bytes", 44),
    ("13001010 A0000000", "device-header flags", 3),
    ("13001080 A00000", "length", 7),
])
def test_device_frame_that_is_refused(information: str, where: str, offset: int) -> None:
    error = expect_format_error(decode_device, bytes.fromhex(information))
    assert (error.where, error.offset) == (where, offset)
    expect_format_error(specified_decode_device, bytes.fromhex(information))


def test_frame_that_is_refused_says_where() -> None:
    payload = encode_frame(Frame(0x6002, 0x4001, 0, bytes(8)))
    assert expect_format_error(decode_frame, payload[:6]).where == "cut short"
    wrong = expect_format_error(decode_frame, payload[:-1] + bytes((payload[-1] ^ 1,)))
    assert (wrong.where, wrong.offset) == ("CRC", 13)
    for octet in (1, 3):
        body = bytearray(payload[:-2])
        body[octet] |= 0x10
        reserved = expect_format_error(decode_frame, bytes(body) + crc16(bytes(body)).to_bytes(2, "big"))
        assert (reserved.where, reserved.offset) == ("reserved bits of a logical address", octet)


def test_information_field_is_limited() -> None:
    longest = Frame(0x6002, 0x4001, 0, bytes(INFORMATION_LENGTH_MAX))
    assert decode_frame(encode_frame(longest)) == longest
    longer = Frame(0x6002, 0x4001, 0, bytes(INFORMATION_LENGTH_MAX + 1))
    expect_format_error(lambda _: encode_frame(longer), b"")
    payload = encode_frame(longer, information_limit=2000)
    assert expect_format_error(decode_frame, payload).offset == 5 + INFORMATION_LENGTH_MAX
    assert decode_frame(payload, information_limit=2000) == longer


@pytest.mark.parametrize("frame", [
    Frame(0x6010, 0x4001, 0), Frame(0x10000, 0, 0), Frame(0, 0, 256), Frame(-1, 0, 0),
])
def test_frame_that_cannot_be_built(frame: Frame) -> None:
    with pytest.raises(FormatError):
        encode_frame(frame)


@pytest.mark.parametrize("device", [
    CommandFrame(256, 2, 0, 1), CommandFrame(0, 2, 0, 65536), CommandFrame(0, 256, 0, 1), DataFrame(0, b""),
    DataFrame(-1, b"x"), DataRequest(0, 65536), StatusFrame(0, 256), StatusFrame(0, 14, sense=bytes(33)),
    ControlFrame(0, 0x10, b"\0\0"), ControlFrame(0, 256),
])
def test_device_frame_that_cannot_be_built(device: CommandFrame) -> None:
    with pytest.raises(FormatError):
        encode_device(device)


def test_early_end_implies_end() -> None:
    assert decode_device(encode_device(DataFrame(0x10, b"x", early_end=True))) == DataFrame(0x10, b"x", True, True)


# --- records ----------------------------------------------------------------------------------------------------------

STREAM = b"".join((
    encode_sequence(Sequence.IDLE),
    encode_record(decode_delimited(of_name("E3 command").data)),
    encode_record(Frame(0x6002, 0x4001, 0, b"\x10\0\x10\0x", abort=True)),
    encode_sequence(Sequence.UDR),
    encode_record(decode_delimited(of_name("E3 status accepted").data)),
))
RECORDS = [
    SequenceRecord(Sequence.IDLE),
    RawFrame(of_name("E3 command").data[2:-3], connect=True),
    RawFrame(encode_frame(Frame(0x6002, 0x4001, 0, b"\x10\0\x10\0x")), abort=True),
    SequenceRecord(Sequence.UDR),
    RawFrame(of_name("E3 status accepted").data[2:-3], disconnect=True),
]


def test_records_whole_and_byte_by_byte() -> None:
    whole, single = RecordReader(), RecordReader()
    assert whole.feed(STREAM) == RECORDS
    assert feed_by_bytes(single.feed, STREAM) == RECORDS
    whole.finish()
    single.finish()


def test_records_cut_at_every_byte() -> None:
    for length in range(len(STREAM)):
        reader = RecordReader()
        first = reader.feed(STREAM[:length])
        assert first == RECORDS[: len(first)]
        try:
            reader.finish()
        except FormatError as error:
            assert error.offset == length
        assert first + reader.feed(STREAM[length:]) == RECORDS


@pytest.mark.parametrize(("record", "where", "offset"), [
    ("00000000", "type", 0), ("03000000", "type", 0), ("FF", "", None),
    ("01080007", "flags", 1), ("01060007", "flags", 1), ("01000500", "length", 2),
    ("02000000", "sequence", 1), ("02060000", "sequence", 1), ("02010001", "length", 2),
])
def test_record_that_is_refused(record: str, where: str, offset: int | None) -> None:
    data = bytes.fromhex(record)
    if offset is None:
        assert RecordReader().feed(data) == []      # not yet four bytes: nothing to judge
        return
    error = expect_format_error(RecordReader().feed, data)
    assert (error.where, error.offset) == (where, offset)
    behind = RecordReader()
    assert behind.feed(STREAM + data) == RECORDS
    assert behind.failed is not None and behind.failed.offset == len(STREAM) + offset
    for _ in range(2):
        with pytest.raises(FormatError):
            behind.feed(b"")
    with pytest.raises(FormatError):
        behind.finish()


def test_reader_holds_no_more_than_one_record() -> None:
    reader = RecordReader()
    longest = encode_record(Frame(0, 0, 0, bytes(INFORMATION_LENGTH_MAX)))
    for _ in range(100):
        assert len(reader.feed(longest + longest[:100])) == 1
        assert len(reader.feed(longest[100:])) == 1
        assert not reader._buffer


def test_record_that_cannot_be_built() -> None:
    for kind in (0, 6):
        with pytest.raises(FormatError):
            encode_sequence(kind)
    with pytest.raises(FormatError):
        encode_record(Frame(0, 0, 0, disconnect=True, abort=True))


# --- link control -----------------------------------------------------------------------------------------------------


def test_link_control_frame_is_a_connection_of_its_own() -> None:
    frame = link_control_frame(LinkControl.ELP, 0x6002, 0x4001, trailer=b"peer")
    assert delimited(link_control_frame(LinkControl.ELP, 0x6002, 0x4001)) == of_name("E2 establish logical path").data
    assert decode_link_control(frame).trailer == b"peer"


@pytest.mark.parametrize("length", range(5))
def test_missing_parameters_read_as_zero(length: int) -> None:
    info = decode_link_control(Frame(0, 0, LinkControl.LRJ, b"\x06\x02\x03\x04"[:length]))
    assert info.parameters == (b"\x06\x02\x03\x04"[:length] + bytes(4))[:4]
    assert info.trailer == b""
    assert info.reason == (RejectReason.LOGICAL_PATH_NOT_ESTABLISHED if length else 0)


def test_parameters_are_four_bytes() -> None:
    with pytest.raises(FormatError):
        link_control_frame(LinkControl.LRJ, 0, 0, b"\x06")


def test_node_descriptor() -> None:
    frame = decode_delimited(of_name("E7 node-identifier response").data)
    descriptor = decode_link_control(frame).trailer
    node = check_exact(NodeDescriptor.decode, NodeDescriptor.encode, descriptor)
    assert node == NodeDescriptor(0, bytes(3), "003990", "006", "ESC", "01", "000000012345", 0x60)
    assert link_control_frame(LinkControl.IDR, 0x4000, 0x6000, trailer=node.encode()) == frame
    incident = bytes((0x04, 7, 0, 1)) + descriptor * 2 + bytes(range(32))
    assert check_exact(LinkIncident.decode, LinkIncident.encode, incident).attached_node == node


@pytest.mark.parametrize("text", ["00399", "0039900", "00399€"])
def test_node_text_that_does_not_fit(text: str) -> None:
    with pytest.raises(FormatError):
        NodeDescriptor(0, bytes(3), text, "006", "ESC", "01", "000000012345", 0).encode()


def test_path_bitmap() -> None:
    assert encode_path_bitmap({0, 9, 255}) == b"\x80\x40" + bytes(29) + b"\x01"
    assert decode_path_bitmap(encode_path_bitmap({0, 9, 255})) == {0, 9, 255}
    with pytest.raises(FormatError):
        encode_path_bitmap({256})


# --- text -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "line"), [
    ("E1 acquire link address", "C 00.0>FF.0 D ALA 00000000"),
    ("E2 link-level reject, no logical path", "C 60.2>40.1 D LRJ logical path not established"),
    ("E2 logical path removed, out of resources", "C 60.2>40.1 D LPR out of resources"),
    ("E3 command", "C 40.1>60.2 P command 10: read IPL count 16 (SLI)"),
    ("E3 data", "P 60.2>40.1 P data 10: 16 bytes end"),
    ("E3 data request", "P 40.1>60.2 P data request 10: 16 bytes"),
    ("E3 status", "P 60.2>40.1 P status 10: channel end+device end residual 0 end"),
    ("E3 status accepted", "P 40.1>60.2 D control 10: status accepted end"),
    ("E4 chained command", "P 40.1>60.2 P command 11: read IPL count 4 chained"),
    ("E7 node-identifier response", "C 60.0>40.0 D IDR 00000000 +32"),
])
def test_frame_in_one_line(name: str, line: str) -> None:
    assert describe(decode_delimited(of_name(name).data)) == line


@pytest.mark.parametrize(("frame", "line"), [
    (Frame(0, 0, 0xFF, b"x"), "P 00.0>00.0 P link control FF"),
    (Frame(0, 0, 0, b"x", abort=True),
     "P 00.0>00.0 A device frame in error: device frame: cut short at byte 1 (of 1 bytes)"),
    (Frame(0, 0, 0, encode_device(CommandFrame(1, 0x86, 0x40, 9))),
     "P 00.0>00.0 P command 01: read data MT count 9 (CC)"),
    (Frame(0, 0, 0, encode_device(CommandFrame(1, 0xDD, 0, 9))), "P 00.0>00.0 P command 01: unknown DD count 9"),
    (Frame(0, 0, 0, encode_device(StatusFrame(1, 0x0E, 0x12, sense=b"\x80", end=False))),
     "P 00.0>00.0 P status 01: channel end+device end+unit check chaining long record sense 80"),
])
def test_odd_frame_in_one_line(frame: Frame, line: str) -> None:
    assert describe(frame) == line


def test_hex_text() -> None:
    assert parse_hex(" 3c FC|\n00\t") == b"\x3c\xfc\x00"
    assert expect_format_error(lambda data: parse_hex(data.decode()), b"3C FX").offset == 4
    assert expect_format_error(lambda data: parse_hex(data.decode()), b"3CF").where == "half a byte at the end"
