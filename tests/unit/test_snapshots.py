"""Snapshots by name: what each verb does, refuses and leaves in the log; and that crashes leave whole ones or none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ccw.geometry import geometry_for
from controller.app import open_store
from controller.array import MemoryDisk, UnknownVolumeError, VirtualArrayStore
from controller.array.snapshots import SnapshotCatalog, SnapshotError
from controller.array.volumes import (
    FIRST_SNAPSHOT,
    HOST_VOLUMES,
    VolumeExistsError,
    begin_volume,
    complete_volume,
    create_volume,
    delete_volume,
    host_volumes,
    unfinished,
    volume_of,
)
from controller.config import check_config
from tests.helpers.image_files import track_image

GEOMETRY = geometry_for("3390", 10)


def image(text: str) -> bytes:
    return track_image("3390", 5, [text.encode()])


@pytest.fixture
def store() -> VirtualArrayStore:
    store = VirtualArrayStore.open(MemoryDisk())
    create_volume(store, 0x0A, GEOMETRY, {5: image("one")})
    return store


def never(volume: int) -> str | None:
    return None


def test_a_snapshot_keeps_what_the_volume_held(store: VirtualArrayStore) -> None:
    catalog = SnapshotCatalog(store)
    first, _ = catalog.create(0x0A, "first", 1000.5)
    store.write(0x0A, 5, image("two"))
    second, _ = catalog.create(0x0A, "second", 2000.0)
    store.write(0x0A, 5, image("three"))
    assert [(found.name, found.created) for found in catalog.of(0x0A)] == [("first", 1000.5), ("second", 2000.0)]
    assert store.read(first.number, 5) == image("one") and store.read(second.number, 5) == image("two")
    sequence = catalog.restore(0x0A, "first", never)
    assert store.read(0x0A, 5) == image("one") and sequence == store.appended
    catalog.clone(0x0A, "second", 0x0B)
    assert store.read(0x0B, 5) == image("two") and volume_of(store, 0x0B).geometry == GEOMETRY
    catalog.delete(0x0A, "second")
    assert [found.name for found in catalog.all()] == ["first"]
    assert store.read(0x0B, 5) == image("two")
    with pytest.raises(UnknownVolumeError):
        store.read(second.number, 5)


def test_a_reopened_store_knows_its_snapshots() -> None:
    disk = MemoryDisk()
    with VirtualArrayStore.open(disk) as store:
        for volume in (0x0A, 0x0B):
            create_volume(store, volume, GEOMETRY, {5: image("one")})
        catalog = SnapshotCatalog(store)
        for number, (volume, name) in enumerate([(0x0B, "b"), (0x0A, "z"), (0x0A, "y")]):
            catalog.create(volume, name, 100.0 - number)
        known = catalog.all()
    with VirtualArrayStore.open(disk) as store:
        catalog = SnapshotCatalog(store)
        assert catalog.all() == known and [found.name for found in known] == ["y", "z", "b"]
        assert catalog.create(0x0A, "x", 5.0)[0].number > max(found.number for found in known)


def test_names_that_are_taken_or_are_none(store: VirtualArrayStore) -> None:
    catalog = SnapshotCatalog(store)
    catalog.create(0x0A, "a.b-c_1", 0.0)
    create_volume(store, 0x0B, GEOMETRY, {})
    catalog.create(0x0B, "a.b-c_1", 0.0)
    before = store.appended
    with pytest.raises(SnapshotError, match=r"volume 0A has a snapshot 'a\.b-c_1' already"):
        catalog.create(0x0A, "a.b-c_1", 0.0)
    for name in ("", "-a", ".a", "a b", "ä", "a/b", "a\n", "a" * 65):
        with pytest.raises(SnapshotError, match="cannot name a snapshot"):
            catalog.create(0x0A, name, 0.0)
    for verb in (catalog.find, catalog.delete, lambda v, n: catalog.restore(v, n, never),
                 lambda v, n: catalog.clone(v, n, 0x0C)):  # fmt: skip
        with pytest.raises(SnapshotError, match="volume 0A has no snapshot 'b'"):
            verb(0x0A, "b")
    with pytest.raises(UnknownVolumeError):
        catalog.create(0x0F, "a", 0.0)
    assert store.appended == before, "what was refused left something in the log"


def test_what_restore_and_clone_refuse(store: VirtualArrayStore) -> None:
    catalog = SnapshotCatalog(store)
    catalog.create(0x0A, "s", 0.0)
    store.write(0x0A, 5, image("two"))
    before = store.appended
    with pytest.raises(SnapshotError, match="volume 0A cannot be restored: it is the primary of pair 3"):
        catalog.restore(0x0A, "s", lambda volume: "it is the primary of pair 3")
    with pytest.raises(VolumeExistsError, match="volume 0A exists already"):
        catalog.clone(0x0A, "s", 0x0A)
    with pytest.raises(ValueError, match="not a number that hosts can see"):
        catalog.clone(0x0A, "s", HOST_VOLUMES)
    assert store.appended == before and store.read(0x0A, 5) == image("two")
    delete_volume(store, 0x0A)
    with pytest.raises(UnknownVolumeError):
        catalog.restore(0x0A, "s", never)
    create_volume(store, 0x0A, geometry_for("3390", 11), {})
    with pytest.raises(SnapshotError, match="a 3390-1 of 11 cylinders, its snapshot 's' one of a 3390-1 of 10"):
        catalog.restore(0x0A, "s", never)
    catalog.clone(0x0A, "s", 0x0B)
    assert store.read(0x0B, 5) == image("one")


def test_a_thousand_snapshots_of_one_volume(store: VirtualArrayStore) -> None:
    catalog = SnapshotCatalog(store)
    for number in range(1000):
        store.write(0x0A, number % 150, image(f"text {number}"))
        catalog.create(0x0A, f"s{number}", float(number))
    again = SnapshotCatalog(store)
    assert len(again.of(0x0A)) == 1000
    for number in (0, 499, 999):
        assert store.read(again.find(0x0A, f"s{number}").number, number % 150) == image(f"text {number}")
    assert store.read(again.find(0x0A, "s10").number, 11) is None


def test_each_verb_adds_a_few_records_whatever_the_size() -> None:
    """I11: the record that matters is one; the others prepare it."""
    counts = []
    for cylinders in (1, 3339):
        store = VirtualArrayStore.open(MemoryDisk())
        geometry = geometry_for("3390", cylinders)
        create_volume(store, 1, geometry, {track: image("x") for track in range(0, geometry.tracks, 97)})
        catalog = SnapshotCatalog(store)
        before = store.appended
        catalog.create(1, "s", 0.0)
        catalog.restore(1, "s", never)
        catalog.clone(1, "s", 2)
        catalog.delete(1, "s")
        counts.append(store.appended - before)
    assert counts == [3 + 1 + 3 + 1] * 2


def cut_off(store: VirtualArrayStore, records: int) -> Callable[..., int]:
    """From now on the store's log takes this many records more, then the machine is gone."""
    change = store._change
    left = [records]

    def limited(*arguments: object, **named: object) -> int:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return change(*arguments, **named)  # type: ignore[arg-type]

    store._change = limited  # type: ignore[method-assign]
    return change


