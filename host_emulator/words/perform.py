"""Does what a word asks for, and leaves alone what is so already, so that every word can be said again.

Each task is looked up first. What is so already is said and nothing is sent; otherwise the order goes out, and when it
is refused the system is looked at once more: if it is so now, somebody else was quicker. A word whose names contradict
what the system says (another secondary, another system) is not sent at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ccw.errors import FormatError
from ccw.pprc import PprcOrder
from ccw.pprc_codes import BridgeState, PairState
from ccw.pprc_flags import PairFlag
from ccw.pprc_query import PathReport, SecondaryFlag, SecondaryPaths, VolumeFlag, VolumeQuery
from host_emulator import orders
from host_emulator.orders import System
from host_emulator.words import listing
from host_emulator.words.cquery import report
from host_emulator.words.desk import Desk, NotNamed, Refused, Unanswered, both, same, text_of
from host_emulator.words.explain import PRIMARY, SECONDARY, explain, is_good, path_text, used
from host_emulator.words.outcome import Outcome, Verdict, refusal
from host_emulator.words.tasks import (
    ANY,
    EXTENDED_DISTANCE,
    Action,
    DefineBridge,
    DeletePair,
    DeletePaths,
    EstablishBridge,
    EstablishPair,
    EstablishPaths,
    Freeze,
    Mode,
    PairTask,
    Query,
    RecoverPair,
    Run,
    ShowBridges,
    ShowPairs,
    ShowPaths,
    SuspendPair,
    Task,
)

So = Callable[[], Awaitable[str]]  # how it is so already, as a sentence; empty when it is not


async def perform(desk: Desk, task: Task) -> Outcome:
    """Do one task. Never raises for what the system does."""
    subject = _subject(task)
    try:
        return await _PERFORM[type(task)](desk, task)
    except NotNamed as error:
        return Outcome(Verdict.BAD_INPUT, subject, str(error))
    except Refused as refused:
        return refusal(subject, b"", refused.result)
    except Unanswered as error:
        return Outcome(Verdict.UNANSWERED, subject, f"no answer: {error}")
    except FormatError as error:
        return Outcome(Verdict.UNANSWERED, subject, f"an answer that cannot be read: {error}")


def _subject(task: Task) -> str:
    if isinstance(task, PairTask):
        return f"{task.device:02X}:{task.other:02X}"
    return f"{task.device:02X}" if isinstance(task, DefineBridge | Query) else ""


async def _do(desk: Desk, device: int, order: PprcOrder, subject: str, so: So, done: So) -> Outcome:
    """Send the order unless it is so; `done` says what came of it. Raises Unanswered, NotNamed."""
    already = await so()
    if already:
        return Outcome(Verdict.ALREADY, subject, already)
    data = order.encode()
    try:
        await desk.order(device, order)
    except Refused as refused:
        already = await so()
        if already:
            return Outcome(Verdict.ALREADY, subject, already)
        return refusal(subject, data, refused.result)
    return Outcome(Verdict.DONE, subject, await done(), data)


async def _said(text: str) -> str:
    return text


# Paths


def _set(report: PathReport, target: System) -> SecondaryPaths | None:
    """The paths to a system."""
    wanted = (target.ssid, target.lss, target.identity)
    return next((found for found in report.secondaries if (found.ssid, found.lss, found.serial) == wanted), None)


async def _establish_paths(desk: Desk, task: EstablishPaths) -> Outcome:
    source, target = await desk.names(task.primary, task.secondary)
    subject = f"{text_of(source)} to {text_of(target)}"
    wanted = {(link.said, link.link_address, link.cu_image) for link in task.links}

    async def so() -> str:
        found = _set(await desk.paths(), target)
        if found is None or found.flags & SecondaryFlag.FROZEN:
            return ""
        there = {(path.said, path.link_address, path.cu_image) for path in used(found) if is_good(path)}
        group = bool(found.flags & SecondaryFlag.CONSISTENCY_GROUP)
        waits = found.flags & SecondaryFlag.LONG_BUSY or task.seconds in (0, found.elb_seconds)
        alike = there == wanted and group == task.consistency_group and waits
        return f"{_paths(found)} already" if alike else ""

    async def done() -> str:
        found = _set(await desk.paths(), target)
        return "no paths" if found is None else _paths(found)

    order = orders.establish_path(
        source,
        target,
        task.links,
        consistency_group=task.consistency_group,
        reset_host_path=task.reset_host_path,
        seconds=task.seconds,
    )
    device = await desk.any_device() if task.device is None else task.device
    return await _do(desk, device, order, subject, so, done)


def _paths(found: SecondaryPaths) -> str:
    """How many paths there are, and what is wrong with the others."""
    paths = used(found)
    bad = [f"{path.said:04X} {path_text(path.status)} ({path.status:02X})" for path in paths if not is_good(path)]
    text = f"{len(paths) - len(bad)} of {len(paths)} paths established"
    return f"{text}; {', '.join(bad)}" if bad else text


async def _delete_paths(desk: Desk, task: DeletePaths) -> Outcome:
    whole = task.secondary.whole
    if whole is None and not (await desk.paths()).secondaries:
        return Outcome(Verdict.ALREADY, "", "there are no paths already")
    source, target = await desk.names(task.primary, task.secondary)

    async def so() -> str:
        return "" if _set(await desk.paths(), target) is not None else "there are no paths already"

    device = await desk.any_device() if task.device is None else task.device
    subject = f"{text_of(source)} to {text_of(target)}"
    return await _do(desk, device, orders.delete_path(source, target), subject, so, lambda: _said("paths deleted"))


async def _freeze(desk: Desk, task: Freeze) -> Outcome:
    source, target = await desk.names(task.primary, task.secondary)

    async def so() -> str:
        return "frozen already" if await _frozen(desk, target) else ""

    async def done() -> str:
        return "frozen" if await _frozen(desk, target) else "there is no pair to freeze"

    order = orders.consistency_group(source, target, seconds=task.seconds)
    device = await desk.any_device() if task.device is None else task.device
    return await _do(desk, device, order, f"{text_of(source)} to {text_of(target)}", so, done)


async def _run(desk: Desk, task: Run) -> Outcome:
    source, target = await desk.names(task.primary, task.secondary)

    async def so() -> str:
        found = _set(await desk.paths(), target)
        frozen = found is None or found.flags & SecondaryFlag.FROZEN  # without a path set nothing says whether it is
        return "" if frozen else "no freeze is in effect already"

    order = orders.consistency_group(source, target, run=True)
    device = await desk.any_device() if task.device is None else task.device
    subject = f"{text_of(source)} to {text_of(target)}"
    return await _do(desk, device, order, subject, so, lambda: _said("running; the pairs stay suspended"))


async def _frozen(desk: Desk, target: System) -> bool:
    found = _set(await desk.paths(), target)
    return found is not None and bool(found.flags & SecondaryFlag.FROZEN)


# Pairs


async def state_text(desk: Desk, volume: VolumeQuery) -> str:
    """The state of a volume and, unless it is duplex, why."""
    why = explain(volume, await desk.queue(), await desk.paths())
    state = listing.state_name(volume).lower()
    return f"{state}: {why.text}" if why.code else state


def _is_pair(volume: VolumeQuery, primary: System, secondary: System, task: PairTask) -> bool:
    """Is the volume one side of exactly this pair?"""
    names = list(both(volume))
    addresses = (volume.primary_cca, volume.secondary_cca)
    return same(names[0], primary) and same(names[1], secondary) and addresses == (task.device, task.other)


def _check_pair(volume: VolumeQuery, primary: System, secondary: System, task: PairTask, device: int) -> None:
    """An order that ends or suspends a pair is not sent for a volume that is in another one. Raises NotNamed."""
    if volume.role and not _is_pair(volume, primary, secondary, task):
        first, second = both(volume)
        names = f"{text_of(first)} {volume.primary_cca:02X} to {text_of(second)} {volume.secondary_cca:02X}"
        raise NotNamed(f"{device:02X} is in another pair: {names}")


async def _establish_pair(desk: Desk, task: EstablishPair) -> Outcome:
    primary, secondary = await desk.names(task.primary, task.secondary, task.device)

    async def so() -> str:
        volume = await desk.need_volume(task.device)
        if volume.role != PRIMARY or not _is_pair(volume, primary, secondary, task) or not _is_done(volume, task):
            return ""
        return f"{await state_text(desk, volume)}, already"

    async def done() -> str:
        return await state_text(desk, await desk.need_volume(task.device))

    order = orders.establish_pair(
        primary,
        secondary,
        task.device,
        task.other,
        mode=int(task.mode),
        option=task.option,
        action=int(task.action),
        pace=task.pace,
        flags=task.flags,
    )
    return await _do(desk, task.device, order, _subject(task), so, done)


def _is_done(volume: VolumeQuery, task: EstablishPair) -> bool:
    """Is a primary of the pair in the state that the order would bring it to?"""
    if task.action is Action.FAILOVER:
        return volume.state >= PairState.SUSPENDED_PRIMARY_COMMAND
    if bool(volume.flags & VolumeFlag.EXTENDED_DISTANCE) != (task.option == EXTENDED_DISTANCE):
        return False
    if volume.state == PairState.DUPLEX:
        return True
    return volume.state == PairState.DUPLEX_PENDING and task.mode is not Mode.NOCOPY


async def _delete_pair(desk: Desk, task: DeletePair) -> Outcome:
    volume = await desk.need_volume(task.device)
    if not volume.role:
        return Outcome(Verdict.ALREADY, _subject(task), "simplex already")
    primary, secondary = await desk.names(task.primary, task.secondary, task.device)
    _check_pair(volume, primary, secondary, task, task.device)

    async def so() -> str:
        return "" if (await desk.need_volume(task.device)).role else "simplex already"

    order = orders.delete_pair(primary, secondary, task.device, task.other, unconditional=task.unconditional)
    return await _do(desk, task.device, order, _subject(task), so, lambda: _said("simplex"))


async def _suspend_pair(desk: Desk, task: SuspendPair) -> Outcome:
    at_secondary = await _is_at_secondary(desk, task) if task.at_secondary is None else task.at_secondary
    device = task.other if at_secondary else task.device
    if at_secondary:
        secondary, primary = await desk.names(task.secondary, task.primary, device)
    else:
        primary, secondary = await desk.names(task.primary, task.secondary, device)
    _check_pair(await desk.need_volume(device), primary, secondary, task, device)

    async def so() -> str:
        volume = await desk.need_volume(device)
        enough = PairState.SUSPENDED_SECONDARY_COMMAND if at_secondary else None
        suspended = volume.state == enough if enough else volume.state >= PairState.SUSPENDED_PRIMARY_COMMAND
        return f"{await state_text(desk, volume)}, already" if suspended else ""

    async def done() -> str:
        return await state_text(desk, await desk.need_volume(device))

    order = orders.suspend_pair(primary, secondary, task.device, task.other, flags=task.flags)
    return await _do(desk, device, order, _subject(task), so, done)


async def _is_at_secondary(desk: Desk, task: SuspendPair) -> bool:
    """Which side is asked: by name where both are named, else by what the volumes are."""
    own = await desk.own()
    if task.primary != ANY and not task.primary.fits(own):
        return True
    first = await desk.volume(task.device)
    if first is not None and first.role == PRIMARY:
        return False
    second = await desk.volume(task.other)
    return second is not None and second.role == SECONDARY


async def _recover_pair(desk: Desk, task: RecoverPair) -> Outcome:
    volume = await desk.need_volume(task.other)
    if not volume.role:
        return Outcome(Verdict.ALREADY, _subject(task), "simplex already")
    secondary, primary = await desk.names(task.secondary, task.primary, task.other)
    _check_pair(volume, primary, secondary, task, task.other)

    async def so() -> str:
        return "" if (await desk.need_volume(task.other)).role else "simplex already"

    order = orders.recover_pair(
        primary, secondary, task.device, task.other, old_serial=task.old_serial, new_serial=task.new_serial
    )
    return await _do(desk, task.other, order, _subject(task), so, lambda: _said("simplex"))


# Bridges


async def _define_bridge(desk: Desk, task: DefineBridge) -> Outcome:
    async def so() -> str:
        volume = await desk.need_volume(task.device)
        is_one = bool(volume.flags & VolumeFlag.BRIDGE_VOLUME)
        if task.role == 0:
            return "" if is_one else "no bridge volume already"
        same_role = is_one and (volume.bridge_role, volume.bridge_number) == (task.role, task.number)
        return "defined already" if same_role else ""

    order = orders.define_bridge(await desk.own(), task.device, task.role, task.number)
    return await _do(desk, task.device, order, _subject(task), so, lambda: _said("defined"))


async def _establish_bridge(desk: Desk, task: EstablishBridge) -> Outcome:
    source, target = await desk.names(task.primary, task.secondary)

    async def so() -> str:
        bridge = next((b for b in (await desk.queue()).bridges if b.bridge_number == task.number), None)
        ready = bridge is not None and BridgeState.IDLE <= bridge.bridge_state < BridgeState.FAILED
        return f"bridge {task.number} is up already" if ready else ""

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
    return await _do(desk, task.device, order, _subject(task), so, lambda: _said(f"bridge {task.number} is up"))


# What is only shown


async def _show_pairs(desk: Desk, task: ShowPairs) -> Outcome:
    paths, queue = await desk.paths(), await desk.queue()
    rows = await listing.pair_rows(desk, task, paths, queue)
    lines = listing.pair_lines(rows, long=task.long)
    behind = [row for row in rows if row["why"]]
    verdict = Verdict.REFUSED if task.must_be_duplex and behind else Verdict.DONE
    text = f"{len(rows)} pairs, {len(behind)} not duplex"
    return Outcome(verdict, "", text, lines=tuple(lines), fields={"pairs": rows})


async def _show_paths(desk: Desk, task: ShowPaths) -> Outcome:
    found = await desk.paths()
    rows = listing.path_rows(found, task)
    return Outcome(Verdict.DONE, "", f"{len(rows)} paths", lines=tuple(listing.path_lines(rows)),
                   fields={"paths": rows})  # fmt: skip


async def _show_bridges(desk: Desk, task: ShowBridges) -> Outcome:
    rows, waiting = listing.bridge_rows(await desk.queue())
    lines = tuple(listing.bridge_lines(rows, waiting))
    return Outcome(Verdict.DONE, "", f"{len(rows)} bridges", lines=lines, fields={"bridges": rows, "queue": waiting})


async def _query(desk: Desk, task: Query) -> Outcome:
    volume, paths = await desk.need_volume(task.device), await desk.paths()
    lines, fields = report(task, volume, paths)
    return Outcome(Verdict.DONE, _subject(task), task.what.lower(), lines=tuple(lines), fields=fields)


_PERFORM: dict[type[Task], Callable[[Desk, Any], Awaitable[Outcome]]] = {
    EstablishPaths: _establish_paths,
    DeletePaths: _delete_paths,
    EstablishPair: _establish_pair,
    DeletePair: _delete_pair,
    SuspendPair: _suspend_pair,
    RecoverPair: _recover_pair,
    Freeze: _freeze,
    Run: _run,
    DefineBridge: _define_bridge,
    EstablishBridge: _establish_bridge,
    ShowPairs: _show_pairs,
    ShowPaths: _show_paths,
    ShowBridges: _show_bridges,
    Query: _query,
}
