"""Release Allocated Space: what the order hands out; given back by pointer, at a primary as writes to both sides."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
import trio

from controller.array.errors import DiskError
from controller.commands.outcome import SpaceRelease
from controller.remote_copy.states import PairState
from controller.subsystem import Subsystem
from host_emulator.channel import ProgramResult
from host_emulator.program_text import build_program
from host_emulator.session import HostSession
from tests.helpers import operator
from tests.helpers.copying import RESYNC, configured, core, duplex, equal, equal_images, format_track, in_step, waits
from tests.helpers.devices import Bench, track_with_records
from tests.helpers.operator import freeze, order, set_up_bridge
from tests.helpers.two_systems import BY_COMMAND, PEER_PORTS, Rig, rig, until

UNIT = 0x20
HEAD = "81 00 {flags} 00 0A 20 00000000 00000000000000000000 {count:04X} 0000"
TRACKS = (0, 3, 14, 15, 29)


def parameters(*extents: str, flags: str = "20") -> bytes:
    return bytes.fromhex(HEAD.format(flags=flags, count=len(extents)) + "".join(extents))


# The command


def bench(**more: bool) -> Bench:
    return Bench("2107", 3, features=frozenset({"thin"}), **more)


@pytest.mark.parametrize(
    ("sent", "release"),
    [
        (parameters("0001000200020000"), SpaceRelease(((17, 31),), False)),
        (parameters("0000000000000000", "0002000E0002000E", flags="30"), SpaceRelease(((0, 1), (44, 45)), True)),
        (parameters(flags="00"), SpaceRelease(((0, 45),), False)),
        (parameters(flags="10"), SpaceRelease(((0, 45),), True)),
    ],
)
def test_the_order_hands_out_ranges_of_tracks(sent: bytes, release: SpaceRelease) -> None:
    ended = bench().run([(0xF7, sent)])
    assert ended.status == 0x0C
    assert ended.outcome is not None and ended.outcome.release == release


def test_what_the_chain_changed_comes_first_and_what_it_read_is_forgotten() -> None:
    """Search, write, ask for something, give back the track: the write is in the outcome, the track read anew."""
    b = bench()
    b.format(1, 2, [(1, b"", b"\1" * 8), (2, b"", b"\2" * 8)])
    search, write = (0x31, bytes.fromhex("0001000201")), (0x05, b"\x99" * 8)
    position = [(0x07, bytes.fromhex("000000010002")), search, ("TIC", 1), write]
    prepare = [(0x27, bytes.fromhex("180000000000030000000000")), (0x3E, 9)]
    ended = b.run([*position, *prepare, (0xF7, parameters("0001000200010002"))])
    assert ended.status == 0x0C
    assert ended.outcome is not None
    assert [(w.track, b"\x99" * 8 in w.image) for w in ended.outcome.writes] == [(17, True)]
    assert ended.outcome.release == SpaceRelease(((17, 18),), False)


# A running system


async def release(session: HostSession, volume: int, extents: str = "", more: str = "") -> ProgramResult:
    return await session.run_program(volume, build_program(f"ras {volume:02X} {extents} {more}"))


async def filled(session: HostSession, volume: int) -> None:
    for track in TRACKS:
        await format_track(session, volume, track, f"track {track}")


async def test_space_of_a_volume_without_a_secondary_is_given_back_by_pointer(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a:
        await filled(to_a, 0)
        await filled(to_a, 1)
        store = r.a.running.store
        store.define_volume(0x80, {})
        store.snapshot(0, 0x80)
        assert (await release(to_a, 0, "0,3-0,14")).completed
        assert [track for track in TRACKS if store.read(0, track) is None] == [3, 14]
        assert store.durable >= store.appended - 1, "it was durable before the status came"
        assert (await release(to_a, 0)).completed
        assert store.allocated(0) == 0
        assert store.allocated(0x80) == store.allocated(1) == len(TRACKS), "snapshots and other volumes keep theirs"
        await format_track(to_a, 0, 3, "written again")
        assert store.allocated(0) == 1


async def test_what_was_given_back_stays_so_after_a_crash(autojump_clock: object) -> None:
    async with rig() as r:
        async with r.host(r.a) as to_a:
            await filled(to_a, 0)
            assert (await release(to_a, 0, "0,0-0,14")).completed
        await r.a.crash(Random(7))
        await r.a.start(r.nursery)
        store = r.a.running.store
        assert [track for track in TRACKS if store.read(0, track) is not None] == [15, 29]


async def test_nothing_is_acknowledged_that_cannot_be_made_durable(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig() as r, r.host(r.a) as to_a:
        await filled(to_a, 0)

        def fail(number: int) -> None:
            raise DiskError("no sync")

        monkeypatch.setattr(r.a.medium, "sync", fail)
        refused = await release(to_a, 0)
        assert refused.sense is not None and refused.sense[0] == 0x10


@pytest.mark.parametrize("batch", [2, 256])
async def test_the_secondary_of_a_pair_in_step_holds_the_same(
    batch: int, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In several batches as in one; each is hardened at both sides before the status."""
    monkeypatch.setattr("controller.releasing.BATCH_TRACKS", batch)
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await filled(to_a, 0)
        await in_step(r, to_a, to_b)
        assert (await release(to_a, 0, "0,3 0,14-1,0")).completed
        assert equal(r, 0)
        image = r.b.running.store.read(0, 14)
        assert image is not None and b"track" not in image and "track".encode("cp037") not in image
        assert "track 29".encode("cp037") in (r.b.running.store.read(0, 29) or b"")
        assert r.b.running.store.durable >= r.b.running.store.sequence_of(0, 14) > 0
        assert duplex(r, 0)


