"""Filters by columns against filters packet by packet: the same packets, the same errors, whatever the records are."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from random import Random

import pytest

from ccw.errors import FormatError
from ccw.pcapng import LINKTYPE_FC_2, LINKTYPE_USER0, Direction, Interface, Packet
from ccw.records import RawFrame, SequenceRecord, encode_raw
from tests.fuzz.mutation import mend_frame
from tests.helpers.equivalence import HOT, mutated
from tools import frame_columns
from tools.frame_columns import candidates
from tools.frame_views import TYPES, Filter, View, view_packet

OURS, FC = Interface(0, LINKTYPE_USER0, "A 0001/1"), Interface(1, LINKTYPE_FC_2, "F")
PAGES = 6
FILTERS = [
    Filter(kind=kind, device=device, command=command)
    for kind, device, command in product(("", *TYPES), (None, 0x10, 0xFF), (None, 0x02, 0x63))
]


def _record(source: Random) -> bytes:
    chance = source.random()
    if chance < 0.1:
        return encode_raw(SequenceRecord(source.randrange(1, 6)))
    if chance < 0.15:
        return source.randbytes(source.randrange(12))       # mostly no record at all
    payload = mutated(HOT[0], source)
    if chance < 0.6:
        payload = mend_frame(payload)
    flags = source.choice((0, 1, 2, 3, 3, 4, 5))
    return encode_raw(RawFrame(payload, bool(flags & 1), bool(flags & 2), bool(flags & 4)))


def _page(source: Random, bad: bool) -> list[Packet]:
    page: list[Packet] = []
    while len(page) < 300:
        data = _record(source)
        interface = OURS if source.random() < 0.95 else FC
        packet = Packet(len(page) + 1, interface, 0, Direction.SENT, data, 0)
        if not bad:
            try:
                view_packet(packet)
            except FormatError:
                continue
        page.append(packet)
    return page


@lru_cache(maxsize=1000)
def _view(packet: Packet) -> View | str:
    try:
        return view_packet(packet)
    except FormatError as error:
        return str(error)


def _result(packets: list[Packet], wanted: Filter) -> tuple[list[int], str]:
    found: list[int] = []
    for packet in packets:
        view = _view(packet) if wanted.wants_packet(packet) else None
        if isinstance(view, str):
            return found, view
        if view is not None and wanted.wants(view):
            found.append(packet.number)
    return found, ""


@pytest.mark.parametrize("seed", range(PAGES))
def test_columns_find_what_looking_finds(seed: int) -> None:
    page = _page(Random(seed), bad=seed % 3 == 0)
    for wanted in FILTERS:
        assert _result(list(candidates(page, wanted)), wanted) == _result(page, wanted), wanted


def test_columns_leave_little_to_look_at() -> None:
    page = _page(Random(5), bad=False)
    wanted = Filter(device=0x10, kind="command", command=0x02)
    kept = [packet for packet in candidates(page, wanted) if packet.interface is OURS]
    assert 0 < len(kept) < len(page) // 5


def test_columns_that_drop_too_much_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_columns, "_TYPES", dict.fromkeys(frame_columns._TYPES, 2))
    page = _page(Random(1), bad=False)
    wanted = Filter(kind="command")
    assert _result(list(candidates(page, wanted)), wanted) != _result(page, wanted)
