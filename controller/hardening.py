"""Writes of hosts on their way to both sides: to the array's log and, for a pair in step, to the secondary.

Changed tracks are appended at once; both hardenings run in parallel, and a command's outcome waits for both. Where the
array has no room but its collection may find some, the outcome waits for that first, ROOM_WAIT_S at most.
"""

from collections.abc import Callable

from controller.box import Ports
from controller.channel import PathId
from controller.channel.busy import ControlUnitBusy
from controller.commands.device import Device
from controller.commands.outcome import Command, Outcome, TrackWrite, UnitCheck
from controller.remote_copy.ports import ArrayFault, ArrayFull
from controller.remote_copy.refusal import LONG_BUSY, Refusal
from controller.remote_copy.service import RemoteCopy

CONTROL_UNIT_END = 0x20
WRITE_DATA = 0x05
EQUIPMENT_CHECK = UnitCheck(0x10, 0x00, 0x10)  # the array cannot make it durable
INTERVENTION_REQUIRED = UnitCheck(0x40, 0x00, 0x19)  # no room in the array: eckd-commands 4.4, device not ready
ROOM_RETRY_S = 0.02
ROOM_WAIT_S = 15.0  # half of what hosts give a disk before they miss its interrupt


def check_of(fault: ArrayFault) -> UnitCheck:
    """What a host is told when the array does not take its write."""
    return INTERVENTION_REQUIRED if isinstance(fault, ArrayFull) else EQUIPMENT_CHECK


class Hardening:
    """One outcome that waits for both sides.

    When its chain is over by then (link lost, reset) nobody wants it, unless another system ended the chain: the host
    has it from the next command that its data may be there, or not.
    """

    def __init__(
        self,
        device: Device,
        path: PathId,
        command: Command,
        outcome: Outcome,
        reply: Callable[[Outcome], None],
        ended: Callable[[], None],
    ) -> None:
        self._device = device
        self._chain = device.active_chain
        self._path = path
        self._command = command
        self._outcome = outcome
        self._reply = reply
        self._done = ended
        self._left = 2
        self._check: UnitCheck | None = None
        self._waits = False  # the host has to ask again, if the device is in long busy still by then

    def local(self, good: bool) -> None:
        """The array says whether it is durable here."""
        self._ended(None if good else EQUIPMENT_CHECK)

    def remote(self, refusal: Refusal | None) -> None:
        """Remote copy says whether the secondary has it, or that nobody needs to wait for it."""
        self._waits = refusal is LONG_BUSY
        self._ended(None if refusal is None or self._waits else UnitCheck(0, image=refusal.sense()))

    def _ended(self, check: UnitCheck | None) -> None:
        self._check = self._check or check
        self._left -= 1
        if self._left:
            return
        self._done()
        if self._device.active_chain is not self._chain:
            if self._chain is not None and self._chain.cut_off:
                self._reply(self._outcome)
            return
        if self._waits and self._check is None:
            self._check = self._device.tell_to_wait(self._path)
        if self._check is None or self._outcome.status & 0x02:
            self._reply(self._outcome)
        else:
            refused = self._device.refuse(self._path, self._command, self._check)
            refused.residual = self._outcome.residual  # the data were taken all the same
            self._reply(refused)


