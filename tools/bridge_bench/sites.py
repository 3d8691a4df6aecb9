"""Two storage systems with one kind of link between them, set up to mirror; and how long a copy takes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import trio

from ccw.geometry import geometry_for
from ccw.plain_images import plain_header
from ccw.pprc_codes import PairState
from ccw.pprc_query import VolumeQuery
from ccw.tracks import END_MARK, null_track
from host_emulator import orders
from host_emulator.session import HostSession, open_session
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
from tools.measuring import processor_s
from tools.operator import LINK_RETRIES, define_bridge, establish_bridge, send

HEADS = 15
RECORD_AT = 21
FULL_RECORD_BYTES = 56_664
FULL_TRACK_BYTES = RECORD_AT + 8 + FULL_RECORD_BYTES + len(END_MARK)
SMALL_RECORDS, SMALL_BYTES = 12, 4096
LINKS = 2  # between the systems
COPY_TIMEOUT_S, PATHS_WAIT_S = 600.0, 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is set up. `content`: of the volumes, "random" (does not compress), "cards", or "small" (12 records)."""

    volumes: int = 1
    cylinders: int = 20
    content: str = "random"
    window: int = 64
    conventional: bool = False
    wan: bool = True
    rtt_ms: float = 0.0
    rate_mbit: float = 0.0
    bridge: bool = True

    @property
    def tracks(self) -> int:
        return self.cylinders * HEADS

    @property
    def raw_bytes(self) -> int:
        """Of one volume of full tracks."""
        return self.tracks * FULL_TRACK_BYTES


def make_image(path: Path, plan: Plan) -> None:
    """A plain image whose tracks are all written."""
    geometry = geometry_for("3390", plan.cylinders)
    random = Random(1)
    cards = "".join(f"{number:08d} THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG".ljust(80) for number in range(720))
    text = cards.encode("cp037")
    with path.open("wb") as file:
        file.write(plain_header(geometry.heads, geometry.track_size, 0x3390))
        for track in range(plan.tracks):
            image = null_track(*divmod(track, HEADS))[:RECORD_AT]
            if plan.content == "small":
                for number in range(1, SMALL_RECORDS + 1):
                    image += _count(track, number, SMALL_BYTES) + text[number : number + SMALL_BYTES]
            else:
                data = random.randbytes(FULL_RECORD_BYTES) if plan.content == "random" else text[:FULL_RECORD_BYTES]
                image += _count(track, 1, FULL_RECORD_BYTES) + data
            file.write((image + END_MARK).ljust(geometry.track_size, b"\0"))


def _count(track: int, record: int, length: int) -> bytes:
    cylinder, head = divmod(track, HEADS)
    return cylinder.to_bytes(2, "big") + head.to_bytes(2, "big") + bytes((record, 0)) + length.to_bytes(2, "big")


def write_config(folder: Path, name: str, plan: Plan, image: Path | None, peers: dict[int, str] | None) -> Path:
    """The file of one system. peers: where B's ports listen, for A."""
    system = SYSTEMS[name]
    lines = [
        f'name = "{name}"', f'serial = "{system.serial}"', f'ssid = "{system.ssid:04X}"', 'profile = "2107"',
        f'store = "store-{name}"', f"bridge_window = {plan.window}", "reestablish = false",
    ]  # fmt: skip
    if plan.conventional and name == "A":
        lines.append('mode = "conventional"')
    for volume in range(plan.volumes):
        lines += ["[[volume]]", f'address = "{volume:02X}"', f"cylinders = {plan.cylinders}"]
        if image is not None:
            lines.append(f'image = "{image}"')
    for volume in (DATA_BRIDGE, STATUS_BRIDGE):
        lines += ["[[volume]]", f'address = "{volume:02X}"', "cylinders = 20"]
    shaped = plan.rtt_ms or plan.rate_mbit
    lines += port_lines(
        name,
        peers,
        count=LINKS,
        peer=f'link = "{"wan" if plan.wan else "escon"}"',
        connecting=f"shape = {{ rtt_ms = {plan.rtt_ms}, rate_mbit = {plan.rate_mbit} }}" if shaped else "",
    )
    return write_toml(folder, name, [*lines, "[model]", "enabled = false"])


