"""A capture file that links write while they run, and captures read packet by packet.

Records are handed over by the link's task and written by a thread of its own, so a slow or failing disk never holds up
a link: what it cannot take is dropped, said once, and counted. Every write ends with a whole block, and nothing is
changed that was written; an existing capture is continued with a new section.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from types import TracebackType

import click
import trio

from ccw.errors import FormatError
from ccw.pcap import MAGIC_LENGTH, PcapReader, reader_for
from ccw.pcapng import (
    INTERFACES_MAX,
    LINKTYPE_USER0,
    Direction,
    Packet,
    PcapngReader,
    encode_interface,
    encode_packet,
    encode_section,
)
from tools.bad_input import BadInput

APPLICATION = "trackbridge"
QUEUED_MAX = 65_536             # blocks that wait for the disk
WRITE_BYTES = 1 << 20           # joined into one write
READ_BYTES = 1 << 18
CLOSE_TIMEOUT_S = 10.0

Tap = Callable[[bool, bytes, float], None]      # as the links have it


class CaptureFile:
    """A capture being written. Make it, take taps inside a trio run, close it."""

    def __init__(self, path: Path, say: Callable[[str], None] | None = None) -> None:
        """Raises OSError, FormatError (an existing file that cannot be continued).

        `say` is told once when records are lost, by the task of the link that loses them.
        """
        self.path = path
        self.say = say or say_on_stderr
        self.dropped = 0
        self.problem: str | None = None         # the disk takes nothing more
        self._said = False
        self._interfaces = 0
        self._base_ns: int | None = None        # 1970 in the clock of the links
        self._queue: deque[bytes] = deque()
        self._news = threading.Event()
        self._closing = False
        self._file = _open(path)
        self._end = os.fstat(self._file).st_size
        self._put(encode_section(APPLICATION))
        self._writer = threading.Thread(target=self._write, name="capture", daemon=True)
        self._writer.start()

    def tap(self, name: str, description: str = "") -> Tap | None:
        """An interface of its own for a link: what to call with each of its records. None: there are too many."""
        number = self._interfaces
        if number == INTERFACES_MAX:
            self._lose(f"more than {INTERFACES_MAX} links")
            return None
        self._interfaces += 1
        if self._base_ns is None:
            self._base_ns = time.time_ns() - round(trio.current_time() * 1e9)
        base_ns = self._base_ns
        self._put(encode_interface(LINKTYPE_USER0, name, description), must=True)

        def tap(sent: bool, record: bytes, now: float) -> None:
            direction = Direction.SENT if sent else Direction.RECEIVED
            self._put(encode_packet(number, base_ns + round(now * 1e9), record, direction))

        return tap

    def close(self) -> None:
        """Write what is left, for ten seconds at most, and close the file."""
        self._closing = True
        self._news.set()
        self._writer.join(CLOSE_TIMEOUT_S)
        if self._writer.is_alive():
            self._lose("the disk takes nothing")
        else:
            if self.problem:
                self._lose(self.problem)
            os.close(self._file)

    def __enter__(self) -> CaptureFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _put(self, block: bytes, must: bool = False) -> None:
        """Queue a block. An interface must not be missing: packets name it by its place."""
        if self.problem is not None:
            self._lose(self.problem)
        elif len(self._queue) >= QUEUED_MAX and not must:
            self._lose("the disk is too slow")
        else:
            self._queue.append(block)
            if not self._news.is_set():
                self._news.set()

    def _lose(self, why: str) -> None:
        self.dropped += 1
        if not self._said:
            self._said = True
            self.say(f"capture {self.path}: {why}; records are missing")

    def _write(self) -> None:
        """The thread: everything queued, until closed."""
        while True:
            self._news.wait()
            self._news.clear()
            closing = self._closing
            while self._queue:
                batch, size = [], 0
                while self._queue and size < WRITE_BYTES:
                    batch.append(self._queue.popleft())
                    size += len(batch[-1])
                if self.problem is None:
                    self._write_whole(b"".join(batch))
            if closing:
                return

    def _write_whole(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
            self._end += len(data)
        except OSError as error:
            self.problem = error.strerror or str(error)
            with suppress(OSError):
                os.ftruncate(self._file, self._end)     # no part of a block stays


capture_option = click.option(
    "--capture", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Record every frame of every link in FILE (pcapng); an existing capture is continued.",
)


@contextmanager
def capturing(path: Path | None) -> Iterator[CaptureFile | None]:
    """The capture that --capture names, closed at the end; None without one. Raises BadInput."""
    if path is None:
        yield None
        return
    try:
        capture = CaptureFile(path)
    except (OSError, FormatError) as error:
        text = error.strerror if isinstance(error, OSError) else None
        raise BadInput(f"--capture {path}: {text or error}") from error
    with capture:
        yield capture


def say_on_stderr(text: str) -> None:
    """One line for the person at the terminal."""
    click.echo(f"trackbridge: {text}", err=True)


def _open(path: Path) -> int:
    """Open to append, for nobody else; a torn block at the end, which a crash left, is cut off."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        if stat.S_ISREG(os.fstat(file).st_mode):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise OSError(error.errno, "another process is writing this capture") from error
            os.ftruncate(file, _whole_length(file))
    except BaseException:
        os.close(file)
        raise
    return file


