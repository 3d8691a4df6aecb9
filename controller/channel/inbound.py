"""What becomes of a frame that came in: discarded, rejected, link control, or a device frame of one of the two roles.

Rules L1, L2 and L5 of link.py live here.
"""

from __future__ import annotations

from collections.abc import Callable

from ccw import escon
from ccw.errors import FormatError
from ccw.escon import ControlFunction, LinkControl, RejectReason
from ccw.frames import (
    REPEATING_LENGTH_MAX,
    CommandFrame,
    ControlFrame,
    DeviceFrame,
    Frame,
    StatusFrame,
    decode_device,
    decode_frame,
    decode_repeating,
)
from ccw.records import RawFrame
from controller.channel.api import LinkCounters
from controller.channel.channel_role import ChannelRole
from controller.channel.control_unit import ControlUnitRole
from controller.channel.responder import Responder
from controller.channel.streamed_control_unit import StreamedControlUnit

# Control functions that only a control unit sends.
_FROM_CONTROL_UNIT = frozenset(
    {
        ControlFunction.COMMAND_RESPONSE,
        ControlFunction.REQUEST_CONNECT,
        ControlFunction.DEVICE_LEVEL_EXCEPTION,
        ControlFunction.DEVICE_LEVEL_ACKNOWLEDGEMENT,
        ControlFunction.PURGE_PATH_RESPONSE,
    }
)


class Inbound:
    """The way in of one link. `information_limit`: bytes of the largest information field this end takes.

    `damaged` is called for every frame that cannot be decoded.
    """

    def __init__(
        self,
        control_unit: ControlUnitRole | StreamedControlUnit,
        channel: ChannelRole,
        responder: Responder,
        counters: LinkCounters,
        information_limit: int,
        damaged: Callable[[], None],
    ) -> None:
        self._control_unit = control_unit
        self._channel = channel
        self._responder = responder
        self._counters = counters
        self._information_limit = information_limit
        self._damaged = damaged

    def receive(self, raw: RawFrame) -> None:
        """Take one frame of an initialised link."""
        if raw.abort:
            self._count_damaged()
            return
        if len(raw.payload) <= REPEATING_LENGTH_MAX:
            known = decode_repeating(raw.payload, raw.connect, raw.disconnect)
            if known is not None:
                if self._responder.addressed_here(known[0]):
                    self._dispatch(*known)
                return
        try:
            frame = decode_frame(
                raw.payload,
                connect=raw.connect,
                disconnect=raw.disconnect,
                information_limit=self._information_limit,
            )
        except FormatError as error:
            if "reserved" in error.where:
                self._responder.reject_reserved(raw.payload)
            else:
                self._count_damaged()
            return
        if self._responder.addressed_here(frame):
            if frame.link_control == escon.DEVICE_FRAME:
                self._device_frame(frame)
            else:
                self._responder.receive(frame)

    def _count_damaged(self) -> None:
        self._counters.crc_errors += 1
        self._damaged()

    def _device_frame(self, frame: Frame) -> None:
        try:
            device = decode_device(frame.information)
        except FormatError as error:
            reserved = "reserved" in error.where or "flags" in error.where or "address" in error.where
            reason = RejectReason.RESERVED_FIELD_ERROR if reserved else RejectReason.UNRECOGNISED_DEVICE_LEVEL
            self._responder.reject(frame, reason)
            return
        self._dispatch(frame, device)

    def _dispatch(self, frame: Frame, device: DeviceFrame) -> None:
        if self._for_channel(device):
            image = frame.source & 0x0F
            if image in self._channel.images:
                self._channel.receive(image, frame, device)
                return
        else:
            path = self._responder.path_of(frame)
            if path in self._control_unit.paths:
                if isinstance(device, CommandFrame) and frame.connect and not self._yield_to(frame):
                    return
                self._control_unit.receive(path, frame, device)
                return
        self._responder.reject(frame, RejectReason.LOGICAL_PATH_NOT_ESTABLISHED)

    def _for_channel(self, device: DeviceFrame) -> bool:
        """Which role a device frame is for: its sender is the other one."""
        kind = type(device)
        if kind is CommandFrame:
            return False
        if kind is StatusFrame:
            return True
        if isinstance(device, ControlFrame):
            return device.function in _FROM_CONTROL_UNIT
        return self._control_unit.idle and self._channel.awaits_data  # data, or a request for data

    def _yield_to(self, frame: Frame) -> bool:
        """A command selects us while our own channel role may be using the link (L5)."""
        if not self._channel.connected:
            return True
        if not self._channel.selecting:
            self._responder.answer(frame, LinkControl.LBY)
            return False
        if self._responder.own_address > frame.source >> 8:
            self._counters.discarded += 1
            return False
        self._channel.withdraw()
        return True
