"""A directory under which power is lost: what a POSIX file system promises of it, and nothing more.

While it records, the calls of `os` that change files go through it. It knows then what is durable:
 * bytes of a file only after fsync or fdatasync of that file;
 * names only after fsync of the directory. Until then each creation, rename and removal is kept or lost by itself,
   whatever came before or after it; a rename is never half done;
 * a file that lost its name is gone; one whose name is there but whose bytes were not synced has any of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

SECTOR_BYTES = 512
SUBSETS_MAX = 32


class Inode:
    """A file, whatever its names: its bytes as programs see them, and as the medium has them for certain."""

    def __init__(self) -> None:
        self.visible = bytearray()
        self.durable = b""

    def write(self, offset: int, data: bytes) -> None:
        if len(self.visible) < offset + len(data):
            self.visible.extend(bytes(offset + len(data) - len(self.visible)))
        self.visible[offset : offset + len(data)] = data

    def left(self, fate: str, random: Random) -> bytes:
        """What is left of it: all, what was synced, or sectors of both."""
        if fate != "torn":
            return bytes(self.visible) if fate == "kept" else self.durable
        length = random.choice((len(self.durable), len(self.visible)))
        old, new = self.durable.ljust(length, b"\0"), bytes(self.visible).ljust(length, b"\0")
        sectors = range(0, length, SECTOR_BYTES)
        return b"".join(random.choice((old, new))[at : at + SECTOR_BYTES] for at in sectors)[:length]


class Change(NamedTuple):
    """A change of names: `inode` loses the name `old` and gets the name `new`, None for none."""

    inode: Inode
    old: str | None
    new: str | None

    def apply(self, names: dict[str, Inode]) -> None:
        if self.old is not None and names.get(self.old) is self.inode:
            del names[self.old]
        if self.new is not None:
            names[self.new] = self.inode


class CrashDirectory:
    """Records what happens to the files of one directory. `watch` is called before each change of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.watch: Callable[[str], None] = lambda operation: None
        self._names: dict[str, Inode] = {}
        self._durable: dict[str, Inode] = {}
        self._pending: list[Change] = []
        self._open: dict[int, Inode | None] = {}  # None: the directory itself
        self._busy = False

    def left(self, random: Random) -> Iterator[dict[str, bytes]]:
        """The files, by name, that a loss of power now can leave: for every subset of the changes of names (or some,
        where there are many), with all bytes, synced bytes only, and torn writes. First what a kill leaves."""
        count = len(self._pending)
        subsets = list(product((True, False), repeat=count)) if 1 << count <= SUBSETS_MAX else []
        while len(subsets) < min(SUBSETS_MAX, 1 << count):
            subsets.append(tuple(random.random() < 0.5 for _ in range(count)))
        for subset in subsets:
            names = dict(self._durable)
            for change, kept in zip(self._pending, subset, strict=True):
                if kept:
                    change.apply(names)
            unsynced = any(bytes(inode.visible) != inode.durable for inode in names.values())
            for fate in ("kept", "lost", "torn") if unsynced else ("kept",):
                yield {name: inode.left(fate, random) for name, inode in sorted(names.items())}

    @contextmanager
    def recording(self) -> Iterator[None]:
        """While this lasts, `os` is watched."""
        with pytest.MonkeyPatch.context() as patch:
            for name, ours in {
                "open": self._opened,
                "close": self._closed,
                "pwrite": self._pwrite,
                "pwritev": self._pwritev,
                "fsync": self._synced,
                "fdatasync": self._synced,
                "rename": self._renamed,
                "unlink": self._unlinked,
            }.items():
                real = _no_sync if ours == self._synced else getattr(os, name)
                patch.setattr(os, name, self._wrapped(ours, real))
            yield

    def _wrapped(self, ours: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            if self._busy:  # whoever watches uses files of his own
                return real(*arguments, **more)
            return ours(real, *arguments, **more)

        return call

    def _boundary(self, operation: str) -> None:
        self._busy = True
        try:
            self.watch(operation)
        finally:
            self._busy = False

    def _inode_at(self, path: Path, flags: int) -> Inode:
        inode = self._names.get(path.name)
        if inode is None:
            inode = self._names[path.name] = Inode()
            self._pending.append(Change(inode, None, path.name))
        elif flags & os.O_TRUNC:
            inode.visible.clear()
        return inode

    def _opened(self, real: Callable[..., int], path: Any, flags: int, *more: Any, **named: Any) -> int:
        place = Path(path)
        inside = place.parent == self.path
        if inside and flags & os.O_CREAT:
            self._boundary("open")
        file = real(path, flags, *more, **named)
        if place == self.path:
            self._open[file] = None
        elif inside:
            self._open[file] = self._inode_at(place, flags)
        return file

    def _closed(self, real: Callable[..., None], file: int) -> None:
        self._open.pop(file, None)
        real(file)

    def _pwrite(self, real: Callable[..., int], file: int, data: Any, offset: int) -> int:
        return self._write(lambda: real(file, data, offset), file, [data], offset)

    def _pwritev(self, real: Callable[..., int], file: int, parts: Sequence[Any], offset: int) -> int:
        return self._write(lambda: real(file, parts, offset), file, parts, offset)

    def _write(self, real: Callable[[], int], file: int, parts: Sequence[Any], offset: int) -> int:
        inode = self._open.get(file)
        if inode is not None:
            self._boundary("write")
        written = real()
        if inode is not None:
            inode.write(offset, b"".join(parts)[:written])
        return written

    def _synced(self, real: Callable[..., None], file: int) -> None:
        if file in self._open:
            self._boundary("sync")
        real(file)
        inode = self._open.get(file)
        if inode is not None:
            inode.durable = bytes(inode.visible)
        elif file in self._open:
            self._durable = dict(self._names)
            self._pending.clear()

    def _renamed(self, real: Callable[..., None], old: Any, new: Any) -> None:
        self._boundary("rename")
        real(old, new)
        change = Change(self._names[Path(old).name], Path(old).name, Path(new).name)
        self._change(change)

    def _unlinked(self, real: Callable[..., None], path: Any, **more: Any) -> None:
        if Path(path).parent == self.path:
            self._boundary("unlink")
            real(path, **more)
            self._change(Change(self._names[Path(path).name], Path(path).name, None))
        else:
            real(path, **more)

    def _change(self, change: Change) -> None:
        change.apply(self._names)
        self._pending.append(change)


def _no_sync(file: int) -> None:
    """Power is not lost really, and a real sync takes long."""
