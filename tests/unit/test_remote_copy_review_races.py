"""Procedures and records that outlive what they began for: no earlier copy may speak for a later one."""

from __future__ import annotations

from typing import Any

import trio

from ccw.bridge import RecordType, Result
from controller.array import CorruptionError, StoredTrack
from controller.remote_copy.bridge_record import make_record
from controller.remote_copy.pair import Pair
from controller.remote_copy.refusal import Refusal
from controller.remote_copy.secondary import destination
from controller.remote_copy.states import BridgeState, PairState
from controller.remote_copy.sync_queue import SyncQueue
from controller.remote_copy.sync_worker import SyncWorker
from host_emulator.channel import ProgramResult
from host_emulator.session import HostSession
from tests.helpers import operator
from tests.helpers.copying import NOCOPY, RESYNC, HeldStatus, core, duplex, duplex_pair, equal, format_track
from tests.helpers.operator import order, set_up_bridge
from tests.helpers.two_systems import BY_COMMAND, PEER_PORTS, Rig, rig, until


async def test_the_end_of_an_earlier_copy_does_not_end_a_later_one(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b)
        status = HeldStatus(r, RecordType.END_OF_VOLUME)
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await until(lambda: bool(status.held))
        assert (await order(to_a, 0, operator.suspend_pair(0))).completed
        await trio.sleep(0.1)  # the host hears of the state change
        await format_track(to_a, 0, 3, "after the suspension")
        assert (await order(to_a, 0, operator.establish_pair(0, mode=RESYNC))).completed
        await until(lambda: len(status.held) > 1)
        status.release(1)
        await trio.sleep(1)
        assert core(r.a).primaries[0].state is PairState.DUPLEX_PENDING
        status.release()
        await until(lambda: duplex(r, 0))
        assert equal(r, 0)


