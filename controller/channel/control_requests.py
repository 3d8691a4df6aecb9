"""Control functions that are requests of their own: cancel, resets, request status, purge path, and their answers.

Rules, numbered for the tests:
R1. Cancel, selective reset and system reset are answered by DACK with disconnect-EOF; the chain they hit is over.
R2. A request that names a unit which does not exist gets device-level exception 1.
R3. Cancel and selective reset name one unit; without an address they are a protocol error.
R4. Request status is answered by the status that is owed, else by DACK.
R5. Purge path belongs to FICON: it is answered, by "not supported", and changes nothing.
"""

from __future__ import annotations

from typing import Protocol

from ccw.escon import ControlFunction, RejectReason
from ccw.frames import ControlFrame, Frame
from controller.channel.answers import acknowledgement, address_exception, purge_response
from controller.channel.api import CommandServer, PathId
from controller.channel.control_unit_states import Port

_OF_ONE_UNIT = frozenset({ControlFunction.CANCEL, ControlFunction.SELECTIVE_RESET})
_OF_UNITS = _OF_ONE_UNIT | {ControlFunction.REQUEST_STATUS}


class Chains(Protocol):
    """What these requests act on: the chains and statuses of the control-unit role."""

    @property
    def idle(self) -> bool:
        """No connection of this role."""

    def drop(self, path: PathId, unit_address: int | None) -> None:
        """End the chains of one unit, or (None) of the path."""

    def reset(self, path: PathId, unit_address: int | None) -> None:
        """The same, and forget owed statuses, and tell the server."""

    def present_owed(self, path: PathId, unit_address: int | None) -> bool:
        """Present, in the channel's connection, what is owed; False when nothing is."""


class ControlRequests:
    """See the module head."""

    def __init__(self, chains: Chains, server: CommandServer, port: Port) -> None:
        self._chains = chains
        self._server = server
        self._port = port

    def receive(self, path: PathId, frame: Frame, control: ControlFrame) -> None:
        """Take one control frame that is no part of an exchange."""
        function, unit_address = control.function, control.unit_address
        if function in _OF_ONE_UNIT and not control.address_specific:
            self._port.reject(frame, RejectReason.PROTOCOL_ERROR)
        elif function in _OF_UNITS and control.address_specific and not self._server.device_exists(path, unit_address):
            self._port.send_device(path, address_exception(unit_address), disconnect=True)
        elif function == ControlFunction.CANCEL:
            self._chains.drop(path, unit_address)
            self._acknowledge(path, control)
        elif function in (ControlFunction.SELECTIVE_RESET, ControlFunction.SYSTEM_RESET):
            self._chains.reset(path, unit_address if function == ControlFunction.SELECTIVE_RESET else None)
            self._acknowledge(path, control)
        elif function == ControlFunction.REQUEST_STATUS:
            self._request_status(path, frame, control)
        elif function == ControlFunction.PURGE_PATH:
            self._port.send_device(path, purge_response(unit_address, control.address_specific), disconnect=True)
        else:
            self._port.reject(frame, RejectReason.UNRECOGNISED_DEVICE_LEVEL)

    def _request_status(self, path: PathId, frame: Frame, control: ControlFrame) -> None:
        if not self._chains.idle:
            self._port.reject(frame, RejectReason.PROTOCOL_ERROR)
        elif not self._chains.present_owed(path, control.unit_address if control.address_specific else None):
            self._acknowledge(path, control)

    def _acknowledge(self, path: PathId, control: ControlFrame) -> None:
        answer = acknowledgement(control.unit_address, control.address_specific)
        self._port.send_device(path, answer, disconnect=True)
