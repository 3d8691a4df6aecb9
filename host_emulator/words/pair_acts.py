"""What words do about pairs."""

from __future__ import annotations

from dataclasses import replace

from ccw.pprc_codes import PairState, Reason
from ccw.pprc_flags import PairFlag
from ccw.pprc_query import VolumeFlag, VolumeQuery
from host_emulator import orders
from host_emulator.orders import System
from host_emulator.words import listing
from host_emulator.words.desk import Desk, NotNamed, Unanswered
from host_emulator.words.doing import do, never, said
from host_emulator.words.explain import PRIMARY, SECONDARY, explain, goes_on
from host_emulator.words.outcome import Outcome, Verdict
from host_emulator.words.systems import both, paths_of, same, text_of
from host_emulator.words.tasks import (
    ANY,
    EXTENDED_DISTANCE,
    Action,
    DeletePair,
    EstablishPair,
    Mode,
    PairTask,
    RecoverPair,
    SuspendPair,
)


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


async def establish_pair(desk: Desk, task: EstablishPair) -> Outcome:
    """Establish, resynchronise, fail over or fail back; the copy is not waited for here."""
    primary, secondary = await desk.names(task.primary, task.secondary, task.device)

    async def so() -> str:
        volume = await desk.need_volume(task.device)
        if volume.role != PRIMARY or not _is_pair(volume, primary, secondary, task) or not _is_done(volume, task):
            return ""
        return f"{await state_text(desk, volume)}, already"

    async def done() -> str:
        if task.action is Action.FAILOVER:
            return "failed over: a suspended primary, which hosts may use; what changes is recorded"
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
    try:
        unless = Reason.ALREADY_PRIMARY if task.action is Action.FAILOVER else None
        return await do(desk, task.device, order, task.subject, so, done, unless=unless)
    except Unanswered:
        if not task.flags & PairFlag.MESSAGE_REQUIRED:
            raise
        return Outcome(Verdict.DONE, task.subject, "under way", order.encode())  # the copy lasts; it is waited for


def _is_done(volume: VolumeQuery, task: EstablishPair) -> bool:
    """Is a primary of the pair in the state that the order would bring it to?"""
    if task.action is Action.FAILOVER:
        return volume.state >= PairState.SUSPENDED_PRIMARY_COMMAND
    if bool(volume.flags & VolumeFlag.EXTENDED_DISTANCE) != (task.option == EXTENDED_DISTANCE):
        return False
    if task.flags & PairFlag.CRITICAL and not volume.flags & VolumeFlag.CRITICAL:
        return False
    if volume.state == PairState.DUPLEX:
        return True
    return volume.state == PairState.DUPLEX_PENDING and task.mode is not Mode.NOCOPY


async def delete_pair(desk: Desk, task: DeletePair) -> Outcome:
    """Make both volumes simplex, by the primary."""
    volume = await desk.need_volume(task.device)
    if not volume.role:
        return Outcome(Verdict.ALREADY, task.subject, "simplex already")
    primary, secondary = await desk.names(task.primary, task.secondary, task.device)
    _check_pair(volume, primary, secondary, task, task.device)

    async def so() -> str:
        return "" if (await desk.need_volume(task.device)).role else "simplex already"

    order = orders.delete_pair(primary, secondary, task.device, task.other, unconditional=task.unconditional)
    return await do(desk, task.device, order, task.subject, so, lambda: said("simplex"))


async def suspend_pair(desk: Desk, task: SuspendPair) -> Outcome:
    """Suspend at the side that is meant. Sent also where it is so already: it ends what an earlier one held."""
    at_secondary = await _is_at_secondary(desk, task) if task.at_secondary is None else task.at_secondary
    device = task.other if at_secondary else task.device
    if at_secondary:
        secondary, primary = await desk.names(task.secondary, task.primary, device)
    else:
        primary, secondary = await desk.names(task.primary, task.secondary, device)
    before = await desk.need_volume(device)
    _check_pair(before, primary, secondary, task, device)

    async def done() -> str:
        volume = await desk.need_volume(device)
        text = await state_text(desk, volume)
        if not at_secondary and goes_on(volume, paths_of(await desk.paths(), volume)):
            text += "; it goes on by itself all the same, unless that is turned off or it is suspended at its secondary"
        return text

    order = orders.suspend_pair(primary, secondary, task.device, task.other, flags=task.flags)
    outcome = await do(desk, device, order, task.subject, never, done)
    enough = (before.state == PairState.SUSPENDED_SECONDARY_COMMAND if at_secondary
              else before.state >= PairState.SUSPENDED_PRIMARY_COMMAND)  # fmt: skip
    if outcome.verdict is Verdict.DONE and enough and not task.flags:
        return replace(outcome, verdict=Verdict.ALREADY, text=f"{outcome.text}, already")
    return outcome


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


async def recover_pair(desk: Desk, task: RecoverPair) -> Outcome:
    """Make a secondary simplex."""
    volume = await desk.need_volume(task.other)
    if not volume.role:
        return Outcome(Verdict.ALREADY, task.subject, "simplex already")
    secondary, primary = await desk.names(task.secondary, task.primary, task.other)
    _check_pair(volume, primary, secondary, task, task.other)

    async def so() -> str:
        return "" if (await desk.need_volume(task.other)).role else "simplex already"

    order = orders.recover_pair(
        primary, secondary, task.device, task.other, old_serial=task.old_serial, new_serial=task.new_serial
    )
    return await do(desk, task.other, order, task.subject, so, lambda: said("simplex"))
