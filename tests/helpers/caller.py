"""Whoever sends commands to a subsystem of a base and its aliases, without links: what comes back, and when."""

from __future__ import annotations

from controller.channel import PathId
from controller.commands.outcome import Command, Outcome
from tests.fuzz.box import Box

BASE, ALIAS, SECOND, OTHER = 0x00, 0xE0, 0xE1, 0x01
A, B, C = (PathId("H", channel, 0) for channel in (0x4001, 0x4002, 0x4003))
CHAIN, SLI = 0x40, 0x20
READS, WRITES = "40", "C0"
COUNT = bytes.fromhex("0000000301000008")
GROUP = bytes(range(1, 12))
ESTABLISH, DISBAND, RESIGN = b"\x80" + GROUP, b"\xa0" + GROUP, b"\xc0" + GROUP  # Set Path Group ID


class Caller:
    """Sends commands to a subsystem and keeps what comes back; no link between."""

    def __init__(self) -> None:
        self.box = Box(features=frozenset({"thin"}), aliases=(ALIAS, SECOND))
        self.subsystem = self.box.subsystem
        self.presented: list[tuple[PathId, int, int]] = []
        self.box.present_status = lambda *status: self.presented.append(status)  # type: ignore[method-assign, assignment]
        self.box.host_paths = lambda: [A, B, C]  # type: ignore[method-assign]

    def send(
        self, path: PathId, unit: int, code: int, argument: bytes | int = 0, *, first: bool = False, last: bool = False
    ) -> list[Outcome]:
        """One command; the list is empty as long as it waits."""
        data = argument if isinstance(argument, bytes) else b""
        count = len(argument) if isinstance(argument, bytes) else argument
        answers: list[Outcome] = []
        flags = SLI | (0 if last else CHAIN)
        self.subsystem.start(path, unit, Command(code, flags, count, data, not first), answers.append)
        return answers

    def extent(self, path: PathId, unit: int, first: int, last: int, mask: str) -> list[Outcome]:
        """Define Extent begins a chain; tracks of cylinder 0."""
        extent = f"{mask}C000000000 0000 0000{first:04X} 0000{last:04X}".replace(" ", "")
        return self.send(path, unit, 0x63, bytes.fromhex(extent), first=True)

    def end(self, path: PathId, unit: int) -> None:
        self.subsystem.end_chain(path, unit)

    def alone(self, path: PathId, unit: int, code: int, argument: bytes | int = 0) -> Outcome:
        """A chain of one command."""
        (answer,) = self.send(path, unit, code, argument, first=True, last=True)
        self.end(path, unit)
        return answer

    def subsystem_data(self, unit: int, order: str, length: int) -> bytes:
        (prepared,) = self.send(A, unit, 0x27, bytes.fromhex(order), first=True)
        assert prepared.status == 0x0C
        (answer,) = self.send(A, unit, 0x3E, length, last=True)
        self.end(A, unit)
        return answer.data

    def give_back(self, path: PathId, unit: int, *extents: str, first: bool = False) -> list[Outcome]:
        """Order 81, the last command of its chain; behind one that asks for something, unless it is the `first`."""
        if not first:
            self.send(path, unit, 0x27, bytes.fromhex("180000000000030000000000"))
            self.send(path, unit, 0x3E, 9)
        named = f"{self.box.settings.volumes[0].identity.lss:02X}{BASE:02X}"
        order = bytes.fromhex(f"81002000{named}{'00' * 14}{len(extents):04X}0000{''.join(extents)}")
        return self.send(path, unit, 0xF7, order, first=first, last=True)


def write(caller: Caller, path: PathId, unit: int, value: int) -> None:
    """Format R1 of track 3 by one chain."""
    assert caller.extent(path, unit, 3, 3, WRITES)[0].status == 0x0C
    locate = bytes.fromhex("03000001 00000003 00000003 00 FF 0000")
    assert caller.send(path, unit, 0x47, locate)[0].status == 0x0C
    assert caller.send(path, unit, 0x1D, COUNT + bytes((value,)) * 8, last=True)[0].status == 0x0C
    caller.end(path, unit)


def read(caller: Caller, path: PathId, unit: int) -> bytes:
    caller.extent(path, unit, 3, 3, READS)
    caller.send(path, unit, 0x47, bytes.fromhex("06000001 00000003 00000003 01 FF 0000"))
    (answer,) = caller.send(path, unit, 0x06, 8, last=True)
    caller.end(path, unit)
    return answer.data
