"""The medium of the simulated links: what one end says comes to the other, or late, twice, damaged, or never.

Both ends are the pure link objects of production: `controller.channel.Link`, `host_emulator.link.HostLink`. They are
fed with the same records (escon-frames 1.7) as on a socket. What may happen to a record: `tools.faults.Faults`.
"""

import math
from collections.abc import Callable
from random import Random
from typing import Protocol

import trio

from ccw.errors import FormatError
from ccw.frames import Frame
from ccw.records import RawFrame, RecordReader, SequenceRecord, encode_record, encode_sequence
from controller.remote_copy.ports import ArrayFault
from tests.sim.post import Post
from tests.sim.trace import Trace
from tools.faults import Faults, corrupted


class LinkObject(Protocol):
    """What both kinds of link have in common."""

    @property
    def next_wake(self) -> float | None: ...

    def receive(self, record: RawFrame | SequenceRecord, now: float) -> None: ...

    def wake(self, now: float) -> None: ...

    def take(self) -> list[Frame | SequenceRecord]: ...

    def connection_lost(self, now: float) -> None: ...


class Medium:
    """What all wires share: the post, the faults that are on now, the trace, and which way nothing passes."""

    def __init__(self, post: Post, faults: Faults, trace: Trace) -> None:
        self.post = post
        self.faults = faults
        self.trace = trace
        self.dark: set[str] = set()  # directions ("A>B") in which everything is lost

    @property
    def faults(self) -> Faults:
        """What may happen to records now."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._faults = faults
        self.spoils = faults.any_on_links


class End:
    """One end of a wire. Nothing is heard before `attach`; what comes earlier waits."""

    def __init__(self, wire: "Wire", name: str, route: str, random: Random) -> None:
        """name: this end's direction in the trace; route: ("A>B") which partition takes what it sends."""
        self._wire = wire
        self._name = name
        self._route = route
        self._random = random
        self._reader = RecordReader()
        self._early: list[bytes] = []
        self._armed = math.inf
        self._silent_until = 0.0
        self._clogged_until = 0.0
        self._arrives = 0.0  # when the record before this one is there
        self._hear: Callable[[RawFrame | SequenceRecord, float], None]
        self._lost: Callable[[float], None]
        self._wake: Callable[[float], None]
        self.link: LinkObject | None = None
        self.other: End
        self.over = trio.Event()

    def attach(
        self,
        link: LinkObject,
        hear: Callable[[RawFrame | SequenceRecord, float], None] | None = None,
        wake: Callable[[float], None] | None = None,
        lost: Callable[[float], None] | None = None,
    ) -> None:
        """`link` lives here from now on; `hear`, `wake`, `lost`: its owner's, where that wants to know."""
        self.link = link
        self._hear, self._wake, self._lost = hear or link.receive, wake or link.wake, lost or link.connection_lost
        early, self._early = self._early, []
        for record in early:
            self.heard(record)
        self.speak()
        self.arm()

    # Out

    def speak(self) -> None:
        """Send what the link has to say."""
        link = self.link
        if link is None or self.over.is_set():
            return
        for item in link.take():
            record = encode_record(item) if isinstance(item, Frame) else encode_sequence(item.kind)
            self._send(record)
            if self.over.is_set():
                return

    def _send(self, record: bytes) -> None:
        medium = self._wire.medium
        faults, random, now = medium.faults, self._random, medium.post.now()
        arrives = max(now + faults.latency_s, self._arrives)
        if medium.spoils:
            if random.random() < faults.cut:
                self._note("cut", record)
                self._wire.cut()
                return
            if random.random() < faults.silence:
                self._silent_until = now + random.uniform(0, faults.silence_max_s)
            if random.random() < faults.clog:
                self._clogged_until = now + random.uniform(0, faults.clog_max_s)
            if now < self._silent_until or self._route in medium.dark or random.random() < faults.drop:
                self._note("drop", record)
                return
            if random.random() < faults.delay:
                self._note("delay", record)
                arrives += random.uniform(0, faults.delay_max_s)
            if random.random() < faults.corrupt:
                record = corrupted(record, random)
                self._note("corrupt", record)
        arrives = max(arrives, self._clogged_until)
        if self._wire.reorders and random.random() < faults.reorder:
            self._note("reorder", record)  # those behind it overtake it
            self._deliver(arrives + random.uniform(0, faults.reorder_max_s), record)
            return
        self._arrives = arrives
        self._note("send", record)
        self._deliver(arrives, record)
        if faults.duplicate and random.random() < faults.duplicate:
            self._note("duplicate", record)
            self._deliver(arrives, record)

    def _deliver(self, when: float, record: bytes) -> None:
        self._wire.medium.post.at(when, lambda: self.other.heard(record))

    def _note(self, what: str, record: bytes) -> None:
        self._wire.medium.trace.sent(what, self._name, record)

    # In

    def heard(self, record: bytes) -> None:
        """A record arrives. What is none ends the connection, as on a socket."""
        if self.over.is_set():
            return
        if self.link is None:
            self._early.append(record)
            return
        now = self._wire.medium.post.now()
        try:
            for parsed in self._reader.feed(record):
                self._hear(parsed, now)
            if self._reader.failed is not None:
                raise self._reader.failed
        except (FormatError, ArrayFault) as error:
            self._wire.medium.trace.add("broken", self._name, error)
            self._wire.cut()
            return
        self.speak()
        self.arm()

    def arm(self) -> None:
        """Have the link woken when it wants to be."""
        assert self.link is not None
        deadline = self.link.next_wake
        if deadline is not None and deadline < self._armed:
            self._armed = deadline
            self._wire.medium.post.at(deadline, self._tick)

    def _tick(self) -> None:
        now = self._wire.medium.post.now()
        if self.over.is_set() or now < self._armed:
            return
        self._armed = math.inf
        assert self.link is not None
        deadline = self.link.next_wake
        if deadline is not None and deadline <= now:
            self._wake(now)
            self.speak()
        self.arm()

    def lost(self) -> None:
        """The connection is gone."""
        if not self.over.is_set():
            self.over.set()
            if self.link is not None:
                self._lost(trio.current_time())


class Wire:
    """One connection: two ends, each with its own luck."""

    def __init__(self, medium: Medium, name: str, routes: tuple[str, str], random: Callable[[str], Random]) -> None:
        """routes: which partition takes what the left, and what the right end sends."""
        self.medium = medium
        self.reorders = routes[0] != routes[1]
        self.left = End(self, f"{name}>", routes[0], random(f"{name}>"))
        self.right = End(self, f"{name}<", routes[1], random(f"{name}<"))
        self.left.other, self.right.other = self.right, self.left

    def cut(self) -> None:
        """The connection ends, for both sides; in the middle of whatever is said, so they hear of it afterwards."""
        now = trio.current_time()
        self.medium.post.at(now, self.left.lost)
        self.medium.post.at(now, self.right.lost)


async def carry(link: LinkObject, end: End) -> None:
    """Run a controller's link over one end of a wire until that is over (in place of `stream_link.run_link`)."""

    def said() -> None:
        end.speak()
        end.arm()

    link.on_output = said  # type: ignore[attr-defined]
    end.attach(link)
    try:
        await end.over.wait()
    finally:
        link.on_output = lambda: None  # type: ignore[attr-defined]
        end.lost()
        end.other.lost()
