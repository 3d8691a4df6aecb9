"""The checkpoint: the directory as it was at one record of the log, so that recovery need not read what came before.

A checkpoint is a CHECKPOINT record *begin*, whose sequence names it; *parts*, whose payloads laid end to end are one
stream; and an *end*, which says where all of them are. They lie in the log among other records, in this order. The
stream is the directory when begin was appended:

    item      bytes
    "G"       segments: 4-byte count; number (4), length (8) of each
    "P"       a page: track count (2), base (8), newest (8), bytes of a sequence (1: 4 or 8); a bit for each track that
              is written, track 0 in the high bit (64 bytes); locations (8 each), sequences less base (4 or 8 each)
    "C"       a chunk: count of pages (1); position (1) and number (4) of each: pages count from 0 as they appear
    "V"       a volume: number (4), stop (8), written tracks (8); length (4) of attributes, JSON; count of chunks (4);
              index (4) and number (4) of each: chunks count from 0 as they appear
    "="       a value: length (4), then as in PUT
    "."       the end

A page or chunk that several volumes share is there once. All numbers are big-endian.
"""

import json
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from controller.array.directory import Directory, Frozen, Volume, decode_value, encode_attributes, encode_value
from controller.array.errors import CorruptionError
from controller.array.format import Kind, unpack_location
from controller.array.page import CHUNK_PAGES, PAGE_TRACKS, Chunk, Page, Sequences
from controller.array.record_reader import RecordReader
from controller.array.track_map import TrackMap

BEGIN, END = 0, 0xFFFFFFFF
"""Track field of the first and the last record; parts have 1, 2, ... The end has its begin's sequence beside it."""
_PAGE = struct.Struct(">HQQB64s")
_CHUNK_ENTRY = struct.Struct(">BI")
_VOLUME = struct.Struct(">IQQI")
_PAIR = struct.Struct(">II")
_SEGMENT = struct.Struct(">IQ")
_COUNT = struct.Struct(">I")
_END = struct.Struct(">QQI")
_DAMAGE = (ValueError, IndexError, KeyError, struct.error, CorruptionError)


class CheckpointEnd(NamedTuple):
    """The payload of an end: location of the begin, where it is; its sequence; locations of the parts."""

    begin: int
    sequence: int
    parts: tuple[int, ...]

    def encode(self) -> bytes:
        """begin (8), sequence (8), count (4), and 8 bytes for each part."""
        return _END.pack(self.begin, self.sequence, len(self.parts)) + struct.pack(f">{len(self.parts)}Q", *self.parts)

    @classmethod
    def decode(cls, payload: bytes | memoryview) -> "CheckpointEnd":
        """Raises ValueError or struct.error when the length is wrong."""
        begin, sequence, count = _END.unpack_from(payload)
        return cls(begin, sequence, struct.unpack(f">{count}Q", payload[_END.size :]))


def encode_stream(frozen: Frozen, segments: dict[int, int]) -> Iterator[bytes]:
    """The stream in items of at most some kilobytes, so that it can be written in steps."""
    yield b"G" + _COUNT.pack(len(segments)) + b"".join(_SEGMENT.pack(*item) for item in sorted(segments.items()))
    pages: dict[Page, int] = {}
    chunks: dict[Chunk, int] = {}
    for number, attributes, tracks in frozen.volumes:
        entries = tracks.chunks()
        for _, chunk in entries:
            if chunk in chunks:
                continue
            listed = chunk.pages()
            for _, page in listed:
                if page not in pages:
                    pages[page] = len(pages)
                    yield _encode_page(page)
            chunks[chunk] = len(chunks)
            yield b"C" + bytes((len(listed),)) + b"".join(_CHUNK_ENTRY.pack(at, pages[page]) for at, page in listed)
        text = encode_attributes(attributes)
        yield b"".join(
            (
                b"V" + _VOLUME.pack(number, tracks.stop, tracks.allocated, len(text)) + text,
                _COUNT.pack(len(entries)),
                *(_PAIR.pack(index, chunks[chunk]) for index, chunk in entries),
            )
        )
    for key, value in frozen.values.items():
        item = encode_value(key, value)
        yield b"=" + _COUNT.pack(len(item)) + item
    yield b"."


def _encode_page(page: Page) -> bytes:
    written = page.locations != 0
    width = page.sequences.itemsize
    head = _PAGE.pack(page.written, page.base, page.newest, width, np.packbits(written).tobytes())
    locations = page.locations[written].astype(">u8").tobytes()
    sequences: bytes = page.sequences[written].astype(f">u{width}").tobytes()
    return b"".join((b"P", head, locations, sequences))


