"""A timer for objects that are told the time only now and then."""

import math

AT_ONCE = -math.inf


class Timer:
    """One waiting time in seconds.

    `start` needs no clock: it may be called from a callback that carries no time. The timer is armed at the next call
    of `expired`, which its owner makes whenever it learns the time; until then `deadline` asks to be called at once.
    """

    def __init__(self) -> None:
        self._duration_s: float | None = None
        self._deadline: float | None = None

    @property
    def deadline(self) -> float | None:
        """When to call `expired`: None not at all, AT_ONCE to get armed."""
        if self._duration_s is not None:
            return AT_ONCE
        return self._deadline

    def start(self, duration_s: float) -> None:
        """Wait `duration_s` from the next time that becomes known; replaces what was waited for."""
        self._duration_s = duration_s
        self._deadline = None

    def stop(self) -> None:
        """Wait for nothing."""
        self._duration_s = None
        self._deadline = None

    def expired(self, now: float) -> bool:
        """Arm a started timer; True, once, when the time is over."""
        if self._duration_s is not None:
            self._deadline = now + self._duration_s
            self._duration_s = None
        if self._deadline is None or now < self._deadline:
            return False
        self._deadline = None
        return True


def earliest(*deadlines: float | None) -> float | None:
    """The first of several deadlines, or None."""
    first = None
    for deadline in deadlines:  # asked for with every record that comes: a loop costs half of min with a generator
        if deadline is not None and (first is None or deadline < first):
            first = deadline
    return first
