"""The shared-device server over real sockets: clients many, vanishing, dribbling, flooding, or not wanted here."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pytest
import trio

from ccw.shared_dasd import HEADER, TRACK, Answer, Request
from ccw.tracks import null_track
from controller.array import DiskError
from controller.config import Address, SharedConfig
from controller.links import shared_dasd
from controller.links.shared_dasd import SharedDasdServer
from controller.sharing import ShareServer, ShareSettings
from host_emulator.shared_client import SharedClient, SharedError, unpacked
from tests.helpers.shared import RECORD_AT, CoreClient, image_with, record_one
from tests.helpers.two_systems import Site, until

DEVICE = 0x0120
Value = TypeVar("Value")


class Server:
    """A running server over a storage system."""

    def __init__(self, site: Site, server: SharedDasdServer) -> None:
        self.site = site
        self.server = server

    @property
    def address(self) -> tuple[str, int]:
        assert self.server.address is not None
        return self.server.address

    def client(self, **options: Any) -> SharedClient:
        """A new connection; for a worker thread."""
        return SharedClient(self.address, DEVICE, timeout_s=10.0, **options)


@asynccontextmanager
async def serving(**config: Any) -> AsyncIterator[Server]:
    """One system as it runs live, with a thread that commits and one for the connections; its disk is memory."""
    async with trio.open_nursery() as nursery:
        site = Site("A", [], run_blocking=None)
        await site.start(nursery)
        core = ShareServer(site.running.subsystem, ShareSettings({DEVICE: 0}))
        server = SharedDasdServer(
            SharedConfig(Address("127.0.0.1", 0), **config),
            core,
            lambda text, fields: site.events.append({"text": text, **fields}),
            site.running.committer.awaited,
        )
        await nursery.start(server.run)
        with trio.fail_after(60):
            yield Server(site, server)
        nursery.cancel_scope.cancel()


async def call(function: Callable[..., Value], *arguments: Any) -> Value:
    return await trio.to_thread.run_sync(function, *arguments)


def write_and_read(server: Server, track: int, data: bytes, packed: bool) -> bytes:
    with server.client() as client:
        with client.program():
            (client.write_packed if packed else client.write)(track, RECORD_AT, record_one(track, data))
        with client.program():
            return client.read(track)


@pytest.mark.parametrize("packed", [False, True])
async def test_what_is_written_is_read(packed: bool) -> None:
    async with serving() as server:
        assert await call(write_and_read, server, 3, b"abc" * 900, packed) == image_with(3, b"abc" * 900)


async def test_forty_clients_each_add_to_one_track() -> None:
    """Read, change, write by forty clients at once: no update is lost, for each owns the device meanwhile."""
    clients, rounds = 40, 5

    def add(server: Server) -> None:
        with server.client() as client:
            for _ in range(rounds):
                with client.program():
                    count = struct.unpack_from(">I", client.read(9)[RECORD_AT + 8 :])[0]
                    client.write(9, RECORD_AT, record_one(9, struct.pack(">I", count + 1) + b"\xe9" * 600))

    async with serving() as server:
        await call(write_and_read, server, 9, bytes(604), False)
        limiter = trio.CapacityLimiter(clients)
        async with trio.open_nursery() as nursery:
            for _ in range(clients):
                nursery.start_soon(partial(trio.to_thread.run_sync, add, server, limiter=limiter))
        image = await call(read_once, server, 9)
        assert struct.unpack_from(">I", image[RECORD_AT + 8 :])[0] == clients * rounds


def read_once(server: Server, track: int) -> bytes:
    with server.client() as client, client.program():
        return client.read(track)


async def test_a_client_that_vanishes_frees_what_it_held() -> None:
    async with serving() as server:
        holder = await call(server.client)
        await call(holder.start)
        await call(holder.reserve)
        await call(holder.write, 4, RECORD_AT, record_one(4, b"lost"))
        waiting = await call(server.client)
        await call(waiting.send, Request.START)
        await trio.sleep(0.05)
        await call(holder.vanish)
        await call(waiting.receive)
        assert await call(waiting.read, 4) == null_track(0, 4)
        await call(waiting.close)
        await until(lambda: not server.site.running.subsystem.attached)


async def test_an_end_whose_sync_fails_is_held_while_the_rest_is_answered() -> None:
    """Rule 14, on the thread that commits: no answer at all, not an error and not an end of the connection."""

    def failing(_segment: int) -> None:
        raise DiskError("sync failed")

    def write_and_wait(server: Server) -> str:
        with server.client() as writer, server.client() as reader:
            server.site.medium.sync = failing  # type: ignore[method-assign]
            writer.start()
            writer.write(4, RECORD_AT, record_one(4, b"never hardened"))
            writer.send(Request.END)
            writer._socket.settimeout(1.5)
            with pytest.raises(TimeoutError):
                writer.receive()
            reader.start()
            with pytest.raises(SharedError) as refused:
                reader.read(3)
            reader.end()
            return str(refused.value)

    async with serving() as server:
        assert "hardened" in await call(write_and_wait, server)
        assert server.site.running.committer.fenced
        await until(lambda: server.server.owing == 0)  # its client has gone meanwhile
        held = [event for event in server.site.events if "held unanswered" in str(event["text"])]
        assert [event["device"] for event in held] == ["0120"]


async def test_ends_are_answered_when_the_sync_returns_and_not_before() -> None:
    """Meanwhile others are served: what is not being hardened can be read, what is cannot be seen yet."""
    synced = threading.Event()

    def wait_for_the_disk(server: Server) -> None:
        with server.client() as writer, server.client() as reader:
            sync = server.site.medium.sync

            def slow(segment: int) -> None:
                synced.wait(20)
                sync(segment)

            server.site.medium.sync = slow  # type: ignore[method-assign]
            writer.start()
            writer.write(4, RECORD_AT, record_one(4, b"new"))
            writer.send(Request.END)
            reader.start()
            assert reader.read(3) == null_track(0, 3)
            reader.send(Request.READ, 0, TRACK.pack(4))
            for client in (writer, reader):
                client._socket.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    client.receive()
                client._socket.settimeout(10.0)
            synced.set()
            assert writer.receive().code == 0
            assert unpacked(reader.receive()) == image_with(4, b"new")
            reader.end()

    async with serving() as server:
        try:
            await call(wait_for_the_disk, server)
        finally:
            synced.set()


async def test_what_nobody_waits_for_is_durable_soon_also_after_a_rest() -> None:
    async with serving() as server:
        store = server.site.running.store
        for value in (b"1", b"2"):
            await trio.sleep(0.2)  # the thread that commits finds nothing to do meanwhile
            sequence = store.put("key", value)
            with trio.fail_after(10):
                while store.durable < sequence:
                    await trio.sleep(0.01)


async def test_an_end_that_waits_for_room_gets_what_collection_finds() -> None:
    """A full array of which most is dead: nothing is appended any more, and still the thread goes on collecting."""

    def fill(server: Server) -> int:
        random, ended = Random(3), 0
        with server.client() as client:
            for _ in range(60):
                with client.program():
                    client.write(ended % 2, RECORD_AT, record_one(ended % 2, random.randbytes(40_000)))
                ended += 1
        return ended

    async with serving() as server:
        medium = server.site.medium
        medium.capacity_bytes = sum(medium.segments().values()) + 5 * (1 << 18)
        assert await call(fill, server) == 60
        assert not server.site.running.committer.fenced


async def test_only_clients_that_wait_for_nothing_are_ended_for_their_silence() -> None:
    """An END that waits for room may wait for hours; to end its connection would be an answer (rule 14)."""
    synced = threading.Event()

    def hold(_segment: int) -> None:
        synced.wait(20)

    async with serving(idle_timeout_s=120.0) as server:
        silent, owner, writer = clients = [await call(server.client) for _ in range(3)]
        try:
            await call(writer.start)
            await call(writer.write, 4, RECORD_AT, record_one(4, b"held"))
            server.site.medium.sync = hold  # type: ignore[method-assign]
            await call(writer.send, Request.END)
            await until(lambda: server.server.owing == 1)
            await call(owner.start)
            server.server.end_idle(time.monotonic() + 119)
            assert server.server.connections == 3
            server.server.end_idle(time.monotonic() + 121)
            assert server.server.connections == 2
            synced.set()
            assert (await call(writer.receive)).code == 0
            await call(owner.end)
            with pytest.raises(OSError):
                await call(silent.start)
        finally:
            synced.set()
            for client in clients:
                client.vanish()


async def test_a_message_may_come_byte_by_byte_and_several_at_once() -> None:
    def dribble(server: Server) -> list[bytes]:
        client = server.client(algorithms=0)
        message = HEADER.pack(Request.START, 0, DEVICE, 0, client.identifier)
        read = HEADER.pack(Request.READ, 0, DEVICE, 4, client.identifier) + TRACK.pack(1)
        for byte in message + read:
            client._socket.sendall(bytes((byte,)))
        answers = [client.receive(), client.receive()]
        client._socket.sendall(read * 3)
        answers += [client.receive() for _ in range(3)]
        client.close()
        return [answer.data for answer in answers]

    async with serving() as server:
        answers = await call(dribble, server)
        assert answers == [b"", *[null_track(0, 1)] * 4]


async def test_a_client_that_sends_ahead_without_end_is_dropped() -> None:
    def flood(server: Server) -> None:
        holder, client = server.client(), server.client()
        holder.start()
        client.send(Request.START)  # waits
        with pytest.raises(OSError):
            while True:
                client._socket.sendall(bytes(65536))
        holder.close()
        client.vanish()

    async with serving() as server:
        await call(flood, server)
        assert await call(read_once, server, 0)


async def test_only_addresses_on_the_list_are_let_in() -> None:
    async with serving(allow=("127.0.0.7/32",)) as server:
        with pytest.raises(OSError):
            await call(server.client)
        assert server.server.counters.refused == 1

        def from_seven() -> bytes:
            with socket.create_connection(server.address, 5, ("127.0.0.7", 0)) as sock:
                sock.sendall(HEADER.pack(Request.CONNECT, 1, DEVICE, 0, 0))
                return sock.recv(100)

        assert (await call(from_seven))[:2] == b"\0\x03"


async def test_the_local_socket_leads_to_the_same_volumes_and_goes_with_the_server() -> None:
    """What Hercules uses when the host of a device line is `localhost`."""

    def at(path: str) -> bytes:
        with SharedClient(path, DEVICE, timeout_s=10.0) as client, client.program():
            return client.read(3)

    async with serving() as server:
        path = server.server.local_socket
        assert path == f"/tmp/hercules_shared.{server.address[1]}"
        await call(write_and_read, server, 3, b"abc", False)
        assert await call(at, path) == image_with(3, b"abc")
    assert not os.path.exists(path)


async def test_no_local_socket_for_a_server_that_lets_only_other_machines_in() -> None:
    async with serving(allow=("127.0.0.7/32",)) as server:
        assert server.server.local_socket is None


@pytest.mark.parametrize("what", ["stale", "a file", "another server"])
async def test_what_stands_where_the_local_socket_belongs(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that a killed server left is replaced; what belongs to somebody else stays, and the port serves on."""
    path = tmp_path / "socket"
    monkeypatch.setattr(shared_dasd, "LOCAL_SOCKET", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        if what == "a file":
            path.write_text("mine")
        else:
            other.bind(str(path))
        if what == "another server":
            other.listen()
        async with serving() as server:
            assert (server.server.local_socket is not None) == (what == "stale")
            assert await call(read_once, server, 3) == null_track(0, 3)
            said = [event for event in server.site.events if event["text"] == "no local socket for shared devices"]
            assert len(said) == (what != "stale")
        assert path.exists() == (what != "stale")


async def test_a_client_on_this_machine_gets_plain_images_and_another_the_stored_ones() -> None:
    async with serving() as server:
        await call(write_and_read, server, 3, b"abc" * 900, False)

        def code_of_read() -> int:
            with server.client() as client, client.program():
                return client.ask(Request.READ, 0, TRACK.pack(3)).code

        assert await call(code_of_read) == 0
        far = CoreClient(server.server.core, DEVICE, "192.0.2.7").connect()
        far.good(Request.START)
        assert far.good(Request.READ, 0, TRACK.pack(3)).code == Answer.PACKED
        far.good(Request.END)


async def test_connections_are_limited() -> None:
    async with serving(connections_max=1) as server:
        first = await call(server.client)
        with pytest.raises(OSError):
            await call(server.client)
        await call(first.close)
        await until(lambda: not server.server.connections)
        assert await call(read_once, server, 2)


async def test_an_unknown_device_is_refused_in_words() -> None:
    async with serving() as server:
        with pytest.raises(SharedError, match="device not found"):
            await call(partial(SharedClient, server.address, 0x0999))


async def test_garbage_ends_nothing_but_its_own_connection() -> None:
    def garbage(server: Server, seed: int) -> None:
        from random import Random

        random = Random(seed)
        with socket.create_connection(server.address, 5) as sock:
            sock.settimeout(0.2)
            try:
                for _ in range(20):
                    length = random.randrange(40)
                    code = random.choice([*range(0xE0, 0xEE), 0xF9, random.randrange(256)])
                    data = random.randbytes(length)
                    identifier = random.choice([0, 5, 5])
                    sock.sendall(HEADER.pack(code, random.randrange(256), DEVICE, length, identifier) + data)
                    sock.recv(70_000)
            except OSError:
                pass

    async with serving() as server:
        holder = await call(server.client)
        for seed in range(12):
            await call(garbage, server, seed)
        await call(holder.start)
        assert len(await call(holder.read, 1)) == 29
        await call(holder.close)
