"""The control-unit role against the host emulator's channel: the worked examples byte for byte, and each rule once.

Rule numbers are those of controller/channel (C, H, L, F).
"""

from __future__ import annotations

import pytest

from ccw.escon import ControlFunction, LinkControl, RejectReason
from ccw.frames import CommandFrame, ControlFrame, DataRequest, Frame, StatusFrame, encode_device, encode_frame
from ccw.link_control import decode_link_control, link_control_frame
from ccw.pprc import FORMAT, PprcHeader
from ccw.records import RawFrame
from controller.channel import Link, LinkState, PathId
from controller.commands.outcome import Outcome
from host_emulator.channel import InterfaceControlCheck, Start
from host_emulator.link import HostLink, HostLinkSettings, LinkFailure, NoPath, NotOperational, Unsolicited
from tests.helpers.wire import (
    EXAMPLE_HOST,
    EXAMPLE_PATH,
    HOST_TO_UNIT,
    NODE,
    UNIT_TO_HOST,
    ScriptedServer,
    Wire,
    device_frames,
    joined,
    perform,
    read,
    write,
)

SOLICITING = HostLinkSettings(link_address=0x40, channel_image=1, control_unit_address=0x60)

E3 = """\
3CFC 6002400100110010000220001006770000BB64 DC9C3C
BCFC 40016002001300100010020000499A DC9C3C
BCFC 60024001001300100090000000A736 DC9C3C
BCFC 60024001001000102000100200F2EE DC9C3C
BCFC 400160020010001080000102030405060708090A0B0C0D0E0F3C93 DC9C3C
BCFC 400160020012001080010C0000000000001116 DC9C3C
BCFC 600240010013001080A00000002CB8 DC3C3C""".splitlines()

E4_WRITE = "3CFC 6002400100110011000160000806770000738A DC9C3C"
E4_REQUEST = "BCFC 400160020010001120000802004222 DC9C3C"
E4_DATA = "BCFC 600240010010001180C1C2C3C4C5C6C7C81F3A DC9C3C"
E4_STATUS = "BCFC 400160020012001100110C0000000000003E4F DC9C3C"
E4_NEXT = "BCFC 60024001001100111002000004067700000753 DC9C3C"
E5 = "3CFC 40016002001A001080000E00000000000080" + "00" * 31 + "627C DC9C3C"
E6 = "3CFC 4001600200120010800084000000000000B517 DC9C3C"
E7_EXCEPTION = "BCFC 40016002001300FF80800100004F24 DC3C3C"
E7_NODE = "3CFC 400060008900000000F0F0F3F9F9F0F0F0F6C5E2C3F0F1F0F0F0F0F0F0F0F1F2F3F4F500600496 DC3C3C"


