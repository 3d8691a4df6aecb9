"""Answers to link-control frames: requests of the peer, rejects, and whose answer an answer is.

The responder also keeps the two link addresses, because a request may assign them (rule L3 of link.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ccw import escon
from ccw.escon import LinkControl, RejectReason, RemovedReason, StateChange
from ccw.frames import Frame
from ccw.link_control import LinkControlInfo, decode_link_control, encode_path_bitmap, link_control_frame
from ccw.pprc import PprcHeader
from controller.channel.address import AddressAcquirer
from controller.channel.api import LinkCounters, PathId
from controller.channel.channel_role import ChannelRole
from controller.channel.control_unit import ControlUnitRole
from controller.channel.incidents import INCIDENT_BYTES
from controller.channel.streamed_control_unit import StreamedControlUnit

_PEER_HEADER_BYTES = 40
_ANSWERS = frozenset(
    {
        LinkControl.LPE,
        LinkControl.LPR,
        LinkControl.LACK,
        LinkControl.LRJ,
        LinkControl.LBY,
        LinkControl.TIR,
        LinkControl.PRJ,
        LinkControl.PBY,
        LinkControl.IDR,
        LinkControl.ILA,
    }
)
# Answers to ALA, and the director's word that an address is wrong: they reach an end that has no address.
_TO_THE_NAMELESS = frozenset({LinkControl.LACK, LinkControl.LRJ, LinkControl.ILA})
# Requests that tell this end its address when nobody has assigned one.
_ASSIGNING = frozenset({LinkControl.ELP, LinkControl.RLP, LinkControl.RID, LinkControl.TIN})
_ADDRESS_BITS = 0xFF0F  # link address, logical address; the rest of an address is reserved


class Responder:
    """Link control of one link. `send` takes the frames that go out."""

    def __init__(
        self,
        link_id: str,
        node: bytes,
        control_unit: ControlUnitRole | StreamedControlUnit,
        channel: ChannelRole,
        address: AddressAcquirer,
        counters: LinkCounters,
        send: Callable[[Frame], None],
        *,
        own_address: int,
        peer_address: int,
    ) -> None:
        self._link_id = link_id
        self._node = node
        self._control_unit = control_unit
        self._channel = channel
        self._address = address
        self._counters = counters
        self._send = send
        self.own_address = own_address
        self.peer_address = peer_address
        self.address_lost: Callable[[], None] = lambda: None
        self.state_changed: Callable[[int, int], None] = lambda address, change: None
        self.incident: Callable[[int, bytes], None] = lambda address, record: None

    def addressed_here(self, frame: Frame) -> bool:
        """Whether a frame is for this end; answers LRJ 05 to what is not."""
        address = frame.destination >> 8
        if address == self.own_address or frame.link_control == LinkControl.ALA:
            return True
        if not self._address.settled and frame.link_control in _TO_THE_NAMELESS:
            return True
        alone = not self._address.fixed and not self._control_unit.paths and not self._channel.images
        valid = escon.LINK_ADDRESS_FIRST <= address <= escon.LINK_ADDRESS_LAST
        if alone and valid and frame.link_control in _ASSIGNING:
            self.own_address = address
            self.peer_address = frame.source >> 8
            return True
        self.reject(frame, RejectReason.DESTINATION_ADDRESS_INVALID)
        return False

    def path_of(self, frame: Frame) -> PathId:
        """The logical path on which a channel sent `frame`."""
        return PathId(self._link_id, frame.source, frame.destination & 0x0F)

    def receive(self, frame: Frame) -> None:
        """Take one link-control frame."""
        function = frame.link_control
        info = decode_link_control(frame)
        if function in _ANSWERS:
            self._take_answer(frame, info)
        elif function == LinkControl.ELP:
            self._establish(frame, info)
        elif function == LinkControl.RLP:
            self._control_unit.remove(self.path_of(frame))
            self.answer(frame, LinkControl.LPR)
        elif function == LinkControl.RID:
            self.answer(frame, LinkControl.IDR, trailer=self._node)
        elif function == LinkControl.TIN:
            images = {path.image for path in self._control_unit.paths if path.channel == frame.source}
            parameters = bytes((0, info.parameters[1], 0, 0))
            self.answer(frame, LinkControl.TIR, parameters, encode_path_bitmap(images))
        elif function == LinkControl.ALA:
            self.answer(frame, LinkControl.LRJ, bytes((RejectReason.ACQUIRE_LINK_ADDRESS_ERROR, 0, 0, 0)))
        elif function == LinkControl.SCN:
            self.answer(frame, LinkControl.LACK)
            self._state_change(info.parameters[0], info.parameters[1])
        elif function == LinkControl.LIR:
            self._take_incident(frame, info.trailer)
        else:
            self.reject(frame, RejectReason.UNRECOGNISED_LINK_CONTROL)

    def _state_change(self, address: int, change: int) -> None:
        """A director tells of another port: associations are checked anew (P1, P2)."""
        if change == StateChange.BECAME_UNREACHABLE:
            for path in [path for path in self._control_unit.paths if path.channel >> 8 == address]:
                self._control_unit.remove(path)
            if address == self.peer_address:
                self._channel.peer_unreachable()
        elif change == StateChange.BECAME_REACHABLE and address == self.peer_address:
            self._channel.paths.peer_reachable()
        self.state_changed(address, change)

    def _take_incident(self, frame: Frame, record: bytes) -> None:
        if len(record) == INCIDENT_BYTES:
            self.answer(frame, LinkControl.LACK)
            self.incident(frame.source >> 8, record)
        else:
            self.reject(frame, RejectReason.PROTOCOL_ERROR)

    def _take_answer(self, frame: Frame, info: LinkControlInfo) -> None:
        if frame.link_control == LinkControl.ILA:
            if self._address.acquired:
                self.address_lost()
            else:
                self._counters.discarded += 1
            return
        assigned = self._address.answer(frame.link_control, info)
        if assigned is not None:
            self.own_address = assigned or self.own_address
            return
        if self._channel.answer(frame, info):
            return
        if frame.link_control == LinkControl.LRJ:
            self._control_unit.answered_reject(info.reason)
        elif frame.link_control in (LinkControl.LBY, LinkControl.PBY):
            self._control_unit.answered_busy()
        else:
            self._counters.discarded += 1

    def _establish(self, frame: Frame, info: LinkControlInfo) -> None:
        header = info.trailer
        if int.from_bytes(info.parameters[:2], "big") & ~escon.CTC_CONNECTION_SUPPORTED:
            self.answer(frame, LinkControl.LPR, bytes((RemovedReason.OPTIONAL_FEATURE_CONFLICT, 0, 0, 0)))
            return
        if len(header) not in (0, _PEER_HEADER_BYTES):
            self.reject(frame, RejectReason.PROTOCOL_ERROR)
            return
        reason = self._control_unit.establish(self.path_of(frame), header)
        if reason is None:
            self.answer(frame, LinkControl.LPE, trailer=_turned(header) if header else b"")
        else:
            self.answer(frame, LinkControl.LPR, bytes((reason & 0x0F, 0, 0, 0)))

    def reject(self, frame: Frame, reason: int) -> None:
        """Answer with LRJ, unless the frame is itself an answer (L2)."""
        if frame.link_control in _ANSWERS:
            self._counters.discarded += 1
        else:
            self._counters.rejects += 1
            self.answer(frame, LinkControl.LRJ, bytes((int(reason), 0, 0, 0)))

    def reject_reserved(self, payload: bytes) -> None:
        """Reserved bits of an address are on; everything else of the frame (link header .. CRC) is right."""
        destination = int.from_bytes(payload[0:2], "big") & _ADDRESS_BITS
        source = int.from_bytes(payload[2:4], "big") & _ADDRESS_BITS
        self.reject(Frame(destination, source, payload[4]), RejectReason.RESERVED_FIELD_ERROR)

    def answer(self, frame: Frame, function: int, parameters: bytes = bytes(4), trailer: bytes = b"") -> None:
        """Send a link-control frame back to where `frame` came from."""
        source = self.own_address << 8 | frame.destination & 0x0F
        self._send(link_control_frame(function, frame.source, source, parameters, trailer))


def _turned(header: bytes) -> bytes:
    """The header with which a peer is answered: its sender, now us, is the primary."""
    given = PprcHeader.decode(header)
    return replace(
        given,
        primary_ssid=given.secondary_ssid,
        primary_lss=given.secondary_lss,
        primary_cca=given.secondary_cca,
        primary_identity=given.secondary_identity,
        secondary_ssid=given.primary_ssid,
        secondary_lss=given.primary_lss,
        secondary_cca=given.primary_cca,
        secondary_identity=given.primary_identity,
    ).encode()
