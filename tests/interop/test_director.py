"""A director between real processes: a host and two mirroring systems reach each other through its ports only."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from ccw.geometry import Cchh
from ccw.pprc_query import VolumeQuery
from host_emulator import orders
from host_emulator.link import HostLinkSettings
from host_emulator.orders import System
from host_emulator.session import HostSession, open_session
from tests.helpers.patience import PATIENCE_S
from tools.demo_sites import start_site

HOST, OTHER_HOST, A_HOST, B_HOST, A_PEERS, B_PEERS = 0x40, 0x41, 0x60, 0x70, (0x61, 0x62), (0x71, 0x72)
PORTS = (HOST, OTHER_HOST, A_HOST, B_HOST, *A_PEERS, *B_PEERS)
A, B = System(0x0100, 0, "000000012345"), System(0x0200, 0, "000000067890")
VOLUME, BRIDGE, STATUS_BRIDGE, DUPLEX = 0x00, 0xF0, 0xF1, 2


def director_file(folder: Path, extra: str = "") -> Path:
    ports = "".join(f'\n[[port]]\naddress = "{port:02X}"\nlisten = "127.0.0.1:0"\n' for port in PORTS)
    path = folder / "director.toml"
    path.write_text(f'name = "D1"\nserial = "D1"\n{extra}{ports}')
    return path


def site_file(folder: Path, name: str, system: System, at: dict[int, str], ports: dict[int, int | None]) -> Path:
    """`ports`: link address of each adapter, host's first; with whom a peer port speaks."""
    lines = [f'name = "{name}"', f'serial = "{system.serial}"', f'ssid = "{system.ssid:04X}"',
             f'store = "store-{name}"']
    for address in (VOLUME, BRIDGE, STATUS_BRIDGE):
        lines += ["[[volume]]", f'address = "{address:02X}"', "cylinders = 4"]
    for said, (port, peer) in enumerate(ports.items(), 1):
        kind = "host" if peer is None else f'peer"\npeer_address = "{peer:02X}'
        lines += ["[[port]]", f'said = "{said:04X}"', f'kind = "{kind}"', f'connect = "{at[port]}"', "director = true"]
    path = folder / f"{name}.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


@contextmanager
def directing(config: Path) -> Iterator[dict[int, str]]:
    """A running director: where each port listens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tools", "director", "--json", str(config)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield {int(port, 16): where for port, where in json.loads(process.stdout.readline())["listening"].items()}
    finally:
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        process.stdout.close()


def split(where: str) -> tuple[str, int]:
    host, _, port = where.rpartition(":")
    return host, int(port)


async def run(session: HostSession, device: int, program: orders.ChannelProgram) -> bytes:
    result = await session.run_program(device, program)
    assert result.completed, result
    return result.data


async def test_host_and_pair_through_a_director(tmp_path: Path) -> None:
    """Both systems mirror a volume; a host that changes to the other system's port reads what was written."""
    with directing(director_file(tmp_path)) as at:
        a_file = site_file(tmp_path, "A", A, at, {A_HOST: None, **dict(zip(A_PEERS, B_PEERS, strict=True))})
        b_file = site_file(tmp_path, "B", B, at, {B_HOST: None, **dict(zip(B_PEERS, A_PEERS, strict=True))})
        with start_site(tmp_path, a_file), start_site(tmp_path, b_file), trio.fail_after(PATIENCE_S):
            async with (
                open_session(*split(at[HOST]), settings=HostLinkSettings(control_unit_address=A_HOST)) as to_a,
                open_session(*split(at[OTHER_HOST]), settings=HostLinkSettings(control_unit_address=B_HOST)) as to_b,
            ):
                for session, system, device, role in (
                    (to_a, A, BRIDGE, 1), (to_a, A, STATUS_BRIDGE, 4),
                    (to_b, B, BRIDGE, 2), (to_b, B, STATUS_BRIDGE, 3),
                ):
                    await run(session, device, orders.pprc(orders.define_bridge(system, device, role, 1)))
                paths = orders.pprc(orders.establish_path(A, B, (2, 3)))
                while not (await to_a.run_program(VOLUME, paths)).completed:
                    await trio.sleep(0.1)
                await run(to_a, BRIDGE, orders.pprc(orders.establish_pair(
                    A, B, BRIDGE, BRIDGE, mode=1, bridge_role=1, bridge_number=1)))
                program = orders.format_track(Cchh(1, 2), [orders.NewRecord(b"THROUGH THE SWITCH")])
                await run(to_a, VOLUME, program)
                await run(to_a, VOLUME, orders.pprc(orders.establish_pair(A, B, VOLUME, VOLUME, mode=0)))
                query = orders.query(orders.SCOPE_VOLUME)
                while VolumeQuery.decode(await run(to_a, VOLUME, query)).state != DUPLEX:
                    await trio.sleep(0.05)
                await run(to_a, VOLUME, orders.pprc(orders.delete_pair(A, B, VOLUME, VOLUME)))
                assert (await run(to_b, VOLUME, orders.read_record(Cchh(1, 2), 1))) == b"THROUGH THE SWITCH"


def test_host_command_names_the_port(tmp_path: Path) -> None:
    """`trackbridge host --target tcp://…/60` goes through the switch; a prohibited pair is refused."""
    script = tmp_path / "script"
    script.write_text("device 00\nsense\n")
    with directing(director_file(tmp_path, f'prohibited = [["{OTHER_HOST:02X}", "{A_HOST:02X}"]]\n')) as at:
        config = site_file(tmp_path, "A", A, at, {A_HOST: None})
        with start_site(tmp_path, config):
            def host(port: int, target: str) -> subprocess.CompletedProcess[str]:
                command = [sys.executable, "-m", "tools", "host", "--target", f"tcp://{at[port]}{target}", str(script)]
                return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

            done = host(HOST, "/60")
            assert done.returncode == 0, done.stderr
            refused = host(OTHER_HOST, "/60")
            assert refused.returncode == 2
            assert refused.stderr.endswith("ELP was answered by PRJ reason 04\n")
            nobody = host(HOST, "/FF")
            assert nobody.returncode == 2
            assert len(nobody.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ('blocked = ["99"]\n', "blocked[0]: '99' is none of the ports"),
        ('static = [["40"]]\n', "static[0]: two ports are needed"),
        ('static = [["40", "40"]]\n', "static[0]: two different ports"),
        ('static = [["40", "60"]]\nblocked = ["60"]\n', "static: port 60 is blocked"),
        ('static = [["40", "60"], ["41", "60"]]\n', "static: port 60 is dedicated twice"),
        ('colour = "red"\n', "colour: no such setting"),
        ("name = \n", "not TOML"),
    ],
)
def test_bad_settings_in_one_line(tmp_path: Path, extra: str, said: str) -> None:
    command = [sys.executable, "-m", "tools", "director", "--check", str(director_file(tmp_path, extra))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert said in done.stderr
