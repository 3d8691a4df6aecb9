"""What remote copy needs from its surroundings, as protocols: the array, durability, links, a clock.

The shell (controller/links) provides the real ones; the simulation provides others. Everything here is called
from one thread.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from ccw.stored_track import StoredTrack
from controller.channel import ChainCommand, ChainResult, PathReply


class ArrayFault(Exception):
    """The array takes no record: it is full, or fenced after a failed commit. What is acknowledged stays true."""


class ArrayFull(ArrayFault):
    """The array has no room for the record now; nothing else is wrong with it, and later it may have.

    `passing`: free-space collection is at work, and may make room soon.
    """

    def __init__(self, why: str, *, passing: bool = False) -> None:
        super().__init__(why)
        self.passing = passing


class ArrayPort(Protocol):
    """The part of the virtual array that remote copy uses. Volume: unit address; track: cylinder * heads + head.

    Everything that appends may raise ArrayFault.
    """

    @property
    def appended(self) -> int: ...  # sequence of the newest record, durable or not

    def read_stored(self, volume: int, track: int, /) -> StoredTrack | None: ...

    def write_stored(self, volume: int, track: int, stored: StoredTrack, /) -> int: ...

    def write_redirected(
        self, source_volume: int, source_track: int, stored: StoredTrack, target_volume: int, target_track: int, /
    ) -> int: ...  # written to the source, then redirected by pointer to the target

    def snapshot(self, source_volume: int, target_volume: int, /) -> int: ...

    def release_space(self, volume: int, first: int, stop: int, /) -> int: ...

    def written_since(self, volume: int, sequence: int, /) -> Any: ...  # array of track numbers

    def put(self, key: str, value: bytes, /) -> int: ...

    def items(self, prefix: str, /) -> list[tuple[str, bytes]]: ...


class HardenPort(Protocol):
    """Tells when what was appended is durable."""

    def when_durable(self, sequence: int, reply: Callable[[bool], None]) -> None:
        """Call `reply(True)` once everything up to `sequence` is durable, `reply(False)` when it cannot become so."""


class LinkPort(Protocol):
    """The channel side of one installed port; `controller.channel.Link` has it."""

    def establish_path(self, image: int, header: bytes, reply: Callable[[PathReply], None], now: float, /) -> None: ...

    def remove_path(self, image: int, reply: Callable[[PathReply], None], now: float, /) -> None: ...

    @property
    def has_room(self) -> bool: ...  # False: so much waits to be sent that another chain had better be made later

    def when_room(self, go_on: Callable[[], None], /) -> None: ...  # called once; never if the link is lost before

    def identify(self, reply: Callable[[bytes | None], None], now: float, /) -> None: ...

    def start_chain(
        self,
        image: int,
        unit_address: int,
        commands: Sequence[ChainCommand],
        reply: Callable[[ChainResult], None],
        now: float,
        /,
    ) -> None: ...


class Clock(Protocol):
    """Time of day and of waiting, both passed in so that a simulation can run its own."""

    def now(self) -> float: ...  # seconds, monotonic

    def tod(self) -> int: ...  # 64-bit TOD clock value


class TimerPort(Protocol):
    """Wakes remote copy later."""

    def call_at(self, when: float, action: Callable[[], None]) -> None: ...


class EventSink(Protocol):
    """Receives the event log: every step of the patent's figures under its number."""

    def __call__(self, step: int | None, text: str, fields: Mapping[str, object]) -> None: ...


class Surroundings(NamedTuple):
    """The ports of one storage system."""

    array: ArrayPort
    hardener: HardenPort
    links: Mapping[int, "InstalledPort"]  # by SAID
    clock: Clock
    timers: TimerPort
    log: EventSink
    attention: Callable[[int, int], None]  # (unit address, status): to every attached host
    hold_hosts: Callable[[int, bool], None]  # (unit address, True: tell its hosts to wait; False: they may go on)
    in_use: Callable[[int], tuple[bool, bool]]  # unit address: (online to a host, reserved by one)


class InstalledPort(Protocol):
    """One adapter of the box: its SAID, whether light is seen, and the link behind it."""

    @property
    def said(self) -> int: ...

    @property
    def wan(self) -> bool: ...  # its links are streamed, and come back

    @property
    def refused(self) -> bool: ...  # the other side's machine refuses the connection

    @property
    def link(self) -> LinkPort | None: ...  # None: no light

    @property
    def has_host_paths(self) -> bool: ...
