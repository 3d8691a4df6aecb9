"""Logical paths at the control-unit role, and what it rejects or passes over: each rule once.

Rule numbers are those of controller/channel (C, H, L, F).
"""

from __future__ import annotations

import pytest

from ccw.escon import LinkControl, RejectReason
from ccw.frames import CommandFrame, ControlFrame, DataRequest, Frame, StatusFrame, encode_frame
from ccw.link_control import decode_link_control, link_control_frame
from ccw.pprc import FORMAT, PprcHeader
from ccw.records import RawFrame
from controller.channel import Link, PathId
from host_emulator.link import HostLink, LinkFailure, NoPath
from tests.helpers.link_frames import device, link_control, only_answer, reason
from tests.helpers.wire import EXAMPLE_HOST, EXAMPLE_PATH, NODE, ScriptedServer, Wire, joined, perform, read


def test_no_path_is_rejected_with_06() -> None:
    """LRJ 06, and the channel learns that its path is gone."""
    wire, host, link, server = joined()
    link.connection_made(0.0)  # the controller was restarted
    with pytest.raises(NoPath):
        perform(wire, host.command(0x10, read(16)))
    assert wire.frames()[-1] == "3CFC 400160021106000000A23C DC3C3C"
    assert server.commands == []


def test_path_refused() -> None:
    server = ScriptedServer(refuse=2)
    link = Link("L0", server, NODE, own_address=0x60, peer_address=0x40)
    wire = Wire(HostLink(EXAMPLE_HOST), link)
    with pytest.raises(NoPath) as caught:
        perform(wire, wire.host.establish(2))  # type: ignore[attr-defined]
    assert caught.value.reason == 2
    assert wire.frames()[-1] == "3CFC 400160025902000000A597 DC3C3C"
    assert not link.paths


def test_repeated_elp_is_a_system_reset() -> None:
    wire, host, _, server = joined(ScriptedServer(outcomes=[None]))
    with pytest.raises(LinkFailure):
        perform(wire, host.command(0x10, read(16)), patience=61)
    perform(wire, host.establish(2))
    assert ("reset", None) in server.calls
    assert not server.started


def test_own_address_is_taken_from_the_channel_while_no_path_exists() -> None:
    """L3: without a director the channel assigns both addresses; later another destination is LRJ 05."""
    link = Link("L0", ScriptedServer(), NODE, own_address=0x02, peer_address=0x01)
    link.take()
    link.receive(link_control(LinkControl.ALA, destination=0xFF00, source=0x0000), 0.0)
    answer = only_answer(link)
    assert (answer.destination, decode_link_control(answer).reason) == (0x0000, RejectReason.ACQUIRE_LINK_ADDRESS_ERROR)
    link.receive(link_control(LinkControl.ELP, destination=0x7003, source=0x6F00, information=bytes(4)), 0.0)
    assert only_answer(link).link_control == LinkControl.LPE
    assert link.paths == {PathId("L0", 0x6F00, 3)}
    link.receive(link_control(LinkControl.ELP, destination=0x0203, source=0x6F00), 0.0)
    assert reason(link) == RejectReason.DESTINATION_ADDRESS_INVALID


def test_peer_header_goes_to_the_server_and_comes_back_turned() -> None:
    server = ScriptedServer()
    link = Link("L0", server, NODE, own_address=0x60, peer_address=0x40)
    link.take()
    header = PprcHeader(0, 0, 40, FORMAT, 0, 0, 0x100, 1, 0, 0x200, 2, 0, b"A" * 12, b"B" * 12)
    link.receive(link_control(LinkControl.ELP, information=bytes(4) + header.encode()), 0.0)
    assert server.calls == [("path", EXAMPLE_PATH, header.encode())]
    turned = PprcHeader.decode(decode_link_control(only_answer(link)).trailer)
    assert (turned.primary_ssid, turned.primary_lss, turned.primary_identity) == (0x200, 2, b"B" * 12)
    assert (turned.secondary_ssid, turned.secondary_lss, turned.secondary_identity) == (0x100, 1, b"A" * 12)
    link.receive(link_control(LinkControl.ELP, source=0x4002, information=bytes(4) + b"short"), 0.0)
    assert reason(link) == RejectReason.PROTOCOL_ERROR


