"""Channel programs on a real Hercules: a small guest issues them one by one, its CCW trace tells how each went.

The guest is put into storage as it stands and restarted: it takes the entries of a table in turn, starts the channel
program, waits for its end, and after a unit check fetches the sense. Nothing is booted, so every device is under test.
Source: System/370 principles of operation (restart, BC-mode PSW, CAW at 48, CSW at 40, I/O new PSW at 78).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ccw.ccws import CcwFlag, CommandCode
from ccw.plain_images import split_image_file
from tests.helpers.patience import PATIENCE_S
from tests.helpers.utilities import utility
from tools.follower import Followed, follow
from tools.guest import DONE_ADDRESS, FAULT_ADDRESS, ORIGIN, Assembler
from tools.hercules import Hercules
from tools.importing import DeviceChoice, opened
from tools.recorded_devices import InProcess

CD, CC, SLI, SKIP = int(CcwFlag.CD), int(CcwFlag.CC), int(CcwFlag.SLI), int(CcwFlag.SKIP)
TABLE, ENTRY_BYTES = 0x2000, 24  # device, CCW address, CSW (8), address of the CCW that senses, zero
CHAINS, STORAGE_BYTES = 0x40000, 0xF0_0000
INPUT = STORAGE_BYTES - 0x20000  # where all reads go
SENSE_BYTES, SLOT_BYTES = 32, 16
RESTART_PSW, PROGRAM_PSW, IO_PSW = 0x00, 0x68, 0x78
MODELS = {"3390": "3390-1", "9345": "9345-1"}  # what dasdinit calls them, where the type alone is no model

Step = tuple[int, int, bytes | int]  # code, flags, what is sent or how much is to be read; TIC: to which step


@dataclass(frozen=True, slots=True)
class Chain:
    """One channel program for one device."""

    device: int
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What replaying the trace showed; `tracks`: device and number of those that are not as Hercules left them."""

    followed: Followed
    tracks: tuple[tuple[int, int], ...]


def storage(chains: Sequence[Chain]) -> bytes:
    """The guest with its programs, from address 0 on."""
    memory = bytearray(STORAGE_BYTES)

    def put(address: int, content: bytes) -> None:
        memory[address : address + len(content)] = content

    code, resume = _guest()
    put(RESTART_PSW, bytes(4) + ORIGIN.to_bytes(4, "big"))
    put(PROGRAM_PSW, bytes.fromhex("00020000") + FAULT_ADDRESS.to_bytes(4, "big"))
    put(IO_PSW, bytes(4) + resume.to_bytes(4, "big"))
    put(ORIGIN, code)
    here = CHAINS
    assert TABLE + ENTRY_BYTES * (len(chains) + 1) <= CHAINS
    for number, chain in enumerate(chains):
        sense, content = _chain(here, chain)
        put(here, content)
        entry = chain.device.to_bytes(4, "big") + here.to_bytes(4, "big") + bytes(8) + sense.to_bytes(4, "big")
        put(TABLE + ENTRY_BYTES * number, entry)
        here += len(content)
        assert here < INPUT
    return bytes(memory)