@pytest.fixture(params=[0, 1], ids=["whole", "bytewise"])
def piece(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def device(frame: object, *, source: int = 0x4001, connect: bool = False, disconnect: bool = False) -> RawFrame:
    """A device frame from the channel to image 2 of the control unit."""
    data = encode_frame(Frame(0x6002, source, 0, encode_device(frame)))  # type: ignore[arg-type]
    return RawFrame(data, connect, disconnect)


def link_control(
    function: int, *, destination: int = 0x6002, source: int = 0x4001, information: bytes = b""
) -> RawFrame:
    return RawFrame(encode_frame(Frame(destination, source, function, information)), True, True)


def only_answer(link: Link) -> Frame:
    (answer,) = link.take()
    assert isinstance(answer, Frame)
    return answer


def reason(link: Link) -> int:
    """The reason of the LRJ that is the only answer."""
    answer = only_answer(link)
    assert answer.link_control == LinkControl.LRJ
    return decode_link_control(answer).reason


# Worked examples


def test_e2_path_established_and_removed(piece: int) -> None:
    link = Link("L0", ScriptedServer(), NODE, own_address=0x60, peer_address=0x40)
    wire = Wire(HostLink(EXAMPLE_HOST), link, piece=piece)
    perform(wire, wire.host.establish(2))  # type: ignore[attr-defined]
    elp, lpe = "3CFC 600240014100000000F998 DC3C3C", "3CFC 40016002510000000059D5 DC3C3C"
    assert [text for text in wire.frames() if text != "idle"] == [elp, lpe]
    assert link.paths == {EXAMPLE_PATH}
    perform(wire, wire.host.remove())  # type: ignore[attr-defined]
    assert wire.frames()[-2] == "3CFC 600240014900000000B826 DC3C3C"
    assert link.paths == frozenset()


def test_e3_read(piece: int) -> None:
    wire, host, _, server = joined(piece=piece)
    response = perform(wire, host.command(0x10, read(16)))
    assert wire.frames() == E3
    assert response.data == bytes(range(16))  # type: ignore[attr-defined]
    assert server.calls[-1] == ("end", 0x10)


def test_e4_write_then_chained_read(piece: int) -> None:
    wire, host, _, server = joined(piece=piece)
    text = bytes.fromhex("C1C2C3C4C5C6C7C8")
    perform(wire, host.command(0x11, write(text, flags=0x60)))
    assert host.chaining
    perform(wire, host.command(0x11, read(4, flags=0, chained=True)))
    frames = wire.frames()
    assert frames[0] == E4_WRITE
    assert frames[3:7] == [E4_REQUEST, E4_DATA, E4_STATUS, E4_NEXT]
    assert [command.chained for command in server.commands] == [False, True]
    assert server.commands[0].data == text
    assert server.count("end") == 1  # C3


def test_e5_unit_check_with_sense_opened_by_the_control_unit(piece: int) -> None:
    wire, host, link, _ = joined(piece=piece)
    sense = b"\x80" + bytes(31)
    link.present_status(EXAMPLE_PATH, 0x10, 0x0E, sense)
    wire.settle()
    assert wire.frames()[0] == E5
    assert list(host.unsolicited) == [Unsolicited(0x10, 0x0E, sense)]


def test_e6_unsolicited_attention(piece: int) -> None:
    wire, host, link, _ = joined(piece=piece)
    link.present_status(EXAMPLE_PATH, 0x10, 0x84)
    wire.settle()
    assert wire.frames() == [E6, E3[-1]]
    assert list(host.unsolicited) == [Unsolicited(0x10, 0x84, b"")]


def test_e7_unknown_device_and_node_descriptor(piece: int) -> None:
    wire, host, link, server = joined(piece=piece)
    with pytest.raises(NotOperational):
        perform(wire, host.command(0xFF, read(16)))
    assert wire.frames()[-1] == E7_EXCEPTION
    assert link.state is LinkState.INACTIVE
    assert server.count("end") == 0
    link.receive(link_control(LinkControl.RID, destination=0x6000, source=0x4000), 0.0)
    answer = only_answer(link)
    assert encode_frame(answer).hex().upper() == E7_NODE.split()[1]
    assert perform(wire, host.identify()) == NODE


# Logical paths


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


# Commands


def test_data_travels_in_blocks_of_1024() -> None:
    wire, host, _, server = joined()
    response = perform(wire, host.command(0x10, read(2500)))
    assert len(response.data) == 2500  # type: ignore[attr-defined]
    data = bytes(range(256)) * 9
    perform(wire, host.command(0x10, write(data)))
    assert server.commands[-1].data == data
    lengths = [len(raw) - 4 - 11 for _, raw in wire.log if raw[0] == 1 and len(raw) > 40]
    assert lengths == [1024, 1024, 452, 1024, 1024, 256]


def test_short_and_long_transfers() -> None:
    """The residual count and the long-record bit arrive; early end is marked."""
    outcomes = [Outcome(0x0C, data=b"abc", residual=13), Outcome(0x0C, data=b"x" * 16, long_record=True)]
    wire, host, _, _ = joined(ScriptedServer(outcomes=list(outcomes)))
    short = perform(wire, host.command(0x10, read(16)))
    assert (short.data, short.residual, short.long_record) == (b"abc", 13, False)  # type: ignore[attr-defined]
    assert any("0010" + "88" in text for text in wire.frames())  # E and EE in the only data frame
    long = perform(wire, host.command(0x10, read(16)))
    assert (long.residual, long.long_record) == (0, True)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("flags", "outcome", "goes_on"),
    [
        (0x40, Outcome(0x0C, data=bytes(16)), True),
        (0x40, Outcome(0x4C, data=bytes(16)), True),
        (0x40, Outcome(0x0C, data=bytes(15), residual=1), False),
        (0x60, Outcome(0x0C, data=bytes(15), residual=1), True),
        (0x40, Outcome(0x0C, data=bytes(16), long_record=True), False),
        (0x60, Outcome(0x0C, data=bytes(16), long_record=True), True),
        (0x60, Outcome(0x0E, residual=16, sense=bytes(32)), False),
        (0x60, Outcome(0x0D, residual=16), False),
        (0x20, Outcome(0x0C, data=bytes(16)), False),
    ],
)
def test_when_a_chain_goes_on(flags: int, outcome: Outcome, goes_on: bool) -> None:
    wire, host, link, server = joined(ScriptedServer(outcomes=[outcome]))
    perform(wire, host.command(0x10, read(16, flags=flags)))
    assert host.chaining == goes_on
    assert server.count("end") == (not goes_on)
    host.end_chain()
    wire.settle()
    assert server.count("end") == 1
    assert link.state is LinkState.INACTIVE


