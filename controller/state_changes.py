"""Devices whose hosts are told to wait: state change pending, and extended long busy, which looks the same.

Commands for tracks get the 32-byte sense while it lasts. Its end is told by attention, device end and unit exception
(85). Source: eckd-commands 4.5.3; pprc-commands 5.2, 6.3.
"""

from collections.abc import Callable, Mapping

from controller.box import LinkDirectory
from controller.channel import PathId
from controller.commands.device import Device

STATE_CHANGED = 0x85  # attention, device end, unit exception


class StateChanges:
    """The state changes of one box's devices. idle(unit address): a device is free again.

    exposures(unit address): the device, and its aliases, which are told the same.
    """

    def __init__(
        self,
        devices: Mapping[int, Device],
        exposures: Callable[[int], list[Device]],
        links: LinkDirectory,
        idle: Callable[[int], None],
    ) -> None:
        self._devices = devices
        self._exposures = exposures
        self._links = links
        self._idle = idle
        self._released: dict[int, list[Callable[[], None]]] = {}  # by device: who waits for the end

    def begin(self, unit_address: int) -> None:
        """Hosts that want tracks of the device are told to wait."""
        for device in self._exposures(unit_address):
            device.begin_state_change()

    def end(self, unit_address: int) -> None:
        """Attention (85) to every path of the groups that were told to wait."""
        for device in self._exposures(unit_address):
            for path in device.end_state_change():
                assert isinstance(path, PathId)
                self._links.present_status(path, device.settings.unit_address, STATE_CHANGED)
        self._let_hosts_go_on(unit_address)

    def hold(self, unit_address: int, begins: bool) -> None:
        """Extended long busy begins or ends; its end is told to every host, also to those that did not ask."""
        if begins:
            self.begin(unit_address)
            return
        for device in self._exposures(unit_address):
            device.end_state_change()
            self.attention(device.settings.unit_address, STATE_CHANGED)
        self._let_hosts_go_on(unit_address)

    def attention(self, unit_address: int, status: int) -> None:
        """Unsolicited status of a device to every attached host."""
        for path in self._links.host_paths():
            self._links.present_status(path, unit_address, status)

    def set_ready(self, unit_address: int, ready: bool) -> None:
        """The device goes offline or comes back, which every attached host is told (85)."""
        for device in self._exposures(unit_address):
            came_back, device.ready = ready and not device.ready, ready
            if came_back:
                self.attention(device.settings.unit_address, STATE_CHANGED)

    def pending(self, unit_address: int) -> bool:
        """Are hosts told to wait?"""
        return self._devices[unit_address].changing is not None

    def when_over(self, unit_address: int, action: Callable[[], None]) -> None:
        """Call `action` when no state change is pending for the device: now, mostly."""
        if self.pending(unit_address):
            self._released.setdefault(unit_address, []).append(action)
        else:
            action()

    def _let_hosts_go_on(self, unit_address: int) -> None:
        for action in self._released.pop(unit_address, []):
            action()
        if self._devices[unit_address].active_chain is None:
            self._idle(unit_address)
