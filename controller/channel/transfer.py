"""The data of one command at the control unit: what was asked for, what came, what is still to be sent.

Rules, numbered for the tests:
T1. A write asks for its whole count at once, or in pieces of `request_bytes`, with at most as many requests
    outstanding as both ends allow (the channel's NDF-W plus one, and `data_requests`).
T2. A read sends what the channel has asked for and nothing else; more requests outstanding than NDF-R plus one are a
    protocol error. Blocks are as large as both ends can take.
T3. End marks the last data of the command, early end with it that there is less than the count.
T4. A command with CD waits for updates (DU) until one comes without CD; the counts add up.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto

from ccw.escon import CommandCcwFlag, data_block_length
from ccw.frames import CommandFrame, DataFrame, DataRequest
from controller.channel.api import LinkSettings

MAX_COUNT_BYTES = 0xFFFF


class Taken(Enum):
    """What a data frame of the channel meant."""

    MORE = auto()  # more must follow
    COMPLETE = auto()
    BROKEN = auto()  # a frame was lost, or there is one too many


class Transfer:
    """See the module head."""

    def __init__(self, command: CommandFrame, settings: LinkSettings) -> None:
        self._settings = settings
        self._unit_address = command.unit_address
        self._limit = data_block_length(min(command.dib_code, settings.dib_code))
        self._read_requests = (command.data_requests >> 4) + 1
        self._write_requests = min((command.data_requests & 0x0F) + 1, settings.data_requests)
        self.flags = command.flags  # of the last CCW of the data chain
        self.count = command.count  # of the data chain so far
        self._incoming = bytearray()
        self._asked = 0  # bytes of the write that were asked for
        self._pieces: deque[int] = deque()  # where each request that is outstanding ends, in bytes of the command
        self._outgoing = memoryview(b"")
        self._early = False
        self._sent = 0

    # Data chaining

    @property
    def update_due(self) -> bool:
        """The count is not complete."""
        return bool(self.flags & CommandCcwFlag.CD)

    def update(self, command: CommandFrame) -> bool:
        """Add the next CCW of the data chain; False when that is not possible."""
        if not command.count or self.count + command.count > MAX_COUNT_BYTES:
            return False
        self.count += command.count
        self.flags = command.flags
        return True

    # A write

    @property
    def data(self) -> bytes:
        """What came."""
        return bytes(self._incoming)

    def requests(self) -> list[DataRequest]:
        """The data requests that may be sent now (T1)."""
        found = []
        while self._asked < self.count and len(self._pieces) < self._write_requests:
            step = min(self._settings.request_bytes or self.count, self.count - self._asked)
            self._asked += step
            self._pieces.append(self._asked)
            found.append(DataRequest(self._unit_address, step, self._settings.pacing))
        return found

    def take(self, frame: DataFrame) -> Taken:
        """Take one data frame of the channel."""
        self._incoming += frame.data
        received = len(self._incoming)
        if received > self._asked or (frame.end and received < self.count and not frame.early_end):
            return Taken.BROKEN
        while self._pieces and self._pieces[0] <= received:
            self._pieces.popleft()
        return Taken.COMPLETE if frame.end else Taken.MORE

    # A read

    def supply(self, data: bytes) -> None:
        """The device has the data; what is beyond the count is not sent."""
        self._early = len(data) < self.count
        self._outgoing = memoryview(data)[: self.count]

    def asked(self, request: DataRequest) -> bool:
        """The channel asks for data; False when it has asked too often (T2)."""
        if request.count:
            last = self._pieces[-1] if self._pieces else self._sent
            self._pieces.append(min(last + request.count, MAX_COUNT_BYTES))
        return len(self._pieces) <= self._read_requests

    @property
    def drained(self) -> bool:
        """Nothing is left to be sent."""
        return not self._outgoing

    def blocks(self) -> list[DataFrame]:
        """Take what the channel has asked for, in blocks that both ends can take (T2, T3)."""
        frames = []
        while self._pieces and self._outgoing:
            step = min(self._pieces[0] - self._sent, self._limit, len(self._outgoing))
            block, self._outgoing = bytes(self._outgoing[:step]), self._outgoing[step:]
            self._sent += step
            if self._pieces[0] <= self._sent:
                self._pieces.popleft()
            last = not self._outgoing
            if block:
                frames.append(DataFrame(self._unit_address, block, last, last and self._early))
        return frames
