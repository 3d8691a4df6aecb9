"""The primary end of one data bridge: numbered records in chains, a credit window, go-back-N.

Phase 1 (primary data transfer) and phase 4 (status packet received) of the patent's four phases. Records of
any pair travel in one chain: `63 Define Extent | 4B Locate Record Extended | 95 Write Full Track x n`, n = 1..16.
Host updates go ahead of waiting copies, of which few are under way while updates come (`copy_pace`); the order in which
records were numbered is never changed again. On a streamed link chains follow one another; one that is lost comes back,
and the bridge goes on (`resume`).

A record stays retained until B's cumulative acknowledgement covers it *and* its local write is durable. So B can
never hold more than one window of records that this box might lose in a crash (see `reconcile` in `service`).
Source: pprc-commands 7.2, 7.4, 8.1-8.3.
"""

from collections import deque
from dataclasses import dataclass, replace
from typing import Protocol

from ccw.bridge import RecordType, Result, StatusEntry, StatusPacket, TrackFlag
from controller.channel import ChainResult
from controller.remote_copy.bridge_chain import MAX_RECORDS_PER_CHAIN, bridge_chain
from controller.remote_copy.bridge_record import LAST_SEQUENCE, BridgeRecord, ahead, following
from controller.remote_copy.copy_pace import CopyPace
from controller.remote_copy.ports import Clock, LinkPort, TimerPort
from controller.remote_copy.states import Reason

STATUS_LIMIT_S = 15.0  # no status for so long with records outstanding: the bridge has failed
STATUS_CHECK_S = 1.0
CHAIN_FAILURES_MAX = 5  # consecutive chains without one accepted record
SEND_AGAIN_MAX = 3
STREAMED_CHAINS_MAX = 256  # under way; the window bounds their records
COPIES_A_TURN = 16  # made at once; then hosts have their turn at the processor
LINK_GONE = frozenset({"link lost", "no path"})
FATAL_FAILURES = frozenset({"link lost", "no path", "device exception"})  # others are tried again


SEND_AGAIN = frozenset({Result.PAYLOAD_CRC, Result.SEQUENCE_GAP, Result.DECOMPRESSION_FAILED})
GOOD = frozenset({Result.APPLIED, Result.DUPLICATE})
RESULTS = {int(result): result for result in Result}


class SenderOwner(Protocol):
    """Who feeds the bridge and hears of its records."""

    def next_copy(self) -> BridgeRecord | None:
        """The next record of the running synchronisation, unnumbered (sequence 0), or None."""

    def record_done(self, record: BridgeRecord, result: Result) -> None:
        """The status of a record has come: applied, or failed for good."""

    def plain_again(self, record: BridgeRecord) -> BridgeRecord:
        """The same record with an uncompressed payload."""

    def bridge_failed(self, text: str) -> None:
        """Nothing goes through any more; called once."""


@dataclass(frozen=True, slots=True)
class BridgeRoute:
    """Where the bridge's chains go."""

    number: int  # 1-8
    link: LinkPort
    image: int
    device: int  # unit address of the secondary data bridge volume
    slots: int  # tracks of that volume, used as a ring
    heads: int
    window: int  # records
    streamed: bool = False  # chains follow one another without waiting


