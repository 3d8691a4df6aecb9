"""Operators' words against two real systems: everything can be said again, nothing is sent that was named wrongly."""

from __future__ import annotations

from random import Random

import pytest
import trio
import trio.testing

from ccw.geometry import Cchh
from ccw.pprc import decode_order
from ccw.pprc_codes import PairState
from controller.array.errors import DiskError
from host_emulator import orders
from host_emulator.orders import System
from host_emulator.session import HostSession
from host_emulator.words.desk import Desk
from host_emulator.words.doing import do, never
from host_emulator.words.wait import Patience, Progress
from tests.helpers.copying import core, duplex, equal
from tests.helpers.operator import query_volume
from tests.helpers.two_systems import rig, until
from tests.helpers.words import PATHS, TO_B, say, set_up_bridge_by_words, set_up_by_words, verdicts

PAIR = "PRIM(0100 000000012345 01) SEC(0200 000000067890 01)"
BOXES = "PRIM(0100 000000012345) SEC(0200 000000067890)"


async def test_every_word_can_be_said_again(autojump_clock: object) -> None:
    """Both spellings, in the order of an operator's day: done once, already the second time, and it is so."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_by_words(to_a, to_b, "-consistgrp")
        day = [
            (to_a, f"mkpprcpath {TO_B} -consistgrp {PATHS}", None),
            (to_a, "mkbridgevol -role primary-data F0", None),
            (to_a, "mkbridge F0:F0", None),
            (to_a, "mkpprc -wait 00:00", PairState.DUPLEX),
            (to_a, "pausepprc 00:00", PairState.SUSPENDED_PRIMARY_COMMAND),
            (to_a, "resumepprc -wait 00:00", PairState.DUPLEX),
            (to_a, "freezepprc", PairState.SUSPENDED_FREEZE),
            (to_a, "unfreezepprc", PairState.SUSPENDED_FREEZE),
            (to_a, f"mkpprcpath {TO_B} {PATHS}", PairState.SUSPENDED_FREEZE),
            (to_a, "mkbridge F0:F0", PairState.SUSPENDED_FREEZE),
            (to_a, "resumepprc -wait 00:00", PairState.DUPLEX),
            (to_a, f"CESTPAIR DEVN(01) {PAIR} MODE(NOCOPY)", PairState.DUPLEX),
            (to_a, f"CSUSPEND DEVN(01) {PAIR}", PairState.DUPLEX),
            (to_a, f"CESTPAIR DEVN(01) {PAIR} MODE(RESYNC) MSGREQ(YES)", PairState.DUPLEX),
            (to_b, f"CRECOVER DEVN(01) {PAIR}", PairState.DUPLEX),
            (to_a, f"CDELPAIR DEVN(01) {PAIR}", PairState.DUPLEX),
            (to_a, f"CGROUP DEVN(00) {BOXES} FREEZE", PairState.SUSPENDED_FREEZE),
            (to_a, f"CGROUP DEVN(00) {BOXES} RUN", PairState.SUSPENDED_FREEZE),
            (to_a, f"CESTPATH DEVN(00) {BOXES} LINK(0010 0011 0012 0013)", PairState.SUSPENDED_FREEZE),
            (to_a, "rmpprc 00:00", PairState.SIMPLEX),
            (to_a, "mkbridge F0:F0", PairState.SIMPLEX),
            (to_a, "rmbridge F0:F0", PairState.SIMPLEX),
            (to_a, f"CDELPATH DEVN(00) {BOXES}", PairState.SIMPLEX),
            (to_a, "rmpprcpath", PairState.SIMPLEX),
        ]
        established = {text for _, text, _ in day[:3]} | {"rmpprcpath"}
        for session, text, state in day:
            first = await verdicts(session, text)
            assert first == ["already" if text in established and (state is None or "rm" in text) else "done"], text
            assert await verdicts(session, text) == ["already"], text
            if state is not None:
                assert (await query_volume(to_a, 0)).state == state, text


async def test_a_word_sends_the_order_of_the_specification(autojump_clock: object) -> None:
    """Golden vector V1 but for its flag; what a pair's words say of flags and modes is in the order."""
    async with rig() as r, r.host(r.a) as to_a:
        (paths,) = await say(to_a, f"mkpprcpath {TO_B} -consistgrp -seconds 60 {PATHS}")
        assert paths.order == bytes.fromhex(
            "D0400050 01000000 01000000 02000000 F0F0F0F0 F0F0F0F1 F2F3F4F5 F0F0F0F0 F0F0F0F6 F7F8F9F0"
            "01040000 003C0000 00100000 00000000 00110000 00000000 00120000 00000000 00130000 00000000"
        )
        text = f"CESTPAIR DEVN(1) {PAIR} CRIT(YES) MSGREQ(NO) PACE(9) RESETRSV(YES)"
        (pair,) = await say(to_a, text)
        order = decode_order(pair.order)
        assert (order.header.flags, pair.order[40:46].hex()) == (0x44, "000000090000")


