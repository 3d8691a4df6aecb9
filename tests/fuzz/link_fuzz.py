"""Frames at a live link: generated ones that lead deep into an exchange, and changed ones in every state.

`run_unit`: a controller's link with the whole subsystem behind it. `run_host`: the host emulator's link. After every
record: no exception, a bounded answer of frames that themselves are right; what a frame deserves at link level (LRJ and
its reason, or silence) is judged by `right_answers`, after escon-frames 2.3, 2.4 and 3. When the link ends, every chain
and path has ended, and every exchange of the host has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random

from ccw.crc import crc16
from ccw.escon import LinkControl
from ccw.frames import Frame, decode_device, decode_frame, encode_frame
from ccw.records import RawFrame, SequenceRecord, encode_raw
from controller.channel import Link, LinkState
from controller.commands.device_state import PARSED_TRACKS_MAX
from host_emulator.link import HostLink
from tests.fuzz.box import CHANNEL_ADDRESS, OWN_ADDRESS, Box
from tests.fuzz.engine import Failure, watched
from tests.fuzz.mutation import mutate
from tests.fuzz.seeds import order_examples, recorded_parameters, worked_frames
from tests.helpers.wire import EXAMPLE_HOST, read, record_bytes, write

UNIT = OWN_ADDRESS << 8             # control-unit image 0
CHANNEL = CHANNEL_ADDRESS << 8 | 1
EPISODE = 100                       # records to one link
BOX_EPISODES = 25                   # links to one box
OUTPUT_MAX = 80                     # frames that one record may cause: a burst of 64 KB is 65
HELD_MORE_MAX = 3 * PARSED_TRACKS_MAX + 8  # items a box and its link may hold beyond a new one
FIXED_TABLES = frozenset({"_rules"})  # of each device: the commands it knows
ANSWERS = frozenset({
    LinkControl.LPE, LinkControl.LPR, LinkControl.LACK, LinkControl.LRJ, LinkControl.LBY, LinkControl.TIR,
    LinkControl.PRJ, LinkControl.PBY, LinkControl.IDR, LinkControl.ILA,
})
KNOWN = frozenset(int(code) for code in LinkControl)
READS = (0x02, 0x06, 0x86, 0x04, 0xE4, 0x64, 0xFA, 0x3E, 0x54, 0x12, 0x1E, 0xDE)
DEVICES = (0x00, 0x00, 0x00, 0x01, 0xF0, 0x77)
_HOLDERS = (
    "controller.channel", "controller.commands", "controller.remote_copy", "controller.hardening",
    "controller.state_changes", "controller.subsystem",
)
_WORKING = (LinkState.INACTIVE, LinkState.CONNECTED)


def right_answers(raw: RawFrame, link: Link) -> set[int | None] | None:
    """LRJ reasons that a record may get, None among them for no LRJ; None: it is for the exchange to answer.

    For a link that works, has its address, and whose channels have established `link.paths`.
    """
    data = raw.payload
    if raw.abort or not 7 <= len(data) <= 7 + 1028 or crc16(data[:-2]).to_bytes(2, "big") != data[-2:]:
        return {None}
    function = data[4]
    if function in ANSWERS:
        return {None}
    if (data[1] | data[3]) & 0xF0:
        return {0x07}
    if function == LinkControl.ALA:
        return {0x0A}
    if data[0] != link.own_address:
        return {0x05} if link.paths else None
    if function and function not in KNOWN:
        return {0x08}
    if not function:
        return _right_device_answers(data, link)
    return None


def _right_device_answers(data: bytes, link: Link) -> set[int | None] | None:
    known = {(path.channel, path.image) for path in link.paths}
    established = (int.from_bytes(data[2:4], "big"), data[1]) in known
    try:
        decode_device(data[5:-2])
    except ValueError:
        return {0x07, 0x0B} | (set() if established else {0x06})
    return None if established else {0x06, None}


class Channel:
    """Draws what a channel would send next: mostly a fitting answer to what came last, so that exchanges go on."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.device = 0
        self.last: Frame | SequenceRecord | None = None
        self.data = b""

    def _frame(self, function: int, information: bytes, connect: bool = False, disconnect: bool = False) -> RawFrame:
        return RawFrame(encode_frame(Frame(UNIT, CHANNEL, function, information)), connect, disconnect)

    def next(self) -> RawFrame:
        """A frame that fits, by what came last."""
        last = self.last
        if isinstance(last, Frame) and last.link_control == 0 and self.rng.random() < 0.95:
            kind, flags = last.information[0] & 7, last.information[3]
            if kind == 3 and last.information[4] == 0x10:
                return self._frame(0, bytes((0x13, 0, self.device, 0, 0x90, 0, 0, 0)))
            if kind == 0 and flags & 0x20:
                count = int.from_bytes(last.information[4:6], "big")
                piece, self.data = self.data[:count], self.data[count:]
                short = len(piece) < count
                flags = (0x80 if not self.data or short else 0) | (0x08 if short else 0)
                return self._frame(0, bytes((0x10, 0, self.device, flags)) + (piece[:1024] or b"\0"))
            if kind == 2:
                if last.information[4] & 0x10 and self.rng.random() < 0.8:
                    return self.command(chained=True)
                return self._frame(0, bytes((0x13, 0, self.device, 0x80, 0xA0, 0, 0, 0)), disconnect=True)
        return self.start()

    def start(self) -> RawFrame:
        """Something that opens a connection."""
        chance = self.rng.random()
        if chance < 0.75:
            self.device = self.rng.choice(DEVICES)
            return self.command(chained=False)
        if chance < 0.85:
            function = self.rng.choice((0x20, 0x30, 0x40, 0x50, 0x70, 0xC1, 0x80))
            return self._frame(0, bytes((0x13, 0, self.device, 0x80, function, 0, 0, 0)), True)
        function = self.rng.choice((0x41, 0x41, 0x49, 0x09, 0x81, 0x91, 0x69, 0x99))
        return self._frame(function, bytes(100 if function == 0x99 else 4), True, True)

    def command(self, chained: bool) -> RawFrame:
        """A command of some device: parameters that hosts have sent, reads, anything."""
        rng = self.rng
        code = rng.choice((0x63, 0x47, 0x63, 0x47, 0x27, 0x27, 0x07, 0xAF, 0xB4, 0x5B, 0x85, *READS,
                           rng.getrandbits(8)))
        self.data = b""
        count = rng.choice((0, 8, 32, 512, 4096, 65535))
        if code & 1 or code == 0xE7:
            examples = order_examples() if code == 0x27 and rng.random() < 0.5 else recorded_parameters().get(code)
            self.data = rng.choice(examples or (bytes(16),))
            if rng.random() < 0.5:
                self.data = mutate(rng, (self.data,))
            count = len(self.data)
        flags = rng.choice((0x20, 0x60, 0x60, 0x00))
        dhf = 0x10 if chained else 0
        information = bytes((0x11, 0, self.device, dhf, code, flags)) + count.to_bytes(2, "big")
        return self._frame(0, information + bytes((6, 0x77, 0, rng.choice((0, 1)))), not chained)


