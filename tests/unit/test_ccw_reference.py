"""The reference pages are up to date; orders, messages, models and tables say what their sources say."""

from __future__ import annotations

import random
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

from ccw import eckd_flags, escon, pprc_codes
from ccw.eckd import DefineExtent, Prefix
from ccw.errors import FormatError
from ccw.escon import LinkControl
from ccw.formats import FORMATS, format_named
from ccw.geometry import MODELS, geometry_for, geometry_of
from ccw.layout import Layout
from ccw.link_control_fields import LINK_CONTROL_FIELDS, decode_link_control_field
from ccw.sense_messages import FORMATS as SENSE_FORMATS
from ccw.sense_messages import MESSAGES, action_text, message_text
from ccw.subsystem_orders import (
    SUBSYSTEM_ORDERS,
    Order,
    decode_subsystem_order,
    prefix_order,
    subsystem_order_length,
)
from tests.helpers.formats import vectors_by_format
from tools import formats_reference

VECTORS = vectors_by_format()


def test_pages_are_up_to_date() -> None:
    assert formats_reference.main(["--check"]) == 0, "run python -m tools.formats_reference"


def test_a_page_that_is_not_up_to_date_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(formats_reference, "FOLDER", tmp_path)
    assert formats_reference.main([]) == 0 and formats_reference.main(["--check"]) == 0
    page = tmp_path / "eckd.md"
    page.write_text(page.read_text().replace("| 2 | 2 | block_size |", "| 2 | 3 | block_size |"))
    assert formats_reference.main(["--check"]) == 1
    assert "eckd.md is not up to date" in capsys.readouterr().err


def test_every_format_is_described_once() -> None:
    pages = formats_reference.pages()
    for entry in FORMATS:
        assert pages[f"{entry.page}.md"].count(f"\n## {entry.name}\n") == 1
    assert len({entry.name for entry in FORMATS}) == len(FORMATS)


def test_the_class_of_a_layout_carries_its_table() -> None:
    doc = DefineExtent.__doc__ or ""
    assert "         2      2  block_size" in doc and "         8      4  first" in doc and "bits of FileMask" in doc
    for entry in FORMATS:
        for part in entry.parts:
            if isinstance(part, Layout) and part.describes is not None:
                assert part.table() in (part.describes.__doc__ or ""), entry.name


# --- dispatch ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", sorted(SUBSYSTEM_ORDERS))
def test_every_order_is_found_by_its_first_byte(order: int) -> None:
    length = subsystem_order_length(bytes((order,)))
    assert length is not None
    data = bytes((order,)) + bytes(length - 1)
    value = decode_subsystem_order(data)
    assert type(value) is SUBSYSTEM_ORDERS[order] and value.encode() == data
    for wrong in (data[:-1], data + b"\0"):
        with pytest.raises(FormatError):
            decode_subsystem_order(wrong)


def test_unknown_orders() -> None:
    for data in (b"", b"\x17\0", b"\x19" * 12, b"\xd0" * 48):
        with pytest.raises(FormatError):
            decode_subsystem_order(data)
        assert subsystem_order_length(data) is None
    assert subsystem_order_length(bytes((0x81,)) + bytes(19) + b"\0\2\0\0") == 40


def test_order_in_a_prefix() -> None:
    by_format = {vector.data[0]: vector.data for vector in VECTORS["prefix"]}
    order = prefix_order(Prefix.decode(by_format[2]))
    assert type(order) is SUBSYSTEM_ORDERS[Order.PREPARE_FOR_READ] and order.encode()[6] == 1
    for data in (by_format[0], by_format[2][:44] + bytes(20), by_format[2][:44] + b"\x1d" + bytes(19)):
        with pytest.raises(FormatError):
            prefix_order(Prefix.decode(data))


def test_every_link_control_function_has_a_field() -> None:
    assert set(LINK_CONTROL_FIELDS) == set(LinkControl)
    source = random.Random(0)
    for function in (*LinkControl, 0x00, 0xFF):
        for length in (0, 3, 4, 5, 32, 36, 44, 100):
            data = source.randbytes(length)
            try:
                assert decode_link_control_field(function, data).encode() == data
            except FormatError as error:
                assert error.offset is None or error.offset <= length


# --- sense and geometry -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("byte_7", "text"), [
    (0x04, "program or system check: invalid parameter"),
    (0x0E, "program or system check: command invalid on secondary address"),
    (0x3F, "control unit check: allegiance ended by another system"),
    (0x43, "data check without displacement: data"),
    (0x4D, "data check without displacement: no synchronisation in count, offset active"),
    (0x5A, "data check with displacement: key, offset active"),
    (0xF5, "cache storage check: remote copy paths removed or restored"),
    (0xFB, "cache storage check: duplex pair suspended"),
    (0x06, "program or system check: message 6, reserved"), (0xA0, "format A, reserved: message 0, reserved"),
])
def test_format_and_message(byte_7: int, text: str) -> None:
    assert message_text(byte_7) == text


