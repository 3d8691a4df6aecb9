"""One half fails while the other goes on: only the disk of B; a chain, or an order, that a freeze overtakes."""

from __future__ import annotations

import pytest
import trio

from ccw.ccws import CommandCode
from ccw.pprc import PprcOrder, UpdateSecondaryDeviceStatus
from controller.array.errors import DiskError
from controller.channel import ChainResult
from controller.remote_copy.core import Core
from controller.remote_copy.pair import BoxName
from controller.remote_copy.paths import PathEntry
from controller.remote_copy.procedure import Procedure
from controller.remote_copy.states import PairState, Reason
from host_emulator.session import HostSession
from tests.helpers import operator
from tests.helpers.copying import RESYNC, core, duplex, equal, format_track, in_step, try_to_format, waits
from tests.helpers.operator import freeze, order, query_volume, run
from tests.helpers.two_systems import BY_COMMAND, rig, until

MEDIA_ERROR = b"\xfb\x08"


async def test_a_write_that_only_the_disk_of_b_refuses(autojump_clock: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths work, B answers, its array is fenced: A shows 08, B 06; the host is told once, and goes on."""
    async with rig(copy=BY_COMMAND) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await in_step(r, to_a, to_b, (0, 1), cgroup=False)

        def fail(number: int) -> None:
            raise DiskError("no sync")

        monkeypatch.setattr(r.b.medium, "sync", fail)
        failed = await try_to_format(to_a, 0, 4, "not at B")
        assert failed.sense is not None and failed.sense[7:9] == MEDIA_ERROR
        query = await query_volume(to_a, 0)
        assert (query.state, query.path_status) == (8, 1), "the paths are as good as ever"
        assert any("IEA491E" in str(e["text"]) and "MEDIA ERROR ON SECONDARY" in str(e["text"]) for e in r.events)
        await format_track(to_a, 0, 4, "again")
        assert list(core(r.a).primaries[0].out_of_sync.search(1)) == [4]
        assert (await query_volume(to_a, 1)).state == 2, "the other pair has met nothing yet"


@pytest.mark.parametrize("cgroup", [True, False])
async def test_a_chain_that_began_before_a_freeze(
    cgroup: bool, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The freeze comes between its first command and its write. With CGROUP its host is told to wait and ask again;
    without, it ends well: the pair is suspended, and the track recorded."""
    async with rig(copy=BY_COMMAND) as r, r.host(r.a) as to_a, r.host(r.a) as io, r.host(r.b) as to_b:
        await in_step(r, to_a, to_b, cgroup=cgroup)
        device = r.a.running.subsystem.devices[0]
        frozen = False
        execute = device.execute

        def freeze_in_the_middle(path: object, command: object) -> object:
            nonlocal frozen
            if command.code == CommandCode.WRITE_COUNT_KEY_AND_DATA and not frozen:  # type: ignore[attr-defined]
                frozen = True
                r.a.running.subsystem.remote_copy.order(1, freeze(), None, 1, lambda outcome: None)
            return execute(path, command)  # type: ignore[arg-type]

        monkeypatch.setattr(device, "execute", freeze_in_the_middle)
        result = await try_to_format(io, 0, 4, "began before")
        monkeypatch.undo()
        assert frozen and core(r.a).primaries[0].state is PairState.SUSPENDED_FREEZE
        assert waits(result) if cgroup else result.completed
        assert r.b.running.store.read(0, 4) is None
        assert core(r.a).primaries[0].out_of_sync[4]
        await trio.sleep(1)
        assert (await order(to_a, 0, run())).completed
        await format_track(io, 0, 4, "again")
        await until(lambda: not core(r.a).long_busy)
        assert (await order(to_a, 0, operator.establish_path(consistency_group=cgroup))).completed
        assert (await order(to_a, 0xF0, operator.establish_bridge())).completed
        assert (await order(to_a, 0, operator.establish_pair(0, mode=RESYNC))).completed
        await until(lambda: duplex(r, 0))
        assert equal(r, 0)


@pytest.mark.parametrize("answered", [True, False])
async def test_an_establish_pair_that_is_under_way_when_a_freeze_comes(
    answered: bool, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether B's answer comes before the freeze has taken the path or not at all: no pair is left that copies."""
    async with rig(copy=BY_COMMAND) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await in_step(r, to_a, to_b, cgroup=True)
        send = Core.send
        reached = trio.Event()

        def frozen_meanwhile(
            self: Core, entry: PathEntry, device: int, sent: PprcOrder, box: BoxName
        ) -> Procedure[ChainResult]:
            if self is core(r.a) and device == 1 and isinstance(sent, UpdateSecondaryDeviceStatus):
                if answered:
                    result = yield from send(self, entry, device, sent, box)
                    r.a.running.subsystem.remote_copy.order(2, freeze(), None, 1, lambda outcome: None)
                    reached.set()
                    return result
                r.a.running.subsystem.remote_copy.order(2, freeze(), None, 1, lambda outcome: None)
                reached.set()
            return (yield from send(self, entry, device, sent, box))

        monkeypatch.setattr(Core, "send", frozen_meanwhile)
        result = await order(to_a, 1, operator.establish_pair(1))
        await reached.wait()
        monkeypatch.undo()
        await trio.sleep(2)
        pair = core(r.a).primaries.get(1)
        assert pair is None or pair.state is PairState.SUSPENDED_FREEZE, "nothing copies in a freeze"
        assert not core(r.a).queue.pairs()
        assert core(r.a).primaries[0].state is PairState.SUSPENDED_FREEZE
        if pair is None:
            assert result.sense is not None and result.sense[7] == 0x0F
        refused = await order(to_a, 3, operator.establish_pair(3))
        assert refused.sense is not None and refused.sense[8] == Reason.FREEZE
        assert (await order(to_a, 0, run())).completed
        await set_up_again(to_a)
        assert (await order(to_a, 1, operator.establish_pair(1))).completed
        await until(lambda: duplex(r, 1))
        assert equal(r, 1)


async def set_up_again(to_a: HostSession) -> None:
    assert (await order(to_a, 0, operator.establish_path(consistency_group=True))).completed
    assert (await order(to_a, 0xF0, operator.establish_bridge())).completed
