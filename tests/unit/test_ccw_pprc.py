"""PPRC orders, queries, bridge header and status packet: the golden vectors, reserved bytes, and what is refused."""

from collections.abc import Callable
from typing import Any
from zlib import crc32

import pytest

from ccw.bridge import STATUS_ENTRIES_MAX, BridgeHeader, StatusEntry, StatusPacket, VirtualTrackAddress
from ccw.eckd import PrepareForReadSubsystemData
from ccw.errors import FormatError
from ccw.geometry import Cchh
from ccw.pprc import (
    ORDERS,
    DeletePath,
    EstablishPath,
    Order,
    PathDescriptor,
    PprcHeader,
    decode_order,
    order_length,
    reserved_error,
)
from ccw.pprc_extended_query import ExtendedEntry, ExtendedQuery
from ccw.pprc_query import (
    BridgeEntry,
    ChangeBitmap,
    PathEntry,
    PathReport,
    QueueReport,
    SecondaryPaths,
    VolumeQuery,
)
from tests.helpers.vectors import Vector, check_exact, check_fields, expect_format_error, load_vectors

CODECS: dict[str, Any] = {
    "track header": BridgeHeader, "status packet": StatusPacket, "order 18": PrepareForReadSubsystemData,
    "extended query": ExtendedQuery,
}
VECTORS = load_vectors("pprc")
HEADER = PprcHeader(0xD0, 0, 48, 1, 0, 0, 0x0100, 0, 0, 0x0200, 0, 0, b"\xf0" * 12, b"\xf1" * 12)
# Offsets of the bytes that the order tables call reserved, written down a second time.
RESERVED: dict[int, list[int]] = {
    0xD0: [46, 47], 0xD1: list(range(42, 48)), 0xD2: [47, *range(52, 64)], 0xD3: list(range(44, 48)),
    0xD4: [41, 42, 43], 0xD5: [41, 42, 43], 0xD6: list(range(42, 48)), 0xD7: [65],
    0xD8: list(range(42, 48)), 0xDA: list(range(58, 64)),
}
LENGTHS = {0xD0: 48, 0xD1: 48, 0xD2: 64, 0xD3: 48, 0xD4: 56, 0xD5: 56, 0xD6: 48, 0xD7: 72, 0xD8: 48, 0xDA: 64}


def order_bytes(order: int) -> bytearray:
    return bytearray(bytes((order,)) + bytes(LENGTHS[order] - 1))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_golden_vector(vector: Vector) -> None:
    if vector.kind in CODECS:
        kind = CODECS[vector.kind]
        value = check_exact(kind.decode, kind.encode, vector.data)
    else:
        value = check_exact(decode_order, lambda order: order.encode(), vector.data)
        assert type(value) is ORDERS[int(vector.kind, 16)]
        assert reserved_error(vector.data) is None
        assert order_length(vector.data) == len(vector.data) == value.header.length
    check_fields(value, vector.fields)


@pytest.mark.parametrize("order", list(Order))
def test_every_byte_of_an_order_is_kept(order: int) -> None:
    data = order_bytes(order)
    for position in range(1, len(data)):
        if position == 41 and order in (0xD0, 0xD1):
            continue        # the number of paths, and so the length
        for value in (0x01, 0x80, 0xFF):
            changed = bytearray(data)
            changed[position] = value
            assert decode_order(bytes(changed)).encode() == changed
    check_exact(decode_order, lambda value: value.encode(), bytes(data))


@pytest.mark.parametrize("order", list(Order))
def test_reserved_bytes_are_found_lowest_first(order: int) -> None:
    clean = order_bytes(order)
    assert reserved_error(bytes(clean)) is None
    for offset in range(1, len(clean)):
        changed = bytearray(clean)
        changed[offset] = 0x01
        expected = offset if offset in RESERVED[order] else None
        if offset != 41 or order not in (0xD0, 0xD1):
            assert reserved_error(bytes(changed)) == expected
    full = bytes((order,)) + b"\xff" * (len(clean) - 1)
    assert reserved_error(full) == RESERVED[order][0]


@pytest.mark.parametrize("kind", [EstablishPath, DeletePath])
@pytest.mark.parametrize("count", [0, 1, 4, 8, 255])
def test_paths(kind: Any, count: int) -> None:
    paths = tuple(PathDescriptor(said, 0x60, 2) for said in range(count))
    order = kind(HEADER, 1, paths=paths)
    data = order.encode()
    assert len(data) == 48 + 8 * count == order_length(data) == order_length(data[:42])
    assert data[41] == count == order.path_count
    decoded = kind.decode(data)
    assert decoded == order and type(decoded) is kind
    assert expect_format_error(kind.decode, data[:-1]).offset == len(data) - 1
    assert expect_format_error(kind.decode, data + b"\0").offset == len(data)


def test_zero_bytes_of_a_path_descriptor_count_as_reserved() -> None:
    data = bytearray(EstablishPath(HEADER, 1, paths=(PathDescriptor(1, 0, 0), PathDescriptor(2, 0, 0))).encode())
    data[48 + 8 + 7] = 1
    assert reserved_error(bytes(data)) == 63
    data[48 + 6] = 1
    assert reserved_error(bytes(data)) == 54


@pytest.mark.parametrize("data", [b"", b"\x18" + bytes(11), b"\xd9" + bytes(63), b"\xdb" + bytes(63)])
def test_not_an_order(data: bytes) -> None:
    assert order_length(data) is None
    assert reserved_error(data) is None
    assert expect_format_error(decode_order, data).where == "order"