class Writes:
    """The writes of one box's hosts. changed(unit address, tracks): hosts on a channel changed them."""

    def __init__(
        self, ports: Ports, remote_copy: RemoteCopy, busy: ControlUnitBusy, changed: Callable[[int, list[int]], None]
    ) -> None:
        self._ports = ports
        self._remote_copy = remote_copy
        self._busy = busy
        self._changed = changed

    def _append(self, writes: tuple[TrackWrite, ...]) -> list[tuple[int, int]]:
        """Append changed tracks to the array; their (track, sequence).

        Raises ArrayFault; remote copy and other hosts have heard then of those that were appended before.
        """
        stored: list[tuple[int, int]] = []
        try:
            for write in writes:
                stored.append((write.track, self._ports.array.write(write.volume, write.track, write.image)))
        except ArrayFault:
            if stored:
                self._remote_copy.host_writes(writes[0].volume, stored, lambda _: None)
                self._changed(writes[0].volume, [track for track, _ in stored])
            raise
        return stored

    def store(self, writes: tuple[TrackWrite, ...], *, by_host: bool = True) -> None:
        """Append tracks whose chain is over.

        When the array refuses they are lost, as none of them was acknowledged; so when the volume is not for hosts now.
        """
        if not writes or (by_host and self._remote_copy.gate(writes[0].volume, WRITE_DATA) is not None):
            return
        try:
            stored = self._append(writes)
        except ArrayFault as fault:
            self._ports.log(None, "tracks of a chain that was cut off are not stored", {"why": str(fault)})
            return
        self._remote_copy.host_writes(writes[0].volume, stored, lambda _: None)
        self._changed(writes[0].volume, [track for track, _ in stored])

    def complete(
        self, device: Device, path: PathId, command: Command, outcome: Outcome, reply: Callable[[Outcome], None]
    ) -> None:
        """Reply when the outcome's writes are durable here and, for a pair in step, at the secondary.

        Raises ArrayFault when the array refuses at once.
        """
        until = self._ports.clock.now() + ROOM_WAIT_S
        chain = device.active_chain

        def again() -> None:
            if device.active_chain is chain:
                by_host = not device.is_peer(path)
                refusal = self._remote_copy.gate(device.settings.volume, WRITE_DATA) if by_host else None
                if refusal is not None:  # what the volume is has changed meanwhile
                    reply(device.refuse(path, command, UnitCheck(0, image=refusal.sense())))
                    return
                try:
                    attempt()
                except ArrayFault as fault:
                    reply(device.refuse(path, command, check_of(fault)))
            elif chain is not None and chain.cut_off:
                reply(outcome)  # what it wrote is not stored, as the host has to expect

        def attempt() -> None:
            try:
                stored = self._append(outcome.writes)
            except ArrayFull as full:
                if not full.passing or self._ports.clock.now() >= until:
                    raise
                self._ports.timers.call_at(self._ports.clock.now() + ROOM_RETRY_S, again)
            else:
                self._appended(device, path, command, outcome, stored, reply)

        attempt()

    def _appended(
        self,
        device: Device,
        path: PathId,
        command: Command,
        outcome: Outcome,
        stored: list[tuple[int, int]],
        reply: Callable[[Outcome], None],
    ) -> None:
        self.reply_when_hardened(device, path, command, outcome, stored[-1][1], stored, reply)
        self._changed(outcome.writes[0].volume, [write.track for write in outcome.writes])

    def reply_when_hardened(
        self,
        device: Device,
        path: PathId,
        command: Command,
        outcome: Outcome,
        sequence: int,
        stored: list[tuple[int, int]],
        reply: Callable[[Outcome], None],
    ) -> None:
        """Reply when everything up to `sequence` is durable here, and the tracks `stored` at the secondary."""
        self._busy.entered()
        waiting = Hardening(device, path, command, outcome, reply, self._hardened)
        self._ports.hardener.when_durable(sequence, waiting.local)
        self._remote_copy.host_writes(device.settings.volume, stored, waiting.remote)

    def harden(
        self,
        writes: tuple[TrackWrite, ...],
        local: Callable[[bool], None],
        remote: Callable[[Refusal | None], None],
    ) -> None:
        """Append changed tracks of one volume; both sides harden them in parallel, each is told of by its callback.

        Raises ArrayFault: then no callback is called.
        """
        self._both(writes[0].volume, self._append(writes), local, remote)

    def _both(
        self,
        volume: int,
        stored: list[tuple[int, int]],
        local: Callable[[bool], None],
        remote: Callable[[Refusal | None], None],
    ) -> None:
        self._ports.hardener.when_durable(stored[-1][1], local)
        self._remote_copy.host_writes(volume, stored, remote)

    def _hardened(self) -> None:
        for path, unit_address in self._busy.left():
            self._ports.links.present_status(path, unit_address, CONTROL_UNIT_END)
