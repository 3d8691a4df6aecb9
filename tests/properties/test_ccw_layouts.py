"""Every fixed-size format against its own construct definition; every exact format against any bytes."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from construct import ConstructError
from hypothesis import given
from hypothesis import strategies as st

from ccw import (
    bridge,
    ccws,
    characteristics,
    configuration,
    eckd,
    geometry,
    identity,
    link_control,
    pprc,
    pprc_extended_query,
    pprc_query,
    sense,
    tracks,
)
from ccw.bridge import BridgeHeader, StatusPacket
from ccw.ccws import CCW_FORMAT_0, CCW_FORMAT_1, Ccw, decode_ccw, encode_ccw
from ccw.eckd import DefineExtent, LocateRecordExtended, Prefix
from ccw.errors import FormatError
from ccw.geometry import Cchh
from ccw.identity import SenseId, SubsystemStatus
from ccw.layout import Layout
from ccw.plain_images import split_image_file
from ccw.pprc import ORDERS, decode_order, order_length, reserved_error
from ccw.pprc_extended_query import ExtendedQuery
from ccw.pprc_query import ChangeBitmap, PathReport, QueueReport
from ccw.tracks import TRACK, Record, build_image, count_records, parse_track, track_image_length

MODULES = (
    bridge, characteristics, configuration, eckd, geometry, identity, link_control, pprc,
    pprc_extended_query, pprc_query, sense, tracks,
)
# Heads of longer formats: they carry counts or lengths of what follows, so they rebuild only as a whole (EXACT below).
HEADS = {"locate record extended", "path report", "queue report", "establish path", "delete path"}
LAYOUTS: list[Layout[Any]] = [
    *(value for module in MODULES for value in vars(module).values() if isinstance(value, Layout)),
    *(kind.LAYOUT for kind in ORDERS.values()),
]


def outcome(function: Callable[[Any], Any], argument: Any) -> Any:
    """The value, or FormatError itself: anything else fails the test."""
    try:
        return function(argument)
    except FormatError as error:
        assert error.offset is None or 0 <= error.offset <= len(error.data)
        return FormatError


def with_constants(layout: Layout[Any], data: bytes) -> bytes:
    """`data` with the constants of the layout in place, so that most of it is accepted."""
    changed = bytearray(data)
    for field in layout.fields:
        if field.constant is not None:
            changed[field.offset : field.offset + field.length] = field.constant
    return bytes(changed)


def test_there_are_layouts_to_test() -> None:
    assert len(LAYOUTS) > 40


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.what)
def test_fast_codec_equals_the_construct_definition(layout: Layout[Any]) -> None:
    """Seeded rather than drawn: forty layouts with a hypothesis run each would take the budget of this folder."""
    source = random.Random(layout.what)
    samples = [bytes(layout.size), b"\xff" * layout.size, *(source.randbytes(layout.size) for _ in range(12))]
    for sample in samples:
        for data in (sample, with_constants(layout, sample)):
            fast = outcome(layout.decode, data)
            assert fast == outcome(layout.specified_decode, data)
            if fast is not FormatError and layout.what not in HEADS:
                assert layout.encode(fast) == data == layout.specified_encode(fast)
    for length in (0, layout.size - 1, layout.size + 1):
        assert outcome(layout.decode, bytes(length)) is outcome(layout.specified_decode, bytes(length)) is FormatError


@given(st.sampled_from(LAYOUTS), st.binary(min_size=1, max_size=200))
def test_any_bytes_in_a_layout(layout: Layout[Any], seed: bytes) -> None:
    data = (seed * (layout.size // len(seed) + 1))[: layout.size]
    for candidate in (data, with_constants(layout, data), seed):
        value = outcome(layout.decode, candidate)
        assert value == outcome(layout.specified_decode, candidate)
        if value is not FormatError and layout.what not in HEADS:
            assert layout.encode(value) == candidate


EXACT: list[tuple[str, Callable[[bytes], Any], Callable[[Any], bytes]]] = [
    (kind.__name__, kind.decode, kind.encode)
    for kind in (BridgeHeader, StatusPacket, DefineExtent, LocateRecordExtended, Prefix, SenseId, SubsystemStatus,
                 PathReport, QueueReport, ExtendedQuery, ChangeBitmap)
] + [("PPRC order", decode_order, lambda order: order.encode())]


@pytest.mark.parametrize(("decode", "encode"), [row[1:] for row in EXACT], ids=[row[0] for row in EXACT])
@given(data=st.data())
def test_any_bytes_rebuild_or_are_a_format_error(decode: Any, encode: Any, data: st.DataObject) -> None:
    first = data.draw(st.sampled_from([b"", b"\x00", b"\x01", b"\xff", *(bytes((order,)) for order in ORDERS)]))
    length = data.draw(st.sampled_from([0, 7, 8, 12, 16, 20, 24, 31, 32, 40, 44, 48, 56, 63, 64, 72, 128, 648]))
    content = first + data.draw(st.binary(min_size=max(0, length - len(first)), max_size=max(0, length - len(first))))
    value = outcome(decode, content)
    if value is not FormatError:
        assert encode(value) == content


@given(st.binary(max_size=130))
def test_order_helpers_take_any_bytes(data: bytes) -> None:
    for order in (b"", *(bytes((order,)) for order in ORDERS)):
        length, offset = order_length(order + data), reserved_error(order + data)
        assert length is None or length >= 48
        assert offset is None or (order + data)[offset] != 0


@given(st.binary(min_size=8, max_size=8), st.sampled_from([0, 1]))
def test_ccw_equals_its_specification(data: bytes, ccw_format: int) -> None:
    ccw = decode_ccw(data, ccw_format)
    layout = CCW_FORMAT_1 if ccw_format else CCW_FORMAT_0
    fields = layout.parse(data)
    assert ccw == Ccw(fields.command, fields.flags, fields.count, fields.address, fields.get("ignored_05", 0))
    assert encode_ccw(ccw, ccw_format) == data == layout.build(fields)
    assert ccws.command_class(ccw.command)


@given(st.builds(Cchh, st.integers(0, (1 << 28) - 1), st.integers(0, 15)))
def test_track_address_packs_both_ways(address: Cchh) -> None:
    assert Cchh.unpack(address.pack()) == address


# --- tracks -----------------------------------------------------------------------------------------------------------

records = st.builds(
    lambda identifier, key, data: Record(identifier + bytes((len(key),)) + len(data).to_bytes(2, "big"), key, data),
    st.binary(min_size=5, max_size=5), st.binary(max_size=9), st.binary(max_size=300),
)


def specified_records(image: bytes) -> Any:
    try:
        track = TRACK.parse(image)
    except ConstructError:
        return FormatError
    return [Record(record.count, record.key, record.data) for record in track.records]


@given(st.binary(min_size=5, max_size=5), st.lists(records, max_size=6))
def test_track_image_equals_its_specification(home_address: bytes, content: list[Record]) -> None:
    image = build_image(home_address, content)
    assert parse_track(image) == content == specified_records(image)
    assert track_image_length(image + b"x") == len(image)
    assert TRACK.build({
        "home_address_flag": home_address[0], "home_address": Cchh.unpack(home_address[1:]), "end_mark": None,
        "records": [record._asdict() for record in content],
    }) == image


@st.composite
def nearly_images(draw: st.DrawFn) -> bytes:
    """A good image with a few bytes changed, cut or lengthened."""
    image = bytearray(build_image(draw(st.binary(min_size=5, max_size=5)), draw(st.lists(records, max_size=4))))
    for _ in range(draw(st.integers(0, 3))):
        image[draw(st.integers(0, len(image) - 1))] = draw(st.sampled_from([0, 1, 8, 255]))
    length = draw(st.one_of(st.just(len(image)), st.integers(0, len(image))))
    return bytes(image[:length]) + draw(st.binary(max_size=2))


@given(nearly_images())
def test_any_image_is_records_or_a_format_error(image: bytes) -> None:
    found = outcome(parse_track, image)
    assert found == specified_records(image)
    assert outcome(count_records, image) == (found if found is FormatError else len(found))
    if found is not FormatError:
        assert build_image(image[:5], found) == image
        assert track_image_length(image) == len(image)


@given(st.binary(max_size=40), st.sampled_from([0, 13, 20, 512]), st.integers(0, 2))
def test_any_image_file(content: bytes, track_size: int, heads: int) -> None:
    header = b"CKD_P370" + heads.to_bytes(4, "little") + track_size.to_bytes(4, "little") + bytes(496)
    for file in (content, header + content, header + content.ljust(2 * track_size, b"\xff")):
        found = outcome(split_image_file, file)
        if found is not FormatError:
            outcome(list, found[1])
