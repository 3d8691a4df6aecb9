"""A session over real TCP against a controller link behind a few lines of shell; then the command itself."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner
from trio.testing import memory_stream_pair

from ccw.ccws import ChannelStatus
from ccw.frames import Frame
from ccw.records import RecordReader, encode_record, encode_sequence
from controller.channel import Link, PathId
from controller.commands.outcome import Command, Outcome
from host_emulator import orders
from host_emulator.channel import InterfaceControlCheck, Response, Start, run_program
from host_emulator.link import HostLinkSettings, LinkFailure, NoPath, Unsolicited
from host_emulator.session import HostSession, open_session, session_over
from tests.helpers.patience import PATIENCE_S
from tests.helpers.wire import NODE, ScriptedServer, normal_end, read
from tools.host import host as host_command

PATH = PathId("L0", 0x0100, 0)
PATIENT = HostLinkSettings(link_timeout_s=PATIENCE_S, device_timeout_s=PATIENCE_S)  # over a network that loses nothing


class Shell:
    """The smallest owner of a link: one connection, timers, output on demand."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.link = Link("L0", server, NODE, own_address=2, peer_address=1)
        self._news = trio.Event()
        self.stream: trio.abc.Stream | None = None

    def wake(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def serve(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.link.on_output = self.wake
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            reader = RecordReader()
            try:
                while data := await stream.receive_some():
                    for record in reader.feed(bytes(data)):
                        self.link.receive(record, trio.current_time())
                    self.wake()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            self.link.connection_lost(trio.current_time())
            nursery.cancel_scope.cancel()

    async def _write(self) -> None:
        assert self.stream is not None
        while True:
            news = self._news
            items = self.link.take()
            data = b"".join(encode_record(i) if isinstance(i, Frame) else encode_sequence(i.kind) for i in items)
            if data:
                try:
                    await self.stream.send_all(data)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return  # closed by the test, or the host is gone
                continue
            wake_at = self.link.next_wake
            with trio.move_on_at(math.inf if wake_at is None else wake_at) as waited:
                await news.wait()
            if waited.cancelled_caught:
                self.link.wake(trio.current_time())


@asynccontextmanager
async def listening(server: ScriptedServer) -> AsyncIterator[tuple[Shell, int]]:
    shell = Shell(server)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, shell.serve, [listener])
            yield shell, listener.socket.getsockname()[1]
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def session_with(
    server: ScriptedServer, busy_timeout_s: float = PATIENCE_S
) -> AsyncIterator[tuple[HostSession, Shell]]:
    async with (
        listening(server) as (shell, port),
        open_session("127.0.0.1", port, settings=PATIENT, busy_timeout_s=busy_timeout_s) as session,
    ):
        yield session, shell


async def ended(server: ScriptedServer, count: int) -> None:
    """That many chains have ended; the last acceptance may still be under way."""
    with trio.fail_after(PATIENCE_S):
        while server.count("end") < count:
            await trio.sleep(0.001)
    assert server.count("end") == count


async def test_programs_over_tcp() -> None:
    server = ScriptedServer()
    async with session_with(server) as (session, _):
        assert await session.identify() == NODE
        builder = orders.ProgramBuilder()
        builder.write(0x63, bytes(16))
        builder.read(0x06, 4096)
        builder.read(0x06, 70)
        result = await session.run(0x10, run_program(builder.build()))
        assert result.completed
        assert [len(data) for data in result.reads] == [4096, 70]
        await ended(server, 1)
        statistics = session.statistics()
        assert (statistics.programs, statistics.commands) == (1, 3)
        assert statistics.bytes_received > 4166
        assert statistics.link.frames_in > 8


async def test_the_value_of_any_program_comes_back() -> None:
    def program():  # type: ignore[no-untyped-def]
        first = yield read(4, flags=0x60)
        second = yield read(2, chained=True)
        return first.data + second.data

    async with session_with(ScriptedServer()) as (session, _):
        assert await session.run(0x11, program()) == b"\0\1\2\3\0\1"


async def test_busy_is_tried_again_after_device_end() -> None:
    server = ScriptedServer(outcomes=[Outcome(0x10, residual=32), Outcome(0x50, residual=32)])
    async with session_with(server) as (session, shell), trio.open_nursery() as nursery:
        results = []

        async def run() -> None:
            results.append(await session.run_program(0x10, orders.sense()))

        nursery.start_soon(run)
        for wanted, status in ((1, 0x04), (2, 0x20)):
            while server.count("end") < wanted:
                await trio.sleep(0.01)
            assert not results
            shell.link.present_status(PATH, 0x10, status)
        while not results:
            await trio.sleep(0.01)
        assert results[0].completed
        assert session.attentions() == []
        assert session.statistics().busy_waits == 2


async def test_busy_for_ever_is_the_answer() -> None:
    server = ScriptedServer(outcomes=[Outcome(0x10, residual=32)])
    async with session_with(server, busy_timeout_s=0.05) as (session, _):
        result = await session.run_program(0x10, orders.sense())
        assert (result.unit_status, result.channel_status) == (0x10, 0)


async def test_link_lost_while_the_device_is_busy() -> None:
    """The control unit dies while a host waits for device end: that is what the host is told, not busy."""
    server = ScriptedServer(outcomes=[Outcome(0x10, residual=32)])
    async with session_with(server) as (session, shell), trio.open_nursery() as nursery:
        results = []

        async def run() -> None:
            results.append(await session.run_program(0x10, orders.sense()))

        nursery.start_soon(run)
        await ended(server, 1)
        assert shell.stream is not None
        await shell.stream.aclose()
        while not results:
            await trio.sleep(0.001)
        assert results[0].channel_status == ChannelStatus.INTERFACE_CONTROL_CHECK
        assert results[0].problem == "the link is lost"


async def test_status_that_comes_in_place_of_the_answer() -> None:
    server = ScriptedServer(outcomes=[Outcome(0x95, residual=32)])
    async with session_with(server) as (session, _):
        assert (await session.run_program(0x10, orders.sense())).completed
        assert session.attentions() == [Unsolicited(0x10, 0x85, b"")]


async def test_attentions() -> None:
    async with session_with(ScriptedServer()) as (session, shell):
        for unit in (0x10, 0x11):
            shell.link.present_status(PATH, unit, 0x85)
        assert await session.attention() == Unsolicited(0x10, 0x85, b"")
        async for status in session:
            assert status.unit_address == 0x11
            break
        assert session.attentions() == []


async def test_retries_only_when_asked_for(autojump_clock: object) -> None:
    """An answer that is lost for ever: interface control check, the program is repeated as often as allowed."""
    server = ScriptedServer(outcomes=[None, None, Outcome(0x0C, data=bytes(32))])
    host_end, unit_end = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Shell(server).serve, unit_end)
        async with session_over(host_end) as session:
            once = await session.run_program(0x10, orders.sense())
            assert once.channel_status == 0x02 and once.problem
            again = await session.run_program(0x10, orders.sense(), retries=2)
            assert again.completed
            assert len(server.commands) == 3