class _Stream:
    """Takes a stream apart. What is wrong with it is a ValueError, IndexError, KeyError or struct.error."""

    def __init__(self, data: bytes, directory: Directory) -> None:
        self._data = data
        self._at = 0
        self._directory = directory
        self._pages: list[Page] = []
        self._chunks: list[Chunk] = []
        self.segments: dict[int, int] = {}

    def run(self) -> None:
        items = {b"G": self._segments, b"P": self._page, b"C": self._chunk, b"V": self._volume, b"=": self._value}
        while (tag := self._take(1)) != b".":
            items[tag]()
        if self._at != len(self._data):
            raise ValueError("bytes behind the end of the stream")

    def _take(self, length: int) -> bytes:
        data = self._data[self._at : self._at + length]
        if len(data) != length:
            raise ValueError("the stream is cut short")
        self._at += length
        return data

    def _count(self) -> int:
        (count,) = _COUNT.unpack(self._take(_COUNT.size))
        return int(count)

    def _segments(self) -> None:
        count = self._count()
        self.segments = dict(_SEGMENT.iter_unpack(self._take(count * _SEGMENT.size)))

    def _page(self) -> None:
        count, base, newest, width, bits = _PAGE.unpack(self._take(_PAGE.size))
        written = np.unpackbits(np.frombuffer(bits, np.uint8)).astype(bool)
        locations = np.zeros(PAGE_TRACKS, np.uint64)
        locations[written] = np.frombuffer(self._take(count * 8), ">u8")
        sequences: Sequences = np.zeros(PAGE_TRACKS, np.uint32)
        if width != 4:
            sequences = np.zeros(PAGE_TRACKS, np.uint64)
        sequences[written] = np.frombuffer(self._take(count * width), f">u{width}")
        self._pages.append(Page.restored(locations, sequences, base, newest))

    def _chunk(self) -> None:
        chunk = Chunk.new(None)
        for _ in range(self._take(1)[0]):
            position, number = _CHUNK_ENTRY.unpack(self._take(_CHUNK_ENTRY.size))
            if position >= CHUNK_PAGES:
                raise ValueError(f"a page at position {position} of a chunk")
            chunk.put(position, self._pages[number])
        self._chunks.append(chunk)

    def _volume(self) -> None:
        number, stop, allocated, length = _VOLUME.unpack(self._take(_VOLUME.size))
        attributes = json.loads(self._take(length))
        entries = _PAIR.iter_unpack(self._take(self._count() * _PAIR.size))
        chunks = {index: self._chunks[chunk] for index, chunk in entries}
        tracks = TrackMap.restored(self._directory.watch, chunks, stop, allocated)
        self._directory.volumes[number] = Volume(attributes, tracks)

    def _value(self) -> None:
        key, value = decode_value(self._take(self._count()))
        self._directory.values[key] = value


class Loaded(NamedTuple):
    """A checkpoint that was read whole: the directory, the segments of the log then, and where the log goes on."""

    directory: Directory
    segments: dict[int, int]
    segment: int
    offset: int
    sequence: int
    epoch: int


def load_checkpoint(reader: RecordReader, location: int) -> Loaded:
    """Read the checkpoint whose end is at `location`. Raises CorruptionError when anything in it is not whole."""
    try:
        header, payload = reader.read(location, (Kind.CHECKPOINT,))
        end = CheckpointEnd.decode(payload)
        begin, _ = reader.read(end.begin, (Kind.CHECKPOINT,))
        if (header.track, begin.track, begin.sequence) != (END, BEGIN, end.sequence):
            raise ValueError("begin and end do not belong together")
        stream = bytearray()
        for index, part in enumerate(end.parts, 1):
            found, data = reader.read(part, (Kind.CHECKPOINT,))
            if found.track != index:
                raise ValueError(f"part {found.track} in place of part {index}")
            stream += data
        directory = Directory()
        decoder = _Stream(bytes(stream), directory)
        decoder.run()
    except _DAMAGE as error:
        if isinstance(error, CorruptionError):
            raise
        segment, offset, _ = unpack_location(location)
        raise CorruptionError(segment, offset, f"the checkpoint that ends here is damaged: {error}") from error
    segment, offset, _ = unpack_location(end.begin)
    return Loaded(directory, decoder.segments, segment, offset, begin.sequence, begin.epoch)
