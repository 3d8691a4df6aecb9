"""The adapters of a box: host ports that take any number of links, peer ports that are one link each.

A peer port either listens or connects; a lost connection is made again. With no connection there is no light. Either
kind may connect to a port of a director, and asks it for its link address.
"""

import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random
from typing import Any

import trio

from controller.channel import Link, PathId, StreamedLink
from controller.config import PortConfig
from controller.links.shaping import SleepUntil, shaped
from controller.links.stream_link import LinkError, Tap, run_link
from controller.links.streamed_stream import run_streamed_link
from controller.links.tls import Refused, Tls

RECONNECT_FIRST_S = 0.2
RECONNECT_MAX_S = 5.0
OPENED, ACCEPTED = 0x01, 0x02  # link addresses: the side that opened the connection, the other

MakeLink = Callable[[str, PortConfig, int, int], Link]  # (link id, its port, own address, peer address)
MakeTap = Callable[[str, PortConfig], Tap | None]  # (link id, its port): what is shown the records of a new link
Say = Callable[[str, dict[str, object]], None]
RunLink = Callable[[Link, Any, Tap | None], Awaitable[None]]  # runs one link over a stream until that is over


async def run_any(link: Link, stream: trio.abc.Stream, tap: Tap | None) -> None:
    """Run a link of either kind; see `run_link`."""
    if isinstance(link, StreamedLink):
        await run_streamed_link(link, stream, tap)
    else:
        await run_link(link, stream, tap)


@dataclass(slots=True)
class Adapter:
    """One installed port. Implements `InstalledPort`."""

    config: PortConfig
    links: dict[str, Link] = field(default_factory=dict)
    scopes: dict[str, trio.CancelScope] = field(default_factory=dict)  # what ends the task of a link
    address: tuple[str, int] | None = None  # where it listens, once it does
    made: int = 0
    bytes_past: int = 0  # of links that are gone
    refused: bool = False  # where it connects to, nobody listens
    tls: Tls | None = None

    @property
    def bytes_wire(self) -> int:
        """Frame bytes, link header to CRC, both directions, over all links there were."""
        live = sum(link.counters.bytes_in + link.counters.bytes_out for link in self.links.values())
        return self.bytes_past + live

    @property
    def said(self) -> int:
        return self.config.said

    @property
    def wan(self) -> bool:
        """Are its links of the wide-area form?"""
        return self.config.wan

    @property
    def link(self) -> Link | None:
        """The one link of a peer port, None without light."""
        if self.config.kind != "peer":
            return None
        return next(iter(self.links.values()), None)

    @property
    def has_host_paths(self) -> bool:
        """Do channels of hosts (or of the other box) lead to this port?"""
        return any(link.paths for link in self.links.values())


