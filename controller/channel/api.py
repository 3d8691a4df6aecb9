"""What a link exchanges with the rest of the controller: values, settings, and the server of commands.

All times are seconds on one monotonic clock. Nothing here has behaviour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from ccw import escon
from controller.commands.outcome import Command, Outcome


class PathId(NamedTuple):
    """A logical path as its control unit knows it."""

    link_id: str
    channel: int  # source address of the channel: link address << 8 | logical address, 16 bits
    image: int  # control-unit image, 0-15


class CommandServer(Protocol):
    """Whoever executes what arrives on the links (the subsystem)."""

    def path_requested(self, path: PathId, header: bytes) -> int | None:
        """None accepts the path; else the LPR reason. `header`: 40 bytes from a peer controller, empty from a host.

        Called again, after `reset(path, None)`, for a path that exists: its channel has started over.
        """

    def path_removed(self, path: PathId) -> None:
        """The path is gone: removed by its channel, or the link went down."""

    def device_exists(self, path: PathId, unit_address: int) -> bool:
        """False makes a command end as device-level exception, address (code 1)."""

    def start(self, path: PathId, unit_address: int, command: Command, reply: Callable[[Outcome], None]) -> None:
        """Execute one command; `reply` may be called at once or later, and is ignored when the command is void by then.

        An outcome with status 08 (channel end alone) lets the link disconnect; `reply` is then called a second time,
        with device end (04, or 06 and sense).
        """

    def end_chain(self, path: PathId, unit_address: int) -> None:
        """The chain is over: its last status was accepted, or its connection was dropped, recovered or reset.

        Called exactly once for each chain of which at least one command was started.
        """

    def reset(self, path: PathId, unit_address: int | None) -> None:
        """Selective reset of one unit, or (None) system reset of everything on the path."""


class ChainCommand(NamedTuple):
    """One command of a chain that this controller issues. Read: `data` empty, `count` bytes wanted; write: `data`."""

    code: int
    data: bytes = b""
    count: int = 0  # type: ignore[assignment]
    prefix: bytes = b""  # of a write: goes ahead of `data`, which need not be copied for it

    @property
    def written(self) -> bytes:
        """All that a write sends."""
        return self.prefix + self.data if self.prefix else self.data


@dataclass(slots=True)
class ChainResult:
    """How a chain ended.

    `completed`: commands that ended with channel end and device end and nothing else (status modifier allowed).
    `status`, `residual`, `sense`: of the last command that got a status. `data`: one item a command that was answered.
    `failure`: None, or "timeout", "link lost", "no path", "device exception", "reject NN" (LRJ),
    "port reject NN" (a director), "busy", "queue full".
    """

    completed: int = 0
    status: int = 0
    residual: int = 0
    sense: bytes = b""
    data: list[bytes] = field(default_factory=list)
    failure: str | None = None


class PathReply(NamedTuple):
    """Answer to a request for a logical path, or for its removal."""

    established: bool
    reason: int | None = None  # of LPR, when the control unit refused (or confirmed the removal: 0)
    failure: str | None = None  # as ChainResult.failure
    header: bytes = b""  # what followed P0-P3 in LPE


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Timers and bounds of one link."""

    link_timeout_s: float = escon.LINK_TIMEOUT_S  # a frame that must follow did not
    recovery_s: float = escon.CONNECTION_RECOVERY_S  # unconditional disconnect is repeated
    recovery_tries: int = 15  # then the link is down
    sync_s: float = escon.LOSS_OF_SYNC_S  # offline and not-operational sequences are repeated
    busy_tries: int = 30  # busy answers to one request or chain, `recovery_s` apart
    tries: int = 3  # link-control requests and chains, channel role
    device_end_timeout_s: float = 60.0  # a device works, connected or not
    dib_code: int = escon.DIB_CODE_ESCON  # largest data block, 2 ** (code + 4) bytes
    max_paths: int = 64  # logical paths accepted, control-unit role
    acquire_address: bool = False  # ask a director for the link address before anything else
    address_retry_s: float = escon.ACQUIRE_LINK_ADDRESS_RETRY_S
    request_bytes: int = 0  # a write's data are asked for in pieces of this size; 0: the whole count at once
    data_requests: int = 8  # outstanding at most, if the channel allows as many
    pacing: int = escon.PACING_DEFAULT  # idles wanted between data frames
    max_queued: int = 1024  # exchanges waiting, channel role


@dataclass(slots=True)
class LinkCounters:
    """Counts since the link was made; bytes are link header to CRC."""

    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    crc_errors: int = 0  # every frame that could not be decoded, aborted ones included
    discarded: int = 0  # understood, but out of place
    rejects: int = 0  # LRJ sent
    timeouts: int = 0
    recoveries: int = 0  # connections dropped by unconditional disconnect, sent or received
    overruns: int = 0  # frames not sent because too many waited to be taken
