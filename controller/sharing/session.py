"""One connection of a client to one shared device: requests in, answers out, in order.

`Session.request` answers every request once, by the `send` it was given: at once, or later for a start that waits, an
end whose writes are being hardened, and a read of a track that is (volume.py, S2 and S3). The shell hands over the next
request only when the last one is answered.

Changes are collected between start and end, as images of whole tracks, and go to the array together at the end.
A request that cannot be carried out is an error with text; a write that cannot is also kept in mind: a client takes no
notice of a refused write, so the end that follows is not answered (S2).
Source: hercules-interop.md sections 1, 2 and 8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from ccw.errors import FormatError
from ccw.shared_dasd import (
    CONTROL_UNIT,
    ERROR_TEXT_MAX,
    HEADER,
    NO_WAIT,
    PURGE_TRACKS_MAX,
    TRACK,
    VERSION,
    Answer,
    Fault,
    Query,
    Request,
)
from controller.sharing.images import apply_write, hand_over, split_write, unpack
from controller.sharing.volume import SharedVolume

Parts = tuple[bytes | memoryview, ...]
Send = Callable[[Parts], None]

UNIT_CHECK_STATUS = 0x0E
SENSE_STATUS = 0x0C
TAKEN_OVER = "taken over by a host on a channel"
EQUIPMENT_CHECK_SENSE = bytes((0x10, 0, 0, 0, 0, 0, 0, 0x10)).ljust(32, b"\0")


class Devices(Protocol):
    """The server, as its sessions need it."""

    def volume(self, number: int) -> SharedVolume | None:
        """The device of that number."""

    def has_room(self, volume: SharedVolume) -> bool:
        """May one more client use the device?"""

    def new_identifier(self, volume: SharedVolume) -> int:
        """An identifier that no client of the device has."""

    def release(self, volume: SharedVolume) -> int:
        """The release to offer."""

    def log(self, text: str, fields: Mapping[str, object]) -> None:
        """One event for the operator."""


class Session:
    """One connection. `identifier` is the client's, 0 before it has one.

    near: on the same machine. Such a client gets plain images, from the cache mostly: to expand one costs more than to
    carry it across memory (observed: 25 us of a client's time for a track of text, Hercules with its zlib thrice that).
    """

    def __init__(
        self, server: Devices, peer: str, send: Send, close: Callable[[], None], *, near: bool = False
    ) -> None:
        self.peer = peer
        self._near = near
        self.identifier = 0
        self.volume: SharedVolume | None = None
        self._server = server
        self._send = send
        self._close = close
        self._algorithms = 0
        self._dirty: dict[int, bytes] = {}
        self._poisoned: str | None = None  # why the next end is not answered
        self._purge: dict[int, None] | None = None  # None: everything
        self._standing = -1
        self._sense = bytes(32)

    @property
    def busy(self) -> bool:
        """The client owns the device, or waits for it."""
        return self.volume is not None and self.volume.concerns(self)

    # The connection

    def request(self, code: int, flag: int, device: int, identifier: int, data: bytes) -> None:
        """One request. Answers it, now or later."""
        if self.volume is None and not self._attach(code, flag, device, identifier):
            return
        handler = _HANDLERS.get(code)
        if handler is None:
            self._error(Fault.INVALID, code, "invalid request")
        else:
            handler(self, code, flag, data)

    def lost(self) -> None:
        """The connection is gone; what was hardened stays, what was not sent to be hardened is dropped."""
        volume, self.volume = self.volume, None
        self._dirty.clear()
        self._send, self._close = _nothing, _nothing
        if volume is not None:
            volume.leave(self)

    def replace(self) -> None:
        """The client has come back on another connection: this one is over."""
        close = self._close
        self.lost()
        close()

    def _attach(self, code: int, flag: int, device: int, identifier: int) -> bool:
        """The first request: find the device and the client's identifier. True: go on with the request itself."""
        if code != Request.CONNECT and not identifier:
            self._refuse(Fault.NOT_CONNECT, code, "not a connect request")
            return False
        volume = self._server.volume(device)
        if volume is None:
            self._refuse(Fault.NO_DEVICE, code, "device not found")
            return False
        older = volume.sessions.get(identifier)
        if older is not None:
            assert isinstance(older, Session)
            if older.peer != self.peer:
                self._refuse(Fault.NO_DEVICE, code, "already connected")
                return False
            older.replace()
        if not self._server.has_room(volume):
            self._refuse(Fault.NO_SLOT, code, "too many connections")
            return False
        self.volume = volume
        self.identifier = identifier or self._server.new_identifier(volume)
        volume.join(self)
        return True

    def _connect(self, code: int, flag: int, data: bytes) -> None:
        volume = self._attached()
        if flag >> 4 != VERSION:
            self._error(Fault.VERSION, code, "shared version mismatch")
            return
        self._answer(0, VERSION << 4 | self._server.release(volume), self.identifier.to_bytes(2, "big"))

    def _disconnect(self, code: int, flag: int, data: bytes) -> None:
        self._answer(0, 0)
        self.replace()

    # Channel programs

    def _start(self, code: int, flag: int, data: bytes) -> None:
        given = self._attached().start(self, wait=not flag & NO_WAIT)
        if given:
            self.granted()
        elif given is False:
            self._answer(Answer.BUSY, 0)

    def granted(self) -> None:
        """The device is this client's: tell what it has to forget (S5)."""
        volume = self._attached()
        standing = volume.standing()
        if standing != self._standing or volume.refusal() is not None:
            self._purge = None  # what it has in its cache must not be used without asking
        self._standing = standing
        purge, self._purge = self._purge, {}
        if purge is None:
            self._answer(Answer.PURGE, 0)
        elif purge:
            self._answer(Answer.PURGE, 0, b"".join(TRACK.pack(track) for track in purge))
        else:
            self._answer(0, 0)

    def _end(self, code: int, flag: int, data: bytes) -> None:
        volume = self._attached()
        if not self._active(code):
            return
        dirty, self._dirty = self._dirty, {}
        if dirty and volume.taken_over:
            self._poisoned = TAKEN_OVER
        if self._poisoned is not None:
            self._server.log("an end is held unanswered: the client would hide it", {
                "device": f"{volume.number:04X}", "client": self.identifier, "peer": self.peer, "why": self._poisoned,
            })  # fmt: skip
            return
        if dirty:
            volume.harden(self, dirty, lambda: self._answer(0, 0))
            volume.end(self)
        else:
            volume.end(self)
            self._answer(0, 0)

    def _reserve(self, code: int, flag: int, data: bytes) -> None:
        if self._active(code):
            self._attached().reserve(self)
            self._answer(0, 0)

    def _release(self, code: int, flag: int, data: bytes) -> None:
        if self._active(code):
            self._attached().release(self)
            self._answer(0, 0)

    # Tracks

    def _read(self, code: int, flag: int, data: bytes) -> None:
        volume = self._attached()
        if not self._active(code):
            return
        if len(data) != TRACK.size:
            self._error(Fault.INVALID, code, f"a read has 4 bytes of data, not {len(data)}")
            return
        (track,) = TRACK.unpack(data)
        refused = TAKEN_OVER if volume.taken_over else volume.refusal()
        if refused is not None:
            self._error(Fault.NO_DEVICE, code, refused)
        elif track >= volume.tracks:
            self._sense = EQUIPMENT_CHECK_SENSE
            self._answer(Answer.IO_ERROR, UNIT_CHECK_STATUS)
        elif track in self._dirty:
            self._answer(0, 0, self._dirty[track])
        else:
            volume.when_hardened(track, lambda: self._give(volume, track))

    def _give(self, volume: SharedVolume, track: int) -> None:
        volume.was_read(track)
        try:
            stored = None if self._near else volume.stored(track)
            packed = hand_over(stored, self._algorithms) if stored is not None else None
            if packed is None:
                self._answer(0, 0, volume.image(track))
            else:
                self._answer(packed.code, packed.status, *packed.parts)
        except volume.READ_ERRORS as error:
            self._error(Fault.NO_DEVICE, Request.READ, f"track {track} cannot be read: {error}")

    def _write(self, code: int, flag: int, data: bytes) -> None:
        volume = self._attached()
        if not self._active(code):
            return
        try:
            if code == Request.WRITE_PACKED:
                data = unpack(flag, data)
            offset, track, piece = split_write(data)
            refused = TAKEN_OVER if volume.taken_over else volume.refusal(writing=True)
            if refused is not None:
                raise _Refused(refused)
            if track >= volume.tracks:
                raise _Refused(f"track {track} of a device of {volume.tracks}")
            before = self._dirty.get(track) or volume.image(track)
            self._dirty[track] = apply_write(before, offset, piece, volume.track_size)
        except (FormatError, _Refused, *volume.READ_ERRORS) as error:
            self._poisoned = f"write refused: {error}"
            self._error(Fault.NO_DEVICE, code, str(error))
        else:
            self._answer(0, 0)

    def _take_sense(self, code: int, flag: int, data: bytes) -> None:
        if self._active(code):
            sense, self._sense = self._sense, bytes(32)
            self._answer(0, SENSE_STATUS, sense)

    # Questions

    def _query(self, code: int, flag: int, data: bytes) -> None:
        volume = self._attached()
        answers: dict[int, Callable[[], bytes]] = {
            Query.CHARACTERISTICS: lambda: volume.device.characteristics,
            Query.SENSE_ID: lambda: volume.device.sense_id,
            Query.CYLINDERS_USED: lambda: volume.device.geometry.cylinders.to_bytes(4, "big"),
            Query.SERIAL: lambda: volume.device.settings.identity.serial.encode("ascii"),
            Query.CONTROL_UNIT: lambda: _control_unit(volume),
            Query.CYLINDERS: lambda: volume.device.geometry.cylinders.to_bytes(4, "big"),
            Query.BLOCK_ORIGIN: lambda: bytes(4),
            Query.BLOCK_COUNT: lambda: bytes(4),
            Query.BLOCK_SIZE: lambda: bytes(4),
        }
        answer = answers.get(flag)
        if answer is None:
            self._error(Fault.INVALID, Request.QUERY, "invalid query request")
        else:
            self._answer(0, 0, answer())

    def _cylinders_used(self, code: int, flag: int, data: bytes) -> None:
        """Command 43: how both releases ask, by mistake, for the cylinders in use."""
        self._query(Request.QUERY, Query.CYLINDERS_USED, data)

    def _compress(self, code: int, flag: int, data: bytes) -> None:
        """What the client can unpack. No level is granted: tracks are compressed already, the rest is short."""
        self._algorithms = flag >> 4
        self._answer(0, 0, bytes(2))

    # What others do

    def others_changed(self, tracks: list[int]) -> None:
        """Remember tracks for the answer to the next start."""
        if self._purge is None:
            return
        self._purge.update(dict.fromkeys(tracks))
        if len(self._purge) > PURGE_TRACKS_MAX:
            self._purge = None

    # Answers

    def _attached(self) -> SharedVolume:
        assert self.volume is not None
        return self.volume

    def _active(self, code: int) -> bool:
        if self._attached().owner is self:
            return True
        self._error(Fault.NOT_ACTIVE, code, "not active on this device")
        return False

    def _answer(self, code: int, status: int, *parts: bytes | memoryview) -> None:
        volume = self.volume
        if volume is None:
            return  # the client is gone
        length = sum(map(len, parts))
        self._send((HEADER.pack(code, status, volume.number, length, self.identifier), *parts))

    def _error(self, fault: Fault, code: int, text: str) -> None:
        volume = self.volume
        data = text.encode("ascii", "replace")[:ERROR_TEXT_MAX] + b"\0"
        number, identifier = (volume.number, self.identifier) if volume is not None else (0, 0)
        self._send((HEADER.pack(fault, code, number, len(data), identifier), data))

    def _refuse(self, fault: Fault, code: int, text: str) -> None:
        """An error before a device was found ends the connection."""
        self._error(fault, code, text)
        close = self._close
        self.lost()
        close()


class _Refused(Exception):
    """A write that cannot be taken."""


def _control_unit(volume: SharedVolume) -> bytes:
    presentation = volume.device.profile.presentation
    return CONTROL_UNIT.pack(presentation.control_unit_type, presentation.model)


def _nothing(*_: object) -> None:
    """Nobody is there any more."""


_HANDLERS: dict[int, Callable[[Session, int, int, bytes], None]] = {
    Request.CONNECT: Session._connect,
    Request.DISCONNECT: Session._disconnect,
    Request.START: Session._start,
    Request.RESUME: Session._start,
    Request.END: Session._end,
    Request.SUSPEND: Session._end,
    Request.RESERVE: Session._reserve,
    Request.RELEASE: Session._release,
    Request.READ: Session._read,
    Request.WRITE: Session._write,
    Request.WRITE_PACKED: Session._write,
    Request.SENSE: Session._take_sense,
    Request.QUERY: Session._query,
    Query.CYLINDERS_USED: Session._cylinders_used,
    Request.COMPRESS: Session._compress,
}
