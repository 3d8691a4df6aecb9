"""All shared devices of one storage system, and the sessions of their clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from controller.sharing.session import Send, Session
from controller.sharing.volume import SharedVolume
from controller.subsystem import Subsystem

IDENTIFIERS = 0xFFFE  # 1-FFFE: 0 is none yet, FFFF a server's own guest
RELEASE_PLAIN, RELEASE_QUERIES = 1, 3


@dataclass(frozen=True, slots=True)
class ShareSettings:
    """`numbers`: device number -> unit address. `clients_max`: for each device.

    `first_identifier`: where identifiers begin (1-FFFE), another one at each start: an old client that comes back by
    itself must not meet a new one with its identifier.
    """

    numbers: Mapping[int, int]
    clients_max: int = 64
    first_identifier: int = 1


class ShareServer:
    """The sharing side of a subsystem. All calls come from one thread."""

    def __init__(self, subsystem: Subsystem, settings: ShareSettings) -> None:
        self.settings = settings
        self._subsystem = subsystem
        self._volumes: dict[int, SharedVolume] = {}
        self._by_address: dict[int, SharedVolume] = {}
        for number, unit_address in settings.numbers.items():
            self.add(number, unit_address)
        self._next = settings.first_identifier
        subsystem.on_idle = self._idle
        subsystem.on_changed = self._changed

    def add(self, number: int, unit_address: int) -> None:
        """Share a device of the subsystem under a number."""
        volume = SharedVolume(self._subsystem, unit_address, number)
        self._volumes[number] = self._by_address[unit_address] = volume

    def remove(self, number: int) -> None:
        """Share a device no more; it has no clients."""
        volume = self._volumes.pop(number)
        assert not volume.sessions
        del self._by_address[volume.unit_address]

    def session(self, peer: str, send: Send, close: Callable[[], None], *, near: bool = False) -> Session:
        """A new connection from `peer`, which may be `near`: on the same machine.

        `send` takes the parts of one message, `close` ends the connection after it.
        """
        return Session(self, peer, send, close, near=near)

    def volume(self, number: int) -> SharedVolume | None:
        """The device of that number."""
        return self._volumes.get(number)

    def has_room(self, volume: SharedVolume) -> bool:
        """May one more client use the device?"""
        return len(volume.sessions) < self.settings.clients_max

    def new_identifier(self, volume: SharedVolume) -> int:
        """An identifier that no client of the device has."""
        while True:
            identifier = (self._next - 1) % IDENTIFIERS + 1
            self._next = identifier + 1
            if identifier not in volume.sessions:
                return identifier

    def release(self, volume: SharedVolume) -> int:
        """The release to offer: 3 only where the control unit is what a client of that release expects.

        With 1 no client asks for it. Source: hercules-interop.md 1.9, rule 3.
        """
        presentation = volume.device.profile.presentation
        expected = (volume.device.geometry.device_type, presentation.control_unit_type, presentation.model)
        return RELEASE_QUERIES if expected == (0x3390, 0x2107, 0xE8) else RELEASE_PLAIN

    def log(self, text: str, fields: Mapping[str, object]) -> None:
        """One event for the operator."""
        self._subsystem.ports.log(None, text, fields)

    def _idle(self, unit_address: int) -> None:
        volume = self._by_address.get(unit_address)
        if volume is not None:
            volume.redrive()

    def _changed(self, unit_address: int, tracks: list[int]) -> None:
        volume = self._by_address.get(unit_address)
        if volume is not None:
            volume.changed(tracks, None)
