"""One file of a compressed image: headers and tables, read and checked; images by offset.

Checked before a track is read: that no other program has the file open or left it unclosed; that the headers fit each
other; that every table and every stored image lies inside the file, behind the headers, and that no two of them
overlap. The tables are read again when tracks are, 256 tracks at a time.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ccw.errors import FormatError
from ccw.image_files import (
    COMPRESSED_HEADER_BYTES,
    DEVICE_HEADER_BYTES,
    LEVEL1_AT,
    LEVEL2_TRACKS,
    CompressedHeader,
    DeviceHeader,
    ImageForm,
    ImageOption,
    tables_of,
)
from controller.array.images.errors import ImageError, format_fault, image_errors
from controller.array.images.source import geometry_of_image

_TABLE = -1
"""Label of a level-2 table among the tracks of the overlap check; group g has label _TABLE - g."""


class CompressedFile:
    """An open file with its headers. Closed by `with`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with image_errors(path):
            self._file = os.open(path, os.O_RDONLY)
        try:
            self._read_headers()
        except BaseException:
            os.close(self._file)
            raise

    def _read_headers(self) -> None:
        with image_errors(self.path):
            self.bytes = os.fstat(self._file).st_size
        data = self.read(0, DEVICE_HEADER_BYTES)
        try:
            self.header = DeviceHeader.decode(data)
        except FormatError as error:
            raise format_fault(self.path, error, 0) from error
        self.form = ImageForm(self.header.form)
        if self.form.is_plain:
            raise ImageError(self.path, "a plain image, not a compressed one", offset=0)
        data = self.read(DEVICE_HEADER_BYTES, COMPRESSED_HEADER_BYTES)
        self.tables = tables_of(self.form, data)
        self.compressed: CompressedHeader = self.tables.header.decode(data)
        self._check_headers()
        level1 = self.read(LEVEL1_AT, self.compressed.level1_entries * self.tables.level1.itemsize)
        self._level1 = np.frombuffer(level1, self.tables.level1)

    def _check_headers(self) -> None:
        header, compressed = self.header, self.compressed
        offset_of = self.tables.header.offset_of
        if compressed.options & ImageOption.OPEN:
            reason = (
                "open for writing in another program, or not closed in order (option bit 80): "
                "close it there, or repair it with cckdcdsk"
            )
            raise self._header_fault(reason, 3)
        if header.file_number or header.highest_cylinder:
            reason = f"file {header.file_number}, highest cylinder {header.highest_cylinder}: not of a compressed file"
            raise ImageError(self.path, reason, offset=17)
        self.geometry = geometry_of_image(self.path, header, compressed.cylinders)
        tracks = self.geometry.tracks
        if compressed.level2_entries != LEVEL2_TRACKS:
            reason = f"{compressed.level2_entries} entries in a level-2 table, not {LEVEL2_TRACKS}"
            raise self._header_fault(reason, offset_of("level2_entries"))
        if compressed.level1_entries != -(-tracks // LEVEL2_TRACKS):
            reason = f"{compressed.level1_entries} level-1 entries for {tracks} tracks"
            raise self._header_fault(reason, offset_of("level1_entries"))
        if compressed.file_bytes > self.bytes:
            reason = f"cut short: {self.bytes} bytes of {compressed.file_bytes}"
            raise ImageError(self.path, reason, offset=self.bytes)

    def _header_fault(self, reason: str, offset: int) -> ImageError:
        return ImageError(self.path, f"compressed header: {reason}", offset=DEVICE_HEADER_BYTES + offset)

    def read(self, offset: int, length: int, track: int | None = None) -> bytes:
        """Exactly `length` bytes. Raises ImageError."""
        with image_errors(self.path):
            data = os.pread(self._file, length, offset)
        if len(data) != length:
            reason = f"cut short: {length} bytes at {offset} are not all there"
            raise ImageError(self.path, reason, track=track, offset=offset + len(data))
        return data

    def _pointer(self, group: int) -> int:
        return int(self._level1[group])

    def _entries(self, group: int) -> NDArray[Any]:
        """The level-2 table of a group whose level-1 entry is an offset."""
        data = self.read(self._pointer(group), self.tables.level2_bytes, group * LEVEL2_TRACKS)
        return np.frombuffer(data, self.tables.level2)

    def group(self, group: int) -> list[tuple[int, int]] | int | None:
        """What the file says of 256 tracks.

        Offset and length of each; or an int, the format of the null tracks that they all are; or None: ask the next
        older file.
        """
        pointer = self._pointer(group)
        if pointer == self.tables.unset and self.form.is_shadow:
            return None
        if pointer == 0:
            return self.compressed.null_format
        entries = self._entries(group)
        return list(zip(entries["offset"].tolist(), entries["length"].tolist(), strict=True))

    def check(self) -> None:
        """Raise ImageError unless all tables and images lie inside the file, none over another."""
        space = _Space(self)
        for group in range(self.compressed.level1_entries):
            pointer = self._pointer(group)
            if pointer == 0 or (pointer == self.tables.unset and self.form.is_shadow):
                continue
            labels = np.array([_TABLE - group])
            offsets = np.array([pointer], np.uint64)
            space.add(labels, offsets, np.array([self.tables.level2_bytes], np.uint32))
            entries = self._entries(group)[: self.geometry.tracks - group * LEVEL2_TRACKS]
            stored = entries["offset"] != 0
            if self.form.is_shadow:
                stored &= entries["offset"] != self.tables.unset
            (indexes,) = np.nonzero(stored)
            chosen = entries[indexes]
            space.add(group * LEVEL2_TRACKS + indexes, chosen["offset"], chosen["length"])
        space.check_overlaps()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)


