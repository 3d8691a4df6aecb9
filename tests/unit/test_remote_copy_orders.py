"""What the box says to an order before it does anything: count, parameters, sender, state. Sense as pprc-commands 6."""

from __future__ import annotations

import pytest

from ccw import pprc
from controller.remote_copy.checks import parse_order
from controller.remote_copy.refusal import Refused
from host_emulator import orders
from tests.helpers import operator
from tests.helpers.operator import A, B, order, set_up_bridge
from tests.helpers.two_systems import rig

SAMPLES = {
    "D0": orders.establish_path(A, B, (0x10, 0x11)).encode(),
    "D1": orders.delete_path(A, B).encode(),
    "D2": orders.establish_pair(A, B, 5, 0x15).encode(),
    "D3": orders.delete_pair(A, B, 5, 0x15).encode(),
    "D4": orders.suspend_pair(A, B, 5, 0x15).encode(),
    "D8": orders.define_bridge(A, 0xF0, 1, 1).encode(),
}


def refused(data: bytes) -> tuple[int, int]:
    """(format and message, pointer) of the refusal."""
    with pytest.raises(Refused) as caught:
        parse_order(data)
    return caught.value.refusal.format_message, caught.value.refusal.pointer


@pytest.mark.parametrize("name", SAMPLES)
def test_order_is_accepted_as_it_is_and_with_bytes_behind_it(name: str) -> None:
    data = SAMPLES[name]
    assert parse_order(data).encode() == data
    assert parse_order(data + b"\xee").encode() == data


@pytest.mark.parametrize("name", SAMPLES)
def test_count_one_short(name: str) -> None:
    for length in (0, 1, 39, len(SAMPLES[name]) - 1):
        assert refused(SAMPLES[name][:length])[0] == 0x03


@pytest.mark.parametrize("name", SAMPLES)
def test_every_reserved_byte_in_turn(name: str) -> None:
    data = SAMPLES[name]
    seen = 0
    for offset in range(len(data)):
        changed = bytearray(data)
        changed[offset] ^= 0x01
        if pprc.reserved_error(bytes(changed)) == offset:
            assert refused(bytes(changed)) == (0x04, offset)
            seen += 1
    assert seen >= 1


@pytest.mark.parametrize(
    ("offset", "value"),
    [(0, 0xDF), (0, 0x00), (1, 0x80), (2, 0xFF), (3, 0x00), (4, 0x02), (5, 0x09), (16, 0x40), (28, 0x00)],
)
def test_header_bytes(offset: int, value: int) -> None:
    changed = bytearray(SAMPLES["D3"])
    changed[offset] = value
    pointer = 2 if offset == 3 else offset
    assert refused(bytes(changed)) == (0x04, pointer)


async def test_refusals_at_a_live_box(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a:
        for device, parameters, sense in (
            (0x00, operator.establish_pair(0x00), "0F46"),  # no path set
            (0x01, operator.establish_pair(0x00), "0F44"),  # another device named
            (0x00, operator.establish_bridge(volume=0x00), "0F4D"),
            (0x00, operator.suspend_pair(0x00), "0F43"),
            (0x00, operator.delete_pair(0x00), "0F43"),
            (0x00, orders.delete_path(A, B).encode(), "0F46"),
            (0x00, orders.establish_path(B, A, (0x10,)).encode(), "0F48"),
            (0x00, orders.establish_path(A, A, (0x10,)).encode(), "0F5F"),
            (0xF0, orders.define_bridge(A, 0xF0, 1, 9).encode(), "0F4E"),
            (0x00, orders.establish_path(A, B, tuple(range(9))).encode(), "0F59"),
        ):
            result = await order(to_a, device, parameters)
            assert result.sense is not None
            assert result.sense[7:9].hex().upper() == sense, parameters.hex()
            assert result.sense[0] == 0x80
            assert result.sense[4] == device
        status = pprc.UpdateSecondaryDeviceStatus(orders.order_header(0xD7, 72, B, A, 0, 0), pair_id=1)
        result = await order(to_a, 0x00, status.encode())
        assert result.sense is not None
        assert result.sense[7:10] == b"\x04\x00\x00"  # never accepted from a host channel


async def test_path_status_codes(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a:
        stranger = B._replace(serial="000000067891")
        other_ssid = B._replace(ssid=0x0201)
        for system, said, status in (
            (B, 0x99, 0x10),  # no such adapter
            (B, 0x0001, 0x0A),  # a port with host paths
            (stranger, 0x10, 0x06),  # another serial number
            (other_ssid, 0x10, 0x07),
        ):
            result = await order(to_a, 0x00, orders.establish_path(A, system, (said,)).encode())
            assert result.sense is not None
            assert result.sense[7:9] == b"\x0f\x47"
            assert result.sense[15] == status
        r.a.running.adapters.by_said[0x13].links.clear()
        result = await order(to_a, 0x00, orders.establish_path(A, B, (0x13,)).encode())
        assert result.sense is not None
        assert result.sense[15] == 0x08  # no light


async def test_host_may_not_touch_bridge_volumes_and_secondaries(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b)
        assert (await order(to_a, 0x00, operator.establish_pair(0x00))).completed
        from ccw.geometry import Cchh

        for session, device, sense in ((to_a, 0xF0, "0F4C"), (to_b, 0xF0, "0F4C"), (to_b, 0x00, "0E00")):
            for program in (orders.read_track(Cchh(0, 0)), orders.format_track(Cchh(0, 0), [orders.NewRecord(b"x")])):
                result = await session.run_program(device, program)
                assert result.sense is not None
                assert result.sense[7:9].hex().upper() == sense
            assert (await session.run_program(device, orders.sense_id())).completed
