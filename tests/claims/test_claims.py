"""The sixteen claims of WO 01/67247, one test each, named after its number. The sentences quoted are the claims'."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from ccw.bridge import StatusPacket
from controller.remote_copy.states import PairState
from controller.remote_copy.status_inbox import StatusInbox
from tests.claims.sites import GEOMETRY, sites, write
from tests.helpers import operator
from tests.helpers.copying import core, duplex, equal, format_track
from tests.helpers.operator import order, set_up_bridge
from tests.helpers.patience import PATIENCE_S
from tests.helpers.physical import slot_of
from tests.helpers.two_systems import Rig, rig, until

P_DB = S_DB = 0xF0  # primary and secondary data bridge volume
WAN = "{ rtt_ms = 30, rate_mbit = 50, loss_percent = 0.5 }"


class EventsWatched(list[dict[str, object]]):
    """A rig's events; `look` is called when a step is logged, before anything else happens."""

    def __init__(self, look: Callable[[str, int, dict[str, object]], None]) -> None:
        super().__init__()
        self._look = look

    def append(self, event: dict[str, object]) -> None:
        super().append(event)
        if event["step"] is not None:
            self._look(str(event["box"]), int(str(event["step"])), event)


def watch(r: Rig, look: Callable[[str, int, dict[str, object]], None]) -> EventsWatched:
    r.events = r.a.events = r.b.events = EventsWatched(look)
    return r.events


async def fill(r: Rig, to_a: object, *volumes: int) -> None:
    for volume in volumes:
        for track in range(0, 30, 3):
            await format_track(to_a, volume, track, f"volume {volume} track {track}")  # type: ignore[arg-type]


# The method


async def test_claim_01_link_pointers_transfer_redirection(autojump_clock: object) -> None:
    """A link between the bridge volumes; "copying ... by using pointers to the data"; over the link; to the volume."""
    seen: list[int] = []

    def look(box: str, step: int, event: dict[str, object]) -> None:
        seen.append(step)
        if step == 704:
            a = r.a.running.store
            assert all(a.read(P_DB, track) == a.read(0, track) for track in range(30))
            assert a.appended == before["records"] + 1  # one record says it all: no data was copied
        if step == 702:
            before["records"] = r.a.running.store.appended + 0

    before: dict[str, int] = {}
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await fill(r, to_a, 0)
        watch(r, look)
        await set_up_bridge(to_a, to_b)
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await until(lambda: duplex(r, 0))
        a, b = r.a.running.statistics(), r.b.running.statistics()
        assert a["tracks_copied"] == b["tracks_applied"] == 30
        assert equal(r, 0)
    assert [step for step in seen if step in (614, 704, 706, 708)] == [614, 704, 706, 708]


async def test_claim_02_queue_select_snap_remove(autojump_clock: object) -> None:
    """In this order: "placing primary storage volumes ... selecting one ... copying ... removing the selected"."""
    queued: list[tuple[int, str, list[int]]] = []

    def look(box: str, step: int, event: dict[str, object]) -> None:
        if box == "A" and step in (700, 702, 704):
            queued.append((step, str(event["volume"]), [pair.volume for pair in core(r.a).queue.pairs()]))

    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await fill(r, to_a, 0)
        watch(r, look)
        await set_up_bridge(to_a, to_b)
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await until(lambda: duplex(r, 0))
    assert queued[:3] == [
        (700, "00", [0]),
        (702, "00", [0]),
        (704, "00", []),
    ]  # selected while queued, snapped, removed


