"""A client of the shared-device protocol, as an emulated mainframe is one: blocking, one connection for one device.

It knows nothing of any server's inside; tests, benchmarks and drills use it against ours and against others.
Source: hercules-interop.md section 1.
"""

from __future__ import annotations

import bz2
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import NamedTuple, Self

from isal import isal_zlib

from ccw.shared_dasd import (
    HEADER,
    HEADER_BYTES,
    NO_WAIT,
    TRACK,
    VERSION,
    WRITE_HEAD,
    Algorithm,
    Answer,
    Query,
    Request,
)

RELEASE_3_13 = 1
BOTH_ALGORITHMS = Algorithm.ZLIB | Algorithm.BZIP2


class Reply(NamedTuple):
    """One answer: code, status, device number, identifier, and its data as it came."""

    code: int
    status: int
    device: int
    identifier: int
    data: bytes


class SharedError(Exception):
    """The server refused a request, or the device is busy and was not to be waited for."""

    def __init__(self, reply: Reply, text: str) -> None:
        super().__init__(text)
        self.reply = reply


class SharedClient:
    """One connection to one device. Context manager: disconnects at the end.

    `address`: host and port, or a local socket's path. `algorithms`: what it can unpack (0: it wants plain images);
    `level`: the zlib level it asks for. Raises OSError for the network, SharedError for refusals.
    """

    def __init__(
        self,
        address: tuple[str, int] | str,
        device: int,
        *,
        release: int = RELEASE_3_13,
        algorithms: int = BOTH_ALGORITHMS,
        level: int = 0,
        timeout_s: float | None = 30.0,
        identifier: int = 0,
    ) -> None:
        self.device = device
        self.identifier = identifier
        self._socket = _connected(address, timeout_s)
        self._incoming = bytearray()
        self.server_release = 0
        try:
            if not identifier:
                reply = self.ask(Request.CONNECT, VERSION << 4 | release)
                self.server_release = reply.status & 0x0F
                self.identifier = int.from_bytes(reply.data, "big")
            if algorithms or level:
                self.ask(Request.COMPRESS, algorithms << 4 | level)
        except BaseException:
            self._socket.close()
            raise

    # Messages

    def send(self, code: int, flag: int = 0, data: bytes = b"") -> None:
        """Send one request and do not wait for the answer."""
        self._socket.sendall(HEADER.pack(code, flag, self.device, len(data), self.identifier) + data)

    def receive(self) -> Reply:
        """The next answer, whatever it is. ConnectionError when the server closes instead."""
        incoming = self._incoming
        while len(incoming) < HEADER_BYTES or len(incoming) < HEADER_BYTES + (incoming[4] << 8 | incoming[5]):
            more = self._socket.recv(131_072)
            if not more:
                raise ConnectionError("the server closed the connection")
            incoming += more
        code, status, device, length, identifier = HEADER.unpack_from(incoming)
        data = bytes(memoryview(incoming)[HEADER_BYTES : HEADER_BYTES + length])
        del incoming[: HEADER_BYTES + length]
        return Reply(code, status, device, identifier, data)

    def ask(self, code: int, flag: int = 0, data: bytes = b"") -> Reply:
        """One request and its answer. SharedError when it is an error or an I/O error."""
        self.send(code, flag, data)
        reply = self.receive()
        if reply.code & Answer.ERROR:
            raise SharedError(reply, reply.data.rstrip(b"\0").decode("ascii", "replace"))
        if reply.code & Answer.IO_ERROR:
            raise SharedError(reply, f"unit status {reply.status:02X}")
        return reply

    # Channel programs

    def start(self, *, wait: bool = True) -> list[int] | None:
        """Own the device: the tracks that others changed, None: any may be. SharedError (busy) unless `wait`."""
        return self.started(self.ask(Request.START, 0 if wait else NO_WAIT))

    @staticmethod
    def started(reply: Reply) -> list[int] | None:
        """What an answer to a start says; as `start`."""
        if reply.code & Answer.BUSY:
            raise SharedError(reply, "busy")
        if not reply.code & Answer.PURGE:
            return []
        return [track for (track,) in TRACK.iter_unpack(reply.data)] or None

    def end(self) -> None:
        """Give the device up. On return what was written is as safe as the server says."""
        self.ask(Request.END)

    @contextmanager
    def program(self) -> Iterator[Self]:
        """One channel program: start, whatever is done, end."""
        self.start()
        yield self
        self.end()

    def reserve(self) -> None:
        """Keep the device over the end of this program."""
        self.ask(Request.RESERVE)

    def release(self) -> None:
        """Give the reservation up."""
        self.ask(Request.RELEASE)

    # Tracks

    def read(self, track: int) -> bytes:
        """The image of a track, end mark included."""
        return unpacked(self.ask(Request.READ, 0, TRACK.pack(track)))

    def write(self, track: int, offset: int, data: bytes) -> None:
        """Write bytes into the image of a track, from `offset` on."""
        self.ask(Request.WRITE, 0, WRITE_HEAD.pack(offset, track) + data)

    def write_packed(self, track: int, offset: int, data: bytes) -> None:
        """As write, but compressed."""
        packed = WRITE_HEAD.pack(offset, track) + isal_zlib.compress(data, 1)
        self.ask(Request.WRITE_PACKED, Algorithm.ZLIB << 4 | WRITE_HEAD.size, packed)

    def query(self, what: Query | int) -> bytes:
        """What the server says about the device."""
        return self.ask(Request.QUERY, what).data

    # The connection

    def close(self) -> None:
        """Disconnect in order."""
        with suppress(OSError, SharedError):  # gone is gone
            self.ask(Request.DISCONNECT)
        self.vanish()

    def vanish(self) -> None:
        """Drop the connection without a word."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _connected(address: tuple[str, int] | str, timeout_s: float | None) -> socket.socket:
    if isinstance(address, tuple):
        sock = socket.create_connection(address, timeout_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


def unpacked(reply: Reply) -> bytes:
    """The track image in the answer to a read."""
    if reply.code != Answer.PACKED:
        return reply.data
    plain = reply.status & 0x0F
    rest = reply.data[plain:]
    body = isal_zlib.decompress(rest) if reply.status >> 4 == Algorithm.ZLIB else bz2.decompress(rest)
    head = b"\0" + reply.data[1:plain] if plain else b""
    return head + body