def _whole_length(file: int) -> int:
    reader = None
    while data := os.read(file, READ_BYTES):
        if reader is None:
            reader = reader_for(data)
            if not isinstance(reader, PcapngReader):
                raise FormatError("capture", "the file exists and is no pcapng", b"", 0)
        for _ in reader.feed(data):
            pass
    return reader.offset if reader else 0


# --- reading ----------------------------------------------------------------------------------------------------------


def open_capture(path: str) -> Iterator[bytes]:
    """The bytes of a file (- for standard input) in pieces. Raises BadInput."""
    try:
        if path == "-":
            while piece := sys.stdin.buffer.read(READ_BYTES):
                yield piece
        else:
            with open(path, "rb") as file:
                while piece := file.read(READ_BYTES):
                    yield piece
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from error


def begin(pieces: Iterator[bytes]) -> tuple[PcapngReader | PcapReader | None, bytes]:
    """The reader for a capture that begins so (None: it is no capture), and its first bytes."""
    start = b""
    for piece in pieces:
        start += piece
        if len(start) >= MAGIC_LENGTH:
            break
    return reader_for(start), start


class Place:
    """Where in a capture its reader is, for the one line that says what is wrong."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._packet: Packet | None = None

    def following(self, packets: Iterator[Packet]) -> Iterator[Packet]:
        """The same packets; while one is looked at, it is the place."""
        for packet in packets:
            self._packet = packet
            yield packet
            self._packet = None

    @contextmanager
    def named(self) -> Iterator[None]:
        """A FormatError becomes BadInput with file, packet number and offset."""
        try:
            yield
        except FormatError as error:
            packet = self._packet
            place = f"packet {packet.number} at byte {packet.offset}: " if packet else ""
            raise BadInput(f"{self._name}: {place}{error}") from error


def pages_of(reader: PcapngReader | PcapReader, start: bytes, pieces: Iterator[bytes]) -> Iterator[list[Packet]]:
    """Every packet, in lists of those that one piece of the file completes.

    FormatError after the last good one when the file is damaged or cut short.
    """
    for piece in chain((start,), pieces):
        page: list[Packet] = []
        try:
            page.extend(reader.feed(piece))
        except FormatError:
            yield page      # an extended list keeps what came before
            raise
        yield page
    reader.finish()


def packets_of(reader: PcapngReader | PcapReader, start: bytes, pieces: Iterator[bytes]) -> Iterator[Packet]:
    """The same packet by packet."""
    for page in pages_of(reader, start, pieces):
        yield from page
