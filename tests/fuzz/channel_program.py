"""A channel that runs whole chains over a live link, frame by frame, and is disturbed while it does.

It shares nothing with the host emulator. Between any two of its frames it may send one that the link must refuse or
drop, and looks at the answer at once; the chain must then go on as if nothing had been there. Exchanges: escon-frames
4.1-4.6; what a disturbance deserves: 1.6, 2.3, 2.4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from ccw.crc import crc16
from ccw.escon import LinkControl
from ccw.frames import Frame, StatusFrame, decode_device, encode_frame
from ccw.records import RawFrame, SequenceRecord

NORMAL_END, UNIT_CHECK = 0x0C, 0x02
SENSE, SENSE_LENGTH = 0x04, 32
SLI, CC = 0x20, 0x40
SOLICIT = 0x01              # command flag SSS
BLOCK = 1024
TURNS_MAX = 64              # of one command
UNKNOWN_FUNCTIONS = tuple(sorted(set(range(1, 256)) - {int(code) for code in LinkControl}))
WAITS_S = (0.0, 0.1, 5.0, 200.0, 200.0, 200.0)

Carry = Callable[[RawFrame], list[Frame | SequenceRecord]]


@dataclass
class Ended:
    """How the last command of a chain ended. `sense`: solicited, or fetched by a Sense command; None without check."""

    status: int
    data: bytes
    sense: bytes | None
    completed: int
    fetched: bool = False


class ProgramChannel:
    """One channel image. `carry` brings a record to the other end and takes what comes back; `wait` lets time pass."""

    def __init__(
        self, rng: Random, unit: int, channel: int, carry: Carry, wait: Callable[[float], list[Frame | SequenceRecord]],
        directed: bool = False,
    ) -> None:  # fmt: skip
        self.rng = rng
        self.unit, self.channel = unit, channel
        self.carry, self.wait = carry, wait
        self.disturbances = THROUGH_A_DIRECTOR if directed else DIRECT
        self.disturbed = 0
        self.fetched = 0

    # Chains

    def run(self, device: int, commands: Sequence[tuple[int, bytes | int]], goes_on: bool = False) -> Ended:
        """(code, data to write | count to read) of each command, chained. A unit check ends with its sense in hand.

        `goes_on`: the last command is chained too, so that an open domain is not found incomplete; the channel then
        accepts the status instead of sending another one.
        """
        solicit = self.rng.random() < 0.5
        ended = self._chain(device, commands, solicit, goes_on)
        if not ended.status & UNIT_CHECK:
            assert not ended.sense, "sense without unit check"
            ended.sense = None
        elif solicit:
            assert ended.sense is not None and len(ended.sense) == SENSE_LENGTH, "unit check without sense"
        else:
            assert not ended.sense, "sense that nobody asked for"
            ended.sense, ended.fetched = self._fetch(device), True
            self.fetched += 1
        return ended

    def _fetch(self, device: int) -> bytes:
        sense = self._chain(device, [(SENSE, SENSE_LENGTH)], False)
        assert sense.status == NORMAL_END and len(sense.data) == SENSE_LENGTH, f"Sense ended with {sense}"
        return sense.data

    def _chain(
        self, device: int, commands: Sequence[tuple[int, bytes | int]], solicit: bool, goes_on: bool = False
    ) -> Ended:
        status, received = 0, b""
        for index, (code, argument) in enumerate(commands):
            last = index == len(commands) - 1
            flags = SLI if last and not goes_on else SLI | CC
            count = argument if isinstance(argument, int) else len(argument)
            command = bytes((0x11, 0, device, 0x10 if index else 0, code, flags)) + count.to_bytes(2, "big")
            answer = self._send(command + bytes((6, 0x77, 0, SOLICIT if solicit else 0)), connect=not index)
            ended, received = self._transfer(device, argument, answer, first=not index)
            status, chained = ended.unit_status, ended.flags & 0x10 and not ended.end
            if not status & ~0x08 and status:      # channel end alone: device end comes in a connection of its own
                self._control(device, 0xA0, disconnect=True)
                later = self._await_device_end(device)
                status |= later.unit_status
                ended = later
                chained = later.flags & 0x10
            if last or not chained:
                self._control(device, 0xA0, disconnect=True)
                return Ended(status, received, ended.sense, index + (status == NORMAL_END))
        raise AssertionError("a chain without commands")

    def _transfer(
        self, device: int, argument: bytes | int, answer: list[Frame | SequenceRecord], first: bool
    ) -> tuple[StatusFrame, bytes]:
        data = argument if isinstance(argument, bytes) else b""
        received, waits, asked = b"", iter(WAITS_S), False
        for _ in range(TURNS_MAX):
            if not answer:
                answer = self.wait(next(waits))     # StopIteration: the command never ends
                continue
            item = answer.pop(0)
            assert isinstance(item, Frame) and not item.link_control, f"{item} in the middle of a command"
            information = item.information
            assert information[2] == device, "a frame of another device"
            kind = information[0] & 7
            if kind == 2:
                assert not answer, "something behind the ending status"
                status = decode_device(information)
                assert isinstance(status, StatusFrame)
                return status, received
            if kind == 3:
                assert information[4] == 0x10, f"control function {information[4]:02X}"
                if first:
                    answer += self._control(device, 0x90)
                if isinstance(argument, int) and not asked:
                    asked = True
                    answer += self._send(bytes((0x10, 0, device, 0x20)) + argument.to_bytes(2, "big") + b"\2\0")
            elif information[3] & 0x20:
                data, more = self._write(device, data, int.from_bytes(information[4:6], "big"))
                answer += more
            else:
                received += information[4:]
        raise AssertionError("the command goes on for ever")

    def _write(self, device: int, data: bytes, count: int) -> tuple[bytes, list[Frame | SequenceRecord]]:
        answer: list[Frame | SequenceRecord] = []
        piece, left = data[:count], data[count:]
        short = len(piece) < count
        for start in range(0, len(piece), BLOCK):
            stop = start + BLOCK
            flags = 0 if stop < len(piece) or left else 0x88 if short else 0x80
            answer += self._send(bytes((0x10, 0, device, flags)) + piece[start:stop])
        return left, answer

    def _await_device_end(self, device: int) -> StatusFrame:
        for seconds in WAITS_S:
            for item in self.wait(seconds):
                if isinstance(item, Frame) and not item.link_control and item.information[0] & 7 == 2:
                    status = decode_device(item.information)
                    assert isinstance(status, StatusFrame)
                    if status.unit_address == device and status.unit_status & 0x04 and not status.unit_status & 0x80:
                        return status
                    self._control(status.unit_address, 0xA0, disconnect=True)   # attention of some device
        raise AssertionError("device end never comes")

    # Frames

    def _control(self, device: int, function: int, disconnect: bool = False) -> list[Frame | SequenceRecord]:
        end = 0x80 if disconnect else 0
        return self._send(bytes((0x13, 0, device, end, function, 0, 0, 0)), disconnect=disconnect)

    def _send(
        self, information: bytes, connect: bool = False, disconnect: bool = False
    ) -> list[Frame | SequenceRecord]:
        answer = self.carry(RawFrame(encode_frame(Frame(self.unit, self.channel, 0, information)), connect, disconnect))
        if self.rng.random() < 0.1 and not disconnect:
            self.disturb()
        return answer

    def disturb(self) -> None:
        """One record that changes nothing, and its right answer."""
        record, right = self.rng.choice(self.disturbances)(self)
        self.disturbed += 1
        found = self.carry(record)
        if right is None:
            assert found == [], f"{record.payload.hex()} was answered with {found}"
            return
        assert len(found) == 1 and isinstance(found[0], Frame), f"{record.payload.hex()} was answered with {found}"
        answer = found[0]
        got = answer.link_control, answer.information[0]
        assert got == right, f"{record.payload.hex()} got {got}, right would be {right}"

    def _other(self, function: int, information: bytes, destination: int = 0, source: int = 0) -> RawFrame:
        return RawFrame(encode_frame(
            Frame(destination or self.unit, source or self.channel, function, information)))


Right = tuple[int, int] | None     # link-control function and reason of the answer
Disturbance = Callable[[ProgramChannel], tuple[RawFrame, Right]]


def _wrong_crc(channel: ProgramChannel) -> tuple[RawFrame, Right]:
    payload = channel._other(0, bytes((0x13, 0, 0, 0, 0xA0, 0, 0, 0))).payload
    return RawFrame(payload[:-1] + bytes((payload[-1] ^ 1 << channel.rng.randrange(8),))), None


def _aborted(channel: ProgramChannel) -> tuple[RawFrame, Right]:
    return channel._other(0, bytes((0x13, 0, 0, 0, 0xA0, 0, 0, 0)))._replace(abort=True), None


def _cut(channel: ProgramChannel) -> tuple[RawFrame, Right]:
    payload = channel._other(0, bytes(12)).payload
    return RawFrame(payload[: channel.rng.randrange(len(payload))]), None


def _answer_to_nothing(channel: ProgramChannel) -> tuple[RawFrame, Right]:
    function = channel.rng.choice((LinkControl.LPE, LinkControl.LACK, LinkControl.IDR, LinkControl.TIR))
    return channel._other(function, bytes(4 if function != LinkControl.IDR else 32)), None


def _elsewhere(channel: ProgramChannel) -> tuple[RawFrame, Right]:
    return channel._other(0, bytes(12), destination=channel.unit ^ 0x0100), (LinkControl.LRJ, 0x05)


def _no_such_port(channel: ProgramChannel) -> tuple[RawFrame, Right]:
    return channel._other(0, bytes(12), destination=0x7000), (LinkControl.PRJ, 0x02)


def _dropped_by_the_director(channel: ProgramChannel) -> tuple[RawFrame, Right]:
    return _reserved_address_bits(channel)[0], None


def _other_image(channel: ProgramChannel) -> tuple[RawFrame, Right]:
    return channel._other(0, bytes((0x13, 0, 0, 0, 0xA0, 0, 0, 0)), source=channel.channel ^ 1), (LinkControl.LRJ, 0x06)


def _reserved_address_bits(channel: ProgramChannel) -> tuple[RawFrame, Right]:
    payload = bytearray(channel._other(0, bytes((0x13, 0, 0, 0, 0xA0, 0, 0, 0))).payload[:-2])
    payload[channel.rng.choice((1, 3))] |= 0x10 << channel.rng.randrange(4)
    return RawFrame(bytes(payload) + crc16(bytes(payload)).to_bytes(2, "big")), (LinkControl.LRJ, 0x07)


def _reserved_flags(channel: ProgramChannel) -> tuple[RawFrame, Right]:
    return channel._other(0, bytes((0x13, 0, 0, 1 << channel.rng.randrange(3), 0xA0, 0, 0, 0))), (LinkControl.LRJ, 0x07)


def _unknown_link_control(channel: ProgramChannel) -> tuple[RawFrame, Right]:
    return channel._other(channel.rng.choice(UNKNOWN_FUNCTIONS), bytes(4)), (LinkControl.LRJ, 0x08)


def _unknown_type(channel: ProgramChannel) -> tuple[RawFrame, Right]:
    return channel._other(0, bytes((0x10 | channel.rng.randrange(4, 8), 0, 0, 0)) + bytes(8)), (LinkControl.LRJ, 0x0B)


DIRECT: tuple[Disturbance, ...] = (
    _wrong_crc, _aborted, _cut, _answer_to_nothing, _elsewhere, _other_image, _reserved_address_bits, _reserved_flags,
    _unknown_link_control, _unknown_type,
)
THROUGH_A_DIRECTOR: tuple[Disturbance, ...] = (
    _wrong_crc, _aborted, _cut, _answer_to_nothing, _no_such_port, _dropped_by_the_director,
)