def test_immediate_commands_have_no_command_response() -> None:
    """C2."""
    wire, host, _, server = joined()
    for start in (Start(0x03, 0x20, 1, b"\0", False), Start(0x02, 0x20, 0, b"", False), Start(0x5B, 0, 9, b"", False)):
        wire.log.clear()
        assert perform(wire, host.command(0x10, start)).immediate  # type: ignore[attr-defined]
        assert len(wire.log) == 3
    assert [command.data for command in server.commands] == [b"", b"", b""]


def test_first_command_executes_only_after_acr() -> None:
    """C1."""
    _, _, link, server = joined()
    link.receive(device(CommandFrame(0x10, 0x02, 0x20, 16), connect=True), 0.0)
    assert not server.commands
    link.receive(device(ControlFrame(0x10, ControlFunction.ACCEPT_COMMAND_RESPONSE)), 0.0)
    assert len(server.commands) == 1


def test_unit_check_with_concurrent_sense() -> None:
    sense = bytes(range(32))
    wire, host, _, _ = joined(ScriptedServer(outcomes=[Outcome(0x0E, residual=16, sense=sense)] * 2), SOLICITING)
    assert perform(wire, host.command(0x10, read(16))).sense == sense  # type: ignore[attr-defined]
    unasked, other, _, _ = joined(ScriptedServer(outcomes=[Outcome(0x0E, residual=16, sense=sense)]), EXAMPLE_HOST)
    assert perform(unasked, other.command(0x10, read(16))).sense is None  # type: ignore[attr-defined]


def test_channel_end_then_device_end() -> None:
    """C5: the connection is given up between the two, and another device can be used meanwhile."""
    server = ScriptedServer(outcomes=[Outcome(0x08)])
    wire, host, link, _ = joined(server)
    host.begin(host.command(0x10, write(b"abcd", flags=0x60)), 0.0)
    wire.settle()
    assert host.busy and link.state is LinkState.INACTIVE
    assert server.count("end") == 0
    server.replies[0](Outcome(0x04))
    wire.settle()
    assert host.result().status == 0x0C
    assert host.chaining and link.state is LinkState.CONNECTED
    perform(wire, host.command(0x10, read(4, flags=0, chained=True)))
    assert server.count("end") == 1
    statuses = [frame for _, frame in device_frames(wire) if isinstance(frame, StatusFrame)]
    assert [(status.unit_status, status.end) for status in statuses] == [(0x08, False), (0x04, False), (0x0C, True)]


def test_device_end_with_unit_check_ends_the_chain() -> None:
    server = ScriptedServer(outcomes=[Outcome(0x08)])
    wire, host, _, _ = joined(server, SOLICITING)
    host.begin(host.command(0x10, write(b"abcd", flags=0x60)), 0.0)
    wire.settle()
    server.replies[0](Outcome(0x06, sense=b"\x10" + bytes(31)))
    server.replies[0](Outcome(0x04))  # one too many: void
    wire.settle()
    response = host.result()
    assert (response.status, response.sense[0], host.chaining) == (0x0E, 0x10, False)
    assert server.count("end") == 1


