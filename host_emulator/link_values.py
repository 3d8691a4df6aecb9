"""What a channel's end of a link is set up with, counts, and says went wrong. Nothing here has behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ccw import escon
from host_emulator.channel import InterfaceControlCheck

UNSOLICITED_KEPT = 4096
INCIDENTS_KEPT = 64
LINK_INCIDENT_BYTES = 100


class LinkFailure(InterfaceControlCheck):
    """The command could not be carried to the device and back."""


class NoPath(LinkFailure):
    """No logical path: refused, removed, or never established. `reason`: of LPR, else None."""

    def __init__(self, text: str, reason: int | None = None) -> None:
        super().__init__(text)
        self.reason = reason


class NotOperational(LinkFailure):
    """The control unit knows no such device (device-level exception)."""

    not_operational = True


class Unsolicited(NamedTuple):
    """A status that no command of ours asked for."""

    unit_address: int
    status: int
    sense: bytes


class StateChanged(NamedTuple):
    """What a state-change notification said: `change` as escon.StateChange."""

    link_address: int
    change: int


@dataclass(frozen=True, slots=True)
class HostLinkSettings:
    """Addresses and patience of a channel. Times in seconds."""

    link_address: int = 0x01
    channel_image: int = 0
    control_unit_address: int = 0x02
    link_timeout_s: float = escon.LINK_TIMEOUT_S
    recovery_s: float = escon.CONNECTION_RECOVERY_S
    recovery_tries: int = 15
    device_timeout_s: float = 60.0
    tries: int = 3
    busy_timeout_s: float = 60.0  # how long busy ports and control units are asked again
    solicit_sense: bool = True
    show_data_chains: bool = False  # each CCW of a data chain in a frame of its own; else one frame, counts summed
    request_bytes: int = 0  # a read's data are asked for in pieces of this size; 0: the whole count at once
    data_requests: int = escon.DATA_REQUESTS_EIGHT  # outstanding, minus one: read, write
    retries: int = 256  # command retries of one command
    node: bytes = bytes(32)


@dataclass(slots=True)
class HostCounters:
    """Counts since the link was made; bytes are link header to CRC."""

    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    damaged: int = 0  # discarded: CRC, length, abort, or nothing this end understands
    out_of_place: int = 0
    timeouts: int = 0
    recoveries: int = 0
    unsolicited: int = 0
