"""Frames that a control unit answers with, apart from status (ending.py)."""

from __future__ import annotations

from ccw.escon import ControlFunction, ExceptionCode
from ccw.frames import ControlFrame


def command_response(unit_address: int, pacing: int) -> ControlFrame:
    """The command is accepted; `pacing`: idles wanted between the data frames of a write."""
    return ControlFrame(unit_address, ControlFunction.COMMAND_RESPONSE, bytes((pacing, 0, 0)))


def address_exception(unit_address: int) -> ControlFrame:
    """There is no such device; ends the exchange."""
    parameters = bytes((ExceptionCode.ADDRESS, 0, 0))
    return ControlFrame(unit_address, ControlFunction.DEVICE_LEVEL_EXCEPTION, parameters, end=True)


def acknowledgement(unit_address: int, address_specific: bool = True) -> ControlFrame:
    """Device-level acknowledgement; ends the exchange."""
    function = ControlFunction.DEVICE_LEVEL_ACKNOWLEDGEMENT
    return ControlFrame(unit_address, function, end=True, address_specific=address_specific)


def purge_response(unit_address: int, address_specific: bool) -> ControlFrame:
    """Purge path is a FICON function: the answer says that it is not supported (code 0)."""
    function = ControlFunction.PURGE_PATH_RESPONSE
    return ControlFrame(unit_address, function, end=True, address_specific=address_specific)