def test_device_end_that_comes_before_channel_end_is_accepted() -> None:
    _, _, link, server = joined(ScriptedServer(outcomes=[Outcome(0x08)]))
    link.receive(device(CommandFrame(0x10, 0x03, 0x40, 1), connect=True), 0.0)
    server.replies[0](Outcome(0x04))
    (status,) = link.take()
    assert isinstance(status, Frame) and not status.connect
    link.receive(device(ControlFrame(0x10, ControlFunction.STATUS_ACCEPTED, end=True), disconnect=True), 0.0)
    late = only_answer(link)
    assert late.connect
    assert late.information[5] == 0x04


def test_busy_unit_of_a_disconnected_chain() -> None:
    server = ScriptedServer(outcomes=[Outcome(0x08)])
    _, _, link, _ = joined(server)
    link.receive(device(CommandFrame(0x10, 0x03, 0x20, 1), connect=True), 0.0)
    link.receive(device(ControlFrame(0x10, ControlFunction.STATUS_ACCEPTED, end=True), disconnect=True), 0.0)
    link.take()
    link.receive(device(CommandFrame(0x10, 0x03, 0x20, 1), connect=True), 0.0)
    assert only_answer(link).information[5] == 0x10
    link.receive(device(ControlFrame(0x10, ControlFunction.STATUS_ACCEPTED, end=True), disconnect=True), 0.0)
    assert server.count("end") == 0  # the busy command was never started, the disconnected one goes on
    server.replies[0](Outcome(0x04))
    link.receive(device(ControlFrame(0x10, ControlFunction.STATUS_ACCEPTED, end=True), disconnect=True), 0.0)
    assert server.count("end") == 1


# Unsolicited status


def test_command_wins_over_a_status_that_crosses_it() -> None:
    """C6, H3: both ends open a connection at once."""
    wire, host, link, server = joined()
    link.present_status(EXAMPLE_PATH, 0x11, 0x85)
    host.begin(host.command(0x10, read(16)), 0.0)
    wire.settle()
    assert host.result().status == 0x0C
    assert list(host.unsolicited) == [Unsolicited(0x11, 0x85, b"")]
    kinds = [type(frame).__name__ for direction, frame in device_frames(wire) if direction == UNIT_TO_HOST]
    assert kinds == ["StatusFrame", "ControlFrame", "DataFrame", "StatusFrame", "StatusFrame"]
    assert server.count("end") == 1


def test_statuses_of_one_unit_are_put_together() -> None:
    """C7."""
    wire, host, link, _ = joined(ScriptedServer(outcomes=[None]))
    host.begin(host.command(0x10, read(16)), 0.0)
    wire.settle()
    for status in (0x04, 0x80, 0x85):
        link.present_status(EXAMPLE_PATH, 0x11, status)
    link.present_status(EXAMPLE_PATH, 0x10, 0x04)
    link.present_status(PathId("L0", 0x4009, 2), 0x10, 0x04)  # no such path: nothing
    wire.settle()
    assert not host.unsolicited
    host.abandon(wire.now)
    wire.settle()
    assert [(item.unit_address, item.status) for item in host.unsolicited] == [(0x11, 0x85), (0x10, 0x04)]


def test_stacked_status_waits_until_it_is_asked_for() -> None:
    wire, host, link, _ = joined()
    link.present_status(EXAMPLE_PATH, 0x10, 0x85)
    link.take()
    link.receive(device(ControlFrame(0x10, ControlFunction.STACK_STATUS)), 0.0)
    answer = only_answer(link)
    assert (answer.disconnect, answer.information[4]) == (True, ControlFunction.DEVICE_LEVEL_ACKNOWLEDGEMENT)
    wire.settle()
    assert not host.unsolicited
    assert perform(wire, host.request_status(0x10)) is True
    assert [item.status for item in host.unsolicited] == [0x85]
    assert perform(wire, host.request_status(0x10)) is False