async def test_confirmations_of_an_earlier_copy_do_not_count_in_a_later_one(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        for track in range(30):
            await format_track(to_a, 0, track, "before")
        await set_up_bridge(to_a, to_b)
        status = HeldStatus(r)
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await until(lambda: len(status.held) == 30)
        assert (await order(to_a, 0, operator.suspend_pair(0))).completed
        await trio.sleep(0.1)  # the host hears of the state change
        assert core(r.a).primaries[0].out_of_sync_count == 30
        assert (await order(to_a, 0, operator.establish_pair(0, mode=RESYNC))).completed
        await until(lambda: len(status.held) == 60)
        status.release(30)
        await trio.sleep(1)
        assert core(r.a).primaries[0].out_of_sync_count == 30
        status.release()
        await until(lambda: duplex(r, 0))


async def test_an_update_under_way_is_out_of_sync_when_the_pair_is_suspended(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.a) as io, r.host(r.b) as to_b, trio.open_nursery() as nursery:
        await duplex_pair(r, to_a, to_b, 0)
        status = HeldStatus(r)
        nursery.start_soon(format_track, io, 0, 5, "under way")
        await until(lambda: bool(status.held))
        copy = r.a.running.subsystem.remote_copy  # not through the device, which is busy with the write
        copy.order(0, operator.suspend_pair(0), None, 1, lambda outcome: None)
        assert list(core(r.a).primaries[0].out_of_sync.search(1)) == [5]
        status.release()


async def test_a_late_refusal_does_not_touch_a_pair_that_is_gone(autojump_clock: object) -> None:
    """Deleted while tracks were under way: their status says that the volume is no secondary any more."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b)
        status = HeldStatus(r)
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await until(lambda: len(status.held) == 30)
        assert (await order(to_a, 0, operator.delete_pair(0))).completed
        status.held = [(header, Result.NOT_THE_SECONDARY) for header, _ in status.held]
        status.release()
        await trio.sleep(1)
        assert core(r.a).primaries == {}
        assert (await order(to_a, 1, operator.establish_pair(1))).completed
        await until(lambda: duplex(r, 1))


async def test_one_order_at_a_time_for_a_volume(autojump_clock: object) -> None:
    """The device's own busy usually sees to it, but an order outlives a reset of the path that brought it."""
    results: list[int] = []
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        copy = r.a.running.subsystem.remote_copy
        for parameters in (operator.delete_pair(0), operator.delete_pair(0), operator.suspend_pair(0)):
            copy.order(0, parameters, None, 1, lambda outcome: results.append(outcome.status))
        await trio.sleep(1)
        assert [status for status in results if status != 0x08] == [0x0E, 0x0E, 0x04]
        assert core(r.a).primaries == core(r.b).secondaries == {}


async def test_a_write_of_several_tracks_meets_a_dead_path(autojump_clock: object) -> None:
    """The path fails within the call that sends the first track; the others are out of sync as well."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        store, copy = r.a.running.store, r.a.running.subsystem.remote_copy
        link = r.a.running.adapters.by_said[PEER_PORTS["A"][0]].link
        assert link is not None
        link._channel.images.clear()
        answers: list[Refusal | None] = []
        images = [r.a.running.array.read(0, track) for track in (4, 5, 6)]
        writes = [(track, store.write(0, track, image)) for track, image in zip((4, 5, 6), images, strict=True)]
        copy.host_writes(0, writes, answers.append)
        assert [answer.format_message for answer in answers if answer is not None] == [0xFB]
        stored = next(pair for pair in core(r.a).records.pairs() if pair.is_primary)
        since = {int(track) for track in store.written_since(0, stored.epoch)}
        assert {4, 5, 6} <= {*stored.out_of_sync.search(1), *since}


async def test_a_pair_without_copy_is_mirrored_from_its_first_write(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b)
        assert (await order(to_a, 0, operator.establish_pair(0, mode=NOCOPY))).completed
        await format_track(to_a, 0, 3, "mirrored")
        assert duplex(r, 0)
        assert equal(r, 0)


async def set_up_second_bridge(to_a: HostSession, to_b: HostSession) -> None:
    await define_second_bridge(to_a, to_b)
    result = await order(to_a, 0x02, operator.establish_bridge(2, 0x02))
    assert result.completed, result


async def define_second_bridge(to_a: HostSession, to_b: HostSession) -> None:
    """Volumes 02 and 03 of both boxes are the bridge volumes of bridge 2."""
    for session, site, volume, role in ((to_a, "A", 2, 1), (to_a, "A", 3, 4), (to_b, "B", 2, 2), (to_b, "B", 3, 3)):
        assert (await order(session, volume, operator.define_bridge(site, volume, role, 2))).completed


async def test_another_bridge_takes_over_a_pair_that_is_in_step(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        await set_up_second_bridge(to_a, to_b)
        r.a.running.subsystem.link_lost(PEER_PORTS["A"][0])
        await format_track(to_a, 0, 3, "over the other bridge")
        assert duplex(r, 0)
        assert equal(r, 0)


async def test_two_bridges_may_be_established_at_once(autojump_clock: object) -> None:
    """Orders to one box stay in the order of their request sequence, whatever path they take."""
    results: list[ProgramResult] = []

    async def send(session: HostSession, device: int, parameters: bytes) -> None:
        results.append(await order(session, device, parameters))

    async with rig() as r, r.host(r.a) as to_a, r.host(r.a) as other, r.host(r.b) as to_b:
        for session, site, volume, role in (
            (to_a, "A", 0xF0, 1), (to_a, "A", 0xF1, 4), (to_b, "B", 0xF0, 2), (to_b, "B", 0xF1, 3),
        ):  # fmt: skip
            assert (await order(session, volume, operator.define_bridge(site, volume, role))).completed
        await define_second_bridge(to_a, to_b)
        assert (await order(to_a, 0, operator.establish_path())).completed
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, to_a, 0xF0, operator.establish_bridge())
            nursery.start_soon(send, other, 0x02, operator.establish_bridge(2, 0x02))
        assert [result.completed for result in results] == [True, True], results


async def test_a_failed_bridge_is_established_again_over_the_same_paths(autojump_clock: object) -> None:
    """Its links are alive: the secondary box is told, the turned link comes back, and one order is enough."""
    async with rig(copy=BY_COMMAND) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        bridge = core(r.a).sending[1]
        assert bridge.worker.sender is not None
        bridge.worker.sender.fail("no status")
        await trio.sleep(3)
        assert core(r.b).receiving == {}
        paths = next(iter(core(r.a).paths))
        assert len(paths.free()) == 4
        result = await order(to_a, 0xF0, operator.establish_bridge())
        assert result.completed, result
        await format_track(to_a, 0, 3, "again")
        assert equal(r, 0)


class Owner:
    """What a worker asks of the service, answered when the test says so."""

    def __init__(self) -> None:
        self.durable: list[Any] = []

    def prepare_copy(self, pair: Pair, ready: Any) -> None:
        ready(True)

    def when_durable(self, sequence: int, reply: Any) -> None:
        self.durable.append(reply)


async def test_a_snapshot_leaves_only_when_it_is_durable(autojump_clock: object) -> None:
    """Otherwise the secondary could hold, outside of every window, what a crash takes from the primary."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        around, owner, queue = core(r.a).around, Owner(), SyncQueue()
        worker = SyncWorker(2, 0x02, queue, owner, around.array, around.clock, around.log)  # type: ignore[arg-type]
        pair = core(r.a).primaries[0]
        pair.state = PairState.DUPLEX_PENDING
        pair.mark([1])
        worker.state, worker.box = BridgeState.IDLE, pair.secondary.box
        worker.sender = core(r.a).sending[1].worker.sender
        queue.append(pair)
        worker.work()
        assert len(owner.durable) == 1
        assert worker.next_copy() is None
        owner.durable[0](True)
        assert worker._in_flight == 1 or worker.next_copy() is not None


async def test_a_record_older_than_the_last_start_of_the_copy_is_not_applied(autojump_clock: object) -> None:
    """It may come late, over a bridge that the primary has given up, when newer data is here already."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        pair = core(r.a).primaries[0]
        before = core(r.a).around.clock.tod()
        await trio.sleep(1)
        assert (await order(to_a, 0, operator.suspend_pair(0))).completed
        await trio.sleep(0.1)  # the host hears of the state change
        assert (await order(to_a, 0, operator.establish_pair(0, mode=RESYNC))).completed
        await until(lambda: duplex(r, 0))
        late = make_record(pair, RecordType.NEVER_WRITTEN, 3, None, 0, before)
        fresh = make_record(pair, RecordType.NEVER_WRITTEN, 3, None, 0, core(r.a).around.clock.tod())
        assert destination(core(r.b), late.header).result is Result.DESTINATION_SUSPENDED
        assert destination(core(r.b), fresh.header).result is Result.APPLIED


async def test_a_volume_that_cannot_be_read_stops_only_itself(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await format_track(to_a, 0, 7, "damaged")
        await format_track(to_a, 1, 7, "good")
        await set_up_bridge(to_a, to_b)
        unreadable(r)
        for volume in (0, 1):
            assert (await order(to_a, volume, operator.establish_pair(volume))).completed
        await until(lambda: duplex(r, 1))
        assert core(r.a).primaries[0].state is PairState.SUSPENDED_INTERNAL
        assert core(r.a).primaries[0].out_of_sync_count == 30


def unreadable(r: Rig) -> None:
    """Track 7 of volume 0 has a checksum that does not fit."""
    store = r.a.running.store
    read = store.read_stored
    bad = read(0, 7)

    def read_stored(volume: int, track: int) -> StoredTrack | None:
        stored = read(volume, track)
        if stored is not None and bad is not None and stored.payload == bad.payload:
            raise CorruptionError(1, 0, "payload checksum")
        return stored

    store.read_stored = read_stored  # type: ignore[method-assign]
