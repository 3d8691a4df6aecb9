"""Two storage systems for demonstrations, drills and benchmarks: their configuration files and their processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from host_emulator.orders import System
from tools.operator import Bridge
from tools.recording import RecordedDevice

HOST_PORT = 0x0001
PEER_PORTS = {"A": (0x10, 0x11, 0x12, 0x13), "B": (0x20, 0x21, 0x22, 0x23)}
SMALL_CYLINDERS = 20
DATA_BRIDGE, STATUS_BRIDGE = 0xF0, 0xF1
BRIDGE = Bridge(1, DATA_BRIDGE, STATUS_BRIDGE)
SYSTEMS = {"A": System(0x0100, 0, "000000012345"), "B": System(0x0200, 0, "000000067890")}  # where no recording says
STOP_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What the demonstration builds: volumes by unit address with their cylinders, the recorded volume among them."""

    traced: RecordedDevice
    small: tuple[int, ...] = (0x00, 0x01, 0x02)

    @property
    def volumes(self) -> dict[int, int]:
        return {**dict.fromkeys(self.small, SMALL_CYLINDERS), self.traced.unit_address: self.traced.cylinders}

    def system(self, name: str) -> System:
        """A is the recorded machine, so that what it says of itself agrees with the recording; B is another one."""
        traced = self.traced
        if name == "A":
            return System(traced.ssid, traced.ssid >> 8, traced.serial)
        return System(0x0200, 0x02, "000000067890")


def write_config(folder: Path, name: str, plan: Plan, peers: Mapping[int, str] | None) -> Path:
    """The TOML file of one system. `peers`: where B's peer ports listen, by their SAID; None for B itself."""
    system = plan.system(name)
    lines = [
        f'name = "{name}"',
        f'serial = "{system.serial}"',
        f'ssid = "{system.ssid:04X}"',
        f'lss = "{system.lss:02X}"',
        f'profile = "{plan.traced.control_unit}"',
        'link_protocol = "parallel"  # as the recorded machine describes its paths',
        f'store = "store-{name}"',
    ]
    for address, cylinders in {**plan.volumes, DATA_BRIDGE: SMALL_CYLINDERS, STATUS_BRIDGE: SMALL_CYLINDERS}.items():
        lines += ["", "[[volume]]", f'address = "{address:02X}"', 'type = "3390"', f"cylinders = {cylinders}"]
        if name == "A" and address == plan.traced.unit_address and plan.traced.initial is not None:
            lines.append(f"image = {json.dumps(str(plan.traced.initial.resolve()))}")
    return write_toml(folder, name, [*lines, *port_lines(name, peers)])


def port_lines(
    name: str, peers: Mapping[int, str] | None, *, count: int = 4, peer: str = "", connecting: str = ""
) -> list[str]:
    """The ports in the file of a system: for hosts, and `count` between the systems.

    peers: where B's listen, for A. peer, connecting: one more line for each of them, and for those that connect.
    """
    lines = ["", "[[port]]", f'said = "{HOST_PORT:04X}"', 'kind = "host"', 'listen = "127.0.0.1:0"']
    for said, far in zip(PEER_PORTS[name][:count], PEER_PORTS["B"][:count], strict=True):
        where = ['listen = "127.0.0.1:0"'] if peers is None else [f'connect = "{peers[far]}"', connecting]
        lines += ["", "[[port]]", f'said = "{said:04X}"', 'kind = "peer"', *filter(None, (peer, *where))]
    return lines


def write_toml(folder: Path, name: str, lines: Iterable[str]) -> Path:
    """Write the file of one system."""
    path = folder / f"{name}.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@dataclass(slots=True)
class SiteProcess:
    """One running `trackbridge serve`."""

    name: str
    folder: Path
    process: subprocess.Popen[str]
    listening: dict[int, str]
    shared: str = ""
    management: str = ""  # URL

    @property
    def shared_address(self) -> tuple[str, int]:
        """Where emulated mainframes reach it."""
        host, _, port = self.shared.rpartition(":")
        return host, int(port)

    @property
    def host_address(self) -> tuple[str, int]:
        host, _, port = self.listening[HOST_PORT].rpartition(":")
        return host, int(port)

    @property
    def store(self) -> Path:
        return self.folder / f"store-{self.name}"

    def events(self) -> Iterator[dict[str, Any]]:
        """The event log so far."""
        with suppress(FileNotFoundError), (self.store / "events.jsonl").open(encoding="utf-8") as log:
            for line in log:
                with suppress(json.JSONDecodeError):  # the last line may be half written
                    yield json.loads(line)

    async def stop(self) -> dict[str, Any]:
        """End it in order; its closing statistics. Raises RuntimeError when it does not end, or ends otherwise."""
        self.process.terminate()
        try:
            await trio.to_thread.run_sync(self.process.wait, STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"system {self.name} has not ended {STOP_TIMEOUT_S:g} s after it was told to") from error
        if self.process.returncode != 0:
            raise RuntimeError(f"system {self.name} ended with status {self.process.returncode}")
        return [event for event in self.events() if event["text"] == "system stopped"][-1]


@contextmanager
def start_site(folder: Path, config: Path, *options: str) -> Iterator[SiteProcess]:
    """Start the system of a configuration. `options`: more options of `trackbridge serve`. As `start_serving`."""
    with start_serving(folder, config.stem, (*options, str(config))) as site:
        yield site


@contextmanager
def start_serving(folder: Path, name: str, arguments: Iterable[str]) -> Iterator[SiteProcess]:
    """Run `trackbridge serve` and wait until it listens; it is gone at the end of the block. Raises RuntimeError.

    What it has to complain of is kept in `folder`, under its name.
    """
    command = [sys.executable, "-m", "tools", "serve", "--json", *arguments]
    with (folder / f"{name}.stderr").open("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                process.wait()
                errors.seek(0)
                raise RuntimeError(f"system {name} did not start: {errors.read().strip()}")
            where = json.loads(line)["listening"]
            shared, management = where.pop("shared-dasd", ""), where.pop("management", "")
            listening = {int(said, 16): address for said, address in where.items()}
            yield SiteProcess(name, folder, process, listening, shared, management)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
