"""`trackbridge drill`: a site is lost while an emulated mainframe writes; nothing that its guest saw complete is gone.

Each round is new: systems A and B with a bridge, the data volume of A in duplex with B's; a Hercules guest boots from a
volume of A, writes numbered records to the data volume, and prints each number when its write is complete. At a random
instant A is killed (SIGKILL), and the guest within the second after which Hercules would report success by itself. The
pair is recovered at B; a second guest boots from B, reads every record and prints its number. Every number that the
first guest printed must be there, or a later one that was written over it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import trio
from rich.console import Console
from rich.table import Table

from ccw.geometry import geometry_for
from ccw.plain_images import plain_header
from ccw.tracks import null_track
from host_emulator import orders
from host_emulator.channel import InterfaceControlCheck
from host_emulator.session import open_session
from tools.bad_input import BadInput, first_of
from tools.demo_sites import (
    BRIDGE,
    DATA_BRIDGE,
    PEER_PORTS,
    STATUS_BRIDGE,
    SYSTEMS,
    SiteProcess,
    port_lines,
    start_site,
    write_toml,
)
from tools.failback_drill import Journey, run_journey
from tools.guest import DONE_ADDRESS, MISSING, TORN, Task, boot_track, reader_program, writer_program
from tools.hercules import PRINTER, Hercules, HerculesError, shared_device
from tools.operator import define_bridge, establish_bridge, send, until_duplex

CYLINDERS, HEADS = 20, 15
BASE, DATA, WRITER, READER = 0x00, 0x23, 0x24, 0x25  # unit addresses; device numbers are 0100 higher
DEVICES = 0x0100
TASK = Task(DEVICES | DATA, PRINTER, first_track=HEADS, tracks=270, count=1_000_000)
FIRST_KILL_S, LAST_KILL_S = 0.05, 1.5
WAIT_S = 180.0
STOP_S = 1.0  # the client reports success by itself about 1.2 s after its server went away


@dataclass(frozen=True, slots=True)
class Round:
    """What one round showed. `printed`: writes the guest saw complete; `lost`: numbers of them that are not at B."""

    number: int
    printed: int
    newest_at_b: int
    lost: tuple[int, ...]
    torn: int
    stopped_ms: float
    seconds: float

    @property
    def good(self) -> bool:
        return not self.lost and not self.torn and self.printed > 0


def lost_numbers(printed: int, found: list[str], tracks: int) -> tuple[int, ...]:
    """Which of the numbers 1 to `printed` neither are on their track nor were written over by a later one.

    `found`: what the reader printed, track by track.
    """
    lost = []
    for number in range(max(1, printed - tracks + 1), printed + 1):
        text = found[(number - 1) % tracks]
        if not text.isdigit() or int(text) < number:
            lost.append(number)
    return tuple(lost)


class Drill:
    """One round in a folder of its own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for address, program in ((WRITER, writer_program(TASK)), (READER, reader_program(_reading()))):
            _boot_image(folder / f"{address:02X}.ckd", program)
        self.b = stack.enter_context(start_site(folder, self._config("B", None)))
        self.a = stack.enter_context(start_site(folder, self._config("A", self.b)))

    def _config(self, name: str, peer: SiteProcess | None) -> Path:
        system = SYSTEMS[name]
        lines = [
            f'name = "{name}"\nserial = "{system.serial}"\nssid = "{system.ssid:04X}"\nlss = "00"\nprofile = "3990-6"',
            f'store = "store-{name}"\n\n[shared_dasd]\nlisten = "127.0.0.1:0"',
        ]
        for address in (BASE, DATA, WRITER, READER, DATA_BRIDGE, STATUS_BRIDGE):
            lines.append(f'\n[[volume]]\naddress = "{address:02X}"\ndevice_number = "{DEVICES | address:04X}"')
            lines.append(f'type = "3390"\ncylinders = {CYLINDERS}')
            if address in (WRITER, READER):
                lines.append(f'image = "{address:02X}.ckd"')
        lines += port_lines(name, None if peer is None else peer.listening)
        return write_toml(self._folder, name, lines)

    async def mirror(self) -> None:
        """Bridge, pair, and wait until it is duplex."""
        a, b = SYSTEMS["A"], SYSTEMS["B"]
        async with open_session(*self.a.host_address) as to_a, open_session(*self.b.host_address) as to_b:
            await define_bridge(to_a, a, BRIDGE, sends=True)
            await define_bridge(to_b, b, BRIDGE, sends=False)
            await send(to_a, BASE, orders.establish_path(a, b, PEER_PORTS["A"]), patience_s=WAIT_S)
            await establish_bridge(to_a, a, b, BRIDGE)
            await send(to_a, DATA, orders.establish_pair(a, b, DATA, DATA))
            await until_duplex(to_a, [DATA], WAIT_S)

    async def recover(self) -> None:
        """Make the secondary at B a volume that its guests may use."""
        async with open_session(*self.b.host_address) as to_b:
            await send(to_b, DATA, orders.recover_pair(SYSTEMS["A"], SYSTEMS["B"], DATA, DATA))

    def guest(self, name: str, site: SiteProcess, boot: int) -> Hercules:
        """A guest of a site, booting."""
        lines = [shared_device(DEVICES | address, "3390", site.shared_address) for address in (boot, DATA)]
        return Hercules(self._folder / name, lines, [f"ipl {DEVICES | boot:04X}"])