@pytest.mark.parametrize("changes", [
    {"order": 256}, {"length": -1}, {"primary_identity": b"short"}, {"secondary_identity": bytes(13)},
])
def test_header_that_cannot_be_built(changes: dict[str, Any]) -> None:
    fields = {name: getattr(HEADER, name) for name in PprcHeader.__slots__}
    with pytest.raises(FormatError):
        PprcHeader(**{**fields, **changes}).encode()


def test_more_paths_than_a_byte_counts() -> None:
    with pytest.raises(FormatError):
        EstablishPath(HEADER, 1, paths=(PathDescriptor(0, 0, 0),) * 256).encode()


# --- bridge -----------------------------------------------------------------------------------------------------------

TRACK_HEADER = next(vector for vector in VECTORS if vector.kind == "track header").data
PACKET = next(vector for vector in VECTORS if vector.kind == "status packet").data


def with_crc(data: bytes, at: int) -> bytes:
    return data[:at] + crc32(data[:at]).to_bytes(4, "big") + data[at + 4 :]


@pytest.mark.parametrize(("offset", "where"), [
    (0, "eye catcher"), (3, "eye catcher"), (4, "version"), (5, "header length"), (6, "header CRC"), (63, "header CRC"),
])
def test_track_header_that_is_refused(offset: int, where: str) -> None:
    changed = bytearray(TRACK_HEADER)
    changed[offset] ^= 0x20
    assert expect_format_error(BridgeHeader.decode, bytes(changed)).where == where
    assert expect_format_error(BridgeHeader.decode, TRACK_HEADER[:-1]).where == "length"


def test_every_byte_of_a_track_header_is_kept() -> None:
    for position in range(6, 60):
        changed = bytearray(TRACK_HEADER)
        changed[position] ^= 0xFF
        data = with_crc(bytes(changed), 60)
        assert BridgeHeader.decode(data).encode() == data


def test_virtual_track_address_of_a_large_volume() -> None:
    assert VirtualTrackAddress(1, 0, 5, 0x1234, 0x0023).address == Cchh(0x21234, 3)


@pytest.mark.parametrize(("offset", "where"), [
    (0, "eye catcher"), (4, "version"), (5, "header length"), (6, "header CRC"), (32, "entry CRC"), (95, "entry CRC"),
])
def test_status_packet_that_is_refused(offset: int, where: str) -> None:
    changed = bytearray(PACKET)
    changed[offset] ^= 0x20
    assert expect_format_error(StatusPacket.decode, bytes(changed)).where == where


def test_status_packet_sizes() -> None:
    entry = StatusEntry(1, VirtualTrackAddress(0x200, 0, 0x15, 7, 3), 2, 0, 0x0C, 0, 0, 0, 0)
    for count in (0, 1, STATUS_ENTRIES_MAX):
        packet = StatusPacket(1, 0, 1, 1, 0, 64, (entry,) * count)
        assert StatusPacket.decode(packet.encode()) == packet
        assert len(packet.encode()) == 32 + 32 * count
    with pytest.raises(FormatError):
        StatusPacket(1, 0, 1, 1, 0, 64, (entry,) * (STATUS_ENTRIES_MAX + 1)).encode()
    too_many = with_crc(PACKET[:14] + b"\0\x41" + PACKET[16:32], 28) + bytes(32 * 65)
    assert expect_format_error(StatusPacket.decode, too_many).where == "entries"


# --- queries ----------------------------------------------------------------------------------------------------------

SECONDARY = SecondaryPaths(0x200, 0, 2, b"\xf1" * 12, bytes(8), 0xA0, 1, 120, b"\1\2\3\4",
                           (PathEntry(0x10, 0, 0, 0, 1),) * 8)
QUERIES: list[tuple[Any, int]] = [
    (PathReport(0x100, 0, 0, b"\xf0" * 12, bytes(8)), 32),
    (PathReport(0x100, 0, 0, b"\xf0" * 12, bytes(8), secondaries=(SECONDARY,) * 4), 32 + 4 * 112),
    (VolumeQuery(1, 2, 0x84, pair_id=7, total_tracks=50085), 128),
    (QueueReport(), 16),
    (QueueReport((BridgeEntry(1, 5), BridgeEntry(2, 3)), (7, 8, 0xFFFFFFFF)), 16 + 64 + 12),
    (ExtendedQuery.of((ExtendedEntry(2, 0x80),)), 648),
    (ChangeBitmap(0, b""), 8),
    (ChangeBitmap(17, b"\xff\x00\x80"), 11),
]


@pytest.mark.parametrize(("query", "length"), QUERIES, ids=lambda value: type(value).__name__)
def test_query_reply(query: Any, length: int) -> None:
    data = query.encode()
    assert len(data) == length
    decode: Callable[[bytes], Any] = type(query).decode
    assert check_exact(decode, type(query).encode, data) == query


@pytest.mark.parametrize("query", [
    PathReport(0x100, 0, 0, b"\xf0" * 12, bytes(8),
               secondaries=(SecondaryPaths(1, 0, 0, bytes(12), bytes(8), 0, 1, 0, paths=()),)),
    QueueReport(queue=(-1,)), ChangeBitmap(17, b"\xff"), ChangeBitmap(600_000, bytes(75_000)),
    ExtendedQuery(0, 0, bytes(4), ()),
])
def test_query_reply_that_cannot_be_built(query: Any) -> None:
    with pytest.raises(FormatError):
        query.encode()


def test_at_most_five_relations() -> None:
    with pytest.raises(FormatError):
        ExtendedQuery.of((ExtendedEntry(),) * 6)
