"""Sleeping to the microsecond: the event loop's own timers count in milliseconds, which is long beside a metro link."""

import ctypes
import os

import trio

_CLOCK_MONOTONIC = 1
_NON_BLOCKING, _CLOSE_ON_EXEC = 0o4000, 0o2000000
_LIBC = ctypes.CDLL(None, use_errno=True)


class _TimerSpec(ctypes.Structure):
    """Two struct timespec: the interval (none), and the time from now."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


async def precise_sleep_until(when: float) -> None:
    """Return at `when` (trio time, the real clock) or up to some 50 µs later. A checkpoint. Raises OSError."""
    left_ns = int((when - trio.current_time()) * 1e9)
    if left_ns <= 0:
        await trio.lowlevel.checkpoint()
        return
    descriptor = _LIBC.timerfd_create(_CLOCK_MONOTONIC, _NON_BLOCKING | _CLOSE_ON_EXEC)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "no timer")
    try:
        spec = _TimerSpec(0, 0, *divmod(left_ns, 1_000_000_000))
        if _LIBC.timerfd_settime(descriptor, 0, ctypes.byref(spec), None):
            raise OSError(ctypes.get_errno(), "the timer cannot be set")
        await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)
