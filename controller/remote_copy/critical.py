"""Writes that a suspended primary refuses: CRIT(YES) after an error, and SUSPEND with PRIMARY.

A CRIT(YES) pair that an error takes out of duplex is in critical state: its hosts may not write what the secondary
lacks. By the system's setting that holds while no path to the secondary is left ("paths"), or always ("all"). Resync,
delete and RUN end it. Reads are always allowed. Source: pprc-commands 2.4, 5.1, 6.2; that a restart keeps it:
project-defined.
"""

from ccw import pprc
from controller.remote_copy.core import Core
from controller.remote_copy.pair import Pair
from controller.remote_copy.refusal import FORMAT_REASON, WRITE_INHIBITED, Refusal
from controller.remote_copy.states import Reason


def is_critical(core: Core, pair: Pair) -> bool:
    """Is the pair in critical state now?"""
    if not (pair.failed and pair.attributes & pprc.SecondaryAttribute.CRITICAL):
        return False
    paths = core.paths.get(pair.secondary.box)
    return core.critical_all or paths is None or not paths.good()


def write_refusal(core: Core, volume: int) -> Refusal | None:
    """What a host hears that writes to the primary now; None: it may."""
    pair = core.primaries.get(volume)
    if pair is None or not (pair.inhibited or is_critical(core, pair)):
        return None
    byte1 = WRITE_INHIBITED if pair.inhibited else 0
    return Refusal(
        FORMAT_REASON, int(Reason.CRITICAL), byte1=byte1, cca=volume, own_ssid=core.own.ssid, pair_id=pair.pair_id
    )