def _reading() -> Task:
    return Task(TASK.disk, TASK.printer, TASK.first_track, TASK.tracks, TASK.tracks)


def _boot_image(path: Path, program: bytes) -> None:
    geometry = geometry_for("3390", CYLINDERS)
    with path.open("wb") as file:
        file.write(plain_header(HEADS, geometry.track_size, 0x3390))
        for track in range(geometry.tracks):
            image = boot_track(program) if track == 0 else null_track(*divmod(track, HEADS))
            file.write(image.ljust(geometry.track_size, b"\0"))


def run_round(folder: Path, number: int, seed: int) -> Round:
    """One round. Raises HerculesError, RuntimeError when something else than the drill fails."""
    began = time.monotonic()
    delay = random.Random(seed).uniform(FIRST_KILL_S, LAST_KILL_S)
    with ExitStack() as stack:
        drill = Drill(folder, stack)
        trio.run(drill.mirror)
        with drill.guest("first", drill.a, WRITER) as writer:
            deadline = time.monotonic() + WAIT_S
            while not writer.printed():
                if time.monotonic() > deadline or not writer.running:
                    raise HerculesError("the guest wrote nothing:\n" + "\n".join(writer.log[-12:]))
                time.sleep(0.005)
            time.sleep(delay)
            drill.a.process.send_signal(signal.SIGKILL)
            killed = time.monotonic()
            os.kill(writer.pid, signal.SIGKILL)
            stopped = time.monotonic() - killed  # it does nothing more, however long its end takes
            writer.kill()
            printed = writer.printed()
        if stopped > STOP_S:
            raise RuntimeError(f"the guest was stopped {stopped:.1f} s after its site: too late to tell what it saw")
        if printed != [f"{value:08d}" for value in range(1, len(printed) + 1)]:
            raise RuntimeError(f"the guest did not count: {printed[-3:]}")
        if drill.a.process.wait() != -signal.SIGKILL:
            raise RuntimeError(f"system A ended by itself with status {drill.a.process.returncode}")
        trio.run(drill.recover)
        with drill.guest("second", drill.b, READER) as reader:
            address = reader.wait_state(WAIT_S)
            found = reader.printed()
        if address != DONE_ADDRESS or len(found) != TASK.tracks:
            raise RuntimeError(f"the reading guest stopped at {address:X} after {len(found)} records")
    numbers = [int(text) for text in found if text not in (MISSING, TORN)]
    return Round(
        number,
        len(printed),
        max(numbers, default=0),
        lost_numbers(len(printed), found, TASK.tracks),
        found.count(TORN),
        stopped * 1e3,
        time.monotonic() - began,
    )


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="trackbridge-drill-") as name:
        yield Path(name)


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="How often a site is lost.")
@click.option("--seed", type=int, default=None, help="Repeats the instants of an earlier drill.")
@click.option("--failback", is_flag=True, help="Go on at B, bring A back, and go home again; needs no hercules.")
@click.option("--keep", type=click.Path(path_type=Path), metavar="DIR", help="Leave stores, logs and printouts there.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def drill(rounds: int, seed: int | None, failback: bool, keep: Path | None, as_json: bool) -> None:
    """Lose a site while an emulated mainframe writes to it, go on at the other, and look for what is missing.

    Needs hercules, unless --failback has a host of its own write. Exit status 1: a write that was seen complete is
    missing, or, after failback, the sites differ.
    """
    seed = random.SystemRandom().randrange(1 << 32) if seed is None else seed
    console = Console(stderr=True)
    done: list[Round | Journey] = []
    with _folder(keep) as folder:
        for number in range(1, rounds + 1):
            try:
                one_round = run_journey if failback else run_round
                done.append(one_round(folder / f"round-{number}", number, seed + number))
            except* (HerculesError, RuntimeError, OSError, InterfaceControlCheck, trio.TooSlowError) as group:
                why = str(first_of(group)) or "it took too long"
                raise BadInput(f"round {number} (seed {seed}): {why}") from group
            if console.is_terminal:
                console.print(f"round {number} of {rounds}: {len(done[-1].lost)} lost")
    good = all(one.good for one in done)
    if as_json:
        click.echo(json.dumps({"seed": seed, "good": good, "rounds": [asdict(one) for one in done]}, indent=2))
    else:
        Console().print(_table(done))
        click.echo(f"seed {seed}: " + ("nothing that was seen complete was lost" if good else "DATA WERE LOST"))
    if not good:
        raise SystemExit(1)


def _table(done: Sequence[Round | Journey]) -> Table:
    if isinstance(done[0], Journey):
        table = Table("round", "writes at A", "at B alone", "at B duplex", "home", "different", "lost", "seconds")
        for one in done:
            assert isinstance(one, Journey)
            table.add_row(
                str(one.number), str(one.before), str(one.at_b_alone), str(one.at_b_duplex), str(one.home),
                str(one.different), str(len(one.lost)), f"{one.seconds:.1f}",
            )  # fmt: skip
        return table
    table = Table("round", "writes seen complete", "newest at B", "lost", "torn", "guest stopped after", "seconds")
    for one in done:
        assert isinstance(one, Round)
        table.add_row(
            str(one.number), f"{one.printed:,}", f"{one.newest_at_b:,}", str(len(one.lost)), str(one.torn),
            f"{one.stopped_ms:.0f} ms", f"{one.seconds:.1f}",
        )  # fmt: skip
    return table
