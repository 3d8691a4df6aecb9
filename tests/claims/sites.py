"""Two whole systems on real sockets and real files, as configurations make them: the claims' data processing systems.

`auto_establish` is on: nobody sends an order. Volumes lie in the virtual array, or each in an image file of its own.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from ccw.geometry import geometry_for
from controller.app import serve
from controller.array.in_place import shadow_of
from controller.config import load_config
from controller.links.system import StorageSystem
from controller.remote_copy.core import Core
from controller.remote_copy.states import PairState
from host_emulator.session import HostSession, open_session
from tests.helpers.copying import format_track
from tests.helpers.patience import PATIENCE_S
from tests.helpers.physical import make_image

CYLINDERS = 2
VOLUMES = (0x00, 0x01)
SERIALS = {"A": "00000000CA01", "B": "00000000CB01"}
SSIDS = {"A": "0100", "B": "0200"}
PORTS = {"A": ("0010", "0011"), "B": ("0020", "0021")}
GEOMETRY = geometry_for("3390", CYLINDERS)


class Sites:
    """Both systems, running."""

    def __init__(self, folder: Path, *, physical: bool, shape: str = "") -> None:
        """shape: of each link, as a port's setting says it."""
        self.folder = folder
        self._physical = physical
        self._shape = shape
        self.a: StorageSystem
        self.b: StorageSystem

    def image(self, site: str, volume: int) -> Path:
        """The file that a physical volume lies in."""
        return self.folder / f"{site}-{volume:02X}.ckd"

    def config(self, site: str, connect: dict[str, tuple[str, int]] | None) -> Path:
        """The configuration file of a site. connect: where A finds B's ports, by A's SAID."""
        role = "primary" if site == "A" else "secondary"
        lines = [
            f'name = "{site}"\nserial = "{SERIALS[site]}"\nssid = "{SSIDS[site]}"\nstore = "store-{site}"',
            f'[[bridge]]\nnumber = 1\nrole = "{role}"\ndata = "F0"\nstatus = "F1"',
        ]
        for address in (*VOLUMES, 0xF0, 0xF1):
            lines.append(f'[[volume]]\naddress = "{address:02X}"\ncylinders = {CYLINDERS}')
            if self._physical and address in VOLUMES:
                make_image(self.image(site, address), {}, GEOMETRY)
                lines.append(f'image_in_place = "{self.image(site, address).name}"')
        lines.append('[[port]]\nsaid = "0001"\nkind = "host"\nlisten = "127.0.0.1:0"')
        for said in PORTS[site]:
            where = 'listen = "127.0.0.1:0"' if connect is None else 'connect = "{}:{}"'.format(*connect[said])
            lines.append(f'[[port]]\nsaid = "{said}"\nkind = "peer"\n{where}')
            if connect is not None and self._shape:
                lines.append(f"shape = {self._shape}")
        if site == "A":
            pairs = ", ".join(f'"{volume:02X}:{volume:02X}"' for volume in VOLUMES)
            links = ", ".join(f'"{said}"' for said in PORTS["A"])
            lines.append(
                f'[[mirror]]\nsystem = "{SSIDS["B"]}:00:{SERIALS["B"]}"\nlinks = [{links}]\npairs = [{pairs}]\n'
                'bridges = ["1:F0"]\nauto_establish = true'
            )
        path = self.folder / f"{site}.toml"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    async def start(self, nursery: trio.Nursery) -> None:
        """B first: A connects to it."""
        self.b = await nursery.start(serve, load_config(self.config("B", None)))
        listening = [self.b.adapters.by_said[int(said, 16)].address for said in PORTS["B"]]
        connect = {said: address for said, address in zip(PORTS["A"], listening, strict=True) if address}
        self.a = await nursery.start(serve, load_config(self.config("A", connect)))

    @property
    def core(self) -> Core:
        """Remote copy of the primary system."""
        return self.a.subsystem.remote_copy.core

    def steps(self, site: str) -> list[int]:
        """Step numbers of the patent's figures in a site's event log."""
        log = (self.folder / f"store-{site}" / "events.jsonl").read_text(encoding="utf-8")
        return [event["step"] for event in map(json.loads, log.splitlines()) if "step" in event]

    def state(self, volume: int) -> PairState:
        """Of the pair whose primary the volume is."""
        pair = self.core.primaries.get(volume)
        return pair.state if pair is not None else PairState.SIMPLEX

    async def until_duplex(self, *volumes: int, within_s: float = PATIENCE_S) -> None:
        """Wait until all of these are in synchronisation."""
        with trio.fail_after(within_s):
            while not all(self.state(volume) is PairState.DUPLEX for volume in volumes):
                await trio.sleep(0.02)

    async def until_linked(self, within_s: float = PATIENCE_S) -> None:
        """Wait until both systems have light at all of their ports to each other."""
        ports = [(site, int(said, 16)) for site, name in ((self.a, "A"), (self.b, "B")) for said in PORTS[name]]
        with trio.fail_after(within_s):
            while not all(site.adapters.by_said[said].link is not None for site, said in ports):
                await trio.sleep(0.02)

    def all_in_place(self) -> bool:
        """Does every paired volume of both systems lie in an image file?"""
        shadows = {shadow_of(volume) for volume in VOLUMES}
        return all(shadows <= set(site.store.volumes()) for site in (self.a, self.b))

    @asynccontextmanager
    async def host(self) -> AsyncIterator[HostSession]:
        """A host computer of the primary system."""
        address = self.a.adapters.by_said[1].address
        assert address is not None
        async with open_session(*address) as session:
            yield session

    def equal(self, volume: int) -> bool:
        """Do both systems hold the same on every track?"""
        a, b = self.a.array, self.b.array
        return all(a.read(volume, track) == b.read(volume, track) for track in range(GEOMETRY.tracks))


async def write(session: HostSession, volume: int, track: int, text: str) -> None:
    """A host computer writes data."""
    await format_track(session, volume, track, text)


@asynccontextmanager
async def sites(folder: Path, *, physical: bool = False, shape: str = "") -> AsyncIterator[Sites]:
    """Both systems, running until the end of the block."""
    async with trio.open_nursery() as nursery:
        made = Sites(folder, physical=physical, shape=shape)
        await made.start(nursery)
        yield made
        nursery.cancel_scope.cancel()
