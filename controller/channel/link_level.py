"""The link level of one link: its facility, its address, its incidents, and what they mean for those above.

`dropped` is called when a connection is gone, `down` when the logical paths are gone too.
"""

from __future__ import annotations

from collections.abc import Callable

from ccw.frames import Frame
from ccw.records import SequenceRecord
from controller.channel.address import AddressAcquirer
from controller.channel.api import LinkSettings
from controller.channel.facility import Change, LinkEvent, LinkFacility, LinkState
from controller.channel.incidents import INCIDENTS, IncidentLog
from controller.channel.timer import earliest

_ADDRESS_STATES = frozenset({LinkState.INACTIVE, LinkState.WORKING_NO_ADDRESS})


class LinkLevel:
    """See the module head. `put` takes what is to be sent."""

    def __init__(
        self,
        settings: LinkSettings,
        node: bytes,
        put: Callable[[Frame | SequenceRecord], None],
        dropped: Callable[[], None],
        down: Callable[[], None],
    ) -> None:
        self._put = put
        self._dropped = dropped
        self._down = down
        self._facility = LinkFacility(settings)
        self.address = AddressAcquirer(put, settings.acquire_address, settings.address_retry_s)
        self.incidents = IncidentLog(node)

    @property
    def state(self) -> LinkState:
        """State of the link-level facility."""
        return self._facility.state

    @property
    def operational(self) -> bool:
        """Whether connections may exist."""
        return self._facility.operational

    @property
    def initialised(self) -> bool:
        """Whether frames are looked at."""
        return self._facility.initialised

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called."""
        return earliest(self._facility.next_wake, self.address.timer.deadline)

    def apply(self, event: LinkEvent, now: float) -> None:
        """Something happened."""
        if event in INCIDENTS and self._facility.initialised:
            self.incidents.note(INCIDENTS[event])
        self._change(self._facility.apply(event, now))

    def tick(self, now: float) -> None:
        """Repeat a sequence or ALA whose time has come."""
        repeat_at = self._facility.next_wake
        if repeat_at is not None and now >= repeat_at:
            before = self._facility.state
            change = self._facility.repeat(now)
            if before is LinkState.RECOVERY and self._facility.state is LinkState.LINK_FAILURE:
                self.incidents.note(INCIDENTS[LinkEvent.GIVE_UP])
            self._change(change)
        self.address.tick(now)

    def track_connection(self, connected: bool, now: float) -> None:
        """Tell the facility whether one of the two roles is in a connection."""
        if connected is not (self._facility.state is LinkState.CONNECTED):
            self.apply(LinkEvent.CONNECT if connected else LinkEvent.DISCONNECT, now)

    def track_address(self, now: float) -> None:
        """To WORKING_NO_ADDRESS and back, as far as the link is initialised."""
        if self._facility.state not in _ADDRESS_STATES:
            return  # in a connection, as with nearly every frame
        if self.state is LinkState.INACTIVE and not self.address.settled:
            self.apply(LinkEvent.ADDRESS_NEEDED, now)
        elif self.state is LinkState.WORKING_NO_ADDRESS and self.address.settled:
            self.apply(LinkEvent.ADDRESS_ASSIGNED, now)
        if self.state is LinkState.WORKING_NO_ADDRESS:
            self.address.ask()

    def _change(self, change: Change) -> None:
        if change.send is not None:
            self._put(SequenceRecord(int(change.send)))
        if change.dropped:
            self._dropped()
        if change.down:
            self.address.start_over()
            self._down()
