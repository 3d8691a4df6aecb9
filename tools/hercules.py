"""Runs a real Hercules as a System/370 with one processor, for drills and tests: its start, what it says, its end.

Hercules is a program of its own (Debian package `hercules`); here it is only started and stopped. It hangs now and then
when told to quit, so it is killed: what it served is not in it.
Source: configuration and messages as observed on Hercules 3.13 (Debian 3.13-7).
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

PROGRAM = "hercules"
PRINTER = 0x00E
PRINTER_FILE = "printer.txt"
_PSW = re.compile(r"PSW=([0-9A-F]{8}) ([0-9A-F]{8})")
_CONFIGURATION = """ARCHMODE S/370
CPUSERIAL 000001
CPUMODEL 4381
MAINSIZE {megabytes}
NUMCPU 1
"""


class HerculesError(Exception):
    """Hercules is not there, ended, or did not do in time what was waited for."""


def shared_device(number: int, model: str, address: tuple[str, int], *options: str) -> str:
    """The configuration line of a shared device. The host `localhost` means the local socket of that port."""
    return " ".join((f"{number:04X} {model} {address[0]}:{address[1]}:{number:04X}", *options))


class Hercules:
    """One emulated mainframe. Context manager: killed at the end, whatever happens.

    `folder` gets its configuration, its log and what its printer prints; `devices` are configuration lines.
    """

    def __init__(
        self, folder: Path, devices: Sequence[str], commands: Sequence[str] = (), *, megabytes: int = 2
    ) -> None:
        """`megabytes`: its main storage, at most 16."""
        program = shutil.which(PROGRAM)
        if program is None:
            raise HerculesError(f"{PROGRAM} is not installed (Debian package hercules)")
        folder.mkdir(parents=True, exist_ok=True)
        self.printer = folder / PRINTER_FILE
        self.printer.unlink(missing_ok=True)
        self._lines: list[str] = []
        self._news = threading.Condition()
        configuration = folder / "hercules.cnf"
        configuration.write_text(
            _CONFIGURATION.format(megabytes=megabytes)
            + "".join(f"{line}\n" for line in (*devices, f"{PRINTER:04X} 1403 {PRINTER_FILE}"))
        )
        script = folder / "hercules.rc"
        script.write_text("".join(f"{command}\n" for command in commands))
        self._process = subprocess.Popen(
            [program, "-f", configuration.name, "-d"],
            cwd=folder,
            env={"HERCULES_RC": script.name, "PATH": "/usr/bin:/bin", "LANG": "C"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._news:
                self._lines.append(line.decode("latin-1").rstrip())
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def log(self) -> list[str]:
        """What it said so far, line by line."""
        with self._news:
            return list(self._lines)

    @property
    def running(self) -> bool:
        """It has not ended by itself."""
        return self._process.poll() is None

    def command(self, text: str) -> None:
        """Type a command on its panel."""
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode() + b"\n")
        self._process.stdin.flush()

    def wait_for(self, pattern: str, timeout_s: float, start: int = 0) -> str:
        """The first line from `start` on that matches. Raises HerculesError: none in time, or it ended."""
        wanted = re.compile(pattern)
        deadline = time.monotonic() + timeout_s
        with self._news:
            while True:
                for line in self._lines[start:]:
                    if wanted.search(line):
                        return line
                start = len(self._lines)
                left = deadline - time.monotonic()
                if left <= 0 or self._process.poll() is not None:
                    tail = "\n".join(self._lines[-12:])
                    raise HerculesError(f"{PROGRAM}: no {pattern!r} within {timeout_s:.0f} s; it said:\n{tail}")
                self._news.wait(min(left, 0.5))

    def wait_state(self, timeout_s: float) -> int:
        """Wait until the guest stops in a disabled wait; the address in its PSW."""
        line = self.wait_for(_PSW.pattern, timeout_s)
        found = _PSW.search(line)
        assert found is not None
        return int(found[2], 16) & 0xFFFFFF

    def printed(self) -> list[str]:
        """The whole lines that the guest has printed so far."""
        text = self.printer.read_text("latin-1") if self.printer.exists() else ""
        return [line.strip() for line in text.replace("\f", "").splitlines(keepends=True) if line.endswith("\n")]

    def kill(self) -> None:
        """End it at once. What the guest has printed stays."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
