"""Phase 3 at the secondary (status packet send): entries gather in packets, packets go out in chains.

A packet is kept until its chain has ended well, and sent again as it was until then: the primary drops what it has seen
by its sequence. On a streamed link chains follow one another; when one fails, those behind it are waited for, and all
that is not confirmed goes out again. A streamed link that is lost comes back: `resume`.
Source: pprc-commands 7.4, 8.2, 8.3.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from ccw.bridge import PacketFlag, PacketType, StatusEntry, StatusPacket
from controller.channel import ChainResult
from controller.remote_copy.bridge_chain import MAX_RECORDS_PER_CHAIN, bridge_chain
from controller.remote_copy.bridge_record import following
from controller.remote_copy.bridge_sender import LINK_GONE
from controller.remote_copy.ports import Clock, LinkPort

ENTRIES_PER_PACKET = 16
FAILURES_MAX = 5  # chains in a row
STREAMED_CHAINS_MAX = 64


@dataclass(frozen=True, slots=True)
class StatusRoute:
    """Where status packets go."""

    link: LinkPort
    image: int
    device: int  # unit address of the secondary status bridge volume (in the primary box)
    slots: int
    heads: int
    streamed: bool = False


class StatusSender:
    """The status bridge of one data bridge. `applied`: the cumulative acknowledgement of the next packet."""

    def __init__(self, number: int, window: int, clock: Clock, failed: Callable[[str], None]) -> None:
        self._number = number
        self._window = window
        self._clock = clock
        self._failed = failed
        self._route: StatusRoute | None = None
        self.applied = 0
        self._entries: deque[tuple[StatusEntry, bool]] = deque()  # (entry, is it about a whole volume)
        self._packets: deque[bytes] = deque()  # not confirmed yet
        self._sent = 0  # of them
        self._sequence = 1
        self._chains = 0
        self._failures = 0
        self._again = False  # a chain has failed: once none is under way everything goes out again
        self._waits = False  # for the link to come back

    @property
    def route(self) -> StatusRoute | None:
        """None: entries gather."""
        return self._route

    @route.setter
    def route(self, route: StatusRoute | None) -> None:
        self._route = route
        self.send()

    def add(self, entry: StatusEntry, about_volume: bool) -> None:
        """One entry for the next packet; `send` takes it along."""
        self._entries.append((entry, about_volume))

    @property
    def waiting(self) -> int:
        """Entries and packets that are not confirmed."""
        return len(self._entries) + len(self._packets)

    def close(self) -> None:
        """Nothing more is sent."""
        self._route = None
        self._entries.clear()
        self._packets.clear()

    def resume(self, link: LinkPort) -> None:
        """The streamed link is there again."""
        if self._route is not None:
            self._waits = False
            self._sent = 0
            self.route = replace(self._route, link=link)

    def send(self) -> None:
        """Start chains as far as the path takes them. While it takes none entries gather, so packets fill up."""
        while (route := self._route) is not None and not self._again and not self._waits:
            if self._chains >= (STREAMED_CHAINS_MAX if route.streamed else 1):
                return
            while self._entries and len(self._packets) - self._sent < MAX_RECORDS_PER_CHAIN:
                self._packets.append(self._build())
            packets = list(islice(self._packets, self._sent, self._sent + MAX_RECORDS_PER_CHAIN))
            if not packets:
                return
            self._sent += len(packets)
            self._chains += 1
            commands = bridge_chain(0, route.slots, route.heads, [(b"", packet) for packet in packets])
            ended = partial(self._ended, packets=len(packets))
            route.link.start_chain(route.image, route.device, commands, ended, self._clock.now())

    def _build(self) -> bytes:
        """The next packet: entries of one kind."""
        about_volume = self._entries[0][1]
        entries: list[StatusEntry] = []
        while self._entries and len(entries) < ENTRIES_PER_PACKET and self._entries[0][1] == about_volume:
            entries.append(self._entries.popleft()[0])
        packet = StatusPacket(
            packet_type=PacketType.VOLUME_STATUS if about_volume else PacketType.TRACK_STATUS,
            flags=PacketFlag.MORE_QUEUED if self._entries else 0,
            status_sequence=self._sequence,
            bridge_number=self._number,
            cumulative_ack=self.applied,
            credit=self._window,
            entries=tuple(entries),
        )
        self._sequence = following(self._sequence)
        return packet.encode()

    def _ended(self, result: ChainResult, packets: int) -> None:
        self._chains -= 1
        route = self._route
        if route is None:
            return
        if result.completed == packets + 2 and not self._again:
            self._failures = 0
            self._sent -= packets
            for _ in range(packets):
                self._packets.popleft()
        elif result.failure in LINK_GONE and route.streamed:
            self._again = self._waits = True
        elif result.failure in (None, "timeout") and (self._again or self._failures < FAILURES_MAX):
            self._failures += not self._again
            self._again = True
        else:
            self._failed(f"status path: {result.failure or result.sense[7:9].hex().upper()}")
            return
        if self._again and not self._chains:
            self._again = False
            self._sent = 0
        self.send()
