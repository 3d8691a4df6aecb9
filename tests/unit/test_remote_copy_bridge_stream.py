"""The bridge protocol with two cores and no network: window, go-back-N, status results (pprc-commands 8.2, 8.3).

`Wire` stands for the data and the status path: it executes a chain against the other end at once, or later, and may
hurt what it carries.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from ccw.bridge import BridgeHeader, RecordType, Result, StatusPacket
from ccw.geometry import Cchh
from ccw.tracks import Record, build_track, standard_record_zero
from controller.array import MemoryDisk, StoredTrack, VirtualArrayStore
from controller.channel import ChainCommand, ChainResult
from controller.remote_copy.bridge_receiver import BridgeReceiver, Destination, ReceiverRoute
from controller.remote_copy.bridge_record import BridgeRecord, ahead, following, make_record
from controller.remote_copy.bridge_sender import BridgeRoute, BridgeSender
from controller.remote_copy.pair import Pair, VolumeName
from controller.remote_copy.refusal import Refused
from controller.remote_copy.states import PairState
from controller.remote_copy.status_inbox import StatusInbox
from controller.remote_copy.status_sender import StatusRoute

HEADS, TRACKS, WINDOW = 15, 60, 8
TARGET, BRIDGE = 0x15, 0xF0
NAME_A = VolumeName(b"\xf0" * 11 + b"\xf1", 0x0100, 0, 5)
NAME_B = VolumeName(b"\xf0" * 11 + b"\xf2", 0x0200, 0, TARGET)


class Clock:
    time = 0.0

    def now(self) -> float:
        return self.time

    def tod(self) -> int:
        return 0xB5A1_2345_6789_0000


class Timers:
    def __init__(self) -> None:
        self.due: list[tuple[float, Callable[[], None]]] = []

    def call_at(self, when: float, action: Callable[[], None]) -> None:
        self.due.append((when, action))

    def step(self, now: float) -> bool:
        """Do what is due. False when nothing is."""
        due = [action for when, action in self.due if when <= now]
        self.due = [(when, action) for when, action in self.due if when > now]
        for action in due:
            action()
        return bool(due)


class Wire:
    """Executes chains against `receive`. `hurt` may change or drop (None) the data of one Write Full Track."""

    def __init__(self, receive: Callable[[bytes], None]) -> None:
        self.receive = receive
        self.hurt: Callable[[bytes], bytes | None] = lambda data: data
        self.stopped = False
        self.chains = 0
        self.waiting: list[tuple[list[ChainCommand], Callable[[ChainResult], None]]] = []
        self.has_room = True
        self.kept_waiting: list[Callable[[], None]] = []

    def when_room(self, go_on: Callable[[], None]) -> None:
        self.kept_waiting.append(go_on)

    def start_chain(
        self, image: int, device: int, commands: list[ChainCommand], reply: Callable[[ChainResult], None], now: float
    ) -> None:
        self.waiting.append((commands, reply))

    def step(self) -> bool:
        """Run one waiting chain. False when there is none, or the path is stopped."""
        if self.stopped or not self.waiting:
            return False
        self.chains += 1
        commands, reply = self.waiting.pop(0)
        assert [command.code for command in commands[:2]] == [0x63, 0x4B]
        result = ChainResult(completed=2)
        for command in commands[2:]:
            assert command.code == 0x95
            data = self.hurt(command.written)
            if data is None:
                result.failure = "timeout"
                break
            try:
                self.receive(data)
            except Refused as refused:
                result.status, result.sense = 0x0E, refused.refusal.sense()
                break
            result.completed += 1
        reply(result)
        return True


class Bridge:
    """One bridge: sender, receiver over a real array, both paths."""

    def __init__(self, window: int = WINDOW, *, streamed: bool = False) -> None:
        self.store = VirtualArrayStore.open(MemoryDisk(), segment_bytes=1 << 20)
        for volume in (TARGET, BRIDGE):
            self.store.define_volume(volume, {})
        self.clock, self.timers = Clock(), Timers()
        self.pair = Pair(2, True, NAME_A, NAME_B, 5, TRACKS, HEADS, PairState.DUPLEX_PENDING)
        self.copies: list[BridgeRecord] = []
        self.done: list[tuple[int, Result]] = []
        self.failed: list[str] = []
        self.target = Destination(Result.APPLIED, TARGET, HEADS, TRACKS // HEADS, 56832)
        self.receiver = BridgeReceiver(
            ReceiverRoute(1, BRIDGE, 32, HEADS, window), 1, self.store, self, self.clock, lambda header: self.target,
            lambda sequence: None, self.failed.append,
        )  # fmt: skip
        self.data = Wire(self.receiver.record)
        route = BridgeRoute(1, self.data, 0, BRIDGE, 32, HEADS, window, streamed)  # type: ignore[arg-type]
        self.sender = BridgeSender(route, 1, self, self.clock, self.timers)
        self.inbox = StatusInbox(1, self.sender.status)
        self.status = Wire(self.inbox.record)
        self.receiver.status.route = StatusRoute(self.status, 0, 0xF1, 32, HEADS)  # type: ignore[arg-type]

    # HardenPort: everything is durable when asked for
    def when_durable(self, sequence: int, reply: Callable[[bool], None]) -> None:
        self.store.sync()
        reply(True)

    # SenderOwner
    def next_copy(self) -> BridgeRecord | None:
        return self.copies.pop(0) if self.copies else None

    def record_done(self, record: BridgeRecord, result: Result) -> None:
        self.done.append((record.track, result))

    def plain_again(self, record: BridgeRecord) -> BridgeRecord:
        again = make_record(self.pair, record.kind, record.track, plain(record.track), 0, 0)
        again.header = again.header._replace(sequence=record.sequence, bridge_number=1)
        return again

    def bridge_failed(self, text: str) -> None:
        self.failed.append(text)

    def copy(self, *tracks: int, generation: int = 0) -> None:
        for track in tracks:
            stored = plain(track, generation)
            self.copies.append(make_record(self.pair, RecordType.SYNC_TRACK, track, stored, 0, self.clock.tod()))
        self.sender.pump()

    def run(self, steps: int = 1000) -> None:
        for _ in range(steps):
            data, status = self.data.step(), self.status.step()  # both paths get their turn
            if not (data or status or self.timers.step(self.clock.time)):
                return


def image(track: int, generation: int = 0) -> bytes:
    cylinder, head = divmod(track, HEADS)
    count = Cchh(cylinder, head).pack() + b"\x01\x00\x00\x50"
    data = bytes([0xC1 + track % 9, generation]) * 40
    return build_track(cylinder, head, [standard_record_zero(cylinder, head), Record(count, b"", data)])


def plain(track: int, generation: int = 0) -> Any:
    whole = image(track, generation)
    return StoredTrack(0, len(whole), whole)


def test_a_chain_of_unrelated_tracks_is_redirected_by_pointer() -> None:
    bridge = Bridge()
    bridge.copy(3, 40, 7)
    bridge.run()
    assert bridge.done == [(track, Result.APPLIED) for track in (3, 40, 7)]
    assert [bridge.store.read(TARGET, track) for track in (3, 40, 7)] == [image(3), image(40), image(7)]
    assert bridge.store.allocated(BRIDGE) == 0
    assert bridge.sender.outstanding == 0


def test_data_goes_on_without_status_until_the_credit_is_used() -> None:
    """Claim 5: data and status are asynchronous."""
    bridge = Bridge()
    bridge.status.stopped = True
    bridge.copy(*range(30))
    bridge.run()
    assert bridge.receiver.tracks_applied == WINDOW
    assert bridge.done == []
    bridge.status.stopped = False
    bridge.run()
    assert len(bridge.done) == 30


def test_updates_go_ahead_of_waiting_copies_but_never_past_what_is_numbered() -> None:
    bridge = Bridge()
    bridge.status.stopped = True
    bridge.copy(*range(20))
    results: list[Result | None] = []
    update = make_record(bridge.pair, RecordType.HOST_UPDATE, 2, plain(2, 1), 0, 0)
    update.reply = results.append
    bridge.sender.update(update)
    bridge.run()
    bridge.status.stopped = False
    bridge.run()
    assert results == [Result.APPLIED]
    assert [track for track, _ in bridge.done][: WINDOW + 1] == [*range(WINDOW), 2]
    assert bridge.store.read(TARGET, 2) == image(2, 1)


def test_few_copies_are_under_way_while_updates_come_and_copies_are_confirmed_late() -> None:
    bridge = Bridge(window=32, streamed=True)

    bridge.copy(0)
    bridge.run()
    update = make_record(bridge.pair, RecordType.HOST_UPDATE, 2, plain(2, 1), 0, 0)
    update.reply = lambda result: None
    bridge.sender.update(update)
    bridge.run()
    bridge.status.stopped = True
    bridge.copy(*range(3, 60))
    bridge.run()
    assert bridge.sender.outstanding == 17
    bridge.clock.time += 0.1
    bridge.status.stopped = False
    for _ in range(2):
        bridge.status.step()
    bridge.status.stopped = True
    bridge.run()
    assert bridge.sender.outstanding <= 9, "the first that came late halved them"
    bridge.status.stopped = False
    bridge.run()
    assert len(bridge.done) == 59


def test_copies_are_made_a_few_at_a_time_and_an_update_need_not_wait_for_the_next_turn() -> None:
    bridge = Bridge(window=64, streamed=True)
    bridge.copy(*range(50))
    assert bridge.sender.next_sequence == 17, "hosts have their turn at the processor now"
    update = make_record(bridge.pair, RecordType.HOST_UPDATE, 55, plain(55, 1), 0, 0)
    update.reply = lambda result: None
    bridge.sender.update(update)
    assert bridge.sender.next_sequence == 18
    bridge.run()
    assert [track for track, _ in bridge.done][16] == 55
    assert len(bridge.done) == 51


def test_nothing_is_numbered_while_the_link_has_no_room_so_an_update_waits_for_no_copy() -> None:
    bridge = Bridge()
    bridge.data.has_room = False
    bridge.copy(*range(4))
    update = make_record(bridge.pair, RecordType.HOST_UPDATE, 9, plain(9), 0, 0)
    bridge.sender.update(update)
    assert (bridge.data.waiting, bridge.sender.outstanding) == ([], 0)
    bridge.data.has_room = True
    for go_on in bridge.data.kept_waiting:
        go_on()
    bridge.run()
    assert [track for track, _ in bridge.done] == [9, 0, 1, 2, 3]


def test_a_record_is_kept_until_it_is_durable_here_too() -> None:
    bridge = Bridge()
    update = make_record(bridge.pair, RecordType.HOST_UPDATE, 2, plain(2), 0, 0)
    update.local_sequence = 100
    bridge.sender.update(update)
    bridge.run()
    assert bridge.done and bridge.sender.outstanding == 1
    bridge.sender.local_durable(100)
    assert bridge.sender.outstanding == 0


@pytest.mark.parametrize("offset", [0, 4, 5, 13, 40, 60])
def test_a_damaged_header_is_refused_and_sent_again(offset: int) -> None:
    bridge = Bridge()
    hurt = [1]

    def damage(data: bytes) -> bytes:
        if hurt and data[64:]:
            hurt.pop()
            return data[:offset] + bytes([data[offset] ^ 0x10]) + data[offset + 1 :]
        return data

    bridge.data.hurt = damage
    bridge.copy(*range(5))
    bridge.run()
    if bridge.failed:  # eye catcher, version, lengths: the peer is not what we think
        assert bridge.failed[0].startswith("data bridge refused: sense 0F60")
    else:
        assert [track for track, _ in bridge.done] == list(range(5))


def test_a_damaged_payload_comes_again_and_nothing_behind_it_is_applied_first() -> None:
    bridge = Bridge()
    hurt = [1]

    def damage(data: bytes) -> bytes:
        if hurt and BridgeHeader.decode(data[:64]).sequence == 3:
            hurt.pop()
            return data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]
        return data

    bridge.data.hurt = damage
    bridge.copy(*range(10))
    bridge.run()
    assert [track for track, _ in bridge.done] == list(range(10))
    assert bridge.receiver.expected == 11


def test_a_record_damaged_again_and_again_is_given_up_alone() -> None:
    bridge = Bridge()

    def damage(data: bytes) -> bytes:
        if BridgeHeader.decode(data[:64]).sequence == 2 and data[64:]:
            return data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]
        return data

    bridge.data.hurt = damage
    bridge.copy(3, 4, 5)
    bridge.run()
    assert bridge.done == [(3, Result.APPLIED), (4, Result.PAYLOAD_CRC), (5, Result.APPLIED)]
    assert bridge.store.read(TARGET, 4) is None
    assert bridge.sender.outstanding == 0
    assert bridge.failed == []


@pytest.mark.parametrize("seed", range(20))
def test_lossy_paths_converge(seed: int) -> None:
    """Drop chains, cut them in the middle, damage payloads and packets: every track arrives, in order, once."""
    random = Random(seed)
    bridge = Bridge()

    def harm(data: bytes) -> bytes | None:
        chance = random.random()
        if chance < 0.1:
            return None
        if chance < 0.15 and len(data) > 70:
            return data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]
        return data

    bridge.data.hurt = harm
    bridge.status.hurt = lambda data: None if random.random() < 0.1 else data
    bridge.copy(*range(TRACKS))
    bridge.run()
    assert bridge.failed == []
    assert [track for track, result in bridge.done if result is Result.APPLIED] == list(range(TRACKS))
    assert all(bridge.store.read(TARGET, track) == image(track) for track in range(TRACKS))


@pytest.mark.parametrize("result", [Result.DESTINATION_UNKNOWN, Result.NOT_THE_SECONDARY, Result.DESTINATION_SUSPENDED])
def test_a_destination_that_is_not_there(result: Result) -> None:
    bridge = Bridge()
    bridge.target = bridge.target._replace(result=result)
    bridge.copy(1, 2)
    bridge.run()
    assert bridge.done == [(1, result), (2, result)]
    assert bridge.sender.outstanding == 0


def test_an_image_of_another_track_is_refused() -> None:
    bridge = Bridge()
    bridge.copies.append(make_record(bridge.pair, RecordType.SYNC_TRACK, 9, plain(8), 0, 0))
    bridge.sender.pump()
    bridge.run()
    assert bridge.done == [(9, Result.TRACK_IMAGE_INVALID)]
    assert bridge.store.read(TARGET, 9) is None


def test_no_status_for_fifteen_seconds_fails_the_bridge() -> None:
    bridge = Bridge()
    bridge.status.stopped = True
    results: list[Result | None] = []
    update = make_record(bridge.pair, RecordType.HOST_UPDATE, 2, plain(2), 0, 0)
    update.reply = results.append
    bridge.sender.update(update)
    bridge.run()
    for _ in range(20):
        when, action = bridge.timers.due.pop(0)
        bridge.clock.time = when
        action()
        if bridge.failed:
            break
    assert bridge.failed == ["no status for 15 s"]
    assert results == [None]
    assert 15 < bridge.clock.time < 18


def test_a_pause_of_this_box_is_no_lack_of_status() -> None:
    """After it, timers come before what has been received meanwhile."""
    bridge = Bridge()
    bridge.status.stopped = True
    update = make_record(bridge.pair, RecordType.HOST_UPDATE, 2, plain(2), 0, 0)
    update.reply = lambda _: None
    bridge.sender.update(update)
    bridge.run()
    for _ in range(3):
        bridge.clock.time += 100
        bridge.timers.due.pop(0)[1]()
    assert bridge.failed == []


def test_status_packets_arrive_once_and_damaged_ones_again() -> None:
    seen: list[StatusPacket] = []
    inbox = StatusInbox(1, seen.append)
    packets = [StatusPacket(1, 0, sequence, 1, 0, 64) for sequence in (1, 2, 3)]
    inbox.record(packets[0].encode())
    inbox.record(packets[0].encode())
    with pytest.raises(Refused, match="reason 63"):
        inbox.record(packets[2].encode())
    broken = bytearray(packets[1].encode())
    broken[20] ^= 1
    with pytest.raises(Refused, match="reason 6C"):
        inbox.record(bytes(broken))
    inbox.record(packets[1].encode())
    assert [packet.status_sequence for packet in seen] == [1, 2]


@pytest.mark.parametrize(("sequence", "next_one"), [(1, 2), (0xFFFFFFFF, 1)])
def test_sequences_wrap_past_zero(sequence: int, next_one: int) -> None:
    assert following(sequence) == next_one
    assert ahead(next_one, sequence) == 1
    assert ahead(sequence, next_one) == -1
