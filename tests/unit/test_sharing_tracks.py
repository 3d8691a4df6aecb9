"""The sharing core: tracks, purge lists, hardening before the end is answered, and what a client must never hear.

Rules S1-S5 of controller/sharing/volume.py; rule numbers otherwise are those of hercules-interop.md section 8.
"""

from __future__ import annotations

from random import Random

import pytest
import trio
import trio.testing
from isal import isal_zlib

from ccw.shared_dasd import TRACK, WRITE_HEAD, Answer, Request
from ccw.tracks import null_track
from controller.array import DiskError
from controller.commands.outcome import Command
from controller.remote_copy.ports import ArrayFault
from host_emulator.program_text import build_program
from host_emulator.shared_client import unpacked
from tests.helpers.shared import CHANNEL, RECORD_AT, client, finished, image_with, record_one, shared, written
from tests.helpers.two_systems import until

# Tracks


async def test_what_is_written_is_read_by_others_and_purged_from_their_caches() -> None:
    async with shared() as (_, server):
        one, two = client(server), client(server)
        two.good(Request.START)
        two.good(Request.END)
        await written(one, 7, b"seven")
        assert two.good(Request.START).data == TRACK.pack(7)
        assert two.read(7) == image_with(7, b"seven")
        two.good(Request.END)
        assert two.good(Request.START).code == 0
        two.good(Request.END)
        assert one.good(Request.START).code == 0  # its own write is not listed


async def test_seventeen_changed_tracks_are_all_tracks() -> None:
    async with shared() as (_, server):
        one, two = client(server), client(server)
        for client_ in (one, two):
            client_.good(Request.START)
            client_.good(Request.END)
        for track in range(16):
            await written(one, track, b"x")
        reply = two.good(Request.START)
        assert reply.code == Answer.PURGE and len(reply.data) == 64
        two.good(Request.END)
        for track in range(17):
            await written(one, track, b"y")
        reply = two.good(Request.START)
        assert reply.code == Answer.PURGE and reply.data == b""


async def test_a_compressed_track_is_handed_over_as_it_is_stored() -> None:
    async with shared() as (made, server):
        one = client(server)
        await written(one, 2, b"\x40" * 4000)
        one.good(Request.START)
        reply = one.good(Request.READ, 0, TRACK.pack(2))
        assert (reply.code, reply.status, reply.data[:5]) == (Answer.PACKED, 0x15, b"\x01\0\0\0\x02")
        stored = made.a.running.store.read_stored(0, 2)
        assert stored is not None and reply.data[5:] == stored.payload[5:]
        one.good(Request.COMPRESS, 0x20)  # bzip2 only: plain then
        reply = one.good(Request.READ, 0, TRACK.pack(2))
        assert (reply.code, reply.status, reply.data) == (0, 0, image_with(2, b"\x40" * 4000))


async def test_a_packed_write() -> None:
    async with shared() as (_, server):
        one = client(server)
        one.good(Request.START)
        body = isal_zlib.compress(record_one(4, b"A" * 1000))
        one.good(Request.WRITE_PACKED, 0x16, WRITE_HEAD.pack(RECORD_AT, 4) + body)
        assert one.read(4) == image_with(4, b"A" * 1000)


async def test_a_read_beyond_the_device_leaves_sense_once() -> None:
    async with shared() as (_, server):
        one = client(server)
        one.good(Request.START)
        reply = one.ask(Request.READ, 0, TRACK.pack(30))
        assert reply is not None and (reply.code, reply.status) == (Answer.IO_ERROR, 0x0E)
        sense = one.good(Request.SENSE).data
        assert (len(sense), sense[0], sense[7]) == (32, 0x10, 0x10)
        assert one.good(Request.SENSE).data == bytes(32)


async def test_a_track_that_was_stored_before_the_array_refused_the_next_is_purged_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with shared() as (made, server), made.host(made.a) as host:
        two = client(server)
        two.good(Request.START)
        two.good(Request.END)
        array = made.a.running.array
        write = array.write

        def full(volume: int, track: int, image: bytes) -> int:
            if track == 17:
                raise ArrayFault("no room")
            return write(volume, track, image)

        monkeypatch.setattr(array, "write", full)
        tracks = "; ".join(f"wft 0001{head:04X}00000008{'00' * 8}{'FF' * 8}" for head in (1, 2))
        program = build_program(f"de 1,0-1,9; lre writeset n=2 seek=1,1 xp=C0; {tracks}")
        result = await host.run_program(0, program)
        assert result.sense is not None
        await until(lambda: made.a.running.subsystem.devices[0].active_chain is None)
        assert two.good(Request.START).data == TRACK.pack(16)


# Hardening (S2, S3)


async def test_an_end_is_answered_when_its_writes_are_durable_and_not_before() -> None:
    async with shared() as (made, server):
        one = client(server)
        store = made.a.running.store
        one.good(Request.START)
        one.write(1, RECORD_AT, record_one(1, b"one"))
        before = len(one.replies)
        assert one.ask(Request.END) is None
        assert store.durable < store.sequence_of(0, 1)
        await finished(one, before + 1)
        assert store.durable >= store.sequence_of(0, 1)


async def test_the_next_owner_starts_at_once_and_reads_what_is_under_way_only_when_it_is_durable() -> None:
    async with shared() as (made, server):
        one, two = client(server), client(server)
        one.good(Request.START)
        one.write(1, RECORD_AT, record_one(1, b"one"))
        assert one.ask(Request.END) is None
        assert two.good(Request.START).code == Answer.PURGE
        assert two.read(2) == null_track(0, 2)
        before = len(two.replies)
        assert two.ask(Request.READ, 0, TRACK.pack(1)) is None
        device = made.a.running.subsystem.devices[0]
        assert device.execute(CHANNEL, Command(0x03, 0, 1)).status == 0x10
        await finished(two, before + 1)
        store = made.a.running.store
        assert store.durable >= store.sequence_of(0, 1)
        two.good(Request.END)
        assert device.execute(CHANNEL, Command(0x03, 0, 1)).status == 0x0C


