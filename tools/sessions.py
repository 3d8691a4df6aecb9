"""A host session with a running system, as the commands that take `--target` open it."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from host_emulator.link import HostLinkSettings
from host_emulator.session import HostSession, open_session
from tools.addresses import Target
from tools.captures import CaptureFile

TARGET_VARIABLE = "TRACKBRIDGE_TARGET"  # stands for --target where it is left out
CONNECT_TIMEOUT_S = 10.0


def is_interrupt(error: BaseException) -> bool:
    """Is it Ctrl-C, alone or among what it ended?"""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(KeyboardInterrupt) is not None
    return isinstance(error, KeyboardInterrupt)


@asynccontextmanager
async def open_target(target: Target, image: int, capture: CaptureFile | None) -> AsyncIterator[HostSession]:
    """A session with a control-unit image of the target. Raises OSError, LinkFailure, trio.TooSlowError."""
    tap = capture.tap(f"host {target}") if capture else None
    settings = None
    if target.link_address is not None:
        settings = HostLinkSettings(control_unit_address=target.link_address)
    with trio.fail_after(CONNECT_TIMEOUT_S) as patience:
        async with open_session(target.host, target.port, image, settings, tap=tap) as session:
            patience.deadline = math.inf
            yield session