class _Space:
    """What takes space in a file: tables and images, by where they begin. 16 bytes for each."""

    def __init__(self, file: CompressedFile) -> None:
        self._file = file
        self._least = LEVEL1_AT + file.compressed.level1_entries * file.tables.level1.itemsize
        self._labels: list[NDArray[np.int32]] = []
        self._starts: list[NDArray[np.uint64]] = []
        self._lengths: list[NDArray[np.uint32]] = []

    def add(self, labels: NDArray[Any], starts: NDArray[Any], lengths: NDArray[Any]) -> None:
        """Note areas. Raises ImageError for one that lies outside."""
        starts = starts.astype(np.uint64)
        lengths = lengths.astype(np.uint32)
        size = self._file.bytes
        room = np.where(starts <= size, np.uint64(size) - np.minimum(starts, np.uint64(size)), np.uint64(0))
        outside = (starts < self._least) | (starts > size) | (lengths > room)
        if outside.any():
            index = int(np.argmax(outside))
            start, length = int(starts[index]), int(lengths[index])
            where = "over the headers" if start < self._least else f"outside the file of {size} bytes"
            raise self._fault(int(labels[index]), start, f"of {length} bytes at {start} is {where}")
        self._labels.append(labels.astype(np.int32))
        self._starts.append(starts)
        self._lengths.append(lengths)

    def check_overlaps(self) -> None:
        """Raise ImageError if two areas share a byte."""
        if not self._starts:
            return
        starts = np.concatenate(self._starts)
        order = np.argsort(starts, kind="stable")
        starts = starts[order]
        stops = starts + np.concatenate(self._lengths)[order]
        overlaps = stops[:-1] > starts[1:]
        if overlaps.any():
            index = int(np.argmax(overlaps))
            labels = np.concatenate(self._labels)[order]
            other, start = int(labels[index]), int(starts[index + 1])
            name = f"the level-2 table of track {(_TABLE - other) * LEVEL2_TRACKS}" if other < 0 else f"track {other}"
            raise self._fault(int(labels[index + 1]), start, f"at {start} overlaps {name} at {int(starts[index])}")

    def _fault(self, label: int, offset: int, reason: str) -> ImageError:
        if label < 0:
            track = (_TABLE - label) * LEVEL2_TRACKS
            return ImageError(self._file.path, f"the level-2 table {reason}", track=track, offset=offset)
        return ImageError(self._file.path, f"the stored image {reason}", track=label, offset=offset)