def _chain(start: int, chain: Chain) -> tuple[int, bytes]:
    """The CCWs of a chain, one that senses, and their data, to be put at `start`; the address of the sensing CCW."""
    sense = start + 8 * len(chain.steps)
    data_at = sense + 8 + SENSE_BYTES
    ccws, data = b"", b""
    for code, flags, what in chain.steps:
        if code == CommandCode.TRANSFER_IN_CHANNEL:
            assert isinstance(what, int)
            address, count = start + 8 * what, 1
        elif isinstance(what, int):
            address, count = INPUT, what
        else:
            address, count = data_at + len(data), len(what)
            data += what.ljust(-(-max(count, 1) // SLOT_BYTES) * SLOT_BYTES, b"\0")
        ccws += bytes((code,)) + address.to_bytes(3, "big") + bytes((flags, 0)) + count.to_bytes(2, "big")
    ccws += bytes((CommandCode.SENSE,)) + (sense + 8).to_bytes(3, "big") + bytes((SLI, 0, 0, SENSE_BYTES))
    content = ccws + bytes(SENSE_BYTES) + data
    return sense, content.ljust(-(-len(content) // 8) * 8, b"\0")


def _guest() -> tuple[bytes, int]:
    """The program, and where it goes on after an interruption."""
    asm = Assembler()
    asm.rr(0x05, 12, 0)  # BALR
    asm.rx(0x58, 2, "table")
    asm.label("next")
    asm.data(bytes.fromhex("58302000 1233"))  # L 3,0(2); LTR 3,3
    asm.rx(0x47, 0b1000, "end")
    asm.data(bytes.fromhex("D203 0048 2004"))  # MVC CAW,4(2)
    asm.rx(0x45, 14, "start")  # BAL
    asm.data(bytes.fromhex("D207 2008 0040 9102 0044"))  # MVC 8(8,2),CSW; TM unit check
    asm.rx(0x47, 0b1000, "advance")
    asm.data(bytes.fromhex("D203 0048 2010"))  # MVC CAW,16(2)
    asm.rx(0x45, 14, "start")
    asm.label("advance")
    asm.data(bytes((0x41, 0x20, 0x20, ENTRY_BYTES)))  # LA 2,24(2)
    asm.rx(0x47, 0xF, "next")
    asm.label("start")
    asm.data(bytes.fromhex("9C003000"))  # SIO 0(3)
    asm.rx(0x47, 0b1000, "wait")
    asm.rx(0x47, 0b0010, "start")  # busy
    asm.rx(0x47, 0b0001, "fault")
    asm.rr(0x07, 0xF, 14)  # CSW stored: back
    asm.label("wait")
    asm.si(0x82, "waiting", 0)
    asm.label("resume")
    asm.data(bytes.fromhex("91040044"))  # TM device end
    asm.rx(0x47, 0b1000, "wait")
    asm.rr(0x07, 0xF, 14)
    asm.label("end")
    asm.si(0x82, "done", 0)
    asm.label("fault")
    asm.si(0x82, "stopped", 0)
    asm.align(8)
    for name, psw in (("waiting", 0xFE020000_00000000), ("done", 0x00020000_00000000 | DONE_ADDRESS),
                      ("stopped", 0x00020000_00000000 | FAULT_ADDRESS)):  # fmt: skip
        asm.label(name)
        asm.data(psw.to_bytes(8, "big"))
    asm.label("table")
    asm.data(TABLE.to_bytes(4, "big"))
    return asm.finish(), asm.address_of("resume")


def record(folder: Path, devices: Mapping[int, tuple[str, int]], chains: Sequence[Chain]) -> None:
    """Run the chains on volumes as `dasdinit` makes them: `devices` has type and cylinders by number.

    Leaves hercules.log, and for each device before-NNNN.ckd and disk-NNNN.ckd. Input and output are not begun
    synchronously: Hercules would start over what a track that is not in its cache held up.
    """
    lines = []
    for number, (device_type, cylinders) in devices.items():
        before = folder / f"before-{number:04X}.ckd"
        model = MODELS.get(device_type, device_type)
        utility("dasdinit", before, model, f"TB{number:04X}", cylinders, makes=before)
        shutil.copy(before, folder / f"disk-{number:04X}.ckd")
        lines.append(f"{number:04X} {device_type} disk-{number:04X}.ckd nosyncio")
    (folder / "storage.bin").write_bytes(storage(chains))
    commands = [*(f"t+{number:04X}" for number in devices), "loadcore storage.bin 0", "restart"]
    with Hercules(folder, lines, commands, megabytes=16) as guest:
        ended = guest.wait_state(PATIENCE_S)
        (folder / "hercules.log").write_text("\n".join(guest.log), "latin-1")
    assert ended == DONE_ADDRESS, f"the guest stopped at {ended:X}"


def replay(folder: Path, devices: Mapping[int, tuple[str, int]]) -> Outcome:
    """Replay what `record` left, as `trackbridge replay` would, and compare every track besides."""
    choices = [
        DeviceChoice(number, device_type, cylinders, folder / f"before-{number:04X}.ckd")
        for number, (device_type, cylinders) in devices.items()
    ]
    followed, different = Followed(), []
    with opened(folder / "hercules.log", choices) as recording:
        system = InProcess(recording)
        for program in recording.programs():
            system.run(program.device, follow(program, followed))
        for number in devices:
            ours = dict(system.images(number))
            _, theirs = split_image_file((folder / f"disk-{number:04X}.ckd").read_bytes())
            different += [(number, track) for track, image in theirs if ours[track] != image]
    return Outcome(followed, tuple(different))