class BridgeSender:
    """One data bridge, primary side."""

    def __init__(
        self, route: BridgeRoute, first_sequence: int, owner: SenderOwner, clock: Clock, timers: TimerPort
    ) -> None:
        self.route = route
        self.owner = owner
        self._clock = clock
        self._timers = timers
        self.next_sequence = first_sequence
        self.acknowledged = 0
        self._first = first_sequence
        self._credit = route.window
        self._retained: deque[BridgeRecord] = deque()
        self._cursor = 0  # index in _retained of the next record to put on the link
        self._updates: deque[BridgeRecord] = deque()
        self._chains: deque[list[BridgeRecord]] = deque()  # under way
        self.interrupted = False  # the streamed link is gone, and will come back
        self._go_back: int | None = None
        self._failures = 0
        self.last_status = clock.now()
        self._silent_checks = 0  # while records were outstanding, since the last status
        self._watching = False
        self._pace = CopyPace(route.window)
        self._copies = 0  # under way
        self._filling = False  # while records are asked for: what that sets off must not start a chain
        self._copies_left = COPIES_A_TURN  # of this turn
        self._turn_asked = False
        self._durable = 0
        self.failed = False

    # Input

    def update(self, record: BridgeRecord) -> None:
        """Send a host update ahead of waiting copies."""
        self._updates.append(record)
        self._pace.updated(self._clock.now())
        self._watch()
        self.pump()

    def local_durable(self, sequence: int) -> None:
        """Everything of this box up to the array sequence is durable."""
        if sequence > self._durable:
            self._durable = sequence
            self._release()
            self.pump()

    def status(self, packet: StatusPacket) -> None:
        """A status packet arrived on the status bridge."""
        self.last_status = self._clock.now()
        self._silent_checks = 0
        self._credit = packet.credit
        for entry in packet.entries:
            self._entry(entry)
        if packet.cumulative_ack and ahead(packet.cumulative_ack, self.acknowledged or self._first - 1) > 0:
            self.acknowledged = packet.cumulative_ack
        self._release()
        self.pump()

    def fail(self, text: str) -> None:
        """Give up: every retained record is reported as not confirmed."""
        if self.failed:
            return
        self.failed = True
        records = [*self._retained, *self._updates]
        self._retained.clear()
        self._updates.clear()
        for record in records:
            if record.reply is not None and record.result is None:
                record.reply(None)
        self.owner.bridge_failed(text)

    # The window

    @property
    def outstanding(self) -> int:
        """Records numbered and not yet released."""
        return len(self._retained)

    @property
    def idle(self) -> bool:
        """Nothing is under way or waits, so no status is due."""
        return not (self._retained or self._chains or self._updates)

    def _room(self) -> bool:
        if len(self._retained) >= self.route.window:
            return False
        last_confirmed = self.acknowledged or (self._first - 1 if self._first > 1 else LAST_SEQUENCE)
        return ahead(self.next_sequence, last_confirmed) <= self._credit

    def _take_new(self) -> BridgeRecord | None:
        if not self._room():
            return None
        record = self._updates.popleft() if self._updates else self._next_copy()
        if record is None:
            return None
        record.header = record.header._replace(sequence=self.next_sequence, bridge_number=self.route.number)
        record.numbered = self._clock.now()
        self.next_sequence = following(self.next_sequence)
        self._retained.append(record)
        self._copies += not record.is_update
        return record

    def _next_copy(self) -> BridgeRecord | None:
        """A copy, as long as this turn lasts: each takes the processor for a while, and hosts wait meanwhile."""
        if not self._pace.room(self._copies, self._clock.now()):
            return None
        if self._copies_left:
            record = self.owner.next_copy()
            self._copies_left -= record is not None
            return record
        if not self._turn_asked:
            self._turn_asked = True
            self._timers.call_at(self._clock.now(), self._next_turn)
        return None

    def _next_turn(self) -> None:
        self._turn_asked = False
        self._copies_left = COPIES_A_TURN
        self.pump()

    def _release(self) -> None:
        while self._retained and self._retained[0].acknowledged and self._retained[0].local_sequence <= self._durable:
            self._retained.popleft()
            self._cursor = max(0, self._cursor - 1)

    # Chains on the link

    def pump(self) -> None:
        """Start chains while the link takes one and there is something to send."""
        limit = STREAMED_CHAINS_MAX if self.route.streamed else 1
        while not self._filling and not self.failed and not self.interrupted:
            if len(self._chains) >= limit or self._go_back is not None:
                return
            if not self.route.link.has_room:
                self.route.link.when_room(self.pump)
                return
            self._filling = True
            try:
                chain = self._fill()
            finally:
                self._filling = False
            if not chain or self.failed:
                return
            self._send(chain)

    def _send(self, chain: list[BridgeRecord]) -> None:
        for record in chain:
            if record.sent:
                record.header = record.header._replace(flags=record.header.flags | TrackFlag.RETRANSMISSION)
            record.sent = True
        self._cursor += len(chain)
        self._chains.append(chain)
        self._watch()
        first_slot = chain[0].sequence % self.route.slots
        contents = [(record.header.encode(), record.payload) for record in chain]
        commands = bridge_chain(first_slot, self.route.slots, self.route.heads, contents)
        self.route.link.start_chain(self.route.image, self.route.device, commands, self._chain_done, self._clock.now())

    def _fill(self) -> list[BridgeRecord]:
        """The records of the next chain: retained ones from the cursor on, then new ones."""
        chain: list[BridgeRecord] = []
        while len(chain) < MAX_RECORDS_PER_CHAIN:
            if self._cursor + len(chain) < len(self._retained):
                record = self._retained[self._cursor + len(chain)]
            elif (new := self._take_new()) is not None:
                record = new
            else:
                break
            chain.append(record)
            if record.sequence % self.route.slots == self.route.slots - 1:
                break  # a chain ends at the bridge volume's last track
        return chain

    def _chain_done(self, result: ChainResult) -> None:
        """The oldest chain has ended. One that failed is repeated with all behind it, when those have ended too."""
        chain = self._chains.popleft()
        if self.failed:
            return
        accepted = min(len(chain), max(0, result.completed - 2))
        if accepted:
            self._failures = 0
        elif self._go_back is None:
            self._failures += 1
        if result.failure in LINK_GONE and self.route.streamed:
            self.interrupted = True
        elif result.failure in FATAL_FAILURES:
            self.fail(f"data path: {result.failure}")
            return
        if accepted < len(chain):
            self._back_to(chain[accepted].sequence)
        if result.status & 0x02:
            self._unit_check(result.sense)
        if self._failures > CHAIN_FAILURES_MAX:
            self.fail("no record accepted in several chains")
        if self._go_back is not None and not self._chains:
            target, self._go_back = self._go_back, None
            self._rewind(target)
        self.pump()

    def resume(self, link: LinkPort) -> None:
        """The streamed link is there again: go on behind what is acknowledged."""
        self.route = replace(self.route, link=link)
        self.interrupted = False
        self._failures = 0
        self._rewind(following(self.acknowledged) if self.acknowledged else self._first)
        self.pump()

    def _rewind(self, sequence: int) -> None:
        """Let the next chain begin at `sequence`, or at the oldest retained record."""
        self._cursor = 0
        for record in self._retained:
            if ahead(record.sequence, sequence) >= 0:
                break
            self._cursor += 1

    def _unit_check(self, sense: bytes) -> None:
        reason = sense[8] if len(sense) == 32 else 0
        if reason in (Reason.BRIDGE_HEADER_CRC, Reason.SEQUENCE_GAP, Reason.NO_CREDIT):
            self._back_to(int.from_bytes(sense[28:32], "big"))
        else:
            self.fail(f"data bridge refused: sense {sense[7:9].hex().upper()}")

    # Status

    def _entry(self, entry: StatusEntry) -> None:
        record = self._find(entry.sequence)
        if record is None or record.acknowledged:
            return
        result = RESULTS.get(entry.result, Result.INTERNAL_ERROR)
        if result in SEND_AGAIN:
            if record.tries < SEND_AGAIN_MAX:
                self._send_again(record, result)
            elif record.result is None:  # else given up already; this is about an earlier transmission
                self._abandon(record, result)
            return
        record.acknowledged = True
        if not record.is_update:
            self._copies -= 1
            self._pace.confirmed(record.numbered, self._clock.now())
        if record.result is None:
            self._report(record, result)

    def _report(self, record: BridgeRecord, result: Result) -> None:
        record.result = result
        self.owner.record_done(record, result)
        if record.reply is not None:
            record.reply(result)

    def _abandon(self, record: BridgeRecord, result: Result) -> None:
        """Give one record up. B still waits for its number, which now goes out as an empty record."""
        self._report(record, result)
        record.header = record.header._replace(
            record_type=int(RecordType.ABORT_SNAPSHOT),
            flags=record.header.flags & ~TrackFlag.COMPRESSED,
            raw_length=0,
            payload_length=0,
            compression=0,
            records=0,
            payload_crc=0,
        )
        record.payload = b""
        self._back_to(record.sequence)

    def _send_again(self, record: BridgeRecord, result: Result) -> None:
        if result is Result.DECOMPRESSION_FAILED:
            plain = self.owner.plain_again(record)
            record.header, record.payload = plain.header, plain.payload
        record.tries += 1
        self._back_to(record.sequence)

    def _back_to(self, sequence: int) -> None:
        """Go on from `sequence` when the chains under way have ended."""
        if not self._chains:
            self._rewind(sequence)
        elif self._go_back is None or ahead(sequence, self._go_back) < 0:
            self._go_back = sequence

    def _find(self, sequence: int) -> BridgeRecord | None:
        if not self._retained:
            return None
        index = ahead(sequence, self._retained[0].sequence)
        return self._retained[index] if 0 <= index < len(self._retained) else None

    def _watch(self) -> None:
        """See that status keeps coming while records are outstanding. A pause of this box counts as one check."""
        if self._watching:
            return
        self._watching = True
        self.last_status = self._clock.now()
        self._silent_checks = 0
        self._timers.call_at(self._clock.now() + STATUS_CHECK_S, self._check)

    def _check(self) -> None:
        self._watching = False
        if self.failed or self.idle:
            return
        self._silent_checks += 1
        if self._silent_checks * STATUS_CHECK_S > STATUS_LIMIT_S:
            self.fail("no status for 15 s")
            return
        self._watching = True
        self._timers.call_at(self._clock.now() + STATUS_CHECK_S, self._check)
