"""The shared-device server over real sockets: clients many, vanishing, dribbling, flooding, or not wanted here."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import pytest
import trio

from ccw.shared_dasd import HEADER, TRACK, Answer, Request
from ccw.tracks import null_track
from controller.array.log import Batch
from controller.links import shared_dasd
from controller.links.shared_traffic import Traffic, preferred
from controller.links.threads import CoreLock, run_in_thread
from host_emulator.shared_client import SharedClient, SharedError
from tests.helpers.patience import PATIENCE_S
from tests.helpers.shared import DEVICE, RECORD_AT, CoreClient, Server, call, image_with, record_one, serving
from tests.helpers.two_systems import until


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
            with socket.create_connection(server.address, PATIENCE_S, ("127.0.0.7", 0)) as sock:
                sock.sendall(HEADER.pack(Request.CONNECT, 1, DEVICE, 0, 0))
                return sock.recv(100)

        assert (await call(from_seven))[:2] == b"\0\x03"


async def test_the_local_socket_leads_to_the_same_volumes_and_goes_with_the_server() -> None:
    """What Hercules uses when the host of a device line is `localhost`."""

    def at(path: str) -> bytes:
        with SharedClient(path, DEVICE, timeout_s=PATIENCE_S) as client, client.program():
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

        random = Random(seed)
        with socket.create_connection(server.address, PATIENCE_S) as sock:
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


async def test_the_thread_that_serves_is_preferred_where_that_is_allowed() -> None:
    def nice_of(thread: int) -> int:
        return os.getpriority(os.PRIO_PROCESS, thread)

    with preferred():
        expected = nice_of(threading.get_native_id())
    async with serving() as server:
        (await call(server.client)).vanish()
        (serves,) = [thread.native_id for thread in threading.enumerate() if "SharedDasdServer.run" in thread.name]
        assert serves is not None
        assert nice_of(serves) == expected
        assert nice_of(threading.get_native_id()) == nice_of(os.getpid()), "the event loop is not"


class NoCommits:
    """Nothing is ever to be committed."""

    relieve: Callable[[Callable[[], bool]], None]

    def awaited(self) -> bool:
        """See `Commits`."""
        return False

    def take_at_once(self) -> Batch | None:
        """See `Commits`."""
        return None

    def commit_at_once(self, core: CoreLock, batch: Batch) -> None:
        """See `Commits`."""


async def test_an_error_of_our_own_is_not_hidden_where_a_stuck_thread_is_relieved() -> None:
    core, commits = CoreLock.of_this_run(), NoCommits()
    relief: list[int] = []

    def accept(listener: socket.socket) -> None:
        if threading.get_ident() in relief:
            raise ValueError("a bug")

    traffic = Traffic(accept, commits)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        traffic.listen(listener)

        def relieve() -> None:
            relief.append(threading.get_ident())
            commits.relieve(lambda: True)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_in_thread, partial(traffic.run, core), traffic.stop)
            while not hasattr(commits, "relieve"):
                await trio.sleep(0.001)
            with socket.create_connection(listener.getsockname()), pytest.raises(ValueError, match="a bug"):
                with trio.fail_after(PATIENCE_S):
                    await trio.to_thread.run_sync(relieve, abandon_on_cancel=True)
            nursery.cancel_scope.cancel()
        traffic.close()