async def test_a_bridge_in_use_is_not_taken_down(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_by_words(to_a, to_b)
        assert await verdicts(to_a, "mkpprc -wait 00:00") == ["done"]
        (refused,) = await say(to_a, "rmbridge F0:F0")
        assert (refused.exit, refused.plain()["sense"][14:18]) == (1, "0F5E") and duplex(r, 0)
        assert await verdicts(to_a, "rmbridge -unconditional F0:F0") == ["done"]
        assert await verdicts(to_a, "rmbridge F0:F0") == ["already"]


async def test_a_bridge_is_meant_only_by_its_own_volumes(autojump_clock: object) -> None:
    """A word for a bridge that names the volume of a pair must not end that pair, nor say that the bridge is up."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_by_words(to_a, to_b)
        assert await verdicts(to_a, "mkpprc -wait 00:00") == ["done"]
        for volumes in ("00:F0", "00:00", "F1:F0", "F0:F1"):
            for text in (f"rmbridge {volumes}", f"rmbridge -unconditional {volumes}", f"mkbridge {volumes}"):
                (outcome,) = await say(to_a, text)
                assert (outcome.verdict.value, outcome.order) == ("bad-input", b""), text
        assert duplex(r, 0)
        assert await verdicts(to_a, "mkbridge F0:F0") == ["already"]


async def test_names_are_found_or_asked_for(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        (unknown,) = await say(to_a, "mkpprc 00:00")
        assert (unknown.exit, unknown.order) == (2, b"")
        assert "has to be named whole" in unknown.text
        assert (await say(to_a, "mkpprcpath -remotedev 000000067890 0010"))[0].exit == 2
        await set_up_by_words(to_a, to_b)
        assert await verdicts(to_a, "mkpprc -wait 00:01") == ["done"], "the only system there are paths to"
        assert await verdicts(to_b, "rmpprc -at tgt 00:01") == ["done"], "the one of the pair"
        assert await verdicts(to_a, "mkpprc -dev 0101:00:000000012345 02:02") == ["bad-input"]
        assert await verdicts(to_a, "mkpprc -remotedev X-999 02:02") == ["bad-input"]
        assert await verdicts(to_a, "mkpprc -dev IBM.2107-12345 -remotedev IBM.2107-67890 -tgtss 200 02:02") == ["done"]
        assert await verdicts(to_a, "mkpprc 0102:0002") == ["bad-input"], "another LSS"
        assert await verdicts(to_a, "mkpprc 7E:02") == ["bad-input"], "no such device"
        assert await verdicts(to_a, "lspprcpath -dev 0200:00:000000067890") == ["bad-input"]
        assert await verdicts(to_a, "mkbridgevol -role undefine 01F0 00F0") == ["bad-input", "refused"], "another LSS"


async def test_a_pair_is_ended_only_by_its_name(autojump_clock: object) -> None:
    """A delete, suspend or recover that names another secondary or primary is not sent."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_by_words(to_a, to_b)
        assert await verdicts(to_a, "mkpprc -wait 00:01") == ["done"]
        assert await verdicts(to_a, "mkpprc -critmode 00:01") == ["refused"], "it is duplex, but not critical"
        for session, text in (
            (to_a, "rmpprc 00:02"),
            (to_a, "pausepprc -at src 00:02"),
            (to_b, "rmpprc -at tgt 02:01"),
            (to_b, "pausepprc -at tgt 02:01"),
            (to_a, "lspprc 00:02"),
        ):
            (outcome,) = await say(session, text)
            assert (outcome.verdict.value, outcome.order) == ("bad-input", b""), text
        assert duplex(r, 0)
        (refused,) = await say(to_a, "mkpprc 00:02")
        assert (refused.exit, refused.plain()["sense"][14:18]) == (1, "0F41"), "establish is the system's to judge"


async def test_a_refusal_ends_only_its_own_pair(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_by_words(to_a, to_b)
        outcomes = await say(to_a, "mkpprc -wait 00:00 F0:01 01:01")
        assert [outcome.verdict.value for outcome in outcomes] == ["done", "refused", "done"]
        assert "bridge volume" in outcomes[1].text
        assert duplex(r, 0) and duplex(r, 1) and equal(r, 0) and equal(r, 1)


async def test_waiting_says_how_far_it_is_and_ends_when_the_copy_stops(autojump_clock: object) -> None:
    async with rig(cylinders=40) as r, r.host(r.a) as to_a, r.host(r.b) as to_b, r.host(r.a) as other:
        await set_up_by_words(to_a, to_b)
        shown: list[Progress | None] = []
        assert await verdicts(to_a, "mkpprc -wait 00:00 01:01", Patience(watch=shown.append)) == ["done", "done"]
        steps = [progress for progress in shown if progress is not None]
        assert shown[-1] is None and steps[-1].text == "complete"
        assert 0 < steps[-1].done == steps[-1].total <= 1200, "some may be copied before the first look"
        assert all(0 <= step.done <= step.total == steps[-1].total for step in steps)
        assert [step.done for step in steps] == sorted(step.done for step in steps)
        ends: list[str] = []

        async def wait() -> None:
            ends.extend(await verdicts(to_a, "mkpprc -wait 02:02"))

        assert await verdicts(other, "CESTPAIR DEVN(3) PRIM(0100 12345 3) SEC(0200 67890 3)") == ["done"]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await until(lambda: 2 in core(r.a).primaries)
            assert await verdicts(other, "pausepprc 02:02") == ["done"]
        assert ends == ["stopped"]


async def test_waiting_ends_when_time_is_up(autojump_clock: object) -> None:
    """Without a bridge nothing is copied; what is waited for is said."""
    async with rig() as r, r.host(r.a) as to_a:
        assert await verdicts(to_a, f"mkpprcpath {TO_B} {PATHS}") == ["done"]
        (late,) = await say(to_a, "mkpprc -wait 00:00", Patience(timeout_s=3))
        assert (late.exit, late.verdict.value) == (4, "not-yet")
        assert "waiting for a bridge: none is defined" in late.text
        assert await verdicts(to_a, "mkpprc 00:00", Patience(always=True, timeout_s=1)) == ["not-yet"]


async def test_a_lost_link_is_no_refusal(autojump_clock: object) -> None:
    """The system may have done it: exit status 3, and nothing more is sent."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_by_words(to_a, to_b)
        ends: list[int] = []

        async def wait() -> None:
            outcomes = await say(to_a, "mkpprc -wait 00:00 01:01 02:02")
            ends.extend(outcome.exit for outcome in outcomes)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await until(lambda: 0 in core(r.a).primaries)
            with trio.CancelScope(shield=True):
                scope = r.a._scope
                assert scope is not None
                scope.cancel()
        assert ends and ends[-1] == 3 and set(ends) <= {0, 3}
        assert await verdicts(to_a, "lspprc") == ["unanswered"]


async def test_pairs_are_listed_with_what_they_wait_for(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        assert (await say(to_a, "lspprc"))[0].said() == ["no pairs"]
        assert await verdicts(to_a, f"mkpprcpath {TO_B} {PATHS}") == ["done"]
        await say(to_a, "mkpprc 00:00 01:01")
        (listed,) = await say(to_a, "lspprc -l -check")
        assert listed.exit == 1, "not all are duplex"
        rows = listed.fields["pairs"]
        assert [(row["id"], row["queue_position"], row["why"]["code"]) for row in rows] == [
            ("0000:0000", 1, "waiting-bridge"), ("0001:0001", 2, "waiting-bridge"),
        ]  # fmt: skip
        assert any("why: queued at position 2 of 2" in line for line in listed.said())
        (there,) = await say(to_b, "lspprc")
        assert [row["state_name"] for row in there.fields["pairs"]] == ["Target Copy Pending"] * 2
        await set_up_bridge_by_words(to_a, to_b)
        await until(lambda: duplex(r, 0) and duplex(r, 1))
        (listed,) = await say(to_a, "lspprc -check")
        assert listed.exit == 0 and not any("why" in line for line in listed.said())
        await say(to_a, "pausepprc 01:01")
        assert [row["id"] for row in (await say(to_a, "lspprc -state suspended"))[0].fields["pairs"]] == ["0001:0001"]
        assert [row["id"] for row in (await say(to_a, "lspprc 00 02"))[0].fields["pairs"]] == ["0000:0000", "0002"]
        (bridges,) = await say(to_a, "lsbridge")
        assert (bridges.fields["bridges"][0]["state"], bridges.fields["queue"]) == ("idle", [])


async def test_listing_only_the_pairs_that_are_named(autojump_clock: object) -> None:
    """Every name that is given counts: of the system that is asked, of the other one, of both volumes' subsystems."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_by_words(to_a, to_b)
        await say(to_a, "mkpprc -wait 00:01")
        for session, words in (
            (to_a, "-srcss 0100 -tgtss 0200"),
            (to_a, "-dev 0100:00:000000012345 -remotedev 0200:00:000000067890"),
            (to_a, "-state full-duplex -remotedev 67890"),
            (to_a, "0000:0001"),
            (to_b, "-srcss 0200 -tgtss 0100 -remotedev 12345"),
            (to_b, "0001:0000"),
        ):
            (listed,) = await say(session, f"lspprc {words}")
            assert [row["id"] for row in listed.fields["pairs"]] == ["0000:0001"], words
        for session, words in (
            (to_a, "-tgtss 0201"),
            (to_a, "-remotedev 0200:01:000000067890"),
            (to_a, "-state full-duplex -remotedev 12345"),
            (to_a, "-remotedev 12345"),  # the system that is asked is not the other one of its pair
            (to_b, "-tgtss 0200"),
        ):
            assert (await say(session, f"lspprc {words}"))[0].said() == ["no pairs"], words
        for session, words, text in (
            (to_a, "-srcss 0101", "this is 0100:00:000000012345, not 0101:any:any"),
            (to_a, "-dev 0100:01:000000012345", "this is 0100:00:000000012345"),
            (to_a, "0100", "not any:01:any"),
            (to_a, "00:0101", "00 is paired with 0001, not with 0101"),
            (to_b, "01:0100", "01 is paired with 0000, not with 0100"),
            (to_a, "00:01 00:02", "00 is paired with 0001, not with 0002"),
        ):
            (outcome,) = await say(session, f"lspprc {words}")
            assert outcome.verdict.value == "bad-input" and text in outcome.text, (words, outcome)


async def reason_of_write(session: HostSession, device: int) -> str:
    """What a host hears that writes: sense bytes 7 and 8, or nothing."""
    result = await session.run_program(device, orders.format_track(Cchh(0, 1), [orders.NewRecord(b"x")]))
    return result.sense[7:9].hex() if result.sense else ""


async def test_suspending_at_either_side_and_holding_hosts_off(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_by_words(to_a, to_b)
        assert await verdicts(to_a, "mkpprc -wait 01:01") == ["done"]
        assert await verdicts(to_b, "pausepprc -at tgt 01:01") == ["done"]
        assert await verdicts(to_b, "pausepprc 01:01") == ["already"], "the side that is asked"
        (row,) = (await say(to_b, "lspprc"))[0].fields["pairs"]
        assert (row["state_name"], row["reason"]) == ("Target Suspended", "Host Target")
        assert await reason_of_write(to_a, 1) == "fb02", "the primary hears of it with its next record"
        (row,) = (await say(to_a, "lspprc"))[0].fields["pairs"]
        assert (row["reason"], row["why"]["code"]) == ("Host Target", "host-command-secondary")
        assert await verdicts(to_a, "resumepprc -wait 01:01") == ["done"]
        suspend = f"CSUSPEND DEVN(01) {PAIR}"
        assert await verdicts(to_a, f"{suspend} PRIMARY") == ["done"]
        assert await reason_of_write(to_a, 1) == "0f57"
        assert await verdicts(to_a, suspend) == ["already"] and await reason_of_write(to_a, 1) == "", "they go on"
        (held,) = await say(to_a, f"{suspend} QUIESCE")
        assert "hosts wait until it is suspended without QUIESCE, or deleted" in held.text
        assert await verdicts(to_a, "pausepprc 01:01") == ["already"] and await reason_of_write(to_a, 1) == ""
        assert await verdicts(to_b, f"{suspend} PRIMARY") == ["refused"], "not for a secondary"


async def test_a_suspend_says_that_a_pair_which_failed_goes_on_and_one_at_the_secondary_holds_it(
    autojump_clock: object,
) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_by_words(to_a, to_b)
        assert await verdicts(to_a, "mkpprc -wait 01:01") == ["done"]
        for adapter in r.a.running.adapters.by_said.values():
            if adapter.config.kind == "peer":
                r.a.running.adapters._end_links(adapter)
        assert await reason_of_write(to_a, 1) == "fb03"
        (failed,) = await say(to_a, "pausepprc 01:01")
        assert failed.verdict.value == "already" and "goes on by itself all the same, unless" in failed.text
        (held,) = await say(to_b, "pausepprc 01:01")
        assert held.verdict.value == "done" and "goes on" not in held.text
        await r.connect()
        await until(lambda: core(r.a).primaries[1].state is PairState.SUSPENDED_SECONDARY_COMMAND, 200.0)
        (stays,) = await say(to_a, "pausepprc 01:01")
        assert stays.verdict.value == "already" and "goes on" not in stays.text


async def test_a_critical_pair_says_that_it_refuses_writes(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_by_words(to_a, to_b)
        assert await verdicts(to_a, "mkpprc -critmode -wait 01:01") == ["done"]
        await r.b.crash(Random(1))
        await trio.testing.wait_all_tasks_blocked()
        assert [await reason_of_write(to_a, 1) for _ in range(2)] == ["fb04", "0f57"]
        (listed,) = await say(to_a, "lspprc")
        (row,) = listed.fields["pairs"]
        assert row["critical_mode"] == "Enabled" and "writes are refused (critical state)" in row["why"]["text"]
        assert "CRIT(YES-PATHS)" in "".join((await say(to_a, "CQUERY DEVN(01)"))[0].said())


async def test_extended_distance_and_back(autojump_clock: object) -> None:
    """It never becomes duplex, and says so; waiting ends when everything is copied; another type is no "already"."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_by_words(to_a, to_b)
        (far,) = await say(to_a, "mkpprc -type gcp -wait 01:01")
        assert (far.exit, far.text) == (0, "copied; extended distance stays pending")
        (row,) = (await say(to_a, "lspprc -l"))[0].fields["pairs"]
        assert (row["type"], row["state_name"], row["first_pass"]) == ("Global Copy", "Copy Pending", "Valid")
        assert row["why"]["code"] == "extended-distance", row["why"]
        assert "PENDING.XD" in "".join((await say(to_a, "CQUERY DEVN(01)"))[0].said())
        assert await verdicts(to_a, "mkpprc -type gcp 01:01") == ["already"]
        assert await reason_of_write(to_a, 1) == ""
        assert await verdicts(to_a, "pausepprc 01:01") == ["done"]
        assert "SUSP(3).XD" in "".join((await say(to_a, "CQUERY DEVN(01)"))[0].said())
        assert await verdicts(to_a, "resumepprc -type gcp -wait 01:01") == ["done"]
        (sync,) = await say(to_a, f"CESTPAIR DEVN(01) {PAIR} OPTION(SYNC)", Patience(always=True))
        assert (sync.exit, sync.text) == (0, "full duplex") and duplex(r, 1) and equal(r, 1)
        assert await verdicts(to_a, "mkpprc -type gcp 01:01") == ["refused"], "a pair in step has to be suspended first"


async def test_an_accepted_order_stays_accepted_whatever_becomes_of_the_query_behind_it(autojump_clock: object) -> None:
    """The device is busy then, or the link is lost: neither makes a refusal, or a doubt, of what was accepted."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.a) as other:
        desk = Desk(to_a)
        assert await verdicts(to_a, f"mkpprcpath {TO_B} {PATHS}") == ["done"]

        async def busy() -> str:
            nursery.start_soon(say, other, f"CESTPAIR DEVN(01) {PAIR} MSGREQ(YES)")
            await until(lambda: 1 in core(r.a).primaries)
            return str(await desk.need_volume(1))

        async def lost() -> str:
            await r.a.crash(Random(1))
            return str(await desk.need_volume(1))

        async with trio.open_nursery() as nursery:
            order = orders.define_bridge(await desk.own(), 0xF0, 1, 1)
            for ask in (busy, lost):
                outcome = await do(desk, 0xF0, order, "F0", never, ask)
                assert (outcome.exit, outcome.order) == (0, order.encode()), outcome
                assert outcome.text == "accepted; how it is now cannot be asked"
            nursery.cancel_scope.cancel()


async def test_a_refusal_stays_one_whatever_becomes_of_the_query_behind_it(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a:
        desk = Desk(to_a)
        looks = 0

        async def lost_the_second_time() -> str:
            nonlocal looks
            looks += 1
            if looks == 2:
                await r.a.crash(Random(1))
                await desk.paths()
            return ""

        order = orders.define_bridge(System(0x0999, 0, "000000012345"), 0xF0, 1, 1)
        outcome = await do(desk, 0xF0, order, "F0", lost_the_second_time, never)
        assert (outcome.verdict.value, looks) == ("refused", 2) and "sense" in outcome.plain()


@pytest.mark.parametrize(("device", "end"), [("00", "not-yet"), ("01", "done")])  # 00: the one systems are asked by
async def test_a_copy_that_outlasts_the_patience_of_the_channel(
    autojump_clock: object, device: str, end: str
) -> None:
    """MSGREQ: the channel gives up after a minute, the order goes on, the word waits on; others see a busy device."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b, r.host(r.a) as other:
        assert await verdicts(to_a, f"mkpprcpath {TO_B} {PATHS}") == ["done"]
        pair = f"PRIM(0100 12345 {device}) SEC(0200 67890 {device})"
        text = f"CESTPAIR DEVN({device}) {pair} MSGREQ(YES)"
        ends: list[str] = []

        async def wait() -> None:
            ends.extend(await verdicts(to_a, text, Patience(timeout_s=300)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.sleep(90)
            (listed,) = await say(other, "lspprc")
            assert [(row["state_name"], row["why"]["code"]) for row in listed.fields["pairs"]] == [("Busy", "busy")]
            assert "the device is busy" in (await say(other, f"pausepprc {device}:{device}"))[0].text
            if end == "done":
                await set_up_bridge_by_words(other, to_b)
        assert ends == [end] and duplex(r, int(device)) == (end == "done")


async def test_a_failover_that_is_not_durable_is_not_done_already(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query tells what it has begun. The system itself says that it is so, and only of what a crash does not undo."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_by_words(to_a, to_b)
        await say(to_a, "mkpprc -wait 00:00")

        def fail(number: int) -> None:
            raise DiskError("no sync")

        monkeypatch.setattr(r.b.medium, "sync", fail)
        for _ in range(2):
            assert await verdicts(to_b, "failoverpprc 00:00") == ["refused"]
        assert core(r.b).primaries[0].state is PairState.SUSPENDED_PRIMARY_COMMAND, "in memory"