def test_paths_are_limited() -> None:
    link = Link("L0", ScriptedServer(), NODE, own_address=0x60, peer_address=0x40)
    for channel in range(65):
        link.receive(link_control(LinkControl.ELP, source=channel << 8 | 0x01, information=bytes(4)), 0.0)
    answer = link.take()[-1]
    assert isinstance(answer, Frame) and answer.link_control == LinkControl.LPR
    assert decode_link_control(answer).reason == 2
    assert len(link.paths) == 64


def test_tin_reports_the_images_of_a_channel() -> None:
    _, _, link, _ = joined()
    link.receive(link_control(LinkControl.TIN, information=bytes((0, 1, 0, 0))), 0.0)
    answer = only_answer(link)
    info = decode_link_control(answer)
    assert (answer.link_control, info.parameters[1]) == (LinkControl.TIR, 1)
    assert info.trailer == b"\x20" + bytes(31)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (link_control(0xE1), RejectReason.UNRECOGNISED_LINK_CONTROL),
        (link_control(0x43), RejectReason.UNRECOGNISED_LINK_CONTROL),
        (RawFrame(encode_frame(Frame(0x6002, 0x4001, 0, b"\x17\x00\x10\x00\x01\x02\x03\x04"))), 0x0B),
        (RawFrame(encode_frame(Frame(0x6002, 0x4001, 0, b"\x11\x01\x10\x00" + bytes(8)))), 0x07),
        (RawFrame(encode_frame(Frame(0x6002, 0x4001, 0, b"\x11\x00\x10\x07" + bytes(8)))), 0x07),
        (device(CommandFrame(0x10, 2, 0, 4, chained=True)), RejectReason.PROTOCOL_ERROR),
        (device(CommandFrame(0x10, 2, 0, 4, chained=True), connect=True), RejectReason.PROTOCOL_ERROR),
        (device(DataRequest(0x10, 4)), RejectReason.PROTOCOL_ERROR),
        (device(ControlFrame(0x10, 0xE5)), RejectReason.UNRECOGNISED_DEVICE_LEVEL),
        (device(CommandFrame(0x10, 2, 0, 4), source=0x4003, connect=True), RejectReason.LOGICAL_PATH_NOT_ESTABLISHED),
        (device(StatusFrame(0x10, 0x85), connect=True), RejectReason.LOGICAL_PATH_NOT_ESTABLISHED),
    ],
)
def test_what_is_not_understood_is_rejected(record: RawFrame, expected: int) -> None:
    _, _, link, _ = joined()
    link.receive(record, 0.0)
    assert reason(link) == expected
    assert link.counters.rejects == 1


def test_reserved_address_bits_are_rejected_with_07() -> None:
    from ccw.crc import crc16

    _, _, link, _ = joined()
    body = bytes.fromhex("6012400141")
    link.receive(RawFrame(body + crc16(body).to_bytes(2, "big"), True, True), 0.0)
    answer = only_answer(link)
    assert (answer.destination, answer.source) == (0x4001, 0x6002)
    assert decode_link_control(answer).reason == RejectReason.RESERVED_FIELD_ERROR


def test_answers_are_never_rejected() -> None:
    """L2: no two machines ever reject each other for ever."""
    _, _, link, _ = joined()
    for function in (LinkControl.LRJ, LinkControl.LBY, LinkControl.LACK, LinkControl.LPE, LinkControl.IDR):
        link.receive(link_control(function, destination=0x1101), 0.0)
        link.receive(link_control(function), 0.0)
    assert link.take() == []


def test_damaged_and_aborted_frames_are_discarded_in_silence() -> None:
    _, _, link, _ = joined()
    good = encode_frame(link_control_frame(LinkControl.RID, 0x6002, 0x4001))
    link.receive(RawFrame(good[:-1] + bytes((good[-1] ^ 1,)), True, True), 0.0)
    link.receive(RawFrame(good, True, False, True), 0.0)
    link.receive(RawFrame(b"", True, True), 0.0)
    assert link.take() == []
    assert link.counters.crc_errors == 3
