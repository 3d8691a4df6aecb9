"""The shared-device server: where it listens, whom it lets in, and when it gives a connection up.

Beside its TCP port it listens at the local socket that Hercules uses instead when the host of a device line is
`localhost`. What comes over a connection is shared_traffic.py's affair.

A connection may be silent for ever; one that has not said who it is within HELLO_S, or does not take its answer for
SEND_S, is ended. Only addresses of the allow-list are let in; the local socket counts as 127.0.0.1.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import trio

from controller.config import SharedConfig
from controller.links.shared_traffic import Commits, SharedCounters, Traffic
from controller.links.threads import CoreLock, run_in_thread
from controller.sharing import ShareServer

HELLO_S = 30.0
SEND_S = 60.0
WATCH_S = 5.0
BACKLOG = 128
LOCAL_PEER = "127.0.0.1"
LOCAL_SOCKET = "/tmp/hercules_shared.{port}"
"""Source: hercules-interop.md 1.1."""

Say = Callable[[str, dict[str, object]], None]


class SharedDasdServer:
    """Serves one `ShareServer` on one address."""

    def __init__(self, config: SharedConfig, server: ShareServer, say: Say, commits: Commits) -> None:
        self.address: tuple[str, int] | None = None
        self.local_socket: str | None = None
        self._config = config
        self.core = server
        self._say = say
        self._traffic = Traffic(self._accept, commits)
        self._networks = [ipaddress.ip_network(network) for network in config.allow]

    @property
    def counters(self) -> SharedCounters:
        """What happened since the start."""
        return self._traffic.counters

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._traffic.connections)

    @property
    def owing(self) -> int:
        """How many requests wait for their answer: starts for the device, ends for their writes."""
        return self._traffic.owing

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen and serve until cancelled. Raises OSError when the address cannot be had."""
        traffic, core = self._traffic, CoreLock.of_this_run()
        try:
            self._listen()
            task_status.started()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch)
                await run_in_thread(partial(traffic.run, core), traffic.stop)
        finally:
            traffic.close()
            if self.local_socket is not None:
                with suppress(OSError):
                    os.unlink(self.local_socket)

    def _listen(self) -> None:
        host, port = self._config.listen
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            raise OSError(f"shared devices at {host}:{port}: {error.strerror or error}") from error
        self._traffic.listen(listener)
        self.address = listener.getsockname()[:2]
        if self._allowed(LOCAL_PEER):
            self._listen_locally(LOCAL_SOCKET.format(port=self.address[1]))

    def _listen_locally(self, path: str) -> None:
        """Listen at the local socket. Where it cannot be had, `localhost` does not lead to this server: no more."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _remove_stale(path)
            listener.bind(path)
            os.chmod(path, 0o666)  # whoever may connect to the port may connect here
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            self._say("no local socket for shared devices", {"path": path, "why": error.strerror or str(error)})
            return
        self._traffic.listen(listener)
        self.local_socket = path

    def _allowed(self, peer: str) -> bool:
        address = ipaddress.ip_address(peer)
        return any(address in network for network in self._networks)

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, where = listener.accept()
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                self._say("a shared-device connection could not be accepted", {"why": str(error)})
            return
        local = listener.family == socket.AF_UNIX
        peer = LOCAL_PEER if local else where[0].partition("%")[0]
        if not self._allowed(peer):
            self._refuse(sock, peer, "a shared-device client is not on the allow-list")
        elif self.connections >= self._config.connections_max:
            self._refuse(sock, peer, "too many shared-device connections")
        else:
            if not local:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            near = ipaddress.ip_address(peer).is_loopback
            self._traffic.add(sock, partial(self.core.session, peer, near=near))

    def _refuse(self, sock: socket.socket, peer: str, why: str) -> None:
        self.counters.refused += 1
        self._say(why, {"peer": peer})
        sock.close()

    async def _watch(self) -> None:
        while True:
            await trio.sleep(WATCH_S)
            self.end_idle(time.monotonic())

    def end_idle(self, now: float) -> None:
        """End connections that say nothing at all, or take nothing; never one that waits for an answer.

        A client whose connection ends before its END is answered tells its guest that all went well (rule 14).
        """
        idle = self._config.idle_timeout_s
        for connection in list(self._traffic.connections.values()):
            silent = now - connection.since
            quiet = connection.session.volume is None and silent > HELLO_S
            stuck = connection.sending_since is not None and now - connection.sending_since > SEND_S
            waiting = connection.answering or connection.session.busy
            if quiet or stuck or (0 < idle < silent and not waiting):
                self._traffic.drop(connection)


def _remove_stale(path: str) -> None:
    """Remove a local socket that nobody listens at any more. Raises OSError when somebody does, or it is no socket."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise FileExistsError(0, "there is something else")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
            else:
                raise FileExistsError(0, "another server listens there")
