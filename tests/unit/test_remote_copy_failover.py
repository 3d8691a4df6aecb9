"""Failover, writes at both sides, failback: only what changed is copied, and nothing newer is lost unasked."""

from __future__ import annotations

from random import Random

import pytest
import trio

from ccw.geometry import Cchh
from ccw.tracks import parse_track
from controller.remote_copy.states import PairState, Reason
from host_emulator import orders
from host_emulator.orders import System
from host_emulator.session import HostSession
from tests.helpers import operator
from tests.helpers.copying import COPY, RESYNC, core, duplex, equal, format_track, in_step
from tests.helpers.operator import A, B, order, query_volume, set_up_bridge, set_up_bridge_back
from tests.helpers.two_systems import PEER_PORTS, Rig, rig, until

FAILOVER, FAILBACK = 1, 2
FORCE = 0x02
THERE, BACK = PEER_PORTS["A"][:2], PEER_PORTS["B"][2:]
NEWER_THERE = bytes((0x0F, Reason.STATE))


def fail_over(primary: System, secondary: System, volume: int = 0) -> bytes:
    return orders.establish_pair(primary, secondary, volume, volume, action=FAILOVER).encode()


def fail_back(primary: System, secondary: System, volume: int = 0, flags: int = 0) -> bytes:
    return orders.establish_pair(primary, secondary, volume, volume, action=FAILBACK, flags=flags).encode()


def suspend(primary: System, secondary: System, volume: int = 0) -> bytes:
    return orders.suspend_pair(primary, secondary, volume, volume).encode()


def settle(r: Rig) -> None:
    """As much traffic has come over bridge 1 since that A cannot have lost anything before."""
    core(r.b).mark(1, core(r.b).around.array.appended)


def duplex_back(r: Rig) -> bool:
    pair = core(r.b).primaries.get(0)
    return pair is not None and pair.state is PairState.DUPLEX


async def refused(session: HostSession, parameters: bytes) -> bytes:
    """Reason and the peer's bytes 7-8 of a refused order for volume 00."""
    result = await order(session, 0, parameters)
    assert result.sense is not None and result.sense[7] == 0x0F, result
    return result.sense[8:9] + result.sense[10:12]


def holds(r: Rig, site: str, track: int) -> str:
    """What record 1 of a track of volume 00 says."""
    image = (r.a if site == "A" else r.b).running.store.read(0, track)
    assert image is not None
    return parse_track(image)[1].data.decode("cp037")


