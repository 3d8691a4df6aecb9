"""One command's outcome that waits until its writes are hardened at both sides. Belongs to subsystem.py."""

from collections.abc import Callable

from controller.channel import PathId
from controller.commands.device import Device
from controller.commands.outcome import Command, Outcome, UnitCheck
from controller.remote_copy.refusal import LONG_BUSY, Refusal

EQUIPMENT_CHECK = UnitCheck(0x10, 0x00, 0x10)  # the array cannot make it durable


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