async def test_cancelled_in_the_middle() -> None:
    server = ScriptedServer(outcomes=[None])
    async with session_with(server) as (session, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.run_program, 0x10, orders.sense())
            while not server.commands:
                await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
        assert (await session.run_program(0x10, orders.sense())).completed
        await ended(server, 2)


async def test_peer_closes() -> None:
    server = ScriptedServer(outcomes=[None])
    async with session_with(server) as (session, shell), trio.open_nursery() as nursery:
        assert shell.stream is not None
        nursery.start_soon(shell.stream.aclose)
        result = await session.run_program(0x10, orders.sense())
        assert result.channel_status == 0x02
        with pytest.raises(LinkFailure):
            await session.attention()
        with pytest.raises(InterfaceControlCheck):
            await session.establish(1)


async def test_path_refused_is_one_exception() -> None:
    async with listening(ScriptedServer(refuse=4)) as (_, port):
        with pytest.raises(NoPath) as caught:
            async with open_session("127.0.0.1", port):
                raise AssertionError("not reached")
        assert caught.value.reason == 4


async def test_resets_and_removal() -> None:
    server = ScriptedServer()
    async with session_with(server) as (session, shell):
        await session.selective_reset(0x10)
        await session.system_reset()
        assert server.calls[-2:] == [("reset", 0x10), ("reset", None)]
        await session.disestablish()
        assert not shell.link.paths
        with pytest.raises(NoPath):
            await session.run(0x10, (item for item in [Start(0x04, 0x20, 32, b"", False)]))