async def test_an_end_that_cannot_be_hardened_is_never_answered_and_the_device_is_fenced(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Rule 14: an error would be hidden from the guest."""
    async with shared() as (made, server):
        one, two = client(server), client(server)

        made.a.medium.sync = failing_sync  # type: ignore[method-assign]
        one.good(Request.START)
        one.write(1, RECORD_AT, record_one(1, b"one"))
        before = len(one.replies)
        assert one.ask(Request.END) is None
        await until(lambda: made.a.running.committer.fenced)
        await trio.sleep(20)
        assert len(one.replies) == before
        two.good(Request.START)
        reply = two.ask(Request.READ, 0, TRACK.pack(3))
        assert reply is not None and reply.code & Answer.ERROR and reply.data.endswith(b"\0")
        assert any("held unanswered" in str(event["text"]) for event in made.events)


@pytest.mark.parametrize("code", [Request.END, Request.SUSPEND])
async def test_every_later_end_of_a_fenced_device_is_held_too_if_it_has_writes(code: int) -> None:
    async with shared() as (made, server):
        one, two = client(server), client(server)
        made.a.medium.sync = failing_sync  # type: ignore[method-assign]
        one.good(Request.START)
        one.write(1, RECORD_AT, record_one(1, b"one"))
        assert one.ask(Request.END) is None
        await until(lambda: made.a.running.committer.fenced)
        two.good(Request.START)
        two.good(code)  # nothing was written: nothing is promised
        two.good(Request.START)
        reply = two.ask(Request.WRITE, 0, WRITE_HEAD.pack(RECORD_AT, 2) + record_one(2, b"two"))
        assert reply is not None and reply.code & Answer.ERROR
        assert two.ask(code) is None


async def test_an_end_waits_for_room_in_a_full_array_and_is_answered_when_there_is_some(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Nobody reads meanwhile what could still be lost, and nothing is lost: the same writes are tried again."""
    async with shared() as (made, server):
        one, two = client(server), client(server)
        made.a.medium.capacity_bytes = sum(made.a.medium.segments().values()) + (1 << 18)
        random = Random(7)
        data = b""
        for turn in range(60):
            data = random.randbytes(50_000)
            one.good(Request.START)
            one.write(turn % 30, RECORD_AT, record_one(turn % 30, data))
            before = len(one.replies)
            one.ask(Request.END)
            await trio.sleep(1)
            if len(one.replies) == before:
                break
        else:
            raise AssertionError("the array was never full")
        track = turn % 30
        await trio.sleep(3600)
        assert len(one.replies) == before
        assert [event["device"] for event in made.events if "waits for room" in str(event["text"])] == ["0120"]
        two.good(Request.START)
        two_before = len(two.replies)
        assert two.ask(Request.READ, 0, TRACK.pack(track)) is None
        made.a.medium.capacity_bytes = None
        await finished(one, before + 1)
        await finished(two, two_before + 1)
        assert one.replies[-1].code == 0 and unpacked(two.replies[-1]) == image_with(track, data)


def failing_sync(_segment: int) -> None:
    raise DiskError("sync failed")


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("no offset", b"\0\x15\0"),
        ("beyond the device", WRITE_HEAD.pack(RECORD_AT, 30) + record_one(30, b"x")),
        ("longer than the track", WRITE_HEAD.pack(60_000, 1) + b"x"),
        ("behind the image", WRITE_HEAD.pack(5000, 1) + b"x" * 8),
        ("no end mark", WRITE_HEAD.pack(RECORD_AT, 1) + record_one(1, b"x" * 40)[:-8]),
        ("another track's home address", WRITE_HEAD.pack(0, 1) + b"\0\0\x09\0\x09"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_write_that_is_refused_holds_the_end(
    what: str, data: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    """A client ignores the error of a write; the guest must not take the program for done."""
    async with shared() as (made, server):
        one, two = client(server), client(server)
        one.good(Request.START)
        reply = one.ask(Request.WRITE, 0, data)
        assert reply is not None and reply.code & Answer.ERROR, what
        assert one.ask(Request.END) is None
        await trio.sleep(1)
        assert two.ask(Request.START) is None
        assert any(event["text"] == "an end is held unanswered: the client would hide it" for event in made.events)
        one.session.lost()
        assert two.replies[-1].code == Answer.PURGE
        assert two.read(1) == null_track(0, 1)


@pytest.mark.parametrize(("flag", "tail"), [(0x16, b"junk"), (0x36, b""), (0x26, b"\0" * 9), (0x16, None)])
async def test_a_packed_write_that_cannot_be_unpacked(flag: int, tail: bytes | None) -> None:
    async with shared() as (_, server):
        one = client(server)
        one.good(Request.START)
        body = isal_zlib.compress(bytes(1 << 20)) if tail is None else tail
        reply = one.ask(Request.WRITE_PACKED, flag, WRITE_HEAD.pack(RECORD_AT, 4) + body)
        assert reply is not None and reply.code & Answer.ERROR
        assert one.ask(Request.END) is None


async def test_tracks_that_came_by_pointer_make_a_client_forget_everything() -> None:
    async with shared() as (made, server):
        one = client(server)
        await written(one, 1, b"new")
        made.a.running.array.snapshot(1, 0)  # a restore: all tracks of volume 00 are those of another
        reply = one.good(Request.START)
        assert (reply.code, reply.data) == (Answer.PURGE, b"")
        assert one.read(1) == null_track(0, 1)
