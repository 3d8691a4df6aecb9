"""One port of a director: its link, its connection, what waits to be sent, and the notices owed to its facility."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ccw.records import RawFrame, SequenceRecord
from controller.channel.api import LinkSettings
from controller.channel.director_states import PORT_TRANSITIONS, PortEvent, PortState
from controller.channel.facility import LinkFacility
from controller.channel.timer import Timer, earliest

# Records that may wait to be taken; what comes beyond is lost, as on a link.
MAX_OUTPUT = 4096


@dataclass(slots=True)
class Notice:
    """A state change that a facility has not acknowledged."""

    change: int
    attempts: int = 0


class DirectorPort:
    """See the module head. `address` is port number and link address in one."""

    def __init__(self, address: int, settings: LinkSettings) -> None:
        self.address = address
        self._settings = settings
        self.state = PortState.OFFLINE
        self.facility = LinkFacility(settings)
        self.partner: DirectorPort | None = None
        self.output: deque[RawFrame | SequenceRecord] = deque()
        self.shown = False  # the facility has asked for its address, or has used it
        self.told_reachable = False
        self.notices: dict[int, Notice] = {}  # by the link address that changed
        self._outstanding: tuple[int, Notice] | None = None
        self._notice_timer = Timer()
        self.frames_passed = 0
        self.discarded = 0
        self.refused = 0
        self.overruns = 0

    @property
    def reachable(self) -> bool:
        """Whether other ports can get a connection to this one, now or when it is free."""
        return self.state in (PortState.INACTIVE, PortState.CONNECTED)

    @property
    def dedicable(self) -> bool:
        """Whether a static connection may be assigned."""
        return self.state not in (PortState.BLOCKED, PortState.STATIC)

    @property
    def next_wake(self) -> float | None:
        """When this port wants the time."""
        repeat_at = None if self.state is PortState.STATIC else self.facility.next_wake
        return earliest(repeat_at, self._notice_timer.deadline)

    def apply(self, event: PortEvent) -> None:
        """Advance by the table; an event without a row changes nothing."""
        self.state = PORT_TRANSITIONS.get((self.state, event), self.state)

    def put(self, record: RawFrame | SequenceRecord) -> None:
        """Queue a record; the queue is bounded."""
        if not self.facility.attached or len(self.output) >= MAX_OUTPUT:
            self.overruns += 1
        else:
            self.output.append(record)

    # Notices

    @property
    def awaits_answer(self) -> bool:
        """A notice was sent; LACK must follow."""
        return self._outstanding is not None

    def next_notice(self) -> int | None:
        """The link address whose change is to be told next, None while one is outstanding."""
        if self._outstanding is not None or self._notice_timer.deadline is not None:
            return None
        return next(iter(self.notices), None)

    def notice_sent(self, about: int) -> None:
        """It went out."""
        notice = self.notices.pop(about)
        notice.attempts += 1
        self._outstanding = about, notice
        self._notice_timer.start(self._settings.link_timeout_s)

    def notice_answered(self, again: bool = False) -> None:
        """The facility has answered, or (`again`) wants to be told once more after a while.

        What has changed again meanwhile is a notice of its own, and replaces the one that is to be repeated.
        """
        self._notice_timer.stop()
        if self._outstanding is None:
            return
        about, notice = self._outstanding
        self._outstanding = None
        if again and notice.attempts < self._settings.tries:
            self.notices.setdefault(about, notice)
            self._notice_timer.start(self._settings.recovery_s)

    def forget_notices(self) -> None:
        """There is nobody to be told any more."""
        self.notices.clear()
        self._outstanding = None
        self._notice_timer.stop()

    def notice_timer_expired(self, now: float) -> None:
        """Arm the timer; after silence the notice is due again, at most `tries` times."""
        if self._notice_timer.expired(now) and self._outstanding is not None:
            self.notice_answered(again=True)
            self._notice_timer.stop()
