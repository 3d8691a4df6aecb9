"""Link incidents: what went wrong on a link, as records for whoever listens.

A record is made when the link fails: not-operational is received, or a recovery is given up. It is kept until a
listener has acknowledged it (LIR, answered by LACK), the newest `INCIDENTS_KEPT` of them.
Source: record layout: Linux, channel-subsystem driver; incident codes assumed, defined by this project.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum

from ccw.escon import NOT_OPERATIONAL_SET
from ccw.link_control import IncidentQualifier, LinkIncident, NodeDescriptor, NodeFlag
from controller.channel.facility import LinkEvent

INCIDENTS_KEPT = 16
INCIDENT_BYTES = 100


class IncidentCode(IntEnum):
    """Byte 1 of a link-incident record. Source: assumed, defined by this project; the real codes are not public."""

    NOT_OPERATIONAL_RECEIVED = 0x01
    RECOVERY_GIVEN_UP = 0x02


# Which event of the link level is an incident.
INCIDENTS: dict[LinkEvent, IncidentCode] = {
    LinkEvent.NOS: IncidentCode.NOT_OPERATIONAL_RECEIVED,
    LinkEvent.GIVE_UP: IncidentCode.RECOVERY_GIVEN_UP,
}
_UNKNOWN_NODE = NodeDescriptor(int(NodeFlag.VALIDITY_2), bytes(3), " " * 6, " " * 3, " " * 3, " " * 2, " " * 12, 0)
_SPECIFIC_BYTES = 32


class IncidentLog:
    """Incidents of one link. `node`: the 32-byte node descriptor of this end."""

    def __init__(self, node: bytes) -> None:
        self._node = NodeDescriptor.decode(node)
        self.pending: deque[bytes] = deque(maxlen=INCIDENTS_KEPT)
        self.listener: int | None = None  # link address
        self.reporting = False
        self.count = 0

    def note(self, code: IncidentCode) -> None:
        """Something happened."""
        self.count += 1
        specific = self.count.to_bytes(4, "big") + NOT_OPERATIONAL_SET
        record = LinkIncident(
            int(IncidentQualifier.CLASS_2),  # not operational
            int(code),
            bytes(2),
            self._node,
            _UNKNOWN_NODE,
            specific.ljust(_SPECIFIC_BYTES, b"\0"),
        )
        self.pending.append(record.encode())

    def next_report(self) -> tuple[int, bytes] | None:
        """Listener and record, when there is something to report and no report is under way."""
        if self.listener is None or self.reporting or not self.pending:
            return None
        self.reporting = True
        return self.listener, self.pending[0]

    def reported(self, record: bytes, taken: bool) -> None:
        """The report is over. What nobody took is kept for the next listener."""
        self.reporting = False
        if taken and self.pending and self.pending[0] == record:
            self.pending.popleft()
        elif not taken:
            self.listener = None