def test_all_bytes_have_words() -> None:
    assert {sense_format for sense_format, _ in MESSAGES} <= set(SENSE_FORMATS)
    for number in range(256):
        assert message_text(number) and action_text(number)
    assert action_text(0x1D) == "state change pending: wait"
    assert action_text(0x92) == "retry 10 times, use another path"


@pytest.mark.parametrize(("kind", "codes"), [
    (escon.LinkControl, "01 09 11 19 21 29 41 49 51 59 61 69 81 89 91 99 A1"),
    (escon.RemovedReason, "00 01 02 03 04"), (escon.RejectReason, "01 05 06 07 08 09 0A 0B"),
    (escon.PortRejectReason, "01 02 03 04"), (escon.PortBusyReason, "01 02"),
    (escon.ControlFunction, "00 10 20 30 40 50 60 70 80 90 A0 B0 C1 D0"),
    (escon.PurgePathError, "00 01 02 03 04 05 06 07 08 09 0A 0B 0C 0D 0E 0F 10"),
    (eckd_flags.WriteControl, "00 01 02 03"), (eckd_flags.SeekControl, "00 01 02 03"),
    (eckd_flags.Authority, "00 01 02 03"), (eckd_flags.Caching, "00 01 02 03 04 05"),
    (eckd_flags.Orientation, "00 01 02 03"), (eckd_flags.LocateCode, "00 01 03 06 0B 0C 16 3F"),
    (eckd_flags.ExtendedOperation, "09 0A 0E 10 11 13 23"),
    (pprc_codes.PairState, "00 01 02 03 04 05 06 07 08 09 0A"),
    (pprc_codes.PathStatus, "00 01 02 03 04 05 06 07 08 09 0A 0B 10 13 14 15 16 17 18 19 1A 1B 1C 20 21 22"),
    (pprc_codes.Reason, " ".join(f"{code:02X}" for code in range(0x40, 0x6D) if code != 0x58)),
])
def test_codes_are_those_of_the_tables(kind: type[IntEnum], codes: str) -> None:
    assert [member.value for member in sorted(kind)] == list(bytes.fromhex(codes))


def test_models_by_name() -> None:
    names = [model.name for models in MODELS.values() for model in models]
    assert len(names) == len(set(names)) == 24
    for name in names:
        device = geometry_of(name)
        assert (device.name, device.alternate_cylinders) == (name, 0)
        whole = geometry_of(name, alternates=True)
        assert whole.primary_cylinders == device.cylinders == whole.cylinders - whole.alternate_cylinders
    assert geometry_of("3380-J").model == 0x16 and geometry_for("3380", 885).name == "3380-A"
    assert geometry_of("3390-3").tracks == 50_085
    with pytest.raises(ValueError, match="no device model '3340'"):
        geometry_of("3340")


# Source: eckd-commands 2.8.4: key and data length -> records per track of 3390, 3380, 9345, and cells of the first.
CAPACITY = """
0/0 86 93 74 20|0/80 78 83 67 22|0/96 75 78 64 23|0/256 61 62 52 28|0/512 49 46 41 35|0/800 39 36 33 44
0/1024 33 31 28 51|0/2048 21 18 17 81|0/4096 12 10 10 143|0/6144 8 7 6 205|0/8192 6 5 5 267|0/16384 3 2 2 514
0/24576 2 1 1 761|0/27998 2 1 1 864|0/32760 1 1 1 1008|8/256 45 46 40 38|44/96 50 53 45 34
"""


@pytest.mark.parametrize("row", CAPACITY.strip().replace("\n", "|").split("|"))
def test_track_capacity(row: str) -> None:
    lengths, *numbers = row.split()
    key, data = map(int, lengths.split("/"))
    devices = [geometry_of(name) for name in ("3390-3", "3380-K", "9345-2")]
    assert [device.records_per_track(key, data) for device in devices] == [int(number) for number in numbers[:3]]
    assert devices[0].cells(key, data) == int(numbers[3])


LARGEST = {
    "3390-3": (56664, 27998, 18452, 13682, 10796, 8906, 7548, 6518, 5726, 5064, 4566, 4136),
    "3380-K": (47476, 23476, 15476, 11476, 9076, 7476, 6356, 5492, 4820, 4276, 3860, 3476),
    "9345-2": (46456, 22928, 15074, 11158, 8810, 7214, 6088, 5262, 4600, 4102, 3672, 3304),
}


@pytest.mark.parametrize("name", LARGEST)
def test_largest_equal_records(name: str) -> None:
    device = geometry_of(name)
    for count, length in enumerate(LARGEST[name], start=1):
        assert device.records_per_track(0, length) == count > device.records_per_track(0, length + 1)


def test_a_format_by_its_name() -> None:
    assert format_named("define extent").page == "eckd"
    with pytest.raises(KeyError):
        format_named("no such format")
