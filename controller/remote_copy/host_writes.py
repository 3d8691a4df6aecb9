"""Host writes of mirrored volumes: who has to confirm them, over which bridge, and what a failure does to the pair.

A write to a pair in step goes out on the bridge at once, in parallel with its own hardening; the host's device end
waits for the status of exactly this write. A write that the secondary cannot confirm suspends the pair, and the host
hears of it once (format F message B). Source: pprc-commands 5.1, 7.2, 8.2.
"""

from collections.abc import Callable, Sequence

from ccw.bridge import Result
from controller.remote_copy import long_busy, pair_acts
from controller.remote_copy.console import error_message
from controller.remote_copy.core import Core
from controller.remote_copy.critical import is_critical
from controller.remote_copy.label import volume_serial
from controller.remote_copy.pair import Pair
from controller.remote_copy.ports import ArrayFault
from controller.remote_copy.procedure import Procedure, run
from controller.remote_copy.refusal import LONG_BUSY, Refusal, Refused, suspended_by
from controller.remote_copy.states import PairEvent, PairState
from controller.remote_copy.sync_worker import SyncWorker

STORE_EVERY = 256  # confirmed tracks between two records of a pair's bitmap

FB_PRIMARY, FB_SECONDARY_SUBSYSTEM, FB_COMMUNICATION, FB_CRITICAL, FB_TRACK_FORMAT, FB_MEDIA = 1, 2, 3, 4, 6, 8
SAID_BY_SECONDARY = (PairEvent.SUSPEND_AT_SECONDARY, PairEvent.SECONDARY_SIMPLEX)  # it knows its state already
RESULT_EVENTS: dict[Result, tuple[PairEvent, int]] = {  # result: what it does to the pair, FB reason
    Result.NOT_THE_SECONDARY: (PairEvent.SECONDARY_SIMPLEX, FB_SECONDARY_SUBSYSTEM),
    Result.DESTINATION_SUSPENDED: (PairEvent.SUSPEND_AT_SECONDARY, FB_SECONDARY_SUBSYSTEM),
    Result.TRACK_IMAGE_INVALID: (PairEvent.SECONDARY_ERROR, FB_TRACK_FORMAT),
    Result.DEVICE_FAULT: (PairEvent.SECONDARY_ERROR, FB_MEDIA),
}