async def test_failback_copies_what_changed_at_either_side(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        for track in range(20):
            await format_track(to_a, 0, track, "old")
        await in_step(r, to_a, to_b, saids=THERE)
        assert (await order(to_a, 0, suspend(A, B))).completed
        settle(r)
        assert (await order(to_b, 0, fail_over(B, A))).completed
        query = await query_volume(to_b, 0)
        assert (query.role, query.state, query.out_of_sync_tracks) == (1, 3, 0)
        await format_track(to_b, 0, 5, "B")
        await format_track(to_b, 0, 6, "B")
        assert (await query_volume(to_b, 0)).out_of_sync_tracks == 2
        await set_up_bridge_back(to_a, to_b, BACK)
        assert (await order(to_b, 0, fail_back(B, A))).completed
        await until(lambda: duplex_back(r))
        assert equal(r, 0) and holds(r, "A", 5) == "B"
        assert core(r.a).receiving[2].receiver.tracks_applied == 2
        refused_at_a = await to_a.run_program(0, orders.read_track(Cchh(0, 5)))
        assert refused_at_a.sense is not None and refused_at_a.sense[7] == 0x0E
        await format_track(to_b, 0, 7, "B in step")
        assert equal(r, 0)


async def test_the_way_there_and_home_again(autojump_clock: object) -> None:
    """A is lost, hosts go on at B, A comes back, failback; then home: suspend, failover at A, failback from A."""
    async with rig() as r:
        async with r.host(r.a) as to_a, r.host(r.b) as to_b:
            await format_track(to_a, 0, 3, "before")
            await in_step(r, to_a, to_b, saids=THERE)
            await format_track(to_a, 0, 4, "in step")
        await r.a.crash(Random(1))
        async with r.host(r.b) as to_b:
            assert (await order(to_b, 0, fail_over(B, A))).completed
            await format_track(to_b, 0, 5, "at B")
            await r.a.start(r.nursery)
            await r.b.crash(Random(2))  # so that both ends of the links are new
            await r.b.start(r.nursery)
            await r.connect()
        async with r.host(r.a) as to_a, r.host(r.b) as to_b:
            assert (await query_volume(to_b, 0)).role == 1
            assert (await query_volume(to_a, 0)).state in (7, 9), "power, or what B has answered A by now"
            await set_up_bridge_back(to_a, to_b, BACK)
            assert (await order(to_b, 0, fail_back(B, A))).completed
            await until(lambda: duplex_back(r))
            assert equal(r, 0) and [holds(r, "A", track) for track in (3, 4, 5)] == ["before", "in step", "at B"]
            assert (await order(to_b, 0, suspend(B, A))).completed
            assert (await order(to_a, 0, fail_over(A, B))).completed
            await format_track(to_a, 0, 6, "home")
            await set_up_bridge(to_a, to_b, saids=THERE)
            assert (await order(to_a, 0, fail_back(A, B))).completed
            await until(lambda: duplex(r, 0))
            assert equal(r, 0) and holds(r, "B", 6) == "home"
            await format_track(to_a, 0, 7, "in step again")
            assert equal(r, 0)


async def test_a_write_that_only_b_has_is_taken_back_to_a(autojump_clock: object) -> None:
    """A lost in its crash what B had made durable: nobody changed it since, and A's bitmap does not know of it."""
    async with rig() as r:
        async with r.host(r.a) as to_a, r.host(r.b) as to_b:
            await format_track(to_a, 0, 3, "both have")
            await in_step(r, to_a, to_b, saids=THERE)
            await trio.sleep(1)
        await r.a.crash(Random(1))
        lost = r.b.running.store.read(0, 3)
        assert lost is not None
        r.b.running.store.write(0, 3, lost.replace("both".encode("cp037"), "only".encode("cp037")))
        r.b.running.store.sync()
        await r.a.start(r.nursery)
        async with r.host(r.a) as to_a, r.host(r.b) as to_b:
            assert (await order(to_b, 0, fail_over(B, A))).completed
            await r.connect()
            await set_up_bridge_back(to_a, to_b, BACK)
            assert (await order(to_b, 0, fail_back(B, A))).completed
            await until(lambda: duplex_back(r))
            assert equal(r, 0) and holds(r, "A", 3) == "only have"


async def test_what_a_acknowledged_alone_is_overwritten_only_by_force(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await in_step(r, to_a, to_b, saids=THERE)
        assert (await order(to_a, 0, suspend(A, B))).completed
        await format_track(to_a, 0, 4, "A alone")
        settle(r)
        assert (await order(to_b, 0, fail_over(B, A))).completed
        await format_track(to_b, 0, 5, "B alone")
        await set_up_bridge_back(to_a, to_b, BACK)
        assert await refused(to_b, fail_back(B, A)) == bytes((Reason.PEER_REFUSED,)) + NEWER_THERE
        assert holds(r, "A", 4) == "A alone"
        assert ((await query_volume(to_a, 0)).role, (await query_volume(to_b, 0)).state) == (1, 3)
        assert (await order(to_b, 0, fail_back(B, A, flags=FORCE))).completed
        await until(lambda: duplex_back(r))
        assert equal(r, 0) and r.a.running.store.read(0, 4) is None and holds(r, "A", 5) == "B alone"
        assert core(r.a).receiving[2].receiver.tracks_applied == 2, "one that changed at A, one at B"


async def test_a_failover_that_was_only_tried_goes_back_by_force(autojump_clock: object) -> None:
    """Failback at A: what hosts wrote at B is thrown away, if the order says so."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await format_track(to_a, 0, 4, "A")
        await in_step(r, to_a, to_b, saids=THERE)
        assert (await order(to_a, 0, suspend(A, B))).completed
        assert (await order(to_b, 0, fail_over(B, A))).completed
        await format_track(to_b, 0, 4, "B")
        assert await refused(to_a, fail_back(A, B)) == bytes((Reason.PEER_REFUSED,)) + NEWER_THERE
        assert (await order(to_a, 0, fail_back(A, B, flags=FORCE))).completed
        await until(lambda: duplex(r, 0))
        assert equal(r, 0) and holds(r, "B", 4) == "A"


async def test_force_takes_the_volume_from_a_primary_that_believes_to_be_in_step(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await format_track(to_a, 0, 3, "A")
        await in_step(r, to_a, to_b, saids=THERE)
        assert (await order(to_b, 0, fail_over(B, A))).completed
        await format_track(to_b, 0, 3, "B")
        await set_up_bridge_back(to_a, to_b, BACK)
        assert duplex(r, 0), "nothing has told A"
        assert await refused(to_b, fail_back(B, A)) == bytes((Reason.PEER_REFUSED,)) + NEWER_THERE
        assert (await order(to_b, 0, fail_back(B, A, flags=FORCE))).completed
        await until(lambda: duplex_back(r))
        assert equal(r, 0) and holds(r, "A", 3) == "B"


async def test_a_copy_that_was_never_complete_goes_back_only_by_force(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await format_track(to_a, 0, 4, "A")
        assert (await order(to_a, 0, operator.establish_path(THERE))).completed
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        assert core(r.a).primaries[0].state is PairState.DUPLEX_PENDING, "there is no bridge"
        assert (await order(to_a, 0, suspend(A, B))).completed
        assert (await order(to_b, 0, fail_over(B, A))).completed
        await set_up_bridge_back(to_a, to_b, BACK)
        assert await refused(to_b, fail_back(B, A)) == bytes((Reason.STATE, 0, 0))
        assert holds(r, "A", 4) == "A"
        assert any("copy was never complete" in str(event.get("why")) for event in r.events)


@pytest.mark.parametrize("action", ["failover", "recover"])
async def test_a_resynchronisation_does_not_take_up_a_pair_that_has_ended(action: str, autojump_clock: object) -> None:
    """Hosts have written at B since: A, which does not know, may send neither its changes nor its updates."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await format_track(to_a, 0, 3, "A")
        await in_step(r, to_a, to_b, saids=THERE)
        assert (await order(to_a, 0, suspend(A, B))).completed
        gone = fail_over(B, A) if action == "failover" else orders.recover_pair(A, B, 0, 0).encode()
        assert (await order(to_b, 0, gone)).completed
        await format_track(to_b, 0, 3, "B")
        await trio.sleep(0.1)
        again = await refused(to_a, operator.establish_pair(0, mode=RESYNC))
        assert again == bytes((Reason.PEER_REFUSED, 0x0F, Reason.NOT_THE_SECONDARY))
        if action == "recover":  # a full copy is another thing: everything is sent, and it says so
            await trio.sleep(0.1)
            assert (await order(to_a, 0, operator.establish_pair(0, mode=COPY))).completed
            await until(lambda: duplex(r, 0))
            assert equal(r, 0)
        else:
            assert holds(r, "B", 3) == "B"


async def test_a_primary_that_is_not_told_hears_it_with_its_next_write(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await in_step(r, to_a, to_b, saids=THERE)
        assert (await order(to_b, 0, fail_over(B, A))).completed
        await format_track(to_b, 0, 7, "B")
        result = await to_a.run_program(0, orders.format_track(Cchh(0, 7), [orders.NewRecord(b"late")]))
        assert result.sense is not None and result.sense[7] == 0xFB
        assert (await query_volume(to_a, 0)).state == 7
        assert holds(r, "B", 7) == "B"


async def test_what_is_refused(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        assert (await refused(to_b, fail_over(B, A)))[0] == Reason.NOT_IN_PAIR
        assert (await refused(to_b, fail_back(B, A)))[0] == Reason.NOT_IN_PAIR
        await in_step(r, to_a, to_b, saids=THERE)
        assert (await refused(to_a, fail_over(A, B)))[0] == Reason.ALREADY_PRIMARY
        assert (await refused(to_a, fail_back(A, B)))[0] == Reason.STATE
        assert (await refused(to_b, fail_back(B, A)))[0] == Reason.ALREADY_SECONDARY
        assert (await refused(to_b, fail_over(A, B)))[0] == Reason.IDENTITY
        third = System(0x0300, 0, "000000099999")
        assert (await refused(to_b, fail_over(B, third)))[0] == Reason.NOT_THE_ONE_NAMED
        assert (await order(to_b, 0, fail_over(B, A))).completed
        assert (await refused(to_b, fail_over(B, A)))[0] == Reason.ALREADY_PRIMARY
        assert (await refused(to_b, fail_back(B, third)))[0] == Reason.ALREADY_PRIMARY
        assert (await refused(to_b, fail_back(B, A)))[0] == Reason.NO_PATH_SET
        for parameters, pointer in (
            (orders.establish_pair(B, A, 0, 0, action=3), 42),
            (orders.establish_pair(B, A, 0, 0, flags=FORCE), 1),
            (orders.establish_pair(B, A, 0, 0, action=FAILOVER, flags=0x08), 1),
        ):
            result = await order(to_b, 0, parameters.encode())
            assert result.sense is not None and (result.sense[7], result.sense[9]) == (4, pointer)


@pytest.mark.parametrize("seed", range(8))
async def test_roles_are_one_after_a_crash_in_the_middle_of_an_exchange(seed: int, autojump_clock: object) -> None:
    """Whatever the disk keeps of the records, a volume is primary or secondary of a pair, and the order can be given
    again."""
    async with rig() as r:
        async with r.host(r.a) as to_a, r.host(r.b) as to_b:
            await format_track(to_a, 0, 3, "A")
            await in_step(r, to_a, to_b, saids=THERE)
            assert (await order(to_a, 0, suspend(A, B))).completed
        copy = r.b.running.subsystem.remote_copy
        copy.order(0, fail_over(B, A), None, 1, lambda outcome: None)
        if seed % 2:  # some of it may be on its way to the disk
            await trio.sleep(0)
        await r.b.crash(Random(seed))
        await r.b.start(r.nursery)
        found = core(r.b)
        assert (0 in found.primaries) != (0 in found.secondaries)
        await r.connect()
        async with r.host(r.b) as to_b:
            if 0 in found.secondaries:
                assert (await order(to_b, 0, fail_over(B, A))).completed
            await format_track(to_b, 0, 3, "B")
            assert core(r.b).primaries[0].out_of_sync_count == 1
