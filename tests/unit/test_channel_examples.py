"""The control-unit role against the host emulator's channel: the worked examples of the link, byte for byte."""

from __future__ import annotations

import pytest

from ccw.escon import LinkControl
from ccw.frames import encode_frame
from controller.channel import Link, LinkState
from host_emulator.link import HostLink, NotOperational, Unsolicited
from tests.helpers.link_frames import link_control, only_answer
from tests.helpers.wire import EXAMPLE_HOST, EXAMPLE_PATH, NODE, ScriptedServer, Wire, joined, perform, read, write

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
