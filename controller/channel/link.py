"""`Link`: one ESCON link with both roles, for whoever owns the medium.

The owner feeds records and the time, and takes records:

    link.receive(record, now)      a record came
    link.wake(now)                 the time of `next_wake` has come
    link.take()                    what to send, in order; also after `on_output` was called
    link.connection_lost(now), link.connection_made(now)

`receive` never raises, whatever the bytes are. Rules, numbered for the tests (A: address, C: control_unit,
H: channel_role, P: path_requests, F: facility):

L1. A frame that cannot be decoded (CRC, length, abort) is counted and discarded; nothing is sent.
L2. A frame that is decoded and not understood is answered by LRJ: 05 another destination, 06 no logical path,
    07 reserved bits, 08 link control, 09 out of place, 0B device level. Answers (LRJ, busy, LPE ...) get no LRJ.
L3. Without a director ALA is answered by LRJ 0A: the channel then assigns both link addresses. While no logical path
    exists, this end takes the address that a link-control request names, unless a director has assigned one.
L4. Whoever waits in a connection for longer than the link timeout sends unconditional disconnect; both ends drop it.
L5. When both ends select at once the end with the greater link address goes first; the other withdraws.
L6. With `acquire_address` the link begins without an address and asks for one (address.py) whenever it is initialised.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from ccw import escon
from ccw.frames import DeviceFrame, Frame, encode_device
from ccw.link_control import link_control_frame
from ccw.records import RawFrame, SequenceRecord
from controller.channel.api import (
    ChainCommand,
    ChainResult,
    CommandServer,
    LinkCounters,
    LinkSettings,
    PathId,
    PathReply,
)
from controller.channel.channel_role import ChannelRole
from controller.channel.control_unit import ControlUnitRole
from controller.channel.exchanges import Request
from controller.channel.facility import RECEIVED, LinkEvent, LinkState
from controller.channel.inbound import Inbound
from controller.channel.link_level import LinkLevel
from controller.channel.path_table import PathTable
from controller.channel.responder import Responder
from controller.channel.streamed_control_unit import StreamedControlUnit
from controller.channel.timer import earliest

_FRAME_OVERHEAD = escon.LINK_HEADER_LENGTH + escon.LINK_TRAILER_LENGTH
_DOWN = frozenset({LinkState.LINK_FAILURE, LinkState.OFFLINE})
# Frames that may wait to be taken; what comes beyond is lost, as on a link. The largest legal burst is about 70.
_MAX_OUTPUT = 4096


class Link:
    """One end of a link; see the module head.

    `node` is the 32-byte node descriptor given to RID. Link addresses are one byte, 01-FE. `table` limits the logical
    paths per control-unit image over all links that share it.
    """

    streamed = False  # chains follow one another without waiting: `StreamedLink`

    def __init__(
        self,
        link_id: str,
        server: CommandServer,
        node: bytes,
        *,
        own_address: int,
        peer_address: int,
        settings: LinkSettings | None = None,
        table: PathTable | None = None,
    ) -> None:
        self.link_id = link_id
        self.settings = settings = settings or LinkSettings()
        self.on_output: Callable[[], None] = lambda: None
        self.counters = LinkCounters()
        self._level = LinkLevel(settings, node, self._put, self._connection_dropped, self._link_down)
        self._control_unit, self._channel = self._make_roles(server, table)
        self._responder = Responder(
            link_id,
            node,
            self._control_unit,
            self._channel,
            self._level.address,
            self.counters,
            self._put,
            own_address=own_address,
            peer_address=peer_address,
        )
        self._responder.address_lost = self._address_lost
        information_limit = escon.DEVICE_HEADER_LENGTH + escon.data_block_length(settings.dib_code)
        self._inbound = Inbound(
            self._control_unit, self._channel, self._responder, self.counters, information_limit, self._damaged
        )
        self._output: deque[Frame | SequenceRecord] = deque()
        self._depth = 0  # of public calls under way; output is announced by the outermost only
        self._now = 0.0
        self._level.apply(LinkEvent.ATTACH, self._now)

    def _make_roles(
        self, server: CommandServer, table: PathTable | None
    ) -> tuple[ControlUnitRole | StreamedControlUnit, ChannelRole]:
        """The two roles of this kind of link."""
        return ControlUnitRole(server, self, self.settings, table), ChannelRole(self, self.settings)

    def _damaged(self) -> None:
        """A frame could not be decoded: it is lost, and whoever waits for it waits."""

    # The owner of the medium

    def receive(self, record: RawFrame | SequenceRecord, now: float) -> None:
        """Take one record."""
        self._now = now
        self._depth += 1
        try:
            if isinstance(record, SequenceRecord):
                self._sequence(record.kind)
            else:
                self._raw_frame(record)
            self._settle(now)
        finally:
            self._depth -= 1

    def wake(self, now: float) -> None:
        """Do what the time asks for; harmless when called too early."""
        self._now = now
        self._depth += 1
        try:
            self._level.tick(now)
            if self._control_unit.tick(now):
                self._timed_out()
            if self._channel.tick(now):
                self._timed_out()
            self._settle(now)
        finally:
            self._depth -= 1

    def take(self) -> list[Frame | SequenceRecord]:
        """What is to be sent now, in order; it is not given again."""
        taken = list(self._output)
        self._output.clear()
        return taken

    def connection_lost(self, now: float) -> None:
        """The medium is gone: chains end, exchanges fail, paths are removed; nothing more is sent."""
        self._now = now
        self._depth += 1
        try:
            self._level.apply(LinkEvent.DETACH, now)
            self._output.clear()
        finally:
            self._depth -= 1

    def connection_made(self, now: float) -> None:
        """There is a medium (again). A new Link has one from the start."""
        self._now = now
        self.connection_lost(now)
        self._level.apply(LinkEvent.ATTACH, self._now)

    @property
    def next_wake(self) -> float | None:
        """When to call `wake`; a time that is past means at once."""
        return earliest(self._level.deadline, self._control_unit.deadline, self._channel.deadline)

    @property
    def own_address(self) -> int:
        """Link address of this end."""
        return self._responder.own_address

    @property
    def peer_address(self) -> int:
        """Link address of the other end."""
        return self._responder.peer_address

    @property
    def state(self) -> LinkState:
        """State of the link-level facility."""
        return self._level.state

    # Control-unit role

    @property
    def paths(self) -> frozenset[PathId]:
        """Logical paths that channels have established to this end."""
        return frozenset(self._control_unit.paths)

    def present_status(self, path: PathId, unit_address: int, status: int, sense: bytes = b"") -> None:
        """Present a status that no command asked for; it is kept until accepted, or dropped with its path."""
        self._control_unit.present_status(path, unit_address, status, sense)
        self.output()

    # Channel role

    @property
    def images(self) -> frozenset[int]:
        """Control-unit images of the peer to which this end has established a logical path."""
        return frozenset(self._channel.images)

    def establish_path(self, image: int, header: bytes, reply: Callable[[PathReply], None], now: float) -> None:
        """Send ELP, at most `tries` times. `header`: 40 bytes between controllers."""
        if self._level.state in _DOWN:
            reply(PathReply(False, failure="link lost"))
            return
        self._channel.paths.establish(image, header, reply)
        self.output()

    def remove_path(self, image: int, reply: Callable[[PathReply], None], now: float) -> None:
        """Send RLP. The path does not exist afterwards, whatever the answer."""
        if self._level.state in _DOWN:
            reply(PathReply(False, failure="link lost"))
            return
        self._channel.paths.remove(image, reply)
        self.output()

    def identify(self, reply: Callable[[bytes | None], None], now: float) -> None:
        """Send RID; `reply` gets the 32-byte node descriptor of the peer, or None."""
        if self._level.state in _DOWN:
            reply(None)
            return
        self._channel.paths.identify(reply)
        self.output()

    def test_initialisation(self, reply: Callable[[frozenset[int] | None], None], now: float) -> None:
        """Send TIN; `reply` gets the images to which the peer has a path from this end, or None."""
        if self._level.state in _DOWN:
            reply(None)
            return
        self._channel.paths.test_initialisation(0, reply)
        self.output()

    def use_peer(self, address: int) -> None:
        """Behind a director: the link address with which the channel role speaks. Only while it has no path."""
        assert not self._channel.images
        self._responder.peer_address = address

    def start_chain(
        self,
        image: int,
        unit_address: int,
        commands: Sequence[ChainCommand],
        reply: Callable[[ChainResult], None],
        now: float,
    ) -> None:
        """Send a chain (at least one command) when the exchanges before it are done."""
        if self._level.state in _DOWN:
            reply(ChainResult(failure="link lost"))
            return
        self._channel.start_chain(image, unit_address, commands, reply)
        self.output()

    @property
    def has_room(self) -> bool:
        """Whether another chain should be started now. Here chains wait for each other: never much is to be sent."""
        return True

    def when_room(self, go_on: Callable[[], None]) -> None:
        """Call `go_on` once when there is room."""
        go_on()

    def on_unsolicited(self, taker: Callable[[int, int, int], None]) -> None:
        """`taker(image, unit address, status)` gets statuses of the peer that belong to no chain of ours."""
        self._channel.unsolicited = taker

    def on_path_restored(self, taker: Callable[[int, PathReply], None]) -> None:
        """`taker(image, answer)` learns of paths that were established anew because a director told to."""
        self._channel.paths.restored = taker

    # Notices of the link level

    def on_state_change(self, taker: Callable[[int, int], None]) -> None:
        """`taker(link address, escon.StateChange)` gets what a director tells."""
        self._responder.state_changed = taker

    def on_incident(self, taker: Callable[[int, bytes], None]) -> None:
        """`taker(link address, record)` gets the link incidents that are reported to this end."""
        self._responder.incident = taker

    def report_incidents_to(self, address: int) -> None:
        """Report this link's incidents to a link address, those that wait and those to come."""
        self._level.incidents.listener = address
        self.output()

    @property
    def incidents(self) -> tuple[bytes, ...]:
        """Link-incident records that nobody has taken yet, oldest first."""
        return tuple(self._level.incidents.pending)

    # Link level

    def _sequence(self, kind: int) -> None:
        if kind in RECEIVED:
            self._level.apply(RECEIVED[escon.Sequence(kind)], self._now)

    def _connection_dropped(self) -> None:
        if not (self._control_unit.idle and not self._channel.connected):
            self.counters.recoveries += 1
        self._control_unit.connection_dropped()
        self._channel.connection_dropped()

    def _link_down(self) -> None:
        self._control_unit.link_down()
        self._channel.link_down()

    def _address_lost(self) -> None:
        """ILA: the address that this end uses is not its own (A4)."""
        self._level.apply(LinkEvent.ADDRESS_NEEDED, self._now)

    def _timed_out(self) -> None:
        self.counters.timeouts += 1
        self.connection_error()

    def _settle(self, now: float) -> None:
        """After every event: delimiters to the facility, the next exchange, timers armed."""
        self._pump()
        self._level.address.tick(now)
        self._control_unit.tick(now)
        self._channel.tick(now)

    def _pump(self) -> None:
        self._level.track_address(self._now)
        if self._level.operational:
            self._track_connection()
            if self._control_unit.idle and not self._channel.connected:
                self._control_unit.present_next()
                self._report_incident()
                self._channel.start_next()
            self._track_connection()

    def _report_incident(self) -> None:
        report = self._level.incidents.next_report()
        if report is not None:
            listener, record = report
            self._channel.paths.report_incident(listener, record, partial(self._level.incidents.reported, record))

    def _track_connection(self) -> None:
        self._level.track_connection(self._channel.connected or not self._control_unit.idle, self._now)

    def _raw_frame(self, raw: RawFrame) -> None:
        self.counters.frames_in += 1
        self.counters.bytes_in += len(raw.payload)
        if self._level.initialised:
            self._inbound.receive(raw)
        else:
            self.counters.discarded += 1

    # The ports of the two roles

    def send_device(self, path: PathId, frame: DeviceFrame, *, connect: bool = False, disconnect: bool = False) -> None:
        """Send a device frame to a channel."""
        source = self.own_address << 8 | path.image
        self._put(Frame(path.channel, source, escon.DEVICE_FRAME, encode_device(frame), connect, disconnect))

    def send_to_image(self, image: int, frame: DeviceFrame, *, connect: bool = False, disconnect: bool = False) -> None:
        """Send a device frame to a control-unit image of the peer."""
        destination, source = self.peer_address << 8 | image, self.own_address << 8
        self._put(Frame(destination, source, escon.DEVICE_FRAME, encode_device(frame), connect, disconnect))

    def send_request(self, request: Request) -> None:
        """Send a link-control request to the peer, or to the address that it names."""
        destination = (request.address or self.peer_address) << 8 | request.image
        source = self.own_address << 8
        self._put(link_control_frame(request.function, destination, source, request.parameters, request.trailer))

    def reject(self, frame: Frame, reason: int) -> None:
        """Answer with LRJ."""
        self._responder.reject(frame, reason)

    def may_connect(self) -> bool:
        """Whether the control-unit role may open a connection."""
        return self._level.operational and not self._channel.connected

    def may_exchange(self) -> bool:
        """Whether the channel role may begin an exchange."""
        return self._level.operational and self._control_unit.idle

    def connection_error(self) -> None:
        """Recover the connection by unconditional disconnect (L4)."""
        self._level.apply(LinkEvent.TIMEOUT, self._now)

    def output(self) -> None:
        """Something may have been made ready outside of receive and wake."""
        if self._depth:
            return
        self._depth += 1
        try:
            self._pump()
        finally:
            self._depth -= 1
        self.on_output()

    def _put(self, item: Frame | SequenceRecord) -> None:
        if len(self._output) >= _MAX_OUTPUT:
            self.counters.overruns += 1
            return
        if isinstance(item, Frame):
            self.counters.frames_out += 1
            self.counters.bytes_out += _FRAME_OVERHEAD + len(item.information)
        self._output.append(item)
