"""One shared device: who owns it, who waits for it, what others changed, and what is not hardened yet.

    free -start-> owned -end-> (writes are hardened, the end is answered) -> next in line, or free
                        -reserve, end-> owned still, until release and end, or until the client is gone

Rules
 S1  One client owns the device at a time; the others wait in the order they came.
 S2  An end whose writes are not hardened at both sides is not answered. One that cannot be hardened is never answered:
     a client would hide the error from its guest. The device is fenced then: reads are refused, with the reason.
 S3  The next owner may begin while the writes of the one before are being hardened, but a read of such a track is
     answered only when it is hardened: nobody sees what a crash could take back.
 S4  Hosts on channels see the device busy as long as a client owns it or writes are under way, and the other way round.
 S5  A client is told at its start which tracks others changed since its last one; when in doubt: all of them.
 S6  In extended long busy (a consistency group is being frozen) a start waits, and so does the end of a write that the
     secondary does not have.
 S7  An owner from whom a host on a channel takes the device over reads and writes no more; an end with writes is not
     answered then (S2).
Source: hercules-interop.md 1.7, 1.10, rules 5, 11, 14.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Final, Protocol

from ccw.stored_track import StoredTrack
from controller.commands.device import Device
from controller.commands.outcome import TrackWrite, UnitCheck
from controller.remote_copy.ports import ArrayFault
from controller.remote_copy.refusal import Refusal
from controller.remote_copy.states import Reason
from controller.subsystem import Subsystem

READ_DATA, WRITE_DATA = 0x06, 0x05
RETRY_S = 5.0
Done = Callable[[], None]


class Client(Protocol):
    """A session, as its device needs it."""

    @property
    def identifier(self) -> int: ...

    def granted(self) -> None:
        """The device is yours now."""

    def others_changed(self, tracks: list[int]) -> None:
        """Tracks were changed by somebody else."""


class SharedVolume:
    """One device as its clients share it. `tracks` and `track_size` (bytes of the largest image) are its shape."""

    READ_ERRORS: Final = (ArrayFault, UnitCheck)

    def __init__(self, subsystem: Subsystem, unit_address: int, number: int) -> None:
        self.number = number
        self.unit_address = unit_address
        self.tracks = subsystem.devices[unit_address].geometry.tracks
        self.track_size = subsystem.devices[unit_address].geometry.track_size
        self.fault: str | None = None
        self.sessions: dict[int, Client] = {}
        self.owner: Client | None = None
        self.reserved = False
        self._subsystem = subsystem
        self._touched = subsystem.ports.touched
        self._holder: Hashable = ("shared device", number)
        self._waiting: deque[Client] = deque()
        self._under_way: dict[int, int] = {}  # track: writes of it that are not hardened
        self._readers: dict[int, list[Done]] = {}  # track: reads that wait for that
        self._held = False
        self._starved = False

    # Ownership

    def start(self, session: Client, wait: bool) -> bool | None:
        """Give the device to `session`: True at once, None later (by `session.granted`), False: busy, not waiting."""
        if self.owner is session and self._hold():
            return True
        if self.owner is None and not self._waiting and self._hold():
            self.owner = session
            return True
        if not wait:
            return False
        self._waiting.append(session)
        return None

    def end(self, session: Client) -> None:
        """The owner's channel program is over. A reserved device stays its own."""
        assert self.owner is session
        if not self.reserved:
            self._free()

    def reserve(self, session: Client) -> None:
        """Keep the device over the ends of channel programs, until release."""
        assert self.owner is session
        self.reserved = True
        self.device.paths.reserve(self._holder)

    def release(self, session: Client) -> None:
        """The reservation ends, unless a host on a channel took it over; ownership does with the channel program."""
        assert self.owner is session
        self.reserved = False
        if self.device.paths.owner == self._holder:
            self.device.paths.release()

    def leave(self, session: Client) -> None:
        """The client is gone: what it held or waited for is free, its reservation too (S1)."""
        if self.sessions.get(session.identifier) is session:
            del self.sessions[session.identifier]
        if not self.sessions:
            self._subsystem.attached.discard(self.unit_address)
        if session in self._waiting:
            self._waiting.remove(session)
        if self.owner is session:
            if self.reserved:
                self.release(session)
            self._free()

    def concerns(self, session: Client) -> bool:
        """Does the client own the device, or wait for it?"""
        return self.owner is session or session in self._waiting

    def join(self, session: Client) -> None:
        """The client uses the device from now on."""
        self.sessions[session.identifier] = session
        self._subsystem.attached.add(self.unit_address)

    def redrive(self) -> None:
        """The device may have become free: let the next in line have it."""
        if self.owner is not None and self.owner in self._waiting and self._hold():  # it has a reservation
            self._waiting.remove(self.owner)
            self.owner.granted()
        while self.owner is None and self._waiting and self._hold():
            self.owner = self._waiting.popleft()
            self.owner.granted()
        self._let_go()

    def _free(self) -> None:
        self.owner = None
        self.redrive()

    @property
    def taken_over(self) -> bool:
        """Has a host on a channel taken the device from its owner (Unconditional Reserve)?"""
        return self._held and self.device.active_path != self._holder

    @property
    def _long_busy(self) -> bool:
        return self._subsystem.state_changes.pending(self.unit_address)

    def _hold(self) -> bool:
        if self._long_busy:
            return False
        if not self._held or self.taken_over:
            self._held = self._subsystem.hold(self._holder, self.unit_address)
        return self._held

    def _let_go(self) -> None:
        if self._held and self.owner is None and not self._under_way:
            self._held = False
            self._subsystem.let_go(self._holder, self.unit_address)

    # Tracks

    def refusal(self, *, writing: bool = False) -> str | None:
        """Why the device cannot be read or written now, None when it can."""
        if self.fault is not None:
            return self.fault
        if not self.device.ready:
            return "the device is offline"
        refusal = self._subsystem.remote_copy.gate(self.unit_address, WRITE_DATA if writing else READ_DATA)
        if refusal is not None and refusal.reason == Reason.CRITICAL:
            return "writes are refused: the pair is in critical state, or suspended so"
        if refusal is not None:
            return "not for hosts: secondary volume of a pair, or bridge volume"
        if writing and self.device.settings.read_only:
            return "read-only volume"
        return None

    def standing(self) -> int:
        """Another number whenever tracks came otherwise than by a host's write: remote copy, a restore."""
        return self._subsystem.ports.array.changes_by_pointer(self.unit_address)

    def stored(self, track: int) -> StoredTrack | None:
        """A track as it is stored; None if it was never written. Raises READ_ERRORS."""
        return self._subsystem.ports.array.read_stored(self.unit_address, track)

    def image(self, track: int) -> bytes:
        """The image of a track, a standard empty one where nothing was ever written. Raises READ_ERRORS."""
        return self._subsystem.ports.tracks.read(self.unit_address, track)

    def was_read(self, track: int) -> None:
        """A client has read a track: the models' cache is to count it."""
        if self._touched is not None:
            self._touched(self.unit_address, track, False)

    @property
    def device(self) -> Device:
        """The device as hosts on channels see it."""
        return self._subsystem.devices[self.unit_address]

    def changed(self, tracks: list[int], by: Client | None) -> None:
        """Tracks were changed: by a client, or (None) by a host on a channel or an operator (S5)."""
        for session in self.sessions.values():
            if session is not by:
                session.others_changed(tracks)

    def when_hardened(self, track: int, read: Done) -> None:
        """Call `read` when no write of the track is under way any more: now, mostly (S3)."""
        if track in self._under_way:
            self._readers.setdefault(track, []).append(read)
        else:
            read()

    def harden(self, session: Client, images: dict[int, bytes], done: Done) -> None:
        """Write the images; `done` when both sites have them, never when that cannot be (S2)."""
        writes = tuple(TrackWrite(self.unit_address, track, image) for track, image in images.items())
        for track in images:
            self._under_way[track] = self._under_way.get(track, 0) + 1
            if self._touched is not None:
                self._touched(self.unit_address, track, True)
        self.changed(list(images), session)
        self._try(writes, done)

    def _try(self, writes: tuple[TrackWrite, ...], done: Done) -> None:
        refused = self.refusal(writing=True)
        if refused is not None:
            self._fence(refused)
            return
        left = 2

        def local(good: bool) -> None:
            if good:
                one()
            else:
                self._fence("its writes cannot be hardened")

        def remote(refusal: Refusal | None) -> None:
            # A refusal suspended the pair: the volume is no longer in duplex, and this site has the tracks (5.1).
            # In extended long busy nobody may hear of it yet (S6); nor while a pair is critical.
            if refusal is None:
                one()
            elif self.refusal(writing=True) is not None:
                ports = self._subsystem.ports
                ports.timers.call_at(ports.clock.now() + RETRY_S, lambda: remote(refusal))
            else:
                self._subsystem.state_changes.when_over(self.unit_address, one)

        def one() -> None:
            nonlocal left
            left -= 1
            if not left:
                self._hardened(writes, done)

        try:
            self._subsystem.writes.harden(writes, local, remote)
        except ArrayFault as fault:
            self._refused_by_array(str(fault), lambda: self._try(writes, done))

    def _refused_by_array(self, why: str, again: Done) -> None:
        """No room: hold the end and try again later. A fenced array takes nothing any more."""

        def answer(alive: bool) -> None:
            if not alive:
                self._fence(why)
                return
            ports = self._subsystem.ports
            if not self._starved:
                self._starved = True
                ports.log(None, "a shared device waits for room: an end is held unanswered", self._event(why))
            ports.timers.call_at(ports.clock.now() + RETRY_S, again)

        self._subsystem.ports.hardener.when_durable(0, answer)

    def _hardened(self, writes: tuple[TrackWrite, ...], done: Done) -> None:
        self._starved = False
        done()
        for write in writes:
            left = self._under_way[write.track] - 1
            if left:
                self._under_way[write.track] = left
                continue
            del self._under_way[write.track]
            for read in self._readers.pop(write.track, ()):
                read()
        if not self._under_way:
            self.redrive()

    def _fence(self, why: str) -> None:
        if self.fault is None:
            self.fault = why
            self._subsystem.ports.log(None, "a shared device is fenced: an end is held unanswered", self._event(why))

    def _event(self, why: str) -> dict[str, object]:
        return {"device": f"{self.number:04X}", "why": why}
