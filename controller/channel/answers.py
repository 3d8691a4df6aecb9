"""Frames that a control unit answers with, apart from status (ending.py)."""

from __future__ import annotations

from ccw.escon import PACING_DEFAULT, ControlFunction, ExceptionCode, data_block_length
from ccw.frames import ControlFrame, DataFrame, DataRequest
from controller.channel.control_unit_states import Chain


def command_response(chain: Chain) -> ControlFrame:
    """The command is accepted; pacing as asked for."""
    return ControlFrame(chain.unit_address, ControlFunction.COMMAND_RESPONSE, bytes((PACING_DEFAULT, 0, 0)))


def data_request(chain: Chain) -> DataRequest:
    """The whole CCW count in one request."""
    return DataRequest(chain.unit_address, chain.command.count, PACING_DEFAULT)


def address_exception(unit_address: int) -> ControlFrame:
    """There is no such device; ends the exchange."""
    parameters = bytes((ExceptionCode.ADDRESS, 0, 0))
    return ControlFrame(unit_address, ControlFunction.DEVICE_LEVEL_EXCEPTION, parameters, end=True)


def acknowledgement(unit_address: int, address_specific: bool = True) -> ControlFrame:
    """Device-level acknowledgement; ends the exchange."""
    function = ControlFunction.DEVICE_LEVEL_ACKNOWLEDGEMENT
    return ControlFrame(unit_address, function, end=True, address_specific=address_specific)


def data_blocks(chain: Chain, dib_code: int) -> list[DataFrame]:
    """Take from `chain.outgoing` what the channel asked for, in blocks that both ends can take.

    The last data of the command is marked; early end says that there is less than the count.
    """
    assert chain.outcome is not None
    limit = data_block_length(min(chain.command.dib_code, dib_code))
    early = len(chain.outcome.data) < chain.command.count
    frames = []
    while chain.requested and chain.outgoing:
        step = min(chain.requested, limit, len(chain.outgoing))
        block, chain.outgoing = bytes(chain.outgoing[:step]), chain.outgoing[step:]
        chain.requested -= step
        last = not chain.outgoing
        frames.append(DataFrame(chain.unit_address, block, last, last and early))
    return frames