@pytest.mark.parametrize("records", range(4))
@pytest.mark.parametrize("verb", ["create", "clone"])
def test_cut_off_after_any_record_it_is_there_or_not(verb: str, records: int) -> None:
    disk = MemoryDisk()
    store = VirtualArrayStore.open(disk)
    create_volume(store, 1, GEOMETRY, {5: image("one")})
    SnapshotCatalog(store).create(1, "old", 0.0)
    store.sync()
    catalog = SnapshotCatalog(store)
    cut_off(store, records)
    try:
        if verb == "create":
            catalog.create(1, "new", 1.0)
        else:
            catalog.clone(1, "old", 2)
    except KeyboardInterrupt:
        pass
    store.sync()
    store = VirtualArrayStore.open(disk)
    catalog = SnapshotCatalog(store)
    if verb == "create":
        names = [found.name for found in catalog.of(1)]
        assert names == (["old", "new"] if records == 3 else ["old"])
        assert all(store.read(found.number, 5) == image("one") for found in catalog.of(1))
        assert len(unfinished(store)) == (0 < records < 3)
        catalog.create(1, "next", 2.0)
        assert unfinished(store) == {}
    else:
        assert [info.number for info in host_volumes(store)] == ([1, 2] if records == 3 else [1])
        if records < 3:
            catalog.clone(1, "old", 2)
        assert store.read(2, 5) == image("one")


def test_numbers_and_unfinished_volumes(store: VirtualArrayStore) -> None:
    for number in (-1, HOST_VOLUMES, FIRST_SNAPSHOT):
        with pytest.raises(ValueError, match="not a number that hosts can see"):
            begin_volume(store, number, {})
        with pytest.raises(ValueError, match="not a number that hosts can see"):
            delete_volume(store, number)
    begin_volume(store, 3, {"importing": "something"})
    assert unfinished(store) == {3: {"importing": "something"}}
    with pytest.raises(UnknownVolumeError):
        volume_of(store, 3)
    with pytest.raises(UnknownVolumeError):
        SnapshotCatalog(store).create(3, "s", 0.0)
    complete_volume(store, 3, GEOMETRY)
    assert [info.number for info in host_volumes(store)] == [3, 0x0A]


def test_a_system_passes_over_snapshots(tmp_path: Path) -> None:
    table = {"name": "A", "serial": "A1", "ssid": "0001", "store": "store",
             "volume": [{"address": "0A", "type": "3390", "cylinders": 10}]}  # fmt: skip
    config = check_config(table, tmp_path)
    with open_store(config) as store:
        store.write(0x0A, 5, image("one"))
        SnapshotCatalog(store).create(0x0A, "s", 0.0)
    with open_store(config) as store:
        assert [info.number for info in host_volumes(store)] == [0x0A]
        assert [found.name for found in SnapshotCatalog(store).all()] == ["s"]
