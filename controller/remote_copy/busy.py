"""Devices of the other box that are busy with somebody else: what was sent to one is sent again a little later.

Source: unit status 10 (escon-frames, status frame); how often it is sent again, and for how long: project-defined.
"""

from ccw.ccws import UnitStatus
from controller.channel import ChainResult
from controller.remote_copy.ports import Surroundings
from controller.remote_copy.procedure import Procedure

BUSY_TRIES, BUSY_EVERY_S = 50, 0.1


def a_little_later(around: Surroundings) -> Procedure[None]:
    """Wait until a busy device is worth another try."""
    yield lambda reply: around.timers.call_at(around.clock.now() + BUSY_EVERY_S, lambda: reply(None))


def device_busy(result: ChainResult) -> bool:
    """Did the device work for somebody else? Then nothing of the chain was done."""
    return result.failure is None and bool(result.status & UnitStatus.BUSY)
