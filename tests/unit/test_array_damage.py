"""Every byte of a log damaged, one at a time: refused, got around, or harmless; never returned as data (I3).

For each damage exactly these may happen: opening refuses with one line; or the store opens, and then each track reads
as it was or raises CorruptionError, and volumes, values and sequences are the oracle's. The log was closed in order, so
not even its last batch may get lost.
"""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from ccw.errors import FormatError
from controller.array import CorruptionError, DiskError, MemoryDisk, StoreError, VirtualArrayStore
from controller.array.format import RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, Kind, record_bytes
from controller.array.parity import ParityDisk, open_parity
from tests.helpers.crash_medium import CrashMedium, OnlyRead
from tests.helpers.crash_script import Player, check_contents, image_of, make_script, open_store
from tests.helpers.oracle import DictStore

SMALL = [
    ("open",),
    ("create", 1),
    ("write", 1, 0, bytes(5) + b"card" * 40),
    ("write_stored", 1, 1, image_of(Random(1))),
    ("move", 1, 1, 1, 2),
    ("take", 1, "monday"),
    ("put", "pair/1", b"suspended"),
    ("checkpoint",),
    ("housekeep", 1 << 20),
    ("sync",),
    ("housekeep", 1 << 20),
    ("snapshot_extent", 1, 0, 3, 1, 10),
    ("release_space", 1, 10, 11),
    ("define_volume", 5, {"number": 5}),
    ("delete_volume", 5),
    ("close",),
]


def outcome(medium: CrashMedium, oracle: DictStore) -> str:
    """What the store makes of the damage. Fails when it is something that it must not be."""
    try:
        store = open_store(OnlyRead(medium))
    except (StoreError, FormatError) as error:
        assert str(error)
        assert "\n" not in str(error)
        return "refused"
    assert store.volumes() == oracle.volumes()
    assert store.items() == oracle.items()
    damaged = 0
    for volume, tracks in oracle.tracks.items():
        assert store.written_since(volume, 0).tolist() == sorted(tracks)
        for track, (stored, sequence, _) in tracks.items():
            assert store.sequence_of(volume, track) == sequence
            try:
                assert store.read_stored(volume, track) == stored
            except CorruptionError:
                damaged += 1
    if damaged:
        return "a track refused"
    return "got around" if store.notices else "harmless"


def played(steps: list[tuple[Any, ...]]) -> tuple[CrashMedium, DictStore]:
    medium = CrashMedium()
    player = Player(medium)
    for step in steps:
        player.play(step)
    return medium, player.twin.oracle


def test_each_byte_of_a_segment_is_guarded() -> None:  # I3
    medium, oracle = played(SMALL)
    assert set(medium.contents) == {1}
    data = medium.contents[1].durable
    end = len(data.rstrip(b"\0"))
    assert end > 1800
    found: Counter[str] = Counter()
    chance = Random(3)
    spare = not_needed(data)
    for offset in range(end):
        flipped = data[offset] ^ (1 << chance.randrange(8))
        seen = outcome(medium.damaged(1, offset, bytes((flipped,))), oracle)
        assert seen != "harmless" or offset in spare, offset
        found[seen] += 1
    for offset in range(end, len(data), 7):
        assert outcome(medium.damaged(1, offset, b"\xff"), oracle) == "harmless"
    assert min(found["refused"], found["a track refused"], found["got around"]) > 0, found


def not_needed(data: bytes) -> set[int]:
    """Bytes that nobody needs: padding; what a checkpoint made superfluous, but for tracks; CLOSE, at the very end."""
    spare: set[int] = set()
    at, past = SEGMENT_HEADER_BYTES, True
    while data[at : at + 4] == b"TBLR":
        kind = data[at + 5]
        payload = int.from_bytes(data[at + 32 : at + 36])
        past = past and kind != Kind.CHECKPOINT
        stop = at + record_bytes(payload)
        needless = kind == Kind.CLOSE or (past and kind != Kind.TRACK)
        spare.update(range(at if needless else at + RECORD_HEADER_BYTES + payload, stop))
        at = stop
    return spare


def test_a_segment_holds_records_of_every_small_kind() -> None:
    medium, _ = played(SMALL)
    data = medium.contents[1].durable
    kinds = {data[at + 5] for at in range(0, len(data), 8) if data[at : at + 4] == b"TBLR"}
    assert kinds == {*range(Kind.TRACK, Kind.CHECKPOINT + 1), Kind.EXTENT}


