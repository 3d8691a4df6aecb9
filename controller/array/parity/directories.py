"""A parity array in directories: one for each device, on file systems of their own."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from controller.array.errors import StoreError, StoreLockedError
from controller.array.file_disk import MARKER_NAME, FileDisk
from controller.array.parity.assemble import open_parity
from controller.array.parity.devices import RunAtOnce
from controller.array.parity.disk import ParityDisk
from controller.array.parity.format import CHUNK_BYTES, JOURNAL_BYTES


def open_directories(
    directories: Sequence[Path],
    *,
    parity: int,
    read_only: bool = False,
    chunk_bytes: int = CHUNK_BYTES,
    journal_bytes: int = JOURNAL_BYTES,
) -> ParityDisk:
    """Open the array whose devices are these directories, in order.

    None of them is there, or all are empty: a new array is made. Otherwise a directory that is missing or cannot be
    read is a device that is out: nothing is made in its place (a file system that is not mounted must stay seen).
    Raises StoreError, StoreLockedError.
    """
    new = not any(_has_segments(directory) for directory in directories)
    disks: list[FileDisk | None] = []
    missing = []
    with ExitStack() as opened:
        for directory in directories:
            disk, why = _open(directory, new, read_only)
            disks.append(disk)
            missing.append(why)
            if disk is not None:
                opened.callback(disk.close)
        each = RunAtOnce(len(disks))
        opened.callback(each.close)
        array = open_parity(
            disks,
            parity=parity,
            names=[str(directory) for directory in directories],
            missing=missing,
            chunk_bytes=chunk_bytes,
            journal_bytes=journal_bytes,
            each=each,
        )
        opened.pop_all()
        return array


def _has_segments(directory: Path) -> bool:
    """Whether anything was ever made here: the marker is empty until then."""
    try:
        return (directory / MARKER_NAME).stat().st_size > 0
    except OSError:
        return False


def _open(directory: Path, new: bool, read_only: bool) -> tuple[FileDisk | None, str]:
    """The disk of a directory, or why there is none."""
    if not new and not directory.is_dir():
        return None, "there is no such directory"
    try:
        return FileDisk(directory, read_only=read_only), ""
    except StoreLockedError:
        raise
    except StoreError as error:
        if new:
            raise
        return None, str(error)