def hurt(rng: Random, raw: RawFrame) -> RawFrame | SequenceRecord:
    """The record changed: bytes, CRC (mostly right again), addresses, delimiters, or another one altogether."""
    chance = rng.random()
    if chance < 0.06:
        return SequenceRecord(rng.choice((1, 2, 3, 4, 4, 5)))
    if chance < 0.12:
        raw = RawFrame(rng.choice(worked_frames())[2:-3], raw.connect, raw.disconnect)
    payload = mutate(rng, (raw.payload,), ((0, 1), (1, 1), (2, 2), (4, 1), (5, 1), (7, 1), (8, 1), (9, 1)))
    if rng.random() < 0.9 and len(payload) >= 2:
        payload = payload[:-2] + crc16(payload[:-2]).to_bytes(2, "big")
    return RawFrame(payload, raw.connect ^ (rng.random() < 0.1), raw.disconnect ^ (rng.random() < 0.1),
                    rng.random() < 0.02)


def _check_output(output: list[Frame | SequenceRecord]) -> None:
    assert len(output) <= OUTPUT_MAX, f"{len(output)} frames at once"
    for item in output:
        record = record_bytes(item)
        if isinstance(item, Frame):
            again = decode_frame(record[4:])
            assert (again.information, again.link_control) == (item.information, item.link_control)
            if not item.link_control:
                decode_device(item.information)


