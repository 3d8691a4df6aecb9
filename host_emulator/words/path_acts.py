"""What words do about paths, freezes and bridges."""

from __future__ import annotations

from ccw.pprc_codes import BridgeRole, BridgeState
from ccw.pprc_flags import PairFlag
from ccw.pprc_query import BridgeEntry, SecondaryFlag, SecondaryPaths, VolumeFlag
from host_emulator import orders
from host_emulator.orders import System
from host_emulator.words.desk import Desk, NotNamed
from host_emulator.words.doing import do, said
from host_emulator.words.explain import fault_text, is_good, is_ready, used
from host_emulator.words.outcome import Outcome, Verdict
from host_emulator.words.systems import paths_to, text_of
from host_emulator.words.tasks import (
    DefineBridge,
    DeleteBridge,
    DeletePaths,
    EstablishBridge,
    EstablishPaths,
    Freeze,
    Mode,
    PathTask,
    Run,
)


async def _at(desk: Desk, task: PathTask) -> int:
    """The device that the order is sent to."""
    return await desk.any_device() if task.device is None else task.device


def _between(source: System, target: System) -> str:
    return f"{text_of(source)} to {text_of(target)}"


async def establish_paths(desk: Desk, task: EstablishPaths) -> Outcome:
    """Make these the paths; said with how many there are then, and what is wrong with the others."""
    source, target = await desk.names(task.primary, task.secondary)
    subject = _between(source, target)
    wanted = {(link.said, link.link_address, link.cu_image) for link in task.links}

    async def so() -> str:
        found = paths_to(await desk.paths(), target)
        if found is None or found.flags & SecondaryFlag.FROZEN:
            return ""
        there = {(path.said, path.link_address, path.cu_image) for path in used(found) if is_good(path)}
        group = bool(found.flags & SecondaryFlag.CONSISTENCY_GROUP)
        waits = found.flags & SecondaryFlag.LONG_BUSY or task.seconds in (0, found.elb_seconds)
        alike = there == wanted and group == task.consistency_group and waits
        return f"{_paths(found)} already" if alike else ""

    async def done() -> str:
        found = paths_to(await desk.paths(), target)
        return "no paths" if found is None else _paths(found)

    order = orders.establish_path(
        source,
        target,
        task.links,
        consistency_group=task.consistency_group,
        reset_host_path=task.reset_host_path,
        seconds=task.seconds,
    )
    return await do(desk, await _at(desk, task), order, subject, so, done)


def _paths(found: SecondaryPaths) -> str:
    """How many paths there are, and what is wrong with the others."""
    paths = used(found)
    bad = [fault_text(path) for path in paths if not is_good(path)]
    text = f"{len(paths) - len(bad)} of {len(paths)} paths established"
    return f"{text}; {', '.join(bad)}" if bad else text


async def delete_paths(desk: Desk, task: DeletePaths) -> Outcome:
    """Delete all paths to a system."""
    whole = task.secondary.whole
    if whole is None and not (await desk.paths()).secondaries:
        return Outcome(Verdict.ALREADY, "", "there are no paths already")
    source, target = await desk.names(task.primary, task.secondary)

    async def so() -> str:
        return "" if paths_to(await desk.paths(), target) is not None else "there are no paths already"

    order, subject = orders.delete_path(source, target), _between(source, target)
    return await do(desk, await _at(desk, task), order, subject, so, lambda: said("paths deleted"))


async def freeze(desk: Desk, task: Freeze) -> Outcome:
    """Freeze all pairs with a system."""
    source, target = await desk.names(task.primary, task.secondary)

    async def so() -> str:
        return "frozen already" if await _frozen(desk, target) else ""

    async def done() -> str:
        return "frozen" if await _frozen(desk, target) else "there is no pair to freeze"

    order = orders.consistency_group(source, target, seconds=task.seconds)
    return await do(desk, await _at(desk, task), order, _between(source, target), so, done)


async def run(desk: Desk, task: Run) -> Outcome:
    """End a freeze."""
    source, target = await desk.names(task.primary, task.secondary)

    async def so() -> str:
        found = paths_to(await desk.paths(), target)
        frozen = found is None or found.flags & SecondaryFlag.FROZEN  # without a path set nothing says whether it is
        return "" if frozen else "no freeze is in effect already"

    order = orders.consistency_group(source, target, run=True)
    subject = _between(source, target)
    return await do(desk, await _at(desk, task), order, subject, so, lambda: said("running; the pairs stay suspended"))


async def _frozen(desk: Desk, target: System) -> bool:
    found = paths_to(await desk.paths(), target)
    return found is not None and bool(found.flags & SecondaryFlag.FROZEN)


# Bridges


async def define_bridge(desk: Desk, task: DefineBridge) -> Outcome:
    """Give a volume its role in a bridge, or take it away."""
    own = await desk.asked(task.system)

    async def so() -> str:
        volume = await desk.need_volume(task.device)
        is_one = bool(volume.flags & VolumeFlag.BRIDGE_VOLUME)
        if task.role == 0:
            return "" if is_one else "no bridge volume already"
        same_role = is_one and (volume.bridge_role, volume.bridge_number) == (task.role, task.number)
        return "defined already" if same_role else ""

    order = orders.define_bridge(own, task.device, task.role, task.number)
    return await do(desk, task.device, order, task.subject, so, lambda: said("defined" if task.role else "undefined"))


async def _bridge(desk: Desk, number: int) -> BridgeEntry | None:
    return next((bridge for bridge in (await desk.queue()).bridges if bridge.bridge_number == number), None)


async def _check_bridge(desk: Desk, task: EstablishBridge | DeleteBridge) -> None:
    """What is said of a bridge that is up has to name its own data bridge volumes. Raises NotNamed.

    An order for another volume would be about that: a delete ends its pair.
    """
    volume = await desk.need_volume(task.device)
    if (volume.bridge_role, volume.bridge_number) != (BridgeRole.PRIMARY_DATA, task.number):
        raise NotNamed(f"{task.device:02X} is not the primary data volume of bridge {task.number}")
    if volume.secondary_cca != task.other:
        raise NotNamed(f"bridge {task.number} leads from {task.device:02X} to {volume.secondary_cca:02X}")


async def establish_bridge(desk: Desk, task: EstablishBridge) -> Outcome:
    """Set a bridge up."""
    source, target = await desk.names(task.primary, task.secondary)

    async def so() -> str:
        bridge = await _bridge(desk, task.number)
        if bridge is None or not is_ready(bridge):
            return ""
        await _check_bridge(desk, task)
        return f"bridge {task.number} is up already"

    order = orders.establish_pair(
        source,
        target,
        task.device,
        task.other,
        mode=int(Mode.NOCOPY),
        bridge_role=1,
        bridge_number=task.number,
        flags=int(PairFlag.MESSAGE_REQUIRED),
    )
    return await do(desk, task.device, order, task.subject, so, lambda: said(f"bridge {task.number} is up"))


async def delete_bridge(desk: Desk, task: DeleteBridge) -> Outcome:
    """Take a bridge down."""
    source, target = await desk.names(task.primary, task.secondary, task.device)

    async def so() -> str:
        bridge = await _bridge(desk, task.number)
        if bridge is None or bridge.bridge_state <= BridgeState.DEFINED:
            return f"bridge {task.number} is down already"
        await _check_bridge(desk, task)
        return ""

    order = orders.delete_pair(source, target, task.device, task.other, unconditional=task.unconditional)
    return await do(desk, task.device, order, task.subject, so, lambda: said(f"bridge {task.number} is down"))
