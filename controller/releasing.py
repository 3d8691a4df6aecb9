"""Space that hosts give back (order 81), on its way to both sides.

A volume that is no primary gets its tracks back by pointer: they become never written, with one record of the log for
an extent. What a primary gives back its secondary must give back too, so there every track that was written is written
again, empty, BATCH_TRACKS at a time, the way of all writes: hardened here and, for a pair in step, at the secondary.
Either way the host's status comes when all of it is durable. Snapshots keep what they have.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

from ccw.geometry import Geometry
from ccw.tracks import null_track
from controller.box import Ports
from controller.channel import PathId
from controller.commands.checks import invalid_parameter
from controller.commands.device import Device
from controller.commands.outcome import Command, Outcome, SpaceRelease, TrackWrite, UnitCheck
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

        Raises ArrayFault.
        """
        _Release(self, device, path, command, outcome, reply).go_on()

    def empty_tracks(self, volume: int, geometry: Geometry, release: SpaceRelease) -> Iterator[TrackWrite]:
        """An empty image for each track of the extents that was ever written before the first is asked for."""
        written = self.ports.array.written_since(volume, 0)  # ascending
        bounds = [written.searchsorted(extent) for extent in release.extents]
        for track in sorted({int(track) for start, stop in bounds for track in written[start:stop]}):
            yield TrackWrite(volume, track, null_track(*geometry.address_of(track)))


class _Release:
    """One order at work: first what the chain wrote before; then pointers, or batches of empty tracks.

    Which of the two is asked at every step, for a volume may get or lose its secondary meanwhile.
    """

    def __init__(
        self,
        releases: Releases,
        device: Device,
        path: PathId,
        command: Command,
        outcome: Outcome,
        reply: Callable[[Outcome], None],
    ) -> None:
        assert outcome.release is not None
        self._releases = releases
        self._device, self._path, self._command, self._outcome = device, path, command, outcome
        self._release = outcome.release
        self._reply = reply
        self._chain = device.active_chain
        self._volume = device.settings.volume
        self._before = outcome.writes
        self._empty = releases.empty_tracks(self._volume, device.geometry, outcome.release)
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
        """Initialisation is not promised to a primary's host (PPRC 3.4): CR 0/4."""
        remote_copy = self._releases.remote_copy
        refusal = remote_copy.gate(self._volume, WRITE_DATA)
        if refusal is not None:  # what the volume is has changed meanwhile
            self._refuse(UnitCheck(0, image=refusal.sense()))
        elif self._before:
            batch, self._before = self._before, ()
            self._write(batch)
        elif not remote_copy.is_primary(self._volume):
            self._drop_pointers()
        elif self._release.initialises:
            self._refuse(invalid_parameter())
        elif batch := tuple(islice(self._empty, BATCH_TRACKS)):
            self._write(batch)
        else:
            self._reply(self._outcome)

    def _refuse(self, check: UnitCheck) -> None:
        self._reply(self._device.refuse(self._path, self._command, check))

    def _write(self, batch: tuple[TrackWrite, ...]) -> None:
        part = replace(self._outcome, writes=batch, release=None)
        self._releases.writes.complete(self._device, self._path, self._command, part, self._hardened)

    def _hardened(self, result: Outcome) -> None:
        if result.status & UNIT_CHECK:
            self._reply(result)
        elif self._device.active_chain is not self._chain:  # another system ended the chain
            self._reply(self._outcome)
        else:
            try:
                self.go_on()
            except ArrayFault as fault:
                self._refuse(check_of(fault))

    def _drop_pointers(self) -> None:
        array, sequence = self._releases.ports.array, 0
        for first, stop in self._release.extents:
            sequence = array.release_space(self._volume, first, stop)
        self._releases.writes.reply_when_hardened(
            self._device, self._path, self._command, self._outcome, sequence, [], self._reply
        )
