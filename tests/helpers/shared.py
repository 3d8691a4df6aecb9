"""Clients of shared devices: of the sharing core without sockets, and of a server that runs over real ones.

Without sockets, requests go straight to a session, and answers are kept in order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import trio

from ccw.shared_dasd import HEADER, HEADER_BYTES, TRACK, WRITE_HEAD, Answer, Request
from ccw.tracks import END_MARK, null_track
from controller.channel import PathId
from controller.config import Address, SharedConfig
from controller.links.shared_dasd import SharedDasdServer
from controller.sharing import ShareServer, ShareSettings
from host_emulator.shared_client import Reply, SharedClient, unpacked
from tests.helpers.patience import PATIENCE_S
from tests.helpers.two_systems import Rig, Site, rig, until

DEVICE = 0x0120
RECORD_AT = 21  # where record 1 begins: behind home address and a standard record zero
CHANNEL = PathId("a host's link", 0x4000, 0)
Value = TypeVar("Value")


def record_one(track: int, data: bytes, heads: int = 15) -> bytes:
    """Bytes of record 1 and the end mark, as a client writes them at RECORD_AT."""
    cylinder, head = divmod(track, heads)
    count = cylinder.to_bytes(2, "big") + head.to_bytes(2, "big") + b"\x01\x00" + len(data).to_bytes(2, "big")
    return count + data + END_MARK


def image_with(track: int, data: bytes, heads: int = 15) -> bytes:
    """The image of a track that holds record zero and record 1."""
    return null_track(*divmod(track, heads))[:RECORD_AT] + record_one(track, data, heads)


class CoreClient:
    """One connection. `replies`: the answers so far; `closed`: the server ended the connection."""

    def __init__(self, server: ShareServer, device: int = 0, peer: str = "127.0.0.1") -> None:
        self.device = device
        self.identifier = 0
        self.replies: list[Reply] = []
        self.closed = False
        self.session = server.session(peer, self._receive, self._close)

    def _receive(self, parts: tuple[bytes | memoryview, ...]) -> None:
        message = b"".join(parts)
        code, status, device, length, identifier = HEADER.unpack_from(message)
        assert length == len(message) - HEADER_BYTES
        self.replies.append(Reply(code, status, device, identifier, message[HEADER_BYTES:]))

    def _close(self) -> None:
        self.closed = True

    def ask(self, code: int, flag: int = 0, data: bytes = b"") -> Reply | None:
        """One request; its answer, None when there is none yet."""
        before = len(self.replies)
        self.session.request(code, flag, self.device, self.identifier, data)
        return self.replies[before] if len(self.replies) > before else None

    def good(self, code: int, flag: int = 0, data: bytes = b"") -> Reply:
        """One request that is answered at once, without an error."""
        reply = self.ask(code, flag, data)
        assert reply is not None, "no answer"
        assert not reply.code & (Answer.ERROR | Answer.IO_ERROR), reply
        return reply

    def connect(self) -> CoreClient:
        """Connect, and take what compressed tracks there are."""
        self.identifier = int.from_bytes(self.good(Request.CONNECT, 1).data, "big")
        self.good(Request.COMPRESS, 0x30)
        return self

    def read(self, track: int) -> bytes:
        """The image of a track, which is given at once."""
        return unpacked(self.good(Request.READ, 0, TRACK.pack(track)))

    def write(self, track: int, offset: int, data: bytes) -> None:
        """A write that is taken."""
        self.good(Request.WRITE, 0, WRITE_HEAD.pack(offset, track) + data)


@asynccontextmanager
async def shared(**settings: int) -> AsyncIterator[tuple[Rig, ShareServer]]:
    """Site A of a rig, its volume 00 shared as device 0120."""
    async with rig() as made:
        server = ShareServer(made.a.running.subsystem, ShareSettings({0x0120: 0, 0x0121: 1}, **settings))
        yield made, server


def client(server: ShareServer, peer: str = "127.0.0.1", device: int = 0x0120) -> CoreClient:
    return CoreClient(server, device, peer).connect()


async def finished(client: CoreClient, answers: int) -> None:
    """Wait until the client has had so many answers."""
    await until(lambda: len(client.replies) >= answers)


async def written(client: CoreClient, track: int, data: bytes) -> None:
    """One channel program that writes record 1 of a track."""
    client.good(Request.START)
    client.write(track, RECORD_AT, record_one(track, data))
    before = len(client.replies)
    client.ask(Request.END)
    await finished(client, before + 1)


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
        return SharedClient(self.address, DEVICE, timeout_s=PATIENCE_S, **options)


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
            site.running.committer,
        )
        await nursery.start(server.run)
        with trio.fail_after(PATIENCE_S):
            yield Server(site, server)
        nursery.cancel_scope.cancel()


async def call(function: Callable[..., Value], *arguments: Any) -> Value:
    return await trio.to_thread.run_sync(function, *arguments)
