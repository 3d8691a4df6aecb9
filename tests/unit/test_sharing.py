"""The sharing core: who is connected, and who owns a device when.

Rules S1-S5 of controller/sharing/volume.py; rule numbers otherwise are those of hercules-interop.md section 8.
"""

from __future__ import annotations

import pytest

from ccw.shared_dasd import NO_WAIT, TRACK, Answer, Fault, Query, Request
from ccw.tracks import null_track
from controller.commands.outcome import Command, Outcome
from tests.helpers.shared import CHANNEL, RECORD_AT, CoreClient, client, record_one, shared

# Connections


async def test_connect_and_questions() -> None:
    async with shared(first_identifier=7) as (_, server):
        one = client(server)
        assert one.identifier == 7
        assert client(server).identifier == 8
        characteristics = one.good(Request.QUERY, Query.CHARACTERISTICS).data
        assert (len(characteristics), characteristics[3:5], characteristics[14:16]) == (64, b"\x33\x90", b"\0\x0f")
        assert one.good(Request.QUERY, Query.SENSE_ID).data[:7] == bytes.fromhex("FF2107E8339002")
        assert one.good(Request.QUERY, Query.CYLINDERS).data == (2).to_bytes(4, "big")
        assert one.good(Query.CYLINDERS_USED).data == (2).to_bytes(4, "big")
        assert one.good(Request.QUERY, Query.SERIAL).data == b"000000012345"
        assert one.good(Request.QUERY, Query.CONTROL_UNIT).data == bytes.fromhex("0721E800")
        assert one.good(Request.QUERY, Query.BLOCK_COUNT).data == bytes(4)


@pytest.mark.parametrize(
    ("code", "flag", "device", "identifier", "fault", "closed"),
    [
        (Request.CONNECT, 1, 0x0999, 0, Fault.NO_DEVICE, True),
        (Request.READ, 0, 0x0120, 0, Fault.NOT_CONNECT, True),
        (Request.CONNECT, 0x11, 0x0120, 0, Fault.VERSION, False),
        (Request.READ, 0, 0x0120, 777, Fault.NOT_ACTIVE, False),
        (0xED, 0, 0x0120, 777, Fault.INVALID, False),
        (0x00, 0, 0x0120, 777, Fault.INVALID, False),
        (Request.QUERY, 0x49, 0x0120, 777, Fault.INVALID, False),
        (Request.END, 0, 0x0120, 777, Fault.NOT_ACTIVE, False),
        (Request.SENSE, 0, 0x0120, 777, Fault.NOT_ACTIVE, False),
        (Request.RESERVE, 0, 0x0120, 777, Fault.NOT_ACTIVE, False),
        (Request.WRITE, 0, 0x0120, 777, Fault.NOT_ACTIVE, False),
    ],
)
async def test_a_first_message_that_is_wrong(
    code: int, flag: int, device: int, identifier: int, fault: int, closed: bool
) -> None:
    async with shared() as (_, server):
        one = CoreClient(server, device)
        one.identifier = identifier
        reply = one.ask(code, flag)
        assert reply is not None
        assert (reply.code, reply.status, one.closed) == (fault, code, closed)
        assert reply.data.endswith(b"\0") and len(reply.data) <= 255
        assert (reply.device, reply.identifier) == (0, 0) if closed else reply.device == 0x0120


async def test_a_client_that_comes_back_keeps_its_identifier_and_its_request() -> None:
    """Rule 4: the first message of a new connection may be the interrupted request itself."""
    async with shared() as (_, server):
        one = client(server)
        one.session.lost()
        back = CoreClient(server, 0x0120)
        back.identifier = one.identifier
        assert back.good(Request.START).code == Answer.PURGE
        assert back.read(3) == null_track(0, 3)


async def test_a_connection_is_replaced_by_the_same_client_and_by_no_other() -> None:
    async with shared() as (_, server):
        one = client(server)
        stranger = CoreClient(server, 0x0120, "127.0.0.9")
        stranger.identifier = one.identifier
        refused = stranger.ask(Request.START)
        assert refused is not None and refused.code == Fault.NO_DEVICE and stranger.closed and not one.closed
        again = CoreClient(server, 0x0120)
        again.identifier = one.identifier
        assert again.good(Request.CONNECT, 1).data == one.identifier.to_bytes(2, "big")
        assert one.closed


async def test_clients_of_a_device_are_limited_and_disconnect_makes_room() -> None:
    async with shared(clients_max=2) as (_, server):
        one, _two = client(server), client(server)
        third = CoreClient(server, 0x0120)
        reply = third.ask(Request.CONNECT, 1)
        assert reply is not None and reply.code == Fault.NO_SLOT and third.closed
        client(server, device=0x0121)
        one.good(Request.DISCONNECT)
        assert one.closed
        client(server)


# Ownership (S1, S4)