# The command


class Replying(ScriptedServer):
    """Unit check with sense for the second command."""

    def start(self, path, unit_address, command: Command, reply) -> None:  # type: ignore[no-untyped-def]
        sense = bytes((0x80, 0, 0, 0, 0x10, 0, 0, 0x0F, 0x43)) + bytes(18) + b"\x80" + bytes(4)
        self.outcomes = [Outcome(0x0E, residual=command.count, sense=sense) if self.commands else normal_end(command)]
        super().start(path, unit_address, command, reply)


async def run_command(server: ScriptedServer, script: str, *options: str, path: Path) -> tuple[int, str, str]:
    file = path / "a.host"
    file.write_text(script)
    async with listening(server) as (_, port):
        command = [sys.executable, "-c", "from tools.host import host; host()"]
        arguments = ["--target", f"tcp://127.0.0.1:{port}", *options, str(file)]
        done = await trio.run_process(
            [*command, *arguments], capture_stdout=True, capture_stderr=True, check=False
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()


async def test_command_ends_at_a_unit_check(tmp_path: Path) -> None:
    script = "sense-id device=10\nsense device=10\nsense device=10\n"
    code, output, errors = await run_command(Replying(), script, "--json", path=tmp_path)
    reports = [json.loads(line) for line in output.splitlines()]
    assert (code, errors, len(reports)) == (1, "", 2)
    assert reports[0]["ok"] and reports[0]["data"] == bytes(range(256)).hex().upper()
    assert reports[1]["unit_status"] == "0E"
    assert reports[1]["sense_text"] == "command reject, message 0F status not as required, reason 43 not in a pair"


async def test_command_for_people(tmp_path: Path) -> None:
    code, output, errors = await run_command(ScriptedServer(), "sense device=10\nidentify\n", path=tmp_path)
    assert (code, errors) == (0, "")
    assert "sense            ok  status 0C.00 residual 0" in output
    assert "node_type: 003990" in output


@pytest.mark.parametrize(
    ("options", "script", "words"),
    [
        (["--target", "tcp://127.0.0.1:1"], "sense device=1x", "a.host:1:14: '1x' is not a hexadecimal number"),
        (["--target", "tcp://127.0.0.1:1"], "sense device=10", "tcp://127.0.0.1:1"),
        (["--target", "udp://127.0.0.1:1"], "sense device=10", "is not tcp://host:port"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path: Path, options: list[str], script: str, words: str) -> None:
    (tmp_path / "a.host").write_text(script)
    result = CliRunner().invoke(host_command, [*options, str(tmp_path / "a.host")])
    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output


async def test_a_program_that_fails_between_two_commands_fails_where_it_was_started() -> None:
    """The answer of a chained command is given to the program elsewhere; what it raises comes back all the same."""

    def fails() -> Generator[Start, Response, None]:
        yield Start(0x63, 0x40, 2, b"ab", False)
        yield Start(0x47, 0x40, 2, b"ab", True)
        raise ValueError("not what I expected")

    def returns() -> Generator[Start, Response, list[int]]:
        first = yield Start(0x63, 0x40, 2, b"ab", False)
        second = yield Start(0x47, 0x00, 2, b"ab", True)
        alone = yield Start(0x63, 0x00, 2, b"ab", False)  # begins a chain of its own
        return [first.status, second.status, alone.status]

    server = ScriptedServer()
    async with session_with(server) as (session, _):
        with pytest.raises(ValueError, match="not what I expected"):
            await session.run(0x10, fails())
        assert await session.run(0x10, returns()) == [0x0C, 0x0C, 0x0C]
        await ended(server, 3)
        assert session.statistics().commands == 5