async def test_claim_03_then_a_second_volume(autojump_clock: object) -> None:
    """Claimed: "selecting a second ... copying ... removing", after the first, by the same bridge."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await fill(r, to_a, 0, 1)
        await set_up_bridge(to_a, to_b)
        for volume in (0, 1):
            assert (await order(to_a, volume, operator.establish_pair(volume))).completed
        assert [pair.volume for pair in core(r.a).queue.pairs()] == [1]
        await until(lambda: duplex(r, 0) and duplex(r, 1))
        steps = [(e["step"], e["volume"]) for e in r.events if e["box"] == "A" and e["step"] in (702, 704)]
        firsts = list(dict.fromkeys(steps))
        assert firsts == [(702, "00"), (704, "00"), (702, "01"), (704, "01")]
        assert equal(r, 0)
        assert equal(r, 1)


async def test_claim_04_status_over_bridge_volumes_of_its_own(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A status link; status is generated at the secondary, placed on its status volume, and sent to the primary's."""
    packets: list[StatusPacket] = []
    record = StatusInbox.record
    monkeypatch.setattr(
        StatusInbox, "record", lambda inbox, data: (packets.append(StatusPacket.decode(data)), record(inbox, data))[1]
    )
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await fill(r, to_a, 0)
        await set_up_bridge(to_a, to_b)
        data, status = core(r.a).sending[1].data_path, core(r.a).sending[1].status_path
        assert data is not None
        assert status is not None
        assert data.said != status.said
        assert status.turned  # status flows the other way, on a path of its own
        wire = r.a.running.adapters.by_said
        before = wire[status.said].bytes_wire
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await until(lambda: duplex(r, 0))
        told = {entry.sequence for packet in packets for entry in packet.entries}
        assert len(told) == 31  # thirty tracks and the end of the volume
        assert wire[status.said].bytes_wire > before
    assert [step for box, step in r.steps() if step in (608, 610, 612) and box == "A"] == [608, 610, 612]


