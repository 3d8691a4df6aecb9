"""Space that hosts give back (order 81), on its way to both sides.

A volume that is no primary gets its tracks back by pointer: they become never written, with one record of the log for
an extent. What a primary gives back its secondary must give back too, so there every track that was written is written
again, empty, BATCH_TRACKS at a time, the way of all writes: hardened here and, for a pair in step, at the secondary.
Either way the host's status comes when all of it is durable. Snapshots keep what they have.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, islice

from ccw.tracks import null_track
from controller.box import Ports
from controller.channel import PathId
from controller.commands.checks import invalid_parameter
from controller.commands.device import Device
from controller.commands.outcome import Command, Outcome, TrackWrite, UnitCheck
from controller.hardening import WRITE_DATA, Writes, check_of
from controller.remote_copy.ports import ArrayFault
from controller.remote_copy.service import RemoteCopy

BATCH_TRACKS = 256
UNIT_CHECK = 0x02


class Releases:
    """The orders of one box's hosts."""

    def __init__(self, ports: Ports, remote_copy: RemoteCopy, writes: Writes) -> None:
        self.ports = ports
        self.remote_copy = remote_copy
        self.writes = writes

    def complete(
        self, device: Device, path: PathId, command: Command, outcome: Outcome, reply: Callable[[Outcome], None]
    ) -> None:
        """Reply when the space is given back and what the chain wrote before is durable, or with what forbids it.

        Initialisation is not promised to a primary's host (PPRC 3.4): CR 0/4. Raises ArrayFault.
        """
        assert outcome.release is not None
        by_pointer = not self.remote_copy.is_primary(device.settings.volume)
        if outcome.release.initialises and not by_pointer:
            reply(device.refuse(path, command, invalid_parameter()))
            return
        _Release(self, device, path, command, outcome, reply, by_pointer=by_pointer).go_on()

    def empty_tracks(self, device: Device, outcome: Outcome) -> Iterator[TrackWrite]:
        """An empty image for each track of the extents that was ever written."""
        assert outcome.release is not None
        volume, geometry = device.settings.volume, device.geometry
        written = [int(track) for track in self.ports.array.written_since(volume, 0)]
        for track in written:
            if any(first <= track < stop for first, stop in outcome.release.extents):
                yield TrackWrite(volume, track, null_track(*geometry.address_of(track)))


class _Release:
    """One order at work: batches of writes, then pointers."""

    def __init__(
        self,
        releases: Releases,
        device: Device,
        path: PathId,
        command: Command,
        outcome: Outcome,
        reply: Callable[[Outcome], None],
        *,
        by_pointer: bool,
    ) -> None:
        self._releases = releases
        self._device, self._path, self._command, self._outcome = device, path, command, outcome
        self._reply = reply
        self._chain = device.active_chain
        self._by_pointer = by_pointer
        empty = iter(()) if by_pointer else releases.empty_tracks(device, outcome)
        self._writes: Iterator[TrackWrite] = chain(outcome.writes, empty)
        self._stepping = self._again = False

    def go_on(self) -> None:
        """Do the next step, and those that are due when it is; a step may be complete before it returns."""
        self._again = True
        if self._stepping:
            return
        self._stepping = True
        while self._again:
            self._again = False
            self._step()
        self._stepping = False

    def _step(self) -> None:
        device, path, command = self._device, self._path, self._command
        refusal = self._releases.remote_copy.gate(device.settings.volume, WRITE_DATA)
        if refusal is not None:  # what the volume is has changed meanwhile
            self._reply(device.refuse(path, command, UnitCheck(0, image=refusal.sense())))
            return
        batch = tuple(islice(self._writes, BATCH_TRACKS))
        if batch:
            part = replace(self._outcome, writes=batch, release=None)
            self._releases.writes.complete(device, path, command, part, self._hardened)
        elif self._by_pointer:
            self._release()
        else:
            self._reply(self._outcome)

    def _hardened(self, result: Outcome) -> None:
        if result.status & UNIT_CHECK:
            self._reply(result)
        elif self._device.active_chain is not self._chain:  # another system ended the chain
            self._reply(self._outcome)
        else:
            try:
                self.go_on()
            except ArrayFault as fault:
                self._reply(self._device.refuse(self._path, self._command, check_of(fault)))

    def _release(self) -> None:
        array, volume = self._releases.ports.array, self._device.settings.volume
        assert self._outcome.release is not None
        sequence = 0
        for first, stop in self._outcome.release.extents:
            sequence = array.release_space(volume, first, stop)
        self._releases.writes.reply_when_hardened(
            self._device, self._path, self._command, self._outcome, sequence, [], self._reply
        )
