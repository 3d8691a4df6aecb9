"""How often a port that connects tries again."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from controller.config import PortConfig
from controller.links.adapters import Adapters
from controller.toml_fields import Address
from tests.helpers.two_systems import rig

NOTHING, A_FRAME = b"", bytes.fromhex("01010008 0201020110000000")


@pytest.mark.parametrize(("said", "least", "most"), [(NOTHING, 5, 10), (A_FRAME, 40, 120)], ids=["nothing", "a frame"])
async def test_a_peer_that_takes_connections_and_closes_them_at_once_is_asked_ever_less_often(
    autojump_clock: trio.testing.MockClock, said: bytes, least: int, most: int
) -> None:
    """A port that has its link, or one whose TLS refuses us, does that: 5 s apart in the end, not 0.2 s for ever."""
    autojump_clock.autojump_threshold = 0.001  # time for the sockets, which are real
    taken = 0

    async def close_at_once(stream: trio.SocketStream) -> None:
        nonlocal taken
        taken += 1
        if said:
            await stream.send_all(said)
        await stream.aclose()

    async with rig() as r, trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, close_at_once, listeners)
        where = Address(*listeners[0].socket.getsockname())
        adapters = Adapters((PortConfig(0x0010, "peer", connect=where),))
        theirs = r.a.running.adapters
        adapters.make_link, adapters.link_lost, adapters.say = theirs.make_link, theirs.link_lost, theirs.say
        await nursery.start(adapters.run)
        await trio.sleep(20)
        nursery.cancel_scope.cancel()
    assert least <= taken <= most
