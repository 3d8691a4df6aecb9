"""The secondary status bridge volume as a device: status packets arrive in it (phase 4).

Source: pprc-commands 8.2, 8.3.
"""

from collections.abc import Callable

from ccw.bridge import StatusPacket
from ccw.errors import FormatError
from controller.remote_copy.bridge_record import ahead, following
from controller.remote_copy.refusal import reject
from controller.remote_copy.states import Reason


class StatusInbox:
    """Takes the packets of one status bridge; `deliver` gets each packet once, in order."""

    def __init__(self, number: int, deliver: Callable[[StatusPacket], None]) -> None:
        self.number = number
        self._deliver = deliver
        self._expected = 1

    def record(self, data: bytes) -> None:
        """One Write Full Track: a status packet. Returns for CE+DE; raises Refused for unit check."""
        try:
            packet = StatusPacket.decode(data)
        except FormatError as error:
            raise reject(Reason.STATUS_PACKET) from error
        if packet.bridge_number != self.number:
            raise reject(Reason.STATUS_PACKET)
        distance = ahead(packet.status_sequence, self._expected)
        if distance > 0:
            raise reject(Reason.SEQUENCE_GAP, expected=self._expected)
        if distance < 0:
            return  # seen already
        self._expected = following(packet.status_sequence)
        self._deliver(packet)