class Couple:
    """Both systems, an operator at each, and paths between them."""

    def __init__(
        self, plan: Plan, site_a: SiteProcess, site_b: SiteProcess, to_a: HostSession, to_b: HostSession
    ) -> None:
        self.plan = plan
        self.site_a, self.site_b = site_a, site_b
        self._to_a, self._to_b = to_a, to_b

    async def set_up(self) -> None:
        """Paths, and a bridge where there is to be one. Raises RuntimeError."""
        a, b = SYSTEMS["A"], SYSTEMS["B"]
        bridged = self.plan.bridge and not self.plan.conventional
        if bridged:
            await define_bridge(self._to_a, a, BRIDGE, sends=True)
            await define_bridge(self._to_b, b, BRIDGE, sends=False)
        paths = orders.establish_path(a, b, PEER_PORTS["A"][:LINKS])
        await send(self._to_a, DATA_BRIDGE, paths, patience_s=PATHS_WAIT_S)
        if bridged:
            await establish_bridge(self._to_a, a, b, BRIDGE)

    async def establish(self, volume: int, mode: int = 0) -> None:
        """Begin the pair of a volume."""
        await send(self._to_a, volume, orders.establish_pair(SYSTEMS["A"], SYSTEMS["B"], volume, volume, mode=mode))

    async def delete(self, volume: int) -> None:
        """End it."""
        await send(self._to_a, volume, orders.delete_pair(SYSTEMS["A"], SYSTEMS["B"], volume, volume))

    async def duplex(self, volume: int) -> bool:
        """Is the pair in step?"""
        result = await self._to_a.run_program(volume, orders.query(orders.SCOPE_VOLUME), LINK_RETRIES)
        return result.completed and VolumeQuery.decode(result.data).state == PairState.DUPLEX

    async def until_duplex(self, volume: int, poll_s: float = 0.05) -> None:
        """Wait until the pair is in step. Raises TooSlowError after COPY_TIMEOUT_S: it may have been suspended."""
        with trio.fail_after(COPY_TIMEOUT_S):
            while not await self.duplex(volume):
                await trio.sleep(poll_s)

    def processor_s(self) -> tuple[float, float]:
        """Seconds of processor time that each system has used."""
        return processor_s(self.site_a.process.pid), processor_s(self.site_b.process.pid)

    async def copy(self, volume: int = 0) -> float:
        """Copy a volume whole; seconds from its establishment to duplex, by the primary's event log."""
        await self.establish(volume)
        await self.until_duplex(volume, poll_s=0.02)
        events = [e for e in self.site_a.events() if str(e["text"]).startswith("IEA494I") and _of(e["text"], volume)]
        begun = max(e["t"] for e in events if e["state"] == "DUPLEX_PENDING")
        done = max(e["t"] for e in events if e["state"] == "DUPLEX")
        await self.delete(volume)
        return float(done - begun)


def _of(message: str, volume: int) -> bool:
    return message.startswith(f"IEA494I {volume:04X},")


@asynccontextmanager
async def couple(folder: Path, plan: Plan, image: Path | None = None) -> AsyncIterator[Couple]:
    """Two running systems in a new folder, set up as planned; ended with the block. Raises RuntimeError."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        start = trio.to_thread.run_sync  # sessions with other systems go on meanwhile
        config_b = write_config(folder, "B", plan, None, None)
        site_b = await start(stack.enter_context, start_site(folder, config_b))
        config_a = write_config(folder, "A", plan, image, site_b.listening)
        site_a = await start(stack.enter_context, start_site(folder, config_a))
        async with open_session(*site_a.host_address) as to_a, open_session(*site_b.host_address) as to_b:
            made = Couple(plan, site_a, site_b, to_a, to_b)
            await made.set_up()
            yield made