async def test_claim_05_data_does_not_wait_for_status(autojump_clock: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data goes on without any status: "transfer of data and transfer of status information occurs asynchronously"."""
    held: list[tuple[StatusInbox, bytes]] = []
    record = StatusInbox.record
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await fill(r, to_a, 0)
        await set_up_bridge(to_a, to_b)
        monkeypatch.setattr(StatusInbox, "record", lambda inbox, data: held.append((inbox, data)))
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await trio.sleep(1)
        sender = core(r.a).sending[1].worker.sender
        assert sender is not None
        assert sender.acknowledged == 0
        assert sender.outstanding == 30  # the whole volume is at the other side, in more than one chain
        assert r.b.running.statistics()["tracks_applied"] == 30
        monkeypatch.setattr(StatusInbox, "record", record)
        for inbox, data in held:
            record(inbox, data)
        await until(lambda: duplex(r, 0))
        assert equal(r, 0)


async def test_claim_06_volumes_that_are_physical_devices(tmp_path: Path) -> None:
    """Claimed: "the primary storage volumes and the secondary ... are physical devices": each lies in place."""
    async with sites(tmp_path, physical=True) as s, s.host() as host:
        await write(host, 0, 3, "in place")
        await s.until_duplex(0)
        assert s.equal(0)
        assert s.all_in_place()


async def test_claim_07_which_are_disk_drives(tmp_path: Path) -> None:
    """Claimed: "the physical devices are disk drives": tracks at their places of a 3390, found there by offset."""
    text = "on both drives"
    async with sites(tmp_path, physical=True) as s, s.host() as host:
        await write(host, 0, 3, text)
        await s.until_duplex(0)
        with trio.fail_after(PATIENCE_S):
            while not all(text.encode("cp037") in slot_of(s.image(site, 0), 3, GEOMETRY) for site in ("A", "B")):
                await trio.sleep(0.05)  # until it is written through from the log
        assert slot_of(s.image("A", 0), 3, GEOMETRY) == slot_of(s.image("B", 0), 3, GEOMETRY)


async def test_claim_08_volumes_that_are_virtual_devices(autojump_clock: object) -> None:
    """Claimed: "are virtual devices". A volume is a map of pointers; a track that was never written has none."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await format_track(to_a, 0, 7, "the only track")
        await set_up_bridge(to_a, to_b)
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await until(lambda: duplex(r, 0))
        for site in (r.a, r.b):
            assert [track for track in range(30) if site.running.store.read(0, track) is not None] == [7]


# The system


async def test_claim_09_a_hosts_write_initiates_it_all(tmp_path: Path) -> None:
    """Claimed: "writing of data by the host computer ... initiates establishing a link, copying ... transferring"."""
    async with sites(tmp_path) as s, s.host() as host:
        await s.until_linked()
        assert s.state(0) is PairState.SIMPLEX
        assert not list(s.core.paths)  # nothing is established, though the links have light
        await write(host, 0, 3, "initiates")
        await s.until_duplex(0)
        assert s.equal(0)
        assert [step for step in s.steps("A") if step in (602, 614, 704, 706)] == [602, 614, 704, 706]
        assert 708 in s.steps("B")


async def test_claim_10_over_a_wide_area_network(tmp_path: Path) -> None:
    """Claimed: "the network is a wide area network": 30 ms there and back, 50 Mbit/s, and segments get lost."""
    async with sites(tmp_path, shape=WAN) as s, s.host() as host:
        await write(host, 0, 3, "far away")
        await s.until_duplex(0)
        began = trio.current_time()
        await write(host, 0, 4, "and back")
        assert trio.current_time() - began >= 0.030  # it has been there
        assert s.equal(0)


async def test_claim_11_over_a_local_area_network(tmp_path: Path) -> None:
    """Claimed: "the network is a local area network": TCP between two systems that a network as it is connects."""
    async with sites(tmp_path) as s, s.host() as host:
        await write(host, 1, 29, "next door")
        await s.until_duplex(1)
        await write(host, 1, 28, "at once")
        assert s.equal(1)


async def test_claim_12_the_write_initiates_the_queue_too(tmp_path: Path) -> None:
    """Claimed: "further initiates establishing a ... queue, placing ... selecting ... copying ... and removing"."""
    async with sites(tmp_path) as s, s.host() as host:
        await write(host, 0, 3, "queued")
        await s.until_duplex(0)
        assert [step for step in s.steps("A") if step in (700, 702, 704)][:3] == [700, 702, 704]
        assert len(s.core.queue) == 0


async def test_claim_13_and_a_second_volume_after_the_first(tmp_path: Path) -> None:
    """Two writes and no order: "after the selected ... has been removed ... further initiates selecting a second"."""
    async with sites(tmp_path) as s, s.host() as host:
        await write(host, 0, 3, "first")
        await write(host, 1, 3, "second")
        await s.until_duplex(0, 1)
        steps = s.steps("A")
        assert steps.count(602) == 1  # one bridge for both
        assert steps.count(700) == 2
        assert steps.index(704) < len(steps) - 1 - steps[::-1].index(702)  # the first was removed before the second
        assert s.equal(0)
        assert s.equal(1)


async def test_claim_14_a_system_of_physical_devices(tmp_path: Path) -> None:
    """The system of claim 9 whose volumes are physical devices."""
    async with sites(tmp_path, physical=True) as s, s.host() as host:
        await write(host, 1, 5, "physical")
        await s.until_duplex(1)
        await write(host, 1, 6, "while duplex")
        assert s.equal(1)
        assert s.all_in_place()


async def test_claim_15_whose_devices_are_disk_drives(tmp_path: Path) -> None:
    """... and these are disk drives: what a host wrote is on the drive of the secondary system, at its place."""
    async with sites(tmp_path, physical=True) as s, s.host() as host:
        await write(host, 1, 5, "on the drive")
        await s.until_duplex(1)
        with trio.fail_after(PATIENCE_S):
            while "on the drive".encode("cp037") not in slot_of(s.image("B", 1), 5, GEOMETRY):
                await trio.sleep(0.05)


async def test_claim_16_a_system_of_virtual_devices(tmp_path: Path) -> None:
    """The system of claim 9 whose volumes are virtual devices: no file of theirs, only the log and its pointers."""
    async with sites(tmp_path) as s, s.host() as host:
        await write(host, 0, 3, "virtual")
        await s.until_duplex(0)
        assert s.equal(0)
        assert not list(tmp_path.glob("*.ckd"))
        assert [track for track in range(GEOMETRY.tracks) if s.b.store.read(0, track) is not None] == [3]
