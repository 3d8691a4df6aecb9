"""The status that a control unit presents in a connection of its own, and those that wait for their turn."""

from __future__ import annotations

from collections.abc import Container

from controller.channel.api import LinkSettings, PathId
from controller.channel.control_unit_states import Chain, Port, UnitKey
from controller.channel.owed import Owed, OwedQueue
from controller.channel.timer import Timer


class Presenter:
    """`current` is being presented; `owed` waits. What is withdrawn is presented again later (C6, C7)."""

    def __init__(self, port: Port, settings: LinkSettings, working: Container[UnitKey]) -> None:
        self._port = port
        self._settings = settings
        self.owed = OwedQueue(working)
        self.current: tuple[UnitKey, Owed] | None = None
        self.retry_timer = Timer()  # a status was answered by busy

    @property
    def key(self) -> UnitKey | None:
        """The path and unit whose status is being presented."""
        return self.current[0] if self.current is not None else None

    @property
    def chain(self) -> Chain | None:
        """The chain whose device end is being presented."""
        return self.current[1].chain if self.current is not None else None

    @property
    def goes_on(self) -> bool:
        """Whether the channel may answer with the next command."""
        return self.current is not None and self.current[1].goes_on

    def take_next(self) -> tuple[UnitKey, Owed] | None:
        """The first status that waits; none while a busy channel is given time."""
        return self.owed.take_first() if self.retry_timer.deadline is None else None

    def present(self, key: UnitKey, owed: Owed, connect: bool) -> None:
        """Send a status."""
        self.current = key, owed
        self._port.send_device(key[0], owed.frame(key[1]), connect=connect)

    def withdraw(self, after_a_while: bool = False) -> None:
        """Take back what is being presented, to present it later."""
        if self.current is not None:
            key, owed = self.current
            self.current = None
            self.owed.add(key, owed)
            if after_a_while:
                self.retry_timer.start(self._settings.recovery_s)

    def attempted(self) -> bool:
        """Count an attempt that came to nothing; True when another one is worth it."""
        if self.current is None:
            return False
        owed = self.current[1]
        owed.attempts += 1
        return owed.attempts < self._settings.tries

    def dropped(self) -> None:
        """The connection is lost: present the status again, or keep it when that was tried often enough."""
        if self.attempted():
            self.withdraw()
        else:
            self.stack()

    def stack(self) -> PathId:
        """The channel cannot take the status now: keep it until the channel asks or sends a command."""
        assert self.current is not None
        (path, _), owed = self.current
        owed.stacked = True
        self.withdraw()
        return path