def test_rejected_status_is_dropped_and_a_busy_answer_repeats_it() -> None:
    _, _, link, _ = joined()
    link.present_status(EXAMPLE_PATH, 0x10, 0x85)
    link.take()
    link.receive(link_control(LinkControl.LBY), 0.0)
    assert link.take() == []
    assert link.next_wake is not None
    link.wake(link.next_wake)
    assert only_answer(link).information[5] == 0x85
    link.receive(link_control(LinkControl.LRJ, information=b"\x06\0\0\0"), 0.2)
    assert (link.take(), link.next_wake, link.state) == ([], None, LinkState.INACTIVE)


# Resets, late replies, loss


def test_selective_and_system_reset() -> None:
    wire, host, link, server = joined(ScriptedServer(outcomes=[Outcome(0x08), Outcome(0x08)]))
    for unit in (0x10, 0x11):
        link.receive(device(CommandFrame(unit, 0x03, 0x20, 1), connect=True), 0.0)
        link.receive(device(ControlFrame(unit, ControlFunction.STATUS_ACCEPTED, end=True), disconnect=True), 0.0)
    link.take()
    perform(wire, host.selective_reset(0x10))
    assert server.calls[-2:] == [("end", 0x10), ("reset", 0x10)]
    perform(wire, host.system_reset())
    assert server.calls[-2:] == [("end", 0x11), ("reset", None)]
    for reply in server.replies:
        reply(Outcome(0x04))
    assert link.take() == []  # C4


def test_late_reply_after_the_connection_was_dropped() -> None:
    """C4: recovered by the channel, then a new chain on the same device, then the reply of the old one."""
    server = ScriptedServer(outcomes=[None])
    wire, host, _, _ = joined(server)
    host.begin(host.command(0x10, read(16)), 0.0)
    wire.settle()
    host.abandon(0.0)
    wire.settle()
    assert server.count("end") == 1
    host.begin(host.command(0x10, read(4)), 0.0)
    for _ in range(3):
        wire.exchange()
    server.replies[0](Outcome(0x0E, sense=bytes(32)))
    wire.settle()
    assert host.result().status == 0x0C
    assert server.count("end") == 2


def test_connection_lost_ends_everything() -> None:
    wire, host, link, server = joined(ScriptedServer(outcomes=[None]))
    host.begin(host.command(0x10, read(16)), 0.0)
    wire.settle()
    link.connection_lost(0.0)
    host.connection_lost(0.0)
    assert server.calls[-2:] == [("end", 0x10), ("removed", EXAMPLE_PATH)]
    server.replies[0](Outcome(0x0C, data=bytes(16)))
    assert (link.take(), link.state, link.next_wake) == ([], LinkState.LINK_FAILURE, None)
    with pytest.raises(InterfaceControlCheck):
        host.result()


def test_output_is_announced_for_late_replies_only() -> None:
    server = ScriptedServer(outcomes=[None])
    wire, host, link, _ = joined(server)
    calls: list[int] = []
    link.on_output = lambda: calls.append(1)
    host.begin(host.command(0x10, read(16)), 0.0)
    wire.settle()
    assert not calls
    server.replies[0](Outcome(0x0C, data=bytes(16)))
    assert calls
    wire.settle()
    assert host.result().data == bytes(16)


def test_directions_of_an_exchange() -> None:
    wire, host, _, _ = joined()
    perform(wire, host.command(0x10, write(b"abcd")))
    directions = "".join(direction[0] for direction, _ in wire.log)
    assert directions == "huhuhuh"
    assert wire.log[0][0] == HOST_TO_UNIT


def test_status_of_another_unit_while_a_device_end_is_due() -> None:
    server = ScriptedServer(outcomes=[Outcome(0x08)])
    wire, host, link, _ = joined(server)
    host.begin(host.command(0x10, write(b"abcd")), 0.0)
    wire.settle()
    link.present_status(EXAMPLE_PATH, 0x11, 0x85)
    wire.settle()
    assert host.busy and [item.unit_address for item in host.unsolicited] == [0x11]
    server.replies[0](Outcome(0x04))
    wire.settle()
    assert host.result().status == 0x0C
