"""Heartbeats (D7, selector 02): what an idle primary hears of the other box, of its bridges and of its pairs.

    bridges   over which nothing has come for BEAT_AFTER_S are asked after; an idle one that stays silent up to LIMIT_S,
              whose line or whose other box is dead, has failed (one with records under way sees to that itself). Only
              the time counts in which an answer was waited for over its own path, tick by tick: the question may wait
              for the turn of orders on another line, and this box may stand still
    pairs     in step are asked after in turn, each after PAIR_EVERY_S at the earliest, at most PAIRS_A_TICK a second of
              those with the same other box: a secondary that a command has suspended or recovered is found so (04, 07)
              without a write
The other box answers with channel end and device end, or with why not: 0F67 no such bridge, 0F62 not the secondary of
that pair, 0F69 suspended by command. Unanswered questions about pairs change nothing: a write finds out (06).
Source: pprc-commands 4.10, 7.3 step 5, 8.3; the intervals of idle bridges and of pairs: project-defined.
"""

from functools import partial

from ccw import pprc
from controller.remote_copy import orders, pair_acts
from controller.remote_copy.bridge_sender import BridgeSender
from controller.remote_copy.checks import primary_box
from controller.remote_copy.core import Core, PrimaryBridge
from controller.remote_copy.host_writes import FB_SECONDARY_SUBSYSTEM, HostWrites
from controller.remote_copy.pair import BoxName, Pair
from controller.remote_copy.procedure import Procedure, run
from controller.remote_copy.refusal import FORMAT_REASON, Refused, reject
from controller.remote_copy.states import PairEvent, PairState, Reason

TICK_S = 1.0
BEAT_AFTER_S, LIMIT_S = 5.0, 15.0
PAIR_EVERY_S, PAIRS_A_TICK = 5.0, 10
NO_BRIDGE = FORMAT_REASON << 8 | Reason.BRIDGE_NOT_ESTABLISHED  # bytes 7-8 of the other box's sense


class Heartbeat:
    """The questions of one box. `watch`: there is something to ask after."""

    def __init__(self, core: Core, writes: HostWrites) -> None:
        self._core = core
        self._writes = writes
        self._ticking = False
        self._asking: set[BoxName] = set()  # boxes that are asked after pairs
        self._asked: dict[int, float] = {}  # volume: when it was asked after, or first seen in step

    def watch(self) -> None:
        """Tick until there is neither a bridge nor a pair in step."""
        if not self._ticking:
            self._ticking = True
            self._core.around.timers.call_at(self._core.around.clock.now() + TICK_S, self._tick)

    def _tick(self) -> None:
        self._ticking = False
        now = self._core.around.clock.now()
        for bridge in list(self._core.sending.values()):
            if bridge.worker.sender is not None:
                self._look_at(bridge, bridge.worker.sender, now)
        pairs = [pair for pair in self._core.primaries.values() if pair.state is PairState.DUPLEX or pair.resting]
        self._asked = {pair.volume: self._asked.get(pair.volume, now) for pair in pairs}
        due = [pair for pair in pairs if now - self._asked[pair.volume] >= PAIR_EVERY_S]
        for box in {pair.secondary.box: None for pair in due}:
            if box not in self._asking:
                self._asking.add(box)
                theirs = sorted((pair for pair in due if pair.secondary.box == box), key=self._last_asked)
                run(self._ask_after(theirs[:PAIRS_A_TICK]), partial(self._pairs_asked, box))
        if pairs or any(bridge.worker.sender is not None for bridge in self._core.sending.values()):
            self.watch()

    # Bridges

    def _look_at(self, bridge: PrimaryBridge, sender: BridgeSender, now: float) -> None:
        path = bridge.data_path
        if path is None or now - max(sender.last_status, path.heard) < BEAT_AFTER_S:
            bridge.silent_ticks = 0
            return
        if path.under_way or path.in_vain or not path.good:
            bridge.silent_ticks += 1
        if bridge.silent_ticks * TICK_S >= LIMIT_S - BEAT_AFTER_S and sender.idle:
            sender.fail(f"nothing was heard for {LIMIT_S:.0f} s")
        elif not bridge.asked_after:
            bridge.asked_after = True
            run(self._beat(bridge), lambda result: self._answered(bridge, sender, result))

    def _beat(self, bridge: PrimaryBridge) -> Procedure[None]:
        core, box = self._core, bridge.box
        if box is None or bridge.data_path is None:
            raise reject(Reason.BRIDGE_NOT_ESTABLISHED)
        source, target = core.name(bridge.data_volume), box.volume(bridge.secondary_volume)
        order = orders.update_bridge(
            source, target, orders.DATA_BRIDGE, bridge.number, bridge.pair_id, core.around.clock.tod(),
            state=PairState.DUPLEX, selector=orders.SELECT_HEARTBEAT,
        )  # fmt: skip
        yield from core.send(bridge.data_path, bridge.secondary_volume, order, box, tries=1)

    def _answered(self, bridge: PrimaryBridge, sender: BridgeSender, result: Refused | None) -> None:
        bridge.asked_after = False
        if result is not None and result.refusal.peer == NO_BRIDGE and bridge.worker.sender is sender:
            sender.fail("the other box has no such bridge")

    # Pairs

    def _last_asked(self, pair: Pair) -> float:
        return self._asked[pair.volume]

    def _ask_after(self, pairs: list[Pair]) -> Procedure[None]:
        """One after the other; those that are left when the other box does not answer have their turn later."""
        for pair in pairs:
            generation = pair.generation
            self._asked[pair.volume] = self._core.around.clock.now()
            try:
                yield from pair_acts.ask_after(self._core, pair)
            except Refused as refused:
                loss = pair_acts.loss_of(refused)
                if loss is PairEvent.COMMUNICATION_LOST:
                    if refused.refusal.reason == Reason.PEER_REFUSED:
                        continue  # busy, perhaps
                    return
                if self._core.primaries.get(pair.volume) is pair and pair.generation == generation:
                    self._writes.suspend(pair, loss, FB_SECONDARY_SUBSYSTEM, "the secondary was asked after")

    def _pairs_asked(self, box: BoxName, _result: Refused | None) -> None:
        self._asking.discard(box)


def answer(core: Core, order: pprc.UpdateSecondaryDeviceStatus, volume: int) -> Procedure[None]:
    """D7 with selector 02 from the other box: nothing changes. Raises Refused (62, 67, 69)."""
    if order.bridge_role == orders.DATA_BRIDGE:
        receiving = core.receiving.get(order.bridge_number)
        if receiving is None or receiving.pair_id != order.pair_id:
            raise reject(Reason.BRIDGE_NOT_ESTABLISHED)
    elif not order.bridge_role:
        pair = core.secondaries.get(volume)
        if pair is None or (pair.pair_id, pair.primary.box) != (order.pair_id, primary_box(order.header)):
            raise reject(Reason.NOT_THE_SECONDARY)
        if pair.state is PairState.SUSPENDED_SECONDARY_COMMAND:
            raise reject(Reason.DESTINATION_SUSPENDED, pair_id=pair.pair_id)
    yield from ()
