"""How long things take on a link: frames, handshakes, distance, switches.

A handshake is a frame there and a frame back: two turnarounds, two flights. What a command needs of them follows from
the exchanges of the channel room: a read is answered once and then asked for its data; a write or a control command is
answered with the request for its data, and the data with status; the first command of a chain has its response accepted
before anything else happens. Source: docs/reference, the exchanges; assumed where that is.
"""

from __future__ import annotations

from controller.models.parameters import LinkParameters

FIRST_READ, FIRST_WRITE = 2, 3  # handshakes of a first command
CHAINED = 2
IMMEDIATE = 1
FRAMES_PER_HANDSHAKE = 2


class LinkTiming:
    """Times of one link, in seconds."""

    def __init__(self, parameters: LinkParameters) -> None:
        self.parameters = parameters
        switches = parameters.directors * parameters.director_delay
        self.flight = parameters.delay_per_km * parameters.distance_km + switches
        control = parameters.frame_overhead + parameters.control_frame
        self.control_frame = control / parameters.rate
        self.handshake = FRAMES_PER_HANDSHAKE * (self.control_frame + self.flight + parameters.turnaround)

    def data(self, length: int) -> float:
        """Sending `length` bytes in as many frames as they need, one behind the other."""
        frames = -(-length // self.parameters.data_block)
        return (length + frames * self.parameters.frame_overhead) / self.parameters.rate

    def selection(self) -> float:
        """From the first command frame to the command response."""
        return self.handshake

    def command(self, *, sends: int, receives: int, first: bool, immediate: bool) -> float:
        """One command, without the selection: `sends` bytes to the device, `receives` bytes from it."""
        if immediate:
            return 0.0 if first else self.handshake
        handshakes = (FIRST_WRITE if sends else FIRST_READ) - 1 if first else CHAINED
        return handshakes * self.handshake + self.data(sends or receives)
