"""Suspension from either side, with writes inhibited or hosts held; critical pairs; what operators read of it."""

from __future__ import annotations

from random import Random

import pytest
import trio

from ccw.geometry import Cchh, geometry_for
from ccw.volume_label import initial_tracks
from controller.remote_copy.settings import CopySettings
from controller.remote_copy.states import PairState, Reason
from host_emulator import orders
from host_emulator.session import HostSession
from tests.helpers import operator
from tests.helpers.copying import RESYNC, core, duplex, equal, format_track, in_step, try_to_format, waits
from tests.helpers.operator import A, B, freeze, order, query_volume, run
from tests.helpers.two_systems import BY_COMMAND, CYLINDERS, Rig, rig, until

PRIMARY, QUIESCE = 0x40, 0x20
CRIT = 0x40
CRITICAL_STATE = 0x40
ATTENTION = 0x85
ALL_ERRORS = {"A": CopySettings(reestablish=False, critical_all=True)}


def suspend(flags: int = 0, *, device: int = 0, other: int = 0) -> bytes:
    parameters = bytearray(orders.suspend_pair(A, B, device, other).encode())
    parameters[1] |= flags
    return bytes(parameters)


async def refused(session: HostSession, parameters: bytes) -> tuple[int, int, int]:
    """Sense bytes 7-9 of a refused order for volume 00."""
    result = await order(session, 0, parameters)
    assert result.sense is not None, result
    return result.sense[7], result.sense[8], result.sense[9]


def texts(r: Rig, site: str = "A") -> list[str]:
    return [str(event["text"]) for event in r.events if event["box"] == site]