class Adapters:
    """All adapters of a box. Implements `LinkDirectory`; by SAID a mapping of `InstalledPort`s.

    Made with a port whose certificates cannot be used: ConfigError.
    """

    def __init__(self, configs: tuple[PortConfig, ...]) -> None:
        self.by_said = {config.said: Adapter(config) for config in configs}
        for adapter in self.by_said.values():
            if adapter.config.tls is not None:
                adapter.tls = Tls(adapter.config.tls)
        self._said_of: dict[str, int] = {}
        self.is_peer: Callable[[PathId], bool] = lambda path: False
        self.make_link: MakeLink
        self.link_lost: Callable[[int], None]
        self.link_gained: Callable[[int], None] = lambda said: None
        self.say: Say
        self.make_tap: MakeTap | None = None
        self.run_link: RunLink = run_any  # a simulation has a medium of its own
        self.sleep_until: SleepUntil = trio.sleep_until  # of links with a shape

    # LinkDirectory

    def said_of(self, link_id: str) -> int:
        return self._said_of[link_id]

    def host_paths(self) -> list[PathId]:
        return [
            path
            for adapter in self.by_said.values()
            for link in adapter.links.values()
            for path in sorted(link.paths)
            if not self.is_peer(path)
        ]

    def host_addresses(self) -> list[str]:
        """Where the host ports listen, as host:port."""
        hosts = [adapter.address for adapter in self.by_said.values() if adapter.config.kind == "host"]
        return ["{}:{}".format(*address) for address in hosts if address is not None]

    def present_status(self, path: PathId, unit_address: int, status: int) -> None:
        said = self._said_of.get(path.link_id)
        link = self.by_said[said].links.get(path.link_id) if said is not None else None
        if link is not None and path in link.paths:
            link.present_status(path, unit_address, status)

    # Connections

    async def serve_stream(self, said: int, stream: trio.abc.Stream, *, opened: bool) -> bool:
        """Run one link of a port over `stream` until it ends; did a frame come over it? Owns the stream."""
        adapter = self.by_said[said]
        adapter.made += 1
        link_id = f"{said:04X}/{adapter.made}"
        config = adapter.config
        own, peer = (OPENED, ACCEPTED) if opened else (ACCEPTED, OPENED)
        link = self.make_link(link_id, config, own, config.peer_address or peer)
        if config.kind == "peer":
            self._end_links(adapter)  # the newest connection is the link; an old one that still lingers is dead
        adapter.links[link_id] = link
        adapter.scopes[link_id] = trio.CancelScope()
        self._said_of[link_id] = said
        self.say("link up", {"link": link_id})
        if adapter.config.kind == "peer":
            self.link_gained(said)
        tap = self.make_tap(link_id, config) if self.make_tap else None
        try:
            with adapter.scopes[link_id]:
                async with AsyncExitStack() as stack:
                    if (shape := config.shape) is not None:
                        long_way = shaped(stream, shape, Random(link_id), self.sleep_until)
                        stream = await stack.enter_async_context(long_way)
                    await self.run_link(link, stream, tap)
        except* LinkError as group:
            self.say("link error", {"link": link_id, "why": str(group.exceptions[0])})
        finally:
            was_current = adapter.links.pop(link_id, None) is not None
            del adapter.scopes[link_id], self._said_of[link_id]
            adapter.bytes_past += link.counters.bytes_in + link.counters.bytes_out
            self.say("link down", {"link": link_id})
            if config.kind == "peer" and was_current:
                self.link_lost(said)
        return link.counters.frames_in > 0

    def _end_links(self, adapter: Adapter) -> None:
        """End the link of a peer port, with everything that relied on it."""
        ended, adapter.links = adapter.links, {}
        for link_id, link in ended.items():
            link.connection_lost(trio.current_time())
            adapter.scopes[link_id].cancel()
            self.link_lost(adapter.said)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen and connect for ever. Started when every listening port listens.

        A port that does neither waits for `serve_stream`.
        """
        async with trio.open_nursery() as nursery:
            for adapter in self.by_said.values():
                if adapter.config.listen is not None:
                    await self._listen(adapter, nursery)
                elif adapter.config.connect is not None:
                    nursery.start_soon(self._keep_connected, adapter)
            task_status.started()

    async def _listen(self, adapter: Adapter, nursery: trio.Nursery) -> None:
        where = adapter.config.listen
        assert where is not None
        try:
            listeners = await trio.open_tcp_listeners(where.port, host=where.host)
        except OSError as error:
            raise OSError(error.errno, f"port {adapter.said:04X} cannot listen at {where}: {error.strerror}") from error
        name = listeners[0].socket.getsockname()
        adapter.address = (name[0], name[1])

        async def accepted(stream: trio.SocketStream) -> None:
            if adapter.link is not None:  # a port scan, or a stranger, must not end a working link
                self.say("connection refused: the port has its link", {"said": f"{adapter.said:04X}"})
                await stream.aclose()
                return
            _keep_alive(stream)
            await self._serve_known(adapter, stream, opened=False)

        nursery.start_soon(trio.serve_listeners, accepted, listeners)

    async def _keep_connected(self, adapter: Adapter) -> None:
        where = adapter.config.connect
        assert where is not None
        delay = RECONNECT_FIRST_S
        while True:
            try:
                stream = await trio.open_tcp_stream(where.host, where.port)
            except OSError as error:
                adapter.refused = _refused(error)
                await trio.sleep(delay)
                delay = min(delay * 2, RECONNECT_MAX_S)
                continue
            adapter.refused = False
            _keep_alive(stream)
            if await self._serve_known(adapter, stream, opened=True):
                delay = RECONNECT_FIRST_S  # one that is taken and closed again is no better than one that is refused
            await trio.sleep(delay)
            delay = min(delay * 2, RECONNECT_MAX_S)

    async def _serve_known(self, adapter: Adapter, stream: trio.abc.Stream, *, opened: bool) -> bool:
        """Run a link once its other end is known, where the port asks for that (TLS); did a frame come over it?"""
        if adapter.tls is not None:
            try:
                stream = await adapter.tls.secure(stream, opened=opened)
            except Refused as refused:
                self.say("connection refused", {"said": f"{adapter.said:04X}", "why": str(refused)})
                return False
            if adapter.link is not None:
                await trio.aclose_forcefully(stream)  # another was quicker
                return False
        return await self.serve_stream(adapter.said, stream, opened=opened)


def _refused(error: OSError) -> bool:
    """Was the connection refused? trio wraps what happened at each address."""
    cause = error.__cause__
    found = cause.exceptions if isinstance(cause, BaseExceptionGroup) else (error, cause)
    return any(isinstance(one, ConnectionRefusedError) for one in found)


def _keep_alive(stream: trio.SocketStream) -> None:
    """Let the operating system find out, within about 20 s, that the peer's machine is gone."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            stream.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
