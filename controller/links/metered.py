"""The subsystem with the models beside it: every chain is measured on its way, and slowed down to the model if wanted.

A command goes to the subsystem as ever; its answer is shown to the meter and passed on: at once, or, with pacing, when
the hardware of the period would have had it. The link knows nothing of either.
"""

from collections.abc import Callable, Hashable

from controller.channel import CommandServer, PathId
from controller.commands.device import Device
from controller.commands.outcome import Command, Outcome
from controller.models.meter import Meter
from controller.models.work import CommandWork
from controller.remote_copy.ports import Clock, TimerPort
from controller.subsystem import Subsystem

DEVICE_END = 0x04


class MeteredServer:
    """A `CommandServer` in front of another. `paced`: answers wait for the model."""

    def __init__(self, subsystem: Subsystem, meter: Meter, clock: Clock, timers: TimerPort, paced: bool) -> None:
        self._subsystem = subsystem
        self._server: CommandServer = subsystem
        self._meter = meter
        self._clock = clock
        self._timers = timers
        self._paced = paced
        self.path_requested = subsystem.path_requested
        self.device_exists = subsystem.device_exists
        self.reset = subsystem.reset

    def start(self, path: PathId, unit_address: int, command: Command, reply: Callable[[Outcome], None]) -> None:
        """See `CommandServer`."""
        device = self._subsystem.devices[unit_address]

        def answer(outcome: Outcome) -> None:
            chain = device.active_chain
            if chain is None or chain.path != path or not outcome.status & ~DEVICE_END:
                reply(outcome)  # busy, or device end of a command that was measured
                return
            work = CommandWork(command.code, command.data, len(outcome.data), outcome.immediate, chain.track)
            user, volume = _user(path, device), device.settings.volume
            done = self._meter.command(user, path.link_id, volume, self._clock.now(), command.chained, work)
            if self._paced:
                self._timers.call_at(done, lambda: reply(outcome))
            else:
                reply(outcome)

        self._server.start(path, unit_address, command, answer)

    def end_chain(self, path: PathId, unit_address: int) -> None:
        """See `CommandServer`."""
        device = self._subsystem.devices[unit_address]
        self._meter.end_chain(_user(path, device), device.settings.volume)
        self._server.end_chain(path, unit_address)

    def path_removed(self, path: PathId) -> None:
        """See `CommandServer`."""
        for device in self._subsystem.devices.values():
            if device.settings.base is not None:
                self._meter.forget_path(_user(path, device))
        self._meter.forget_path(path)
        self._server.path_removed(path)


def _user(path: PathId, device: Device) -> Hashable:
    """Who has a chain on the volume: the path, by an alias too; those are chains of their own."""
    return path if device.settings.base is None else (path, device.settings.unit_address)