class HostWrites:
    """The writes of one box's hosts to its primaries."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._bridge_of: dict[int, int] = {}  # pair id: number of the bridge that carries its updates
        self._confirmed: dict[int, int] = {}  # pair id: confirmed since the pair was last stored
        self.on_unpaired: Callable[[int], None] = _nobody  # a host has written to a volume that is no primary
        self.on_suspended: Callable[[], None] = lambda: None  # a failure has suspended a pair

    def give(self, pair: Pair, worker: SyncWorker) -> None:
        """The pair's updates go over this worker's bridge from now on."""
        self._bridge_of[pair.pair_id] = worker.number

    def host_writes(
        self, volume: int, writes: Sequence[tuple[int, int]], done: Callable[[Refusal | None], None]
    ) -> None:
        """A host changed tracks, given as (track, array sequence).

        `done` is called once, with None when the secondary needs to know nothing more (or has everything), with a
        refusal when the pair was suspended by this write. Local durability is the caller's affair.
        """
        pair = self._core.primaries.get(volume)
        if pair is None:
            done(None)
            self.on_unpaired(volume)
            return
        if volume in self._core.long_busy:  # a chain that began before: it is stored, but the host has to ask again
            pair.mark(track for track, _ in writes)
            done(LONG_BUSY)
            return
        copier = self._core.conventional
        if not pair.written_through:
            pair.mark(track for track, _ in writes)
            if pair.resting:
                pair_acts.wake(self._core, pair)
            if copier is None:
                done(None)
            else:
                copier.marked(pair, [track for track, _ in writes], done)
            return
        if copier is not None:
            copier.update(pair, writes, done)
            return
        worker = self.worker_of(pair)
        sender = worker.sender if worker is not None else None
        if worker is None or sender is None:
            pair.mark(track for track, _ in writes)
            done(self.suspend(pair, PairEvent.COMMUNICATION_LOST, FB_COMMUNICATION, "no bridge to the secondary"))
            return
        waiting = _Countdown(len(writes), done)
        generation = pair.generation
        pair.unconfirmed.update((sequence, track) for track, sequence in writes)
        for track, sequence in writes:
            if pair.generation == generation and worker.sender is sender:
                self._send_update(worker, pair, track, sequence, waiting)
            else:  # the bridge failed within this call
                pair.unconfirmed.pop(sequence, None)
                pair.mark([track])
                waiting.one(self.failure(pair, None))
        last = writes[-1][1]
        self._core.around.hardener.when_durable(last, lambda good: sender.local_durable(last) if good else None)

    def _send_update(self, worker: SyncWorker, pair: Pair, track: int, sequence: int, waiting: "_Countdown") -> None:
        generation = pair.generation
        stored = self._core.around.array.read_stored(pair.volume, track)
        assert stored is not None  # it was appended just now

        def confirmed(result: Result | None) -> None:
            pair.unconfirmed.pop(sequence, None)
            if result in (Result.APPLIED, Result.DUPLICATE):
                self.count_confirmed(pair)
                waiting.one(None)
                return
            if pair.generation != generation:  # given back: the track is marked, and may be copied again by now
                waiting.one(self.failure(pair, result) if pair.state.suspended else None)
                return
            pair.mark([track])
            if result is None and pair.state is PairState.DUPLEX:
                waiting.one(self.suspend(pair, PairEvent.COMMUNICATION_LOST, FB_COMMUNICATION, "the bridge has failed"))
            else:
                waiting.one(self.failure(pair, result))

        worker.update(pair, track, stored, sequence, confirmed)

    def failure(self, pair: Pair, result: Result | None) -> Refusal | None:
        """What a host hears of its write when the pair is suspended already, or still pending."""
        if result is None and not pair.state.suspended:
            return None  # pending: the track is marked and will be copied
        reason = RESULT_EVENTS.get(result, (None, FB_SECONDARY_SUBSYSTEM))[1] if result else FB_COMMUNICATION
        return self._suspension_sense(pair, reason)

    def worker_of(self, pair: Pair) -> SyncWorker | None:
        """The bridge that carries the pair's updates: the one that copies it, later the one it was given.

        When that one is gone, and nothing of the pair was under way on it, another takes the pair over (8.3).
        """
        for bridge in self._core.sending.values():
            if bridge.worker.pair is pair:
                return bridge.worker
        given = self._core.sending.get(self._bridge_of.get(pair.pair_id, 0))
        if given is not None and given.worker.sender is not None:
            return given.worker
        ready = [
            bridge.worker
            for _, bridge in sorted(self._core.sending.items())
            if bridge.box == pair.secondary.box and bridge.worker.sender is not None
        ]
        if not ready:
            return None
        worker = ready[pair.pair_id % len(ready)]
        self._bridge_of[pair.pair_id] = worker.number
        return worker

    def suspend(self, pair: Pair, event: PairEvent, reason: int, text: str) -> Refusal:
        """An error takes the pair out of step, if it is. Return what the host whose write met it hears."""
        if not pair.state.suspended and pair.state is not PairState.SIMPLEX:
            pair_acts.leave_queue(self._core, pair)
            if pair.state is PairState.DUPLEX:
                long_busy.write_failed(self._core, pair)
            try:
                self._core.change(pair, event, text)
            except ArrayFault as fault:
                # A restart finds the older state and proves it anew: duplex is never assumed then.
                self._core.around.log(None, "the suspension was not written", {"pair": pair.pair_id, "why": str(fault)})
            if is_critical(self._core, pair):
                reason = FB_CRITICAL
            serial = volume_serial(self._core.around.array, pair.volume)
            self._core.around.log(None, error_message(pair, serial, reason), {"pair": pair.pair_id})
            if event not in SAID_BY_SECONDARY:
                run(self._tell_suspended(pair), lambda _: None)
            self.on_suspended()
        return self._suspension_sense(pair, reason)

    def _suspension_sense(self, pair: Pair, reason: int) -> Refusal:
        return suspended_by(
            reason,
            cca=pair.volume,
            own_ssid=self._core.own.ssid,
            pair_id=pair.pair_id,
            secondary_ssid=pair.secondary.ssid,
            secondary_cca=pair.secondary.cca,
        )

    def _tell_suspended(self, pair: Pair) -> Procedure[None]:
        try:
            yield from pair_acts.set_secondary(self._core, pair, PairState.SUSPENDED_INTERNAL)
        except Refused as refused:
            self._core.around.log(None, "the secondary was not told of the suspension", {"why": str(refused)})

    def count_confirmed(self, pair: Pair) -> None:
        count = self._confirmed.get(pair.pair_id, 0) + 1
        self._confirmed[pair.pair_id] = count % STORE_EVERY
        if count == STORE_EVERY:
            self._core.store_some_time(pair)


def _nobody(_volume: int) -> None:
    """Nobody wants to know."""


class _Countdown:
    """Calls `done` when all writes of a chain are answered, with the first refusal if there was one."""

    def __init__(self, count: int, done: Callable[[Refusal | None], None]) -> None:
        self._left = count
        self._done = done
        self._refusal: Refusal | None = None

    def one(self, refusal: Refusal | None) -> None:
        self._refusal = self._refusal or refusal
        self._left -= 1
        if self._left == 0:
            self._done(self._refusal)