def batter(count: int, seed: int) -> Counter[str]:
    """Some bytes of a whole log are others: bits, sectors of zeros, of garbage, of another place or segment."""
    medium, oracle = played(make_script()[:-3])  # up to an end in order, then opened again
    store = open_store(medium)
    check_contents(store, oracle)
    store.close()
    chance = Random(seed)
    found: Counter[str] = Counter()
    for _ in range(count):
        number = chance.choice(sorted(medium.contents))
        length = chance.choice((1, 2, 8, 72, 512, 2048))
        offset = chance.randrange(4096 // length) * length
        other = medium.contents[chance.choice(sorted(medium.contents))].durable
        start = chance.randrange(0, 4096 - length + 1, 8 if length >= 8 else 1)
        data = chance.choice((bytes(length), chance.randbytes(length), other[start : start + length]))
        found[outcome(medium.damaged(number, offset, data), oracle)] += 1
    return found


def test_damage_anywhere_is_never_data() -> None:  # I3, I6
    found = batter(150, 1)
    assert min(found["refused"], found["a track refused"], found["harmless"]) > 0, found


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 12))
def test_much_damage_anywhere_is_never_data(seed: int) -> None:  # I3, I6
    assert sum(batter(5000, seed).values()) == 5000


def made_on_parity(devices: int, parity: int) -> tuple[list[MemoryDisk], DictStore]:
    disks = [MemoryDisk() for _ in range(devices)]
    player = Player(open_parity(disks, parity=parity, chunk_bytes=256, journal_bytes=1 << 14))
    for step in make_script(length=120):
        if step[0] == "reopen":
            continue
        player.play(step)
    return disks, player.twin.oracle


def copies(disks: list[MemoryDisk]) -> list[MemoryDisk]:
    made = []
    for disk in disks:
        copy = MemoryDisk()
        for number, length in disk.segments().items():
            copy.create(number, length, disk.read(number, 0, length))
        made.append(copy)
    return made


def one_device_damaged(disks: list[MemoryDisk], oracle: DictStore, parity: int, chance: Random) -> str:
    """Repaired by parity, or one line: a wrong byte never comes out."""
    devices = copies(disks)
    device = devices[chance.randrange(len(devices))]
    number = chance.choice(sorted(device.segments()))
    length = chance.choice((1, 64, 600))
    offset = chance.randrange(max(device.segments()[number] - length, 1))
    device.damage(number, offset, chance.randbytes(length))
    try:
        disk: ParityDisk = open_parity(devices, parity=parity)
        store: VirtualArrayStore = open_store(disk)
    except (StoreError, FormatError) as error:
        assert "\n" not in str(error)
        return "refused"
    wrong = "harmless"
    assert store.volumes() == oracle.volumes()
    assert store.items() == oracle.items()
    for volume, tracks in oracle.tracks.items():
        for track, (stored, _, _) in tracks.items():
            try:
                assert store.read_stored(volume, track) == stored
            except (CorruptionError, DiskError):
                wrong = "a track refused"
    return wrong


@pytest.mark.parametrize(("devices", "parity", "count"), [(3, 1, 60), (5, 2, 40)])
def test_damage_on_one_device_is_never_data(devices: int, parity: int, count: int) -> None:  # I3
    disks, oracle = made_on_parity(devices, parity)
    chance = Random(devices)
    found = Counter(one_device_damaged(disks, oracle, parity, chance) for _ in range(count))
    print(found)
    assert found["harmless"] > count // 2, found


# Stores that are broken on purpose must be caught.


def without_checksums(patch: pytest.MonkeyPatch) -> None:
    """I3: the payload of a track is returned as it is."""
    patch.setattr("controller.array.record_reader.digest", lambda *what: _Anything())


class _Anything:
    def __ne__(self, other: object) -> bool:
        return False

    __eq__ = object.__eq__
    __hash__ = object.__hash__


def headers_unchecked(patch: pytest.MonkeyPatch) -> None:
    """The header of a record is believed without its checksum."""
    patch.setattr("controller.array.format.digest", lambda data, seed=0: 0)


def tail_forgiven(patch: pytest.MonkeyPatch) -> None:
    """R5: what cannot be read at the end of the log always passes for a torn tail."""
    patch.setattr("controller.array.recovery._Segment.durable_behind", lambda self, offset: 0)


@pytest.mark.parametrize("broken", [without_checksums, headers_unchecked, tail_forgiven])
def test_a_store_that_trusts_is_caught(
    broken: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    if broken is headers_unchecked:
        broken(monkeypatch)  # the store writes what it expects
    medium, oracle = played(SMALL)
    broken(monkeypatch)
    data = medium.contents[1].durable
    with pytest.raises(AssertionError):
        for offset in range(len(data.rstrip(b"\0"))):
            outcome(medium.damaged(1, offset, bytes((data[offset] ^ 0x11,))), oracle)
