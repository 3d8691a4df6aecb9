"""The frames of one link, in order, as FC-SB-3 packets: keeps who is the channel and where the exchanges stand.

Numbers: SEQ_ID counts the packets of the link; OX_ID is one for each connection, from connect-SOF to disconnect-EOF;
the CCW number is 0 at the first command of a chain and one more at each chained one.

Who of two addresses is the channel, the last frame told that only one of the roles sends (ELP, command, status, ...).
Frames that both may send before any such frame came are taken as the control unit's.

Source: assumed, defined by this project.
"""

from __future__ import annotations

from ccw.errors import FormatError
from ccw.escon import ControlFunction, LinkControl
from ccw.fc_sb3 import FIRST_EXCHANGE, LeftOut, Place, encode_unit
from ccw.frames import CommandFrame, ControlFrame, DeviceFrame, Frame, StatusFrame, decode_device

PAIRS_MAX = 65_536                  # remembered; beyond it the memory begins anew

_BY_CHANNEL: dict[int, bool] = {
    **dict.fromkeys((LinkControl.ELP, LinkControl.RLP, LinkControl.TIN), True),
    **dict.fromkeys((LinkControl.LPE, LinkControl.LPR, LinkControl.TIR), False),
}
_CONTROL_BY_CHANNEL: dict[int, bool] = {
    **dict.fromkeys((
        ControlFunction.STACK_STATUS, ControlFunction.CANCEL, ControlFunction.SYSTEM_RESET,
        ControlFunction.SELECTIVE_RESET, ControlFunction.REQUEST_STATUS, ControlFunction.ACCEPT_COMMAND_RESPONSE,
        ControlFunction.STATUS_ACCEPTED, ControlFunction.PURGE_PATH,
    ), True),
    **dict.fromkeys((
        ControlFunction.COMMAND_RESPONSE, ControlFunction.REQUEST_CONNECT, ControlFunction.DEVICE_LEVEL_EXCEPTION,
        ControlFunction.DEVICE_LEVEL_ACKNOWLEDGEMENT, ControlFunction.PURGE_PATH_RESPONSE,
    ), False),
}


def sent_by_channel(link_control: int, device: DeviceFrame | None) -> bool | None:
    """Does only the channel send such a frame (True), only the control unit (False), or either (None)?"""
    if link_control:
        return _BY_CHANNEL.get(link_control)
    if isinstance(device, CommandFrame):
        return True
    if isinstance(device, StatusFrame):
        return False
    if isinstance(device, ControlFrame):
        return _CONTROL_BY_CHANNEL.get(device.function)
    return None


class Converter:
    """Converts the frames of one link."""

    def __init__(self) -> None:
        self._channels: dict[tuple[int, int], int] = {}         # pair of addresses, lower first: which is the channel
        self._ccw_numbers: dict[tuple[int, int, int], int] = {}     # pair and unit address
        self._sequence_id = 0
        self._exchange = FIRST_EXCHANGE - 1
        self._connected = False

    def convert(self, frame: Frame) -> bytes | LeftOut:
        """The packet of the next frame, or why it has none."""
        if frame.abort:
            return LeftOut.ABORT
        device = None
        if not frame.link_control:
            try:
                device = decode_device(frame.information)
            except FormatError:
                return LeftOut.DAMAGED
        if len(self._channels) > PAIRS_MAX or len(self._ccw_numbers) > PAIRS_MAX:
            self._channels.clear()
            self._ccw_numbers.clear()
        if frame.connect or not self._connected:
            self._exchange = FIRST_EXCHANGE if self._exchange == 0xFFFE else self._exchange + 1
        self._connected = not frame.disconnect
        pair = min(frame.source, frame.destination), max(frame.source, frame.destination)
        place = Place(self._from_channel(frame, device, pair), self._sequence_id, self._exchange,
                      self._ccw_number(device, pair))
        packet = encode_unit(frame, place)
        if not isinstance(packet, LeftOut):
            self._sequence_id = (self._sequence_id + 1) & 0xFF
        return packet

    def _from_channel(self, frame: Frame, device: DeviceFrame | None, pair: tuple[int, int]) -> bool:
        told = sent_by_channel(frame.link_control, device)
        if told is None:
            return self._channels.get(pair) == frame.source
        self._channels[pair] = frame.source if told else frame.destination
        return told

    def _ccw_number(self, device: DeviceFrame | None, pair: tuple[int, int]) -> int:
        if device is None:
            return 0
        key = *pair, device.unit_address
        if isinstance(device, CommandFrame):
            self._ccw_numbers[key] = (self._ccw_numbers.get(key, -1) + 1) & 0xFFFF if device.chained else 0
        return self._ccw_numbers.get(key, 0)
