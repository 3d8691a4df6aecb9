"""Any bytes as a capture, a packet or JSON: a value or a FormatError, nothing else; fed in any pieces, the same."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ccw.delimited import delimited, record_of
from ccw.errors import FormatError
from ccw.fc_sb3 import Place, encode_unit
from ccw.fc_sb3_fields import view_unit
from ccw.frames import Frame
from ccw.pcap import PcapReader
from ccw.pcapng import LINKTYPE_USER0, Direction, PcapngReader, encode_interface, encode_packet, encode_section
from ccw.records import RawFrame, decode_record, encode_raw
from tools.frame_views import from_json, view_record

CAPTURE = (
    encode_section("x") + encode_interface(LINKTYPE_USER0, "n", "d") + encode_packet(0, 9, b"abcdef", Direction.SENT)
    + encode_packet(0, 10, b"", 0, "comment") + encode_section() + encode_interface(224) + encode_packet(0, 1, b"z")
)
PCAP = bytes.fromhex("D4C3B2A1 02000400 0000000000000000 FFFF0000 93000000 01000000 02000000 03000000 03000000 616263")


def everything(reader: PcapngReader | PcapReader, data: bytes, cuts: list[int]) -> tuple[list[object], str]:
    """All packets and the error's text, however the bytes come."""
    packets: list[object] = []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    try:
        for start, stop in pairwise(edges):
            for packet in reader.feed(data[start:stop]):
                packets.append(packet)
        reader.finish()
    except FormatError as error:
        return packets, str(error)
    return packets, ""


mutations = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=4)


def mutated(data: bytes, changes: list[tuple[int, int]], length: int) -> bytes:
    changed = bytearray(data)
    for at, value in changes:
        changed[at % len(changed)] = value
    return bytes(changed[: len(changed) - length])


@given(mutations, st.integers(0, 8), st.lists(st.integers(0, 1 << 16), max_size=6))
def test_a_damaged_capture_gives_packets_and_one_error(
    changes: list[tuple[int, int]], shorter: int, cuts: list[int]
) -> None:
    for reader, data in ((PcapngReader, CAPTURE), (PcapReader, PCAP)):
        wrong = mutated(data, changes, shorter)
        whole = everything(reader(), wrong, [])
        assert everything(reader(), wrong, cuts) == whole
        if wrong == data:
            assert whole[1] == ""


@given(st.binary(max_size=120))
def test_any_bytes(data: bytes) -> None:
    for reader in (PcapngReader(), PcapReader()):
        everything(reader, data, [])
        everything(reader, CAPTURE + data, [])
    for function in (view_record, view_unit, record_of, decode_record):
        with suppress(FormatError):
            function(data)


@given(st.binary(max_size=60), st.booleans(), st.sampled_from([(False, False), (True, False), (False, True)]))
def test_any_payload_goes_both_ways(payload: bytes, connect: bool, end: tuple[bool, bool]) -> None:
    record = RawFrame(payload, connect, *end)
    assert record_of(delimited(record)) == record
    view = view_record(encode_raw(record))
    fields = b"".join(field.value for field in view.fields())
    given = from_json({"fields": [{"value": fields.hex()}]})
    assert given.data == encode_raw(record)


@given(st.integers(0, 255), st.binary(max_size=60), st.booleans())
def test_a_unit_of_any_frame_can_be_read(link_control: int, information: bytes, from_channel: bool) -> None:
    unit = encode_unit(Frame(0x6002, 0x4001, link_control, information), Place(from_channel))
    if isinstance(unit, bytes):
        view = view_unit(unit)
        assert b"".join(field.value for field in view.fields) == unit


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["fields", "value", "form", "link", "port", "direction", "time_ns"]), inner, max_size=5),
    max_leaves=8,
)  # fmt: skip


@given(JSON, st.booleans())
def test_any_json(value: object, fix_crc: bool) -> None:
    with suppress(FormatError):
        from_json(value, fix_crc=fix_crc)
