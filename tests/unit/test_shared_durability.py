"""The shared-device server and the thread that commits: what is durable when, and ENDs that are owed until then."""

from __future__ import annotations

import threading
import time
from random import Random

import pytest
import trio

from ccw.shared_dasd import TRACK, Request
from ccw.tracks import null_track
from controller.array import DiskError, VirtualArrayStore
from host_emulator.shared_client import SharedError, unpacked
from tests.helpers.patience import PATIENCE_S
from tests.helpers.shared import RECORD_AT, Server, call, image_with, record_one, serving
from tests.helpers.two_systems import until


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
            trio.from_thread.run(until, lambda: server.site.running.committer.fenced)
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
                synced.wait(PATIENCE_S)
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
                client._socket.settimeout(PATIENCE_S)
            synced.set()
            assert writer.receive().code == 0
            assert unpacked(reader.receive()) == image_with(4, b"new")
            reader.end()

    async with serving() as server:
        try:
            await call(wait_for_the_disk, server)
        finally:
            synced.set()


async def test_what_was_answered_survives_whoever_committed_it() -> None:
    """Four clients without a pause: commits at once and commits of the thread, by turns and side by side."""
    held: dict[int, bytes] = {}

    def write(server: Server, track: int) -> None:
        random = Random(track)
        with server.client() as client:
            for _ in range(150):
                data = random.randbytes(random.choice((100, 40_000)))
                with client.program():
                    client.write(track, RECORD_AT, record_one(track, data))
                held[track] = data

    async with serving() as server:
        async with trio.open_nursery() as nursery:
            for track in range(4):
                nursery.start_soon(call, write, server, track)
        medium = server.site.medium
        medium.crash(Random(1))
    store = VirtualArrayStore.open(medium, segment_bytes=1 << 18, checkpoint_bytes=1 << 18)
    assert {track: store.read(0, track) for track in held} == {
        track: image_with(track, data) for track, data in held.items()
    }


async def test_what_nobody_waits_for_is_durable_soon_also_after_a_rest() -> None:
    async with serving() as server:
        store = server.site.running.store
        for value in (b"1", b"2"):
            await trio.sleep(0.2)  # the thread that commits finds nothing to do meanwhile
            sequence = store.put("key", value)
            with trio.fail_after(PATIENCE_S):
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
        synced.wait(PATIENCE_S)

    async with serving(idle_timeout_s=120.0) as server:
        began = time.monotonic()
        silent, owner, writer = clients = [await call(server.client) for _ in range(3)]
        try:
            await call(writer.start)
            await call(writer.write, 4, RECORD_AT, record_one(4, b"held"))
            server.site.medium.sync = hold  # type: ignore[method-assign]
            await call(writer.send, Request.END)
            await until(lambda: server.server.owing == 1)
            await call(owner.start)
            server.server.end_idle(began + 119)  # nobody has been silent for 120 s, however slow this machine is
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
