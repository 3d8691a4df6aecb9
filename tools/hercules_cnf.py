"""Reads the DASD lines of a Hercules configuration, and writes the lines that attach shared devices instead.

A device statement: one or several device numbers, a device type, and for CKD devices a file and options. Numbers are
hexadecimal: `0120`, `0:0120`, `0120-0123`, `0120,0124`, `0120.4`. `#` and `*` in front make a line a comment.
Source: observed on Hercules 3.13 and 4.9 (hercules-interop.md 1.11, 3.5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ccw.geometry import MODELS
from controller.config import ConfigError

READ_ONLY = frozenset({"ro", "rdonly", "readonly"})
_NUMBERS = re.compile(r"(?:[0-9A-Fa-f]:)?[0-9A-Fa-f]{1,4}(?:[-.,][0-9A-Fa-f]{1,4})*")
_REMOTE = re.compile(r"[^/\\]+:\d+(:[0-9A-Fa-f]{1,4})?")


class DasdLine(NamedTuple):
    """One CKD device with a local image. `where`: the file and the line in it, from 1, as `FILE:LINE`."""

    where: str
    number: int
    device_type: str
    image: Path
    shadows: Path | None
    read_only: bool


def dasd_lines(path: Path) -> list[DasdLine]:
    """The CKD devices of a configuration file and of files it includes. Raises ConfigError: what, in which line."""
    found: list[DasdLine] = []
    seen: dict[int, str] = {}
    for where, text in _statements(path, ()):
        for entry in _device(where, text):
            if entry.number in seen:
                raise ConfigError(f"{where}: device {entry.number:04X} is defined twice, first in {seen[entry.number]}")
            seen[entry.number] = where
            found.append(entry)
    return found


def _statements(path: Path, above: tuple[Path, ...]) -> Iterator[tuple[str, str]]:
    """(file:line, text) of every statement, comments left out, INCLUDE followed. `above`: the files that led here."""
    itself = path.resolve()  # however it is named
    if itself in above:
        raise ConfigError(f"{path}: includes itself")
    try:
        lines = path.read_text(encoding="latin-1").splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text or text.startswith("*"):
            continue
        words = text.split()
        if words[0].upper() == "INCLUDE" and len(words) > 1:
            yield from _statements(path.parent / words[1], (*above, itself))
        else:
            yield f"{path}:{number}", text


def _device(where: str, text: str) -> Iterator[DasdLine]:
    words = text.split()
    if len(words) < 3 or words[1] not in MODELS or not _NUMBERS.fullmatch(words[0]):
        return
    if _REMOTE.fullmatch(words[2]):
        return  # shared by another server already
    numbers = _numbers(words[0])
    if not numbers:
        raise ConfigError(f"{where}: {words[0]} names no device")
    if len(numbers) > 1:
        raise ConfigError(f"{where}: {len(numbers)} devices cannot have one image")
    base = Path(where.rpartition(":")[0]).parent
    shadows: Path | None = None
    read_only = False
    for option in words[3:]:
        if option.startswith("sf="):
            shadows = base / option[3:].strip('"')
        read_only |= option.lower() in READ_ONLY
    yield DasdLine(where, numbers[0], words[1], base / words[2].strip('"'), shadows, read_only)


def _numbers(text: str) -> list[int]:
    text = text.rpartition(":")[2]
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        start, dot, count = first.partition(".")
        begin = int(start, 16)
        end = int(last, 16) if dash else begin + (int(count) if dot and count.isdigit() else 1) - 1
        found += range(begin, end + 1)
    return found


def shared_line(number: int, device_type: str, host: str, port: int, *, read_only: bool = False) -> str:
    """The configuration line that attaches a shared device. Never `localhost`, which would mean a local socket."""
    host = "127.0.0.1" if host in ("localhost", "0.0.0.0") else host
    return f"{number:04X} {device_type} {host}:{port}:{number:04X}" + (" ro" if read_only else "")
