"""The director over TCP: host sessions and controller links of their own processes' making, joined through sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from ccw.pcapng import Direction, PcapngReader
from controller.channel import Link, LinkSettings
from controller.channel.director import Director
from controller.channel.director_states import PortState
from controller.links.director import DirectorShell
from controller.links.stream_link import Tap, run_link
from host_emulator import orders
from host_emulator.link import HostLinkSettings
from host_emulator.session import open_session
from tests.helpers.patience import PATIENCE_S
from tests.helpers.wire import NODE, ScriptedServer
from tools.captures import CaptureFile

HOST, OTHER_HOST, UNIT = 0x40, 0x41, 0x60
SETTINGS = HostLinkSettings(control_unit_address=UNIT)


@asynccontextmanager
async def site(
    make_tap: Callable[[int], Tap | None] | None = None,
) -> AsyncIterator[tuple[DirectorShell, Director, Link, ScriptedServer]]:
    """A director with a control unit at 60, everything on sockets."""
    director = Director([HOST, OTHER_HOST, UNIT], ScriptedServer(), NODE)
    shell = DirectorShell(director, make_tap)
    server = ScriptedServer()
    link = Link("L0", server, NODE, own_address=2, peer_address=1, settings=LinkSettings(acquire_address=True))
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(shell.run, dict.fromkeys((HOST, OTHER_HOST, UNIT), ("127.0.0.1", 0)))
            stream = await trio.open_tcp_stream(*shell.addresses[UNIT])
            nursery.start_soon(run_link, link, stream)
            while link.own_address != UNIT:
                await trio.sleep(0.005)
            yield shell, director, link, server
            nursery.cancel_scope.cancel()


async def test_two_hosts_share_a_control_unit() -> None:
    """Both run programs at the same time; who finds the port busy asks again."""
    async with site() as (shell, director, link, server):
        done: list[int] = []

        async def programs(port: int, unit: int) -> None:
            async with open_session(*shell.addresses[port], settings=SETTINGS) as session:
                for _ in range(10):
                    assert (await session.run_program(unit, orders.sense())).completed
                done.append(port)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(programs, HOST, 0x10)
            nursery.start_soon(programs, OTHER_HOST, 0x11)
        assert sorted(done) == [HOST, OTHER_HOST]
        assert {path.channel >> 8 for path in link.paths} <= {HOST, OTHER_HOST}
        assert len(server.commands) == 20
        assert director.ports[UNIT].frames_passed > 60


async def test_host_that_goes_away_is_told_to_the_control_unit() -> None:
    """Its logical path is removed by the state-change notification, without any frame of the host."""
    async with site() as (shell, director, link, server):
        async with open_session(*shell.addresses[HOST], settings=SETTINGS):
            assert {path.channel >> 8 for path in link.paths} == {HOST}
        while link.paths:
            await trio.sleep(0.005)
        assert server.count("removed") == 1
        assert director.ports[HOST].state is PortState.OFFLINE


async def test_port_takes_one_stream_and_no_rubbish() -> None:
    async with site() as (shell, director, _, _):
        async with await trio.open_tcp_stream(*shell.addresses[HOST]) as first:
            while director.ports[HOST].state is not PortState.INACTIVE:
                await trio.sleep(0.005)
            async with await trio.open_tcp_stream(*shell.addresses[HOST]) as second:
                assert await second.receive_some() == b""
            await first.send_all(b"\xff\xff\xff\xff")
            while await first.receive_some() != b"":
                pass
        async with open_session(*shell.addresses[HOST], settings=SETTINGS) as session:
            assert (await session.run_program(0x10, orders.sense())).completed


async def test_ports_are_captured(tmp_path: Path) -> None:
    """Each port is a link of the capture; what came in at one port went out at the other, unchanged and in order."""
    path = tmp_path / "director.pcapng"
    with CaptureFile(path) as capture:
        async with (
            site(lambda port: capture.tap(f"D {port:02X}", "director port")) as (shell, _, _, _),
            open_session(*shell.addresses[HOST], settings=SETTINGS) as session,
        ):
            assert (await session.run_program(0x10, orders.sense())).completed
    reader = PcapngReader()
    packets = list(reader.feed(path.read_bytes()))
    reader.finish()
    assert {packet.interface.name for packet in packets} == {"D 40", "D 60"}

    def device_frames(name: str, direction: Direction) -> list[bytes]:
        return [packet.data for packet in packets
                if (packet.interface.name, packet.direction) == (name, direction)
                and packet.data[0] == 1 and packet.data[8] == 0]

    to_unit, to_host = device_frames("D 40", Direction.RECEIVED), device_frames("D 60", Direction.RECEIVED)
    assert to_unit and to_unit == device_frames("D 60", Direction.SENT)
    assert to_host and to_host == device_frames("D 40", Direction.SENT)