async def test_starts_wait_in_the_order_they_came() -> None:
    async with shared() as (_, server):
        one, two, three = client(server), client(server), client(server)
        one.good(Request.START)
        assert one.good(Request.START).code == 0  # the owner's is answered
        assert two.ask(Request.START) is None
        assert three.ask(Request.START) is None
        busy = client(server).ask(Request.START, NO_WAIT)
        assert busy is not None and busy.code == Answer.BUSY
        one.good(Request.END)
        assert two.replies[-1].code == Answer.PURGE
        assert len(three.replies) == 2
        two.good(Request.SUSPEND)
        assert three.replies[-1].code == Answer.PURGE
        three.good(Request.END)
        assert two.good(Request.RESUME).code == 0


async def test_a_reserve_keeps_others_out_until_release_and_end() -> None:
    async with shared() as (_, server):
        one, two = client(server), client(server)
        one.good(Request.START)
        one.good(Request.RESERVE)
        one.good(Request.END)
        assert two.ask(Request.START) is None
        one.good(Request.START)
        one.good(Request.RELEASE)
        assert len(two.replies) == 2
        one.good(Request.END)
        assert two.replies[-1].code == Answer.PURGE


async def test_what_a_vanished_client_held_is_free() -> None:
    """Rule 11: its place in the line, its ownership and its reservation."""
    async with shared() as (_, server):
        one, two, three = client(server), client(server), client(server)
        one.good(Request.START)
        one.good(Request.RESERVE)
        one.write(5, RECORD_AT, record_one(5, b"never ended"))
        assert two.ask(Request.START) is None
        assert three.ask(Request.START) is None
        two.session.lost()
        one.session.lost()
        assert three.replies[-1].code == Answer.PURGE
        assert three.read(5) == null_track(0, 5)
        three.good(Request.END)
        assert client(server).good(Request.START).code == Answer.PURGE


async def test_channels_and_clients_exclude_each_other() -> None:
    async with shared() as (made, server):
        one = client(server)
        subsystem = made.a.running.subsystem
        device = subsystem.devices[0]
        assert device.execute(CHANNEL, Command(0x03, 0x40, 1)).status == 0x0C
        assert one.ask(Request.START) is None
        device.end_chain(CHANNEL)
        subsystem.on_idle(0)
        assert one.replies[-1].code == Answer.PURGE
        assert device.execute(CHANNEL, Command(0x03, 0, 1)).status == 0x10
        one.good(Request.RESERVE)
        one.good(Request.END)
        assert device.execute(CHANNEL, Command(0x03, 0, 1)).status == 0x10
        one.good(Request.START)
        one.good(Request.RELEASE)
        one.good(Request.END)
        assert device.execute(CHANNEL, Command(0x03, 0, 1)).status == 0x0C


@pytest.mark.parametrize("lost", [False, True])
async def test_a_client_does_not_give_back_the_reservation_of_who_took_the_device_over(lost: bool) -> None:
    """Unconditional Reserve from a channel; then the client releases, or its connection is gone."""
    async with shared() as (made, server):
        one = client(server)
        one.good(Request.START)
        one.good(Request.RESERVE)
        subsystem, answers = made.a.running.subsystem, list[Outcome]()
        subsystem.start(CHANNEL, 0, Command(0x14, 0x20, 32), answers.append)
        subsystem.end_chain(CHANNEL, 0)
        assert answers[0].status == 0x0C
        if lost:
            one.session.lost()
        else:
            one.good(Request.RELEASE)
        assert subsystem.devices[0].paths.owner == CHANNEL


async def test_a_client_whose_device_was_taken_over_writes_no_more() -> None:
    """S2: its end is not answered, for it would hide an error; others go on when the new owner lets them."""
    async with shared() as (made, server):
        one, two = client(server), client(server)
        subsystem, answers = made.a.running.subsystem, list[Outcome]()

        def alone(code: int) -> None:
            subsystem.start(CHANNEL, 0, Command(code, 0x20, 32), answers.append)
            subsystem.end_chain(CHANNEL, 0)

        one.good(Request.START)
        one.good(Request.RESERVE)
        one.write(1, RECORD_AT, record_one(1, b"one"))
        alone(0x14)
        assert two.ask(Request.START) is None
        refused = one.ask(Request.READ, 0, TRACK.pack(2))
        assert refused is not None and b"taken over" in refused.data
        assert one.ask(Request.END) is None
        assert made.a.running.store.read(0, 1) is None
        one.session.lost()
        assert two.replies[-1].code != Answer.PURGE, "the volume is reserved to the host still"
        alone(0x94)
        assert [answer.status for answer in answers] == [0x0C, 0x0C]
        assert two.replies[-1].code == Answer.PURGE
        device = subsystem.devices[0]
        assert device.active_path is not None and device.execute(CHANNEL, Command(0x03, 0, 1)).status == 0x10
        two.good(Request.END)
        assert device.active_path is None