def held_by(thing: object, seen: set[int] | None = None, depth: int = 5) -> int:
    """Items of the lists, queues, sets and tables that an object of the controller holds, at any depth."""
    seen = set() if seen is None else seen
    if id(thing) in seen or depth == 0:
        return 0
    seen.add(id(thing))
    if isinstance(thing, list | deque | set):
        return len(thing)
    if isinstance(thing, dict):
        return len(thing) + sum(held_by(value, seen, depth - 1) for value in thing.values())
    if not type(thing).__module__.startswith(_HOLDERS):
        return 0
    names = {name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())}
    names |= {*getattr(thing, "__dict__", ())}
    values = [getattr(thing, name, None) for name in sorted(names - FIXED_TABLES - {"__dict__"})]
    return sum(held_by(value, seen, depth - 1) for value in values)


def held_in(box: Box) -> int:
    """Items that a box and its link hold."""
    return held_by(box.subsystem) + held_by(box.link)


def nothing_piles_up(box: Box, new: int) -> None:
    """A box holds hardly more than the `new` items it held when it was new. Raises AssertionError."""
    held = held_in(box)
    assert held <= new + HELD_MORE_MAX, f"things pile up: {held}, and {new} in a new box"


class UnitFuzz:
    """Links of a box, one after the other."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(f"link:unit/{seed}")
        self.box = Box()
        self.rejects: dict[int, int] = {}
        self.statuses = 0
        self.begin()
        self.held_by_a_new_one = held_in(self.box)

    def begin(self) -> None:
        """A new link with a path."""
        self.link = self.box.new_link()
        self.channel = Channel(self.rng)
        elp = Frame(UNIT, CHANNEL, LinkControl.ELP, bytes(4))
        self.link.receive(RawFrame(encode_frame(elp), True, True), self.box.time)
        assert self.link.paths
        self.link.take()

    def end(self) -> None:
        """Every chain and path ends with the link."""
        self.link.connection_lost(self.box.time)
        assert not self.link.paths and self.link.take() == []
        for device in self.box.subsystem.devices.values():
            assert device.active_path is None, "a chain outlives its link"

    def step(self, case: int) -> bytes:
        """One record; its bytes. AssertionError when the answer is wrong."""
        if case % EPISODE == EPISODE - 1:
            self.end()
            if case // EPISODE % BOX_EPISODES == BOX_EPISODES - 1:
                self.box = Box()
            self.begin()
        rng, link, box = self.rng, self.link, self.box
        if not link.paths and rng.random() < 0.5:
            record: RawFrame | SequenceRecord = RawFrame(
                encode_frame(Frame(UNIT, CHANNEL, LinkControl.ELP, bytes(4))), True, True
            )
        else:
            good = self.channel.next()
            record = hurt(rng, good) if rng.random() < 0.2 else good
        self.sent = encode_raw(record)
        right = None
        if isinstance(record, RawFrame) and link.state in _WORKING:
            right = right_answers(record, link)
        link.receive(record, box.time)
        output = link.take()
        self._judge(output, right)
        if rng.random() < 0.05:
            box.pass_time(rng.choice((0.2, 2.0, 90.0)))
            output += link.take()
        if output:
            self.channel.last = output[-1]
        assert link.counters.overruns == 0
        if not case & 0x1FF:
            nothing_piles_up(box, self.held_by_a_new_one)
        return self.sent

    def _judge(self, output: list[Frame | SequenceRecord], right: set[int | None] | None) -> None:
        _check_output(output)
        reasons = [
            item.information[0] for item in output if isinstance(item, Frame) and item.link_control == LinkControl.LRJ
        ]
        for item in output:
            if isinstance(item, Frame) and not item.link_control and item.information[0] & 7 == 2:
                self.statuses += 1
        for reason in reasons:
            self.rejects[reason] = self.rejects.get(reason, 0) + 1
        assert len(reasons) <= 1, f"rejected {len(reasons)} times"
        if right is not None:
            found = reasons[0] if reasons else None
            assert found in right, f"LRJ reason {found}, right would be {right}"
        elif reasons:
            assert reasons[0] in (0x05, 0x06, 0x07, 0x09, 0x0B), f"LRJ reason {reasons[0]:02X}"


class HostFuzz:
    """A host link in the middle of an exchange, and a control unit that sends anything."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(f"link:host/{seed}")
        self.now = 0.0
        self.begin()

    def begin(self) -> None:
        """A new link with a path, and an exchange under way."""
        self.host = host = HostLink(EXAMPLE_HOST)
        host.begin(host.establish(2), self.now)
        lpe = Frame(0x4001, 0x6002, LinkControl.LPE, bytes(4))
        host.receive(RawFrame(encode_frame(lpe), True, True), self.now)
        assert host.image == 2
        host.take()
        script = (host.command(0x10, read(16)), host.command(0x10, write(b"x" * 20)), host.identify())
        host.begin(self.rng.choice(script), self.now)

    def step(self, case: int) -> bytes:
        """One record; its bytes."""
        rng, host = self.rng, self.host
        if case % EPISODE == EPISODE - 1 or not host.busy:
            host.connection_lost(self.now)
            assert not host.busy, "an exchange outlives its link"
            self.begin()
            host = self.host
        good = RawFrame(encode_frame(Frame(0x4001, 0x6002, 0, self._information())), rng.random() < 0.2)
        record = hurt(rng, good) if rng.random() < 0.4 else good
        self.sent = encode_raw(record)
        host.receive(record, self.now)
        if rng.random() < 0.05:
            self.now += rng.choice((0.2, 2.0, 90.0))
            if host.next_wake is not None and host.next_wake <= self.now:
                host.wake(self.now)
        _check_output(host.take())
        return self.sent

    def _information(self) -> bytes:
        rng = self.rng
        kind = rng.random()
        if kind < 0.25:
            return bytes((0x13, 0, 0x10, 0, 0x10, 2, 0, 0))
        if kind < 0.5:
            return bytes((0x10, 0, 0x10, rng.choice((0, 0x80)))) + bytes(rng.choice((1, 16, 17)))
        if kind < 0.7:
            return bytes((0x10, 0, 0x10, 0x20)) + rng.choice((0, 1, 20, 21)).to_bytes(2, "big") + b"\2\0"
        return bytes((0x12, 0, 0x10, 0x80, 1, rng.choice((0x0C, 0x08, 0x04, 0x10, 0x0E, 0x85)))) + bytes(6)


def _run(target: str, fuzz: UnitFuzz | HostFuzz, seed: int, cases: int) -> None:
    with watched() as alive:
        for case in range(cases):
            if not case & 0xFF:
                alive()
            fuzz.sent = b""
            try:
                fuzz.step(case)
            except Exception as error:
                raise Failure(target, seed, case, fuzz.sent, f"{type(error).__name__}: {error}") from error


def run_unit(seed: int, cases: int, change: Callable[[UnitFuzz], None] = lambda fuzz: None) -> UnitFuzz:
    """Records at the controller's link. Raises Failure."""
    fuzz = UnitFuzz(seed)
    change(fuzz)
    _run("link:unit", fuzz, seed, cases)
    return fuzz


def run_host(seed: int, cases: int) -> HostFuzz:
    """Records at the host's link. Raises Failure."""
    fuzz = HostFuzz(seed)
    _run("link:host", fuzz, seed, cases)
    return fuzz