async def test_conventional_mirroring_takes_it_too(autojump_clock: object) -> None:
    async with rig(conventional=True) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await filled(to_a, 0)
        assert (await order(to_a, 0, operator.establish_path())).completed
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await until(lambda: duplex(r, 0))
        assert (await release(to_a, 0)).completed
        a, b = r.a.running.array, r.b.running.array
        assert all(a.read(0, track) == b.read(0, track) for track in range(30))
        assert "track".encode("cp037") not in b.read(0, 14)
        assert (await to_b.run_program(0, build_program("sid"))).completed


async def test_what_is_given_back_while_suspended_is_copied_by_the_resync(autojump_clock: object) -> None:
    async with rig(copy=BY_COMMAND) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await filled(to_a, 0)
        await in_step(r, to_a, to_b)
        assert (await order(to_a, 0, operator.suspend_pair(0))).completed
        assert (await release(to_a, 0, "0,14-1,0")).completed
        assert list(core(r.a).primaries[0].out_of_sync.search(1)) == [14, 15]
        assert (await order(to_a, 0, operator.establish_pair(0, mode=RESYNC))).completed
        await until(lambda: duplex(r, 0))
        assert equal(r, 0)


async def test_space_given_back_while_the_volume_is_copied(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await filled(to_a, 0)
        await set_up_bridge(to_a, to_b)
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        assert core(r.a).primaries[0].state is PairState.DUPLEX_PENDING
        assert (await release(to_a, 0)).completed
        await until(lambda: duplex(r, 0))
        assert equal(r, 0)
        assert "track".encode("cp037") not in (r.b.running.store.read(0, 14) or b"")


WRITE_FIRST = "seek 1,5; side 1,5,0; tic -1; wckd 1,5,1 77*8; prssd 03; rssd"  # track 20, which was never written


async def write_and_release(session: HostSession, more: str = "") -> ProgramResult:
    """One chain: format R1 of track 20, then give back the whole volume."""
    return await session.run_program(0, build_program(f"{WRITE_FIRST}; ras 00 {more}"))


@pytest.mark.parametrize("paired", [False, True])
async def test_what_the_same_chain_wrote_first_is_given_back_too(paired: bool, autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await filled(to_a, 0)
        if paired:
            await in_step(r, to_a, to_b)
        assert (await write_and_release(to_a)).completed
        assert b"\x77" * 8 not in (r.a.running.store.read(0, 20) or b"")
        if paired:
            assert equal(r, 0)


async def test_a_refusal_leaves_what_the_chain_wrote_before(autojump_clock: object) -> None:
    """As every unit check does: it is stored, at both sides."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await filled(to_a, 0)
        await in_step(r, to_a, to_b)
        refused = await write_and_release(to_a, "op=10")
        assert refused.sense is not None and (refused.sense[0], refused.sense[7]) == (0x80, 0x04)
        assert b"\x77" * 8 in (r.a.running.store.read(0, 20) or b"")
        await until(lambda: equal(r, 0))
        assert "track 3".encode("cp037") in (r.a.running.store.read(0, 3) or b"")


async def test_a_volume_that_becomes_a_primary_meanwhile_is_given_back_by_writes(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first write begins the mirroring; the write is durable only when the pair is there, then space is given."""
    async with rig(copy=configured()) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        assert (await order(to_a, 0, operator.establish_path())).completed
        assert (await order(to_a, 0xF0, operator.establish_bridge())).completed
        geometry = r.a.running.subsystem.devices[0].geometry
        for track in TRACKS:
            image = track_with_records(*geometry.address_of(track), [(1, b"", f"track {track}".encode("cp037"))])
            r.a.running.array.write(0, track, image)
        commits = r.a.running.committer._run_blocking

        async def wait(action: Callable[..., object], *arguments: object) -> object:
            await until(lambda: 0 in core(r.a).primaries)
            return await commits(action, *arguments)

        monkeypatch.setattr(r.a.running.committer, "_run_blocking", wait)
        assert (await write_and_release(to_a)).completed
        await until(lambda: duplex(r, 0))
        assert equal(r, 0)
        assert not any(_has_text(r, track) for track in TRACKS)
        assert (await to_b.run_program(0, build_program("sid"))).completed


async def test_what_was_given_back_without_a_secondary_is_gone_from_the_next_one(autojump_clock: object) -> None:
    """The volume that becomes its secondary still has the tracks: a full copy takes away what the primary lacks."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await filled(to_a, 0)
        await in_step(r, to_a, to_b)
        assert (await order(to_a, 0, operator.delete_pair(0))).completed
        assert (await release(to_a, 0, "0,3-1,0")).completed
        assert r.a.running.store.read(0, 14) is None
        assert _has_text(r, 0) and "track 14".encode("cp037") in (r.b.running.store.read(0, 14) or b"")
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await until(lambda: duplex(r, 0))
        assert equal_images(r, 0)


@pytest.mark.parametrize("crashes", ["A", "B", "links"])
async def test_a_release_that_something_ends_in_the_middle(
    crashes: str, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Part of the tracks are given back; when the pair is in step again both sides hold the same of them."""
    monkeypatch.setattr("controller.releasing.BATCH_TRACKS", 1)
    async with rig() as r, trio.open_nursery() as nursery:
        async with r.host(r.a) as to_a, r.host(r.b) as to_b:
            for track in range(30):
                await format_track(to_a, 0, track, f"track {track}")
            await in_step(r, to_a, to_b)
            ended: list[ProgramResult] = []

            async def give_back() -> None:
                ended.append(await release(to_a, 0))

            nursery.start_soon(give_back)
            while _has_text(r, 5):
                await trio.lowlevel.checkpoint()
            if crashes == "links":
                for said in PEER_PORTS["A"]:
                    r.a.running.adapters._end_links(r.a.running.adapters.by_said[said])
            else:
                site = r.a if crashes == "A" else r.b
                await site.crash(Random(3))
                await site.start(r.nursery)
            await trio.sleep(0.1)
            await r.connect()
            await until(lambda: duplex(r, 0), 300)
            assert equal(r, 0)
        assert not (ended and ended[0].completed), "the host is told, or cut off"
        assert not _has_text(r, 4), "hardened before the next was begun"


async def test_initialisation_is_not_promised_for_a_pair(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await filled(to_a, 0)
        await in_step(r, to_a, to_b)
        refused = await release(to_a, 0, "0,3", "op=30")
        assert refused.sense is not None and (refused.sense[0], refused.sense[7]) == (0x80, 0x04)
        assert "track 3".encode("cp037") in (r.a.running.store.read(0, 3) or b"")
        assert (await release(to_a, 1, "0,3", "op=30")).completed


async def test_a_secondary_keeps_its_space(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await filled(to_a, 0)
        await in_step(r, to_a, to_b)
        refused = await release(to_b, 0)
        assert refused.sense is not None and refused.sense[7] == 0x0E
        assert equal(r, 0)


async def test_a_failure_at_the_secondary_ends_it_and_suspends_the_pair(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host is told once; the tracks that were not given back yet are as before, and it can ask again."""
    monkeypatch.setattr("controller.releasing.BATCH_TRACKS", 1)
    async with rig(copy=BY_COMMAND) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await filled(to_a, 0)
        await in_step(r, to_a, to_b)

        def fail(number: int) -> None:
            raise DiskError("no sync")

        monkeypatch.setattr(r.b.medium, "sync", fail)
        failed = await release(to_a, 0)
        assert failed.sense is not None and failed.sense[7] == 0xFB
        assert core(r.a).primaries[0].state.suspended
        assert "track 29".encode("cp037") in (r.a.running.store.read(0, 29) or b"")
        assert (await release(to_a, 0)).completed
        assert set(core(r.a).primaries[0].out_of_sync.search(1)) == set(TRACKS)


async def test_in_long_busy_the_host_waits(autojump_clock: object) -> None:
    async with rig(copy=BY_COMMAND) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await filled(to_a, 0)
        await in_step(r, to_a, to_b, cgroup=True)
        assert (await order(to_a, 0, freeze())).completed
        assert waits(await release(to_a, 0))
        assert "track 3".encode("cp037") in (r.a.running.store.read(0, 3) or b"")


async def test_a_device_that_is_not_ready_keeps_its_space(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a:
        await filled(to_a, 0)
        subsystem: Subsystem = r.a.running.subsystem
        subsystem.state_changes.set_ready(0, False)
        refused = await release(to_a, 0)
        assert refused.sense is not None and refused.sense[0] == 0x40
        assert r.a.running.store.allocated(0) == len(TRACKS)


async def test_a_host_that_takes_the_device_over_stops_it(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unconditional Reserve between two batches: no further track is given back."""
    monkeypatch.setattr("controller.releasing.BATCH_TRACKS", 1)
    async with rig() as r, r.host(r.a) as to_a, r.host(r.a) as other, r.host(r.b) as to_b:
        for track in range(30):
            await format_track(to_a, 0, track, f"track {track}")
        await in_step(r, to_a, to_b)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(release, to_a, 0)
            while _has_text(r, 0):
                await trio.lowlevel.checkpoint()
            assert (await other.run_program(0, build_program("ureserve"))).completed
        await trio.sleep(1)
        assert _has_text(r, 29)
        assert equal(r, 0)


def _has_text(r: Rig, track: int) -> bool:
    return "track".encode("cp037") in (r.a.running.store.read(0, track) or b"")
