"""What operators read of a pair: the messages of the operating system, written to the event log.

    IEA494I dev,volser,PPRC state,SSID=ssid,CCA=ca,SECSSID=ssid,optional-text      each state change of a primary
    IEA491E dev,volser,PPRC SUSPENDED,reason,(PRI)=aaaa-bbbbb,CCA=xx (SEC)=...     a suspension that an error caused
Serials are their first four and last five characters; SENSE is bytes 7-8. Source: pprc-commands 6.5, 6.2 (reasons).
"""

from controller.remote_copy.pair import Pair, VolumeName
from controller.remote_copy.states import PairState

STATE_WORDS = {
    PairState.SIMPLEX: "TERMINATED",
    PairState.DUPLEX_PENDING: "PAIR PENDING",
    PairState.DUPLEX: "PAIR FULL DUPLEX",
}
REASON_WORDS = {  # sense byte 8 behind FB
    1: "PRIMARY DEVICE WRITE FAILURE",
    2: "SECONDARY SUBSYSTEM FAILURE",
    3: "COMMUNICATION TO SECONDARY FAILURE",
    4: "CRITICAL STATE, ALL WRITES FAILED",
    5: "SECONDARY NOT READY",
    6: "SECONDARY TRACK FORMAT NOT SAME AS PRIMARY",
    8: "MEDIA ERROR ON SECONDARY",
}
FORMAT_SUSPENDED = 0xFB


def state_message(pair: Pair, serial: str, long_busy: bool) -> str:
    """IEA494I. serial: of the volume, perhaps empty."""
    state = STATE_WORDS.get(pair.state, "SUSPENDED")
    busy = "EXTENDED LONG BUSY STATE" if long_busy and pair.state.suspended else ""
    return (
        f"IEA494I {pair.volume:04X},{serial},PPRC {state},SSID={pair.primary.ssid:04X},CCA={pair.primary.cca:02X},"
        f"SECSSID={pair.secondary.ssid:04X},{busy}"
    )


def error_message(pair: Pair, serial: str, reason: int) -> str:
    """IEA491E. reason: as in sense byte 8."""
    return (
        f"IEA491E {pair.volume:04X},{serial},PPRC SUSPENDED,{REASON_WORDS[reason]},"
        f"(PRI)={_box(pair.primary)},CCA={pair.primary.cca:02X} (SEC)={_box(pair.secondary)},"
        f"CCA={pair.secondary.cca:02X},SENSE={FORMAT_SUSPENDED:02X}{reason:02X}"
    )


def _box(name: VolumeName) -> str:
    serial = name.identity.decode("cp037")
    return f"{serial[:4]}-{serial[-5:]}"
