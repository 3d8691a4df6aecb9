"""A director: ports that are joined for the length of a connection. Pure state, fed like a link.

The owner of the media feeds records of each port and the time, and takes records of each port:

    director.attach(port, now), director.detach(port, now)      light comes and goes
    director.receive(port, record, now), director.wake(now)
    director.take(port)                                         also after `on_output(port)` was called

Link address and port are the same number, 01-FE. FE is the director's own control unit: a `Link`, fed like any port.
Rules, numbered for the tests:

D1. Connect-SOF joins the source port and the port that the frame names; disconnect-EOF parts them after the frame.
D2. Both ports of a connection are busy for all others: PBY 01 when the destination is in another connection, or is
    being recovered, 02 when the source is.
D3. PRJ 01 the destination is no address of a port (00, FF, or the source's own), 02 no such port, 03 blocked, offline
    or not initialised, 04 prohibited. Answers are refused in silence.
D4. A passive frame outside of a connection is discarded, as is a damaged one; a frame passes unchanged.
D5. A connection is parted by a sequence of either end; the other end is recovered by unconditional disconnect.
D6. ALA gets LACK with the port's address. A frame whose source address is not the port's gets ILA.
D7. A change that lets a port be reached, or no longer, is told to every port that may communicate with it and has
    shown an address: SCN, when the port is free, again after silence or busy, at most `tries` times.
D8. Everything of a port with a static connection passes to its partner, sequences too; ALA is the partner's to answer.
D9. A blocked port sends the offline sequence, and takes nothing.

Source: ESCON switch protocol (US 5,107,489, abstract), acquire link address (US 5,276,813), state-change notification
(DE 691 23 104, abstract); refusal numbers assumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ccw import escon
from ccw.errors import FormatError
from ccw.escon import LinkControl, PortBusyReason, PortRejectReason, RejectReason, StateChange
from ccw.frames import Frame, decode_frame, encode_frame
from ccw.link_control import decode_link_control, link_control_frame
from ccw.records import RawFrame, SequenceRecord
from controller.channel.api import CommandServer, LinkSettings
from controller.channel.director_port import DirectorPort, Notice
from controller.channel.director_states import ANSWERS, PortEvent, PortState
from controller.channel.facility import RECEIVED, Change, LinkEvent
from controller.channel.link import Link
from controller.channel.timer import earliest

OWN_PORT = escon.DIRECTOR_LINK_ADDRESS
_SOURCE = OWN_PORT << 8
_MAX_TURNS = 10_000  # of the own control unit's records in one call


class Director:
    """See the module head. `server` and `node` are the own control unit's; `ports` exclude FE."""

    def __init__(
        self, ports: Iterable[int], server: CommandServer, node: bytes, settings: LinkSettings | None = None
    ) -> None:
        self.settings = settings = settings or LinkSettings()
        self.ports: dict[int, DirectorPort] = {}
        for address in sorted(set(ports)):
            if not escon.LINK_ADDRESS_FIRST <= address < OWN_PORT:
                raise ValueError(f"port {address:02X} is outside 01-FD")
            self.ports[address] = DirectorPort(address, settings)
        self.on_output: Callable[[int], None] = lambda port: None
        self._prohibited: set[frozenset[int]] = set()
        self._now = 0.0
        self._own = Link("director", server, node, own_address=OWN_PORT, peer_address=0)
        self._own.on_output = self._own_output
        self.ports[OWN_PORT] = DirectorPort(OWN_PORT, settings)
        self.attach(OWN_PORT, 0.0)

    # The owner of the media

    def attach(self, port: int, now: float) -> None:
        """Light on a port."""
        self._now = now
        it = self.ports[port]
        self._link_event(it, LinkEvent.ATTACH)
        if it.state is PortState.BLOCKED:
            it.put(SequenceRecord(escon.Sequence.OLS))  # D9
        self._settle()

    def detach(self, port: int, now: float) -> None:
        """No light on a port."""
        self._now = now
        it = self.ports[port]
        self._link_event(it, LinkEvent.DETACH)
        it.output.clear()
        self._settle()

    def receive(self, port: int, record: RawFrame | SequenceRecord, now: float) -> None:
        """Take one record from a port. Never raises for what the bytes are."""
        self._now = now
        self._record(self.ports[port], record)
        self._settle()

    def take(self, port: int) -> list[RawFrame | SequenceRecord]:
        """What is to be sent on a port now, in order."""
        taken = list(self.ports[port].output)
        self.ports[port].output.clear()
        return taken

    @property
    def next_wake(self) -> float | None:
        """When to call `wake`; a time that is past means at once."""
        return earliest(self._own.next_wake, *(port.next_wake for port in self.ports.values()))

    def wake(self, now: float) -> None:
        """Do what the time asks for; harmless when called too early."""
        self._now = now
        for port in self.ports.values():
            repeat_at = port.facility.next_wake
            if repeat_at is not None and now >= repeat_at and port.state is not PortState.STATIC:
                self._change(port, port.facility.repeat(now))
            port.notice_timer_expired(now)
        self._own.wake(now)
        self._settle()

    def prohibited(self, one: int, other: int) -> bool:
        """Whether two ports may not communicate."""
        return frozenset((one, other)) in self._prohibited

    # What an operator sets

    def block(self, port: int, now: float) -> None:
        """Take a port offline, until `unblock`. A static connection of the port is over."""
        self.remove_static(port, now)
        it = self.ports[port]
        self._part(it, recover_self=False)
        it.apply(PortEvent.BLOCK)
        it.put(SequenceRecord(escon.Sequence.OLS))
        self._reachability_changed(it)
        self._settle()

    def unblock(self, port: int, now: float) -> None:
        """Let a port be initialised again."""
        self._now = now
        it = self.ports[port]
        if it.state is PortState.BLOCKED:
            it.apply(PortEvent.UNBLOCK)
            self._initialise(it)
        self._settle()

    def prohibit(self, one: int, other: int, now: float) -> None:
        """Forbid two ports to communicate; a connection between them is parted."""
        self._now = now
        first, second = self.ports[one], self.ports[other]
        if first.partner is second:
            self._part(first, recover_self=True)
        if frozenset((one, other)) not in self._prohibited:
            self._prohibited.add(frozenset((one, other)))
            self._tell(first, second, StateChange.BECAME_UNREACHABLE)
            self._tell(second, first, StateChange.BECAME_UNREACHABLE)
        self._settle()

    def allow(self, one: int, other: int, now: float) -> None:
        """Take `prohibit` back."""
        self._now = now
        if frozenset((one, other)) in self._prohibited:
            self._prohibited.discard(frozenset((one, other)))
            first, second = self.ports[one], self.ports[other]
            for told, about in ((first, second), (second, first)):
                if about.reachable:
                    self._tell(told, about, StateChange.BECAME_REACHABLE)
        self._settle()

    def assign_static(self, one: int, other: int, now: float) -> None:
        """Dedicate two ports to each other. ValueError when one is blocked, FE, or dedicated already."""
        self._now = now
        pair = self.ports[one], self.ports[other]
        if one == other or OWN_PORT in (one, other) or any(port.dedicable is False for port in pair):
            raise ValueError(f"no static connection between {one:02X} and {other:02X}")
        for port in pair:
            self._part(port, recover_self=False)
        for port, partner in (pair, pair[::-1]):
            port.apply(PortEvent.ASSIGN_STATIC)
            port.partner = partner
            self._reachability_changed(port)
            port.forget_notices()
        for port in pair:
            if port.facility.attached:
                port.put(SequenceRecord(escon.Sequence.OLS))  # both ends initialise anew, with each other
        self._settle()

    def remove_static(self, port: int, now: float) -> None:
        """Take `assign_static` back; both links are initialised anew."""
        self._now = now
        it = self.ports[port]
        if it.state is PortState.STATIC and it.partner is not None:
            for each in (it, it.partner):
                each.partner = None
                each.apply(PortEvent.REMOVE_STATIC)
                self._initialise(each)
        self._settle()

    # Records

    def _record(self, port: DirectorPort, record: RawFrame | SequenceRecord) -> None:
        if port.state is PortState.STATIC:
            if port.partner is not None and port.partner.facility.attached:
                port.partner.put(record)  # D8
            elif isinstance(record, RawFrame) or record.kind != escon.Sequence.OLS:
                port.put(SequenceRecord(escon.Sequence.NOS))
        elif port.state is PortState.BLOCKED:
            port.discarded += 1
        elif isinstance(record, SequenceRecord):
            if record.kind in RECEIVED:
                self._link_event(port, RECEIVED[escon.Sequence(record.kind)])
        else:
            self._frame(port, record)

    def _frame(self, port: DirectorPort, raw: RawFrame) -> None:
        try:
            if raw.abort or not port.facility.operational:
                raise FormatError("frame", "aborted, or out of place", raw.payload)
            frame = decode_frame(raw.payload, connect=raw.connect, disconnect=raw.disconnect)
        except FormatError:
            port.discarded += 1
            return
        if frame.link_control == LinkControl.ALA:
            self._assign_address(port)
        elif frame.source >> 8 != port.address:
            self._answer(port, frame, LinkControl.ILA, 0)  # D6
        else:
            port.shown = True
            if not self._answers_notice(port, frame):
                self._route(port, frame, raw)

    def _assign_address(self, port: DirectorPort) -> None:
        port.shown = True
        parameters = bytes((port.address, 0, 0, 0))
        port.put(_raw(link_control_frame(LinkControl.LACK, port.address << 8, _SOURCE, parameters)))

    def _route(self, port: DirectorPort, frame: Frame, raw: RawFrame) -> None:
        refusal = self._refusal(port, frame)
        if refusal is not None:
            self._answer(port, frame, *refusal)
            return
        other = self.ports[frame.destination >> 8]
        if port.partner is not other:
            if not frame.connect:
                port.discarded += 1  # D4
                return
            self._join(port, other)
        other.put(raw)
        other.frames_passed += 1
        if frame.disconnect:
            self._unjoin(port)

    def _refusal(self, port: DirectorPort, frame: Frame) -> tuple[int, int] | None:
        """PRJ or PBY with its reason, when the frame cannot pass (D2, D3)."""
        address = frame.destination >> 8
        other = self.ports.get(address)
        if not escon.LINK_ADDRESS_FIRST <= address <= escon.LINK_ADDRESS_LAST or address == port.address:
            return LinkControl.PRJ, PortRejectReason.ADDRESS_NOT_VALID
        if other is None:
            return LinkControl.PRJ, PortRejectReason.DESTINATION_UNDEFINED
        if frozenset((port.address, address)) in self._prohibited:
            return LinkControl.PRJ, PortRejectReason.COMMUNICATION_PROHIBITED
        if not other.reachable:
            return LinkControl.PRJ, PortRejectReason.DESTINATION_MALFUNCTION
        if frame.connect and port.partner is not other:
            if port.partner is not None:
                return LinkControl.PBY, PortBusyReason.SOURCE_BUSY
            if other.partner is not None or not other.facility.operational:
                return LinkControl.PBY, PortBusyReason.DESTINATION_BUSY
        return None

    def _answer(self, port: DirectorPort, frame: Frame, function: int, reason: int) -> None:
        if frame.link_control in ANSWERS:
            port.discarded += 1
            return
        port.refused += 1
        parameters = bytes((int(reason), 0, 0, 0))
        destination = port.address << 8 | frame.source & 0x0F
        port.put(_raw(link_control_frame(function, destination, _SOURCE, parameters)))

    # Connections

    def _join(self, port: DirectorPort, other: DirectorPort) -> None:
        for one, partner in ((port, other), (other, port)):
            one.partner = partner
            one.apply(PortEvent.CONNECT)
            one.facility.apply(LinkEvent.CONNECT, self._now)

    def _unjoin(self, port: DirectorPort) -> None:
        for one in (port, port.partner):
            if one is not None:
                one.partner = None
                one.apply(PortEvent.DISCONNECT)
                one.facility.apply(LinkEvent.DISCONNECT, self._now)

    def _part(self, port: DirectorPort, recover_self: bool) -> None:
        """End a dynamic connection in the middle; the other end is told by unconditional disconnect (D5)."""
        other = port.partner
        if other is None or port.state is PortState.STATIC:
            return
        self._unjoin(port)
        for one in (other, port) if recover_self else (other,):
            self._link_event(one, LinkEvent.TIMEOUT)

    # Link level of a port

    def _initialise(self, port: DirectorPort) -> None:
        """Begin with a link anew: what it did while it was not ours is not known. The offline sequence is answered."""
        if port.facility.attached:
            self._link_event(port, LinkEvent.NOS)

    def _link_event(self, port: DirectorPort, event: LinkEvent) -> None:
        if port.state is PortState.STATIC:
            port.facility.attached = event is LinkEvent.ATTACH
            if port.partner is not None and port.partner.facility.attached:
                kind = escon.Sequence.NOS if event is LinkEvent.DETACH else escon.Sequence.OLS
                port.partner.put(SequenceRecord(kind))
            return
        self._change(port, port.facility.apply(event, self._now))

    def _change(self, port: DirectorPort, change: Change) -> None:
        if port.state is PortState.BLOCKED:
            return
        if change.send is not None:
            port.put(SequenceRecord(int(change.send)))
        if change.dropped:
            self._part(port, recover_self=False)
        if change.down:
            port.apply(PortEvent.LINK_DOWN)
            port.shown = port.address == OWN_PORT
            port.forget_notices()
        if port.facility.operational:
            port.apply(PortEvent.LINK_UP)
        self._reachability_changed(port)

    # State-change notification (D7)

    def _reachability_changed(self, port: DirectorPort) -> None:
        if port.reachable is port.told_reachable:
            return
        port.told_reachable = port.reachable
        what = StateChange.BECAME_REACHABLE if port.reachable else StateChange.BECAME_UNREACHABLE
        for other in self.ports.values():
            if frozenset((port.address, other.address)) not in self._prohibited:
                self._tell(other, port, what)

    def _tell(self, told: DirectorPort, about: DirectorPort, what: StateChange) -> None:
        if told is not about and told.shown and told.address != OWN_PORT:
            told.notices[about.address] = Notice(int(what))

    def _notify(self, port: DirectorPort) -> None:
        about = port.next_notice()
        if about is not None and port.state is PortState.INACTIVE:
            parameters = bytes((about, port.notices[about].change, 0, 0))
            port.put(_raw(link_control_frame(LinkControl.SCN, port.address << 8, _SOURCE, parameters)))
            port.notice_sent(about)

    def _answers_notice(self, port: DirectorPort, frame: Frame) -> bool:
        if frame.destination >> 8 != OWN_PORT or not port.awaits_answer:
            return False
        if frame.link_control == LinkControl.LACK:
            port.notice_answered()
        elif frame.link_control == LinkControl.LRJ:
            refused = decode_link_control(frame).reason
            port.notice_answered(again=refused == RejectReason.TRANSMISSION_ERROR)
        elif frame.link_control == LinkControl.LBY:
            port.notice_answered(again=True)
        else:
            return False
        return True

    # The own control unit

    def _own_output(self) -> None:
        self._settle()

    def _settle(self) -> None:
        """Carry records between the director and its own control unit, send notices, announce output."""
        own = self.ports[OWN_PORT]
        for _ in range(_MAX_TURNS):
            arriving, leaving = self.take(OWN_PORT), self._own.take()
            if not arriving and not leaving:
                break
            for record in arriving:
                self._own.receive(record, self._now)
            for item in leaving:
                self._record(own, _raw(item) if isinstance(item, Frame) else item)
        for port in self.ports.values():
            port.notice_timer_expired(self._now)
            if port.notices:
                self._notify(port)
            port.notice_timer_expired(self._now)
            if port.output:
                self.on_output(port.address)


def _raw(frame: Frame) -> RawFrame:
    return RawFrame(encode_frame(frame), connect=frame.connect, disconnect=frame.disconnect)
