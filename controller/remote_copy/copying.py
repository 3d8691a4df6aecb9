"""What becomes of the copies: `WorkerOwner`, whom bridges and bridgeless copies report to.

Source: pprc-commands 5.1 (failures), 7.2.
"""

from collections.abc import Callable

from ccw.bridge import Result
from controller.remote_copy import pair_acts
from controller.remote_copy.bridge_setup import give_up
from controller.remote_copy.core import Core
from controller.remote_copy.host_writes import (
    FB_COMMUNICATION,
    FB_PRIMARY,
    FB_SECONDARY_SUBSYSTEM,
    RESULT_EVENTS,
    HostWrites,
)
from controller.remote_copy.long_busy import grouped
from controller.remote_copy.pair import Pair
from controller.remote_copy.procedure import Procedure, run
from controller.remote_copy.refusal import Refused, reject
from controller.remote_copy.states import PairEvent, PairState, Reason
from controller.remote_copy.sync_worker import SyncWorker

REST_S = 1.0  # between two passes of an extended-distance pair


class Copying:
    """The copies of one box. `soon`: something has failed that may be put right."""

    def __init__(self, core: Core, writes: HostWrites, soon: Callable[[], None]) -> None:
        self._core = core
        self._writes = writes
        self._soon = soon

    def prepare_copy(self, pair: Pair, ready: Callable[[bool], None]) -> None:
        """See `WorkerOwner`."""
        if not pair.reconcile and not pair.announce:
            ready(True)
            return
        generation = pair.generation

        def prepared(result: Refused | None) -> None:
            if isinstance(result, Refused) and pair.generation == generation:
                self._writes.suspend(pair, pair_acts.loss_of(result), FB_COMMUNICATION, str(result))
            ready(not isinstance(result, Refused))

        run(self._prepare(pair), prepared)

    def _prepare(self, pair: Pair) -> Procedure[None]:
        """Tell the secondary that the copy goes on, and ask what it may hold that is not here. Raises Refused.

        A secondary that is duplex had got that far when this box, or the link, failed. Where it is one of a group,
        whose secondaries stand at one point in time, the copy does not go on by itself.
        """
        if grouped(self._core, pair) and (yield from pair_acts.state_there(self._core, pair)) is PairState.DUPLEX:
            why = "its secondary is in step with a group already: resynchronise it by command"
            self._writes.suspend(pair, PairEvent.COMMUNICATION_LOST, FB_COMMUNICATION, why)
            raise reject(Reason.STATE, pair_id=pair.pair_id)
        yield from pair_acts.take_up(self._core, pair)
        pair.announce = False
        if pair.reconcile:
            yield from pair_acts.reconcile(self._core, pair, self._core.control_path(pair.secondary.box))

    def copy_finished(self, pair: Pair, done: Callable[[], None]) -> None:
        """See `WorkerOwner`."""

        generation = pair.generation

        def finished(result: Refused | None) -> None:
            if isinstance(result, Refused) and pair.generation == generation:
                self._writes.suspend(pair, pair_acts.loss_of(result), FB_COMMUNICATION, str(result))
            done()

        run(self._finish(pair), finished)

    def _finish(self, pair: Pair) -> Procedure[None]:
        core = self._core
        worker = self._writes.worker_of(pair)
        generation = pair.generation
        yield from pair_acts.set_secondary(core, pair, PairState.DUPLEX)
        if pair.generation != generation or (worker is None and core.conventional is None):
            pair.announce = True  # stopped meanwhile; should it go on, the secondary is pending again
            return
        if worker is not None:
            self._writes.give(pair, worker)
        core.change(pair, PairEvent.COPY_COMPLETE, "all tracks are equal")
        core.around.log(None, "synchronisation complete", {"pair": pair.pair_id})

    def copy_failed(self, pair: Pair, result: Result) -> None:
        """See `WorkerOwner`."""
        event, reason = RESULT_EVENTS.get(result, (PairEvent.SECONDARY_ERROR, FB_SECONDARY_SUBSYSTEM))
        self._writes.suspend(pair, event, reason, f"status result {result.name}")

    def pass_ended(self, pair: Pair) -> None:
        """See `WorkerOwner`."""
        generation, clock = pair.generation, self._core.around.clock

        def rested() -> None:
            here = self._core.primaries.get(pair.volume) is pair and pair.generation == generation
            if here and pair.state is PairState.DUPLEX_PENDING:
                pair.resting = True
                self._core.watch()
                if pair.dirty.any() or not pair.extended:
                    pair_acts.wake(self._core, pair)

        self._core.around.timers.call_at(clock.now() + REST_S, rested)

    def unreadable(self, pair: Pair, text: str) -> None:
        """See `WorkerOwner`."""
        self._writes.suspend(pair, PairEvent.PRIMARY_ERROR, FB_PRIMARY, text)

    def when_durable(self, sequence: int, reply: Callable[[bool], None]) -> None:
        """See `WorkerOwner`."""
        self._core.around.hardener.when_durable(sequence, reply)

    def bridge_stopped(self, worker: SyncWorker, text: str) -> None:
        """See `WorkerOwner`."""
        bridge = self._core.sending[worker.number]
        self._core.around.log(None, "bridge has failed", {"bridge": worker.number, "why": text})
        run(give_up(self._core, bridge), lambda _: self._soon())

    def track_confirmed(self, pair: Pair) -> None:
        """See `WorkerOwner`."""
        self._writes.count_confirmed(pair)
