"""Capture files being written: what is in them, what a failing disk and a crash leave, who may write."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner
from trio.testing import memory_stream_pair

from ccw.errors import FormatError
from ccw.escon import Sequence
from ccw.pcapng import LINKTYPE_USER0, Direction, Packet, PcapngReader, encode_packet
from ccw.records import RawFrame, RecordReader, decode_record, encode_raw, encode_sequence
from controller.channel import Link
from controller.links.stream_link import run_link
from host_emulator import orders
from host_emulator.session import session_over
from tests.helpers.patience import PATIENCE_S
from tests.helpers.wire import NODE, ScriptedServer
from tools import captures
from tools.captures import CaptureFile, capturing
from tools.cli import main

RECORD = encode_sequence(Sequence.OLS)


def packets(path: Path) -> list[Packet]:
    reader = PcapngReader()
    found = list(reader.feed(path.read_bytes()))
    reader.finish()
    return found


async def record_some(path: Path, count: int = 3, say: list[str] | None = None) -> CaptureFile:
    with CaptureFile(path, None if say is None else say.append) as capture:
        tap = capture.tap("A 0001/1", "SAID 0001, host port")
        assert tap is not None
        for number in range(count):
            tap(number % 2 == 0, RECORD, trio.current_time())
    return capture


async def test_a_capture_has_links_directions_and_times(tmp_path: Path, autojump_clock: object) -> None:
    path = tmp_path / "a.pcapng"
    with CaptureFile(path) as capture:
        one, two = capture.tap("one"), capture.tap("two", "SAID 0002")
        assert one is not None and two is not None
        one(True, RECORD, trio.current_time())
        await trio.sleep(2.5)
        two(False, RECORD, trio.current_time())
    first, second = packets(path)
    assert (first.interface.name, first.direction, first.data) == ("one", Direction.SENT, RECORD)
    assert (second.interface.description, second.direction) == ("SAID 0002", Direction.RECEIVED)
    assert first.time_ns is not None and second.time_ns is not None
    assert second.time_ns - first.time_ns == 2_500_000_000
    assert first.interface.link_type == LINKTYPE_USER0


async def test_both_ends_of_a_link_see_the_same_records(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    left, right = memory_stream_pair()
    link = Link("L0", ScriptedServer(), NODE, own_address=2, peer_address=1)
    with CaptureFile(path) as capture, trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_link, link, right, capture.tap("unit"))
            async with session_over(left, tap=capture.tap("host")) as session:
                assert (await session.run_program(0x10, orders.sense_id())).completed
            nursery.cancel_scope.cancel()
    found = packets(path)
    for sender, receiver in (("host", "unit"), ("unit", "host")):
        sent = [p.data for p in found if p.interface.name == sender and p.direction == Direction.SENT]
        heard = [p.data for p in found if p.interface.name == receiver and p.direction == Direction.RECEIVED]
        assert len(heard) > 4 and sent[: len(heard)] == heard


async def test_an_existing_capture_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    await record_some(path)
    before = path.read_bytes()
    await record_some(path, 2)
    assert path.read_bytes().startswith(before)
    assert len(packets(path)) == 5


async def test_a_torn_block_is_cut_off_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    await record_some(path)
    before = path.read_bytes()
    path.write_bytes(before + encode_packet(0, 0, bytes(50))[:-1])
    await record_some(path, 1)
    assert path.read_bytes().startswith(before)
    assert len(packets(path)) == 4


@pytest.mark.parametrize("content", [b"x", b"something else", bytes.fromhex("A1B2C3D4") + bytes(20)])
def test_what_is_no_capture_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "precious.txt"
    path.write_bytes(content)
    with pytest.raises(FormatError, match="no pcapng"):
        CaptureFile(path)
    assert path.read_bytes() == content


async def test_a_damaged_capture_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    await record_some(path)
    damaged = bytearray(path.read_bytes())
    damaged[-4] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(FormatError, match="block length at its end"):
        CaptureFile(path)
    assert path.read_bytes() == damaged


def test_one_writer_only(tmp_path: Path) -> None:
    with CaptureFile(tmp_path / "a.pcapng"), pytest.raises(OSError, match="another process"):
        CaptureFile(tmp_path / "a.pcapng")


async def test_a_failing_disk_is_said_once_and_leaves_whole_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, said, room, writes = tmp_path / "a.pcapng", list[str](), 1 << 20, 0
    real_write = os.write

    def write(file: int, data: bytes) -> int:
        nonlocal room, writes
        if room == 0:
            raise OSError(28, "No space left on device")
        done = real_write(file, data[:room])
        room -= done
        writes += 1
        return done

    monkeypatch.setattr("tools.captures.os.write", write)
    with CaptureFile(path, said.append) as capture:
        tap = capture.tap("one")
        assert tap is not None
        tap(True, RECORD, trio.current_time())
        with trio.fail_after(PATIENCE_S):
            while room == 1 << 20 or not packets(path):  # the first record is on the disk
                await trio.sleep(0.001)
        room = 300
        for _ in range(50):
            before = writes
            tap(True, RECORD, trio.current_time())
            with trio.fail_after(PATIENCE_S):
                while writes == before and capture.problem is None:  # each is written by itself: some whole, one torn
                    await trio.sleep(0.001)
    assert said == [f"capture {path}: No space left on device; records are missing"]
    assert 1 < len(packets(path)) < 51
    assert capture.dropped > 0


async def test_a_disk_that_takes_nothing_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    released = threading.Event()
    real_write = os.write

    def write(file: int, data: bytes) -> int:
        assert released.wait(PATIENCE_S)
        return real_write(file, data)

    monkeypatch.setattr("tools.captures.os.write", write)
    monkeypatch.setattr(captures, "QUEUED_MAX", 10)
    capture = CaptureFile(tmp_path / "a.pcapng", said.append)
    tap = capture.tap("one")
    assert tap is not None
    for _ in range(100):
        tap(True, RECORD, trio.current_time())
    assert said == [f"capture {capture.path}: the disk is too slow; records are missing"]
    late = capture.tap("two")           # an interface is never dropped: packets name it by its place
    released.set()
    with trio.fail_after(PATIENCE_S):
        while capture._queue:
            await trio.sleep(0.01)
    assert late is not None
    late(True, RECORD, trio.current_time())
    capture.close()
    assert packets(capture.path)[-1].interface.name == "two"
    assert capture.dropped + len(packets(capture.path)) == 101


async def test_too_many_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captures, "INTERFACES_MAX", 2)
    said: list[str] = []
    with CaptureFile(tmp_path / "a.pcapng", said.append) as capture:
        assert capture.tap("one") and capture.tap("two")
        assert capture.tap("three") is None
    assert said == [f"capture {capture.path}: more than 2 links; records are missing"]


def test_records_go_both_ways() -> None:
    for record in (encode_raw(RawFrame(bytes(9), True, False, True)), encode_sequence(Sequence.UDR)):
        assert encode_raw(decode_record(record)) == record
        assert RecordReader().feed(record) == [decode_record(record)]
        for stop in range(len(record)):
            with pytest.raises(FormatError, match="cut short"):
                decode_record(record[:stop])
        with pytest.raises(FormatError, match=f"more than one at byte {len(record)}"):
            decode_record(record + record)


@pytest.mark.parametrize("command", [["host", "--target", "tcp://127.0.0.1:1", "-"], ["serve", "CONFIG"]])
def test_a_capture_that_cannot_be_written_is_bad_input(tmp_path: Path, command: list[str]) -> None:
    config = Path(__file__).parents[2] / "docs" / "examples" / "a.toml"
    arguments = [str(config) if word == "CONFIG" else word for word in command]
    result = CliRunner().invoke(main, [*arguments, "--capture", str(tmp_path / "no" / "where")], input="")
    assert result.exit_code == 2 and "No such file" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_replay_in_process_has_nothing_to_capture(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["replay", "--capture", str(tmp_path / "x"), str(tmp_path)])
    assert result.exit_code == 2 and "only with --target" in result.stderr


def test_without_the_option_there_is_no_capture() -> None:
    with capturing(None) as nothing:
        assert nothing is None