async def test_from_the_secondary_and_the_primary_hears_of_it_with_its_next_write(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await in_step(r, to_a, to_b)
        assert (await order(to_b, 0, suspend())).completed
        assert (await query_volume(to_b, 0)).state == 4
        assert duplex(r, 0), "nothing has told A"
        failed = await try_to_format(to_a, 0, 4, "not at B")
        assert failed.sense is not None and failed.sense[7:9] == b"\xfb\x02"
        await trio.sleep(1)
        assert ((await query_volume(to_a, 0)).state, (await query_volume(to_b, 0)).state) == (4, 4)
        assert r.b.running.store.read(0, 4) is None
        await format_track(to_a, 0, 5, "recorded")
        assert (await order(to_a, 0, operator.establish_pair(0, RESYNC))).completed
        await until(lambda: duplex(r, 0))
        assert equal(r, 0)


async def test_a_suspension_from_the_secondary_survives_its_crash(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a:
        async with r.host(r.b) as to_b:
            await in_step(r, to_a, to_b)
            assert (await order(to_b, 0, suspend())).completed
        await r.b.crash(Random(1))
        await r.b.start(r.nursery)
        assert core(r.b).secondaries[0].state is PairState.SUSPENDED_SECONDARY_COMMAND


async def test_with_primary_hosts_read_but_do_not_write(autojump_clock: object) -> None:
    async with rig() as r:
        async with r.host(r.a) as to_a, r.host(r.b) as to_b:
            await in_step(r, to_a, to_b)
            await format_track(to_a, 0, 3, "before")
            assert (await order(to_a, 0, suspend(PRIMARY))).completed
            failed = await try_to_format(to_a, 0, 3, "after")
            assert failed.sense is not None
            assert (failed.sense[:3], failed.sense[7:9]) == (b"\x80\x02\x00", b"\x0f\x57")
            assert (await to_a.run_program(0, orders.read_track(Cchh(0, 3)))).completed
            await trio.sleep(0.1)
        await r.a.crash(Random(1))
        await r.a.start(r.nursery)
        async with r.host(r.a) as to_a:
            assert (await try_to_format(to_a, 0, 3, "after a restart")).sense is not None
            assert (await order(to_a, 0, suspend())).completed
            await format_track(to_a, 0, 3, "let go")


async def test_with_quiesce_hosts_wait_until_they_are_let_go(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await in_step(r, to_a, to_b)
        assert (await order(to_a, 0, suspend(QUIESCE))).completed
        assert (await query_volume(to_a, 0)).flags & 0x20
        await trio.sleep(1_000)
        assert waits(await try_to_format(to_a, 0, 3, "held"))
        result = await to_a.run_program(0, orders.query(orders.SCOPE_PATHS))
        assert result.completed, "a wait without an end is no number of seconds"
        to_a.attentions()
        assert (await order(to_a, 0, suspend())).completed
        await until(lambda: (0, ATTENTION) in [(came.unit_address, came.status) for came in to_a.attentions()])
        await format_track(to_a, 0, 3, "goes on")
        assert (await order(to_a, 0, suspend(QUIESCE))).completed
        assert (await order(to_a, 0, operator.delete_pair(0))).completed
        await format_track(to_a, 0, 3, "simplex")


async def test_a_suspend_does_not_end_a_long_busy(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await in_step(r, to_a, to_b, cgroup=True)
        assert (await order(to_a, 0, freeze())).completed
        assert (await order(to_a, 0, suspend())).completed
        assert waits(await try_to_format(to_a, 0, 3, "held"))


async def test_what_a_suspension_may_not_say(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        assert (await refused(to_b, suspend()))[:2] == (0x0F, Reason.NOT_IN_PAIR)
        await in_step(r, to_a, to_b)
        for session in (to_a, to_b):
            assert await refused(session, suspend(PRIMARY | QUIESCE)) == (4, 0, 1)
        for parameters in (suspend(PRIMARY), suspend(QUIESCE), suspend(device=1), suspend(other=1)):
            assert (await refused(to_b, parameters))[:2] == (0x0F, Reason.NOT_THE_ONE_NAMED)
        assert duplex(r, 0)


@pytest.mark.parametrize("setting", ["paths", "all"])
async def test_a_critical_pair_without_paths_refuses_writes(setting: str, autojump_clock: object) -> None:
    async with rig(copy=ALL_ERRORS if setting == "all" else BY_COMMAND) as r, r.host(r.a) as to_a:
        async with r.host(r.b) as to_b:
            await in_step(r, to_a, to_b, flags=CRIT)
            await format_track(to_a, 0, 3, "in step")
        await r.b.crash(Random(1))
        failed = await try_to_format(to_a, 0, 3, "alone")
        assert failed.sense is not None and failed.sense[7:9] == b"\xfb\x04"
        assert (await query_volume(to_a, 0)).flags & CRITICAL_STATE
        again = await try_to_format(to_a, 0, 3, "alone")
        assert again.sense is not None and (again.sense[:3], again.sense[7:9]) == (b"\x80\0\0", b"\x0f\x57")
        assert (await to_a.run_program(0, orders.read_track(Cchh(0, 3)))).completed
        assert any("IEA491E 0000,,PPRC SUSPENDED,CRITICAL STATE" in text for text in texts(r))
        assert (await order(to_a, 0, orders.delete_pair(A, B, 0, 0, unconditional=True).encode())).completed
        await format_track(to_a, 0, 3, "simplex")


@pytest.mark.parametrize("setting", ["paths", "all"])
async def test_an_error_of_the_secondary_alone_is_critical_by_setting(setting: str, autojump_clock: object) -> None:
    """B has recovered the volume; the paths work."""
    async with rig(copy=ALL_ERRORS if setting == "all" else BY_COMMAND) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await in_step(r, to_a, to_b, flags=CRIT)
        assert (await order(to_b, 0, orders.recover_pair(A, B, 0, 0).encode())).completed
        assert (await try_to_format(to_a, 0, 3, "alone")).sense is not None
        again = await try_to_format(to_a, 0, 3, "alone")
        if setting == "all":
            assert again.sense is not None and again.sense[7:9] == b"\x0f\x57"
        else:
            assert again.completed


async def test_a_command_makes_no_pair_critical_and_run_ends_it(autojump_clock: object) -> None:
    async with rig(copy=BY_COMMAND) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await in_step(r, to_a, to_b, flags=CRIT, cgroup=True)
        assert (await order(to_a, 0, suspend())).completed
        await format_track(to_a, 0, 3, "suspended by command")
        assert (await order(to_a, 0, operator.establish_pair(0, RESYNC))).completed
        await until(lambda: duplex(r, 0))
        await r.b.crash(Random(1))
        assert (await try_to_format(to_a, 0, 3, "alone")).sense is not None
        assert waits(await try_to_format(to_a, 0, 3, "alone")), "first the long busy"
        assert (await order(to_a, 0, freeze())).completed
        assert (await order(to_a, 0, run())).completed
        await format_track(to_a, 0, 3, "after run")


async def test_a_restart_keeps_a_critical_pair_from_writes(autojump_clock: object) -> None:
    async with rig(copy=BY_COMMAND) as r:
        async with r.host(r.a) as to_a, r.host(r.b) as to_b:
            await in_step(r, to_a, to_b, flags=CRIT)
            await trio.sleep(0.1)
        await r.a.crash(Random(1))
        await r.a.start(r.nursery)
        async with r.host(r.a) as to_a:
            failed = await try_to_format(to_a, 0, 3, "alone")
            assert failed.sense is not None and failed.sense[7:9] == b"\x0f\x57"


async def test_messages_name_the_volume_and_both_boxes(autojump_clock: object) -> None:
    async with rig(copy=BY_COMMAND) as r, r.host(r.a) as to_a:
        for track, image in initial_tracks(geometry_for("3390", CYLINDERS), "PAYROL").items():
            r.a.running.store.write(0, track, image)
        async with r.host(r.b) as to_b:
            await in_step(r, to_a, to_b)
        await r.b.crash(Random(1))
        assert (await try_to_format(to_a, 0, 3, "alone")).sense is not None
        assert [text for text in texts(r) if text.startswith("IEA")] == [
            "IEA494I 0000,PAYROL,PPRC PAIR PENDING,SSID=0100,CCA=00,SECSSID=0200,",
            "IEA494I 0000,PAYROL,PPRC PAIR FULL DUPLEX,SSID=0100,CCA=00,SECSSID=0200,",
            "IEA494I 0000,PAYROL,PPRC SUSPENDED,SSID=0100,CCA=00,SECSSID=0200,",
            "IEA491E 0000,PAYROL,PPRC SUSPENDED,COMMUNICATION TO SECONDARY FAILURE,"
            "(PRI)=0000-12345,CCA=00 (SEC)=0000-67890,CCA=00,SENSE=FB03",
        ]
