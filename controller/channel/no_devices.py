"""A control unit without devices: a director's own, which is there to be asked who it is."""

from __future__ import annotations

from collections.abc import Callable

from controller.channel.api import PathId
from controller.commands.outcome import Command, Outcome


class NoDevices:
    """A `CommandServer` that takes every logical path of a host and has no unit address."""

    def path_requested(self, path: PathId, header: bytes) -> int | None:
        return None

    def path_removed(self, path: PathId) -> None:
        """Nothing was kept for it."""

    def device_exists(self, path: PathId, unit_address: int) -> bool:
        return False

    def start(self, path: PathId, unit_address: int, command: Command, reply: Callable[[Outcome], None]) -> None:
        raise AssertionError("the link starts nothing on a device that does not exist")

    def end_chain(self, path: PathId, unit_address: int) -> None:
        """There are no chains."""

    def reset(self, path: PathId, unit_address: int | None) -> None:
        """There is nothing to be reset."""
