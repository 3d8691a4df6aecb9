"""Parameter lists and commands in whole chains over a live link: the unit check's sense is the specification's.

The same lists and the same judge as at the device (parameter_fuzz, judge), but they travel as frames through a link
into a whole subsystem, and the sense comes back solicited in the status frame or, by turns, by a Sense command; between
the frames come disturbances (channel_program). `directed`: the same through a director, at whose other ports things
happen meanwhile.
"""

from __future__ import annotations

from random import Random

from ccw.escon import LinkControl
from ccw.frames import Frame, encode_frame
from ccw.records import RawFrame, SequenceRecord
from tests.fuzz import order_fuzz
from tests.fuzz.box import Box
from tests.fuzz.channel_program import NORMAL_END, SENSE, SENSE_LENGTH, UNIT_CHECK, Ended, ProgramChannel
from tests.fuzz.directed import DirectedLink
from tests.fuzz.engine import Failure, watched
from tests.fuzz.judge import COMMANDS, OK, Answer, Extent, Judge, reject
from tests.fuzz.link_fuzz import CHANNEL, UNIT, held_in, nothing_piles_up
from tests.fuzz.mutation import mutate
from tests.fuzz.parameter_fuzz import CYLINDERS, KINDS, MASKS, PPRC, Kind, draw
from tests.fuzz.seeds import order_examples
from tests.helpers.devices import track_with_records

DEVICE = 0x00
BOX_CASES = 2_000
TRACKS = {(1, head): [bytes((0, 1, 0, head, n)) for n in range(4)] for head in range(3)}
READ_COUNT = 96


def make_box() -> Box:
    """A box whose device 00 has Prefix and a few formatted tracks."""
    box = Box(CYLINDERS, frozenset({"prefix"}))
    for head in range(3):
        records = [(n, b"K%d" % n if head == 1 else b"", bytes((n,)) * 16) for n in (1, 2, 3)]
        box.store.write(DEVICE, 15 + head, track_with_records(1, head, records))
    return box


class ProgramFuzz:
    """A link, its channel and the judge. `answers` counts what came back."""

    def __init__(self, seed: int, directed: bool = False) -> None:
        self.seed, self.directed = seed, directed
        self.name = "programs:director" if directed else "programs"
        self.rng = Random(f"{self.name}/{seed}")
        self.answers: dict[Answer, int] = {}
        self.disturbed = self.fetched = 0
        self.sent = b""
        self.begin()
        self.held_by_a_new_one = held_in(self.box)

    def begin(self) -> None:
        """A new box and a link with a path."""
        self.box = make_box()
        link = self.box.new_link()
        self.link: DirectedLink | None = DirectedLink(self.box, self.rng) if self.directed else None
        unit, channel = (self.link.unit, self.link.channel) if self.link else (UNIT, CHANNEL)
        self.channel = ProgramChannel(self.rng, unit, channel, self.carry, self.wait, self.directed)
        answer = self.carry(RawFrame(encode_frame(Frame(unit, channel, LinkControl.ELP, bytes(4))), True, True))
        assert [item.link_control for item in answer if isinstance(item, Frame)] == [LinkControl.LPE], answer
        assert link.paths
        volume = self.box.subsystem.devices[DEVICE].settings
        self.judge = Judge(CYLINDERS, volume.unit_address, volume.identity.interface_id, TRACKS, pprc=True)

    def carry(self, record: RawFrame) -> list[Frame | SequenceRecord]:
        """To the control unit and back."""
        if self.link is not None:
            return self.link.carry(record)
        assert self.box.link is not None
        self.box.link.receive(record, self.box.time)
        return self.box.link.take()

    def wait(self, seconds: float) -> list[Frame | SequenceRecord]:
        """Time passes."""
        self.box.pass_time(seconds)
        if self.link is not None:
            return self.link.carry(None)
        assert self.box.link is not None
        return self.box.link.take()

    def step(self, case: int) -> None:
        """One chain. Raises AssertionError."""
        if case % BOX_CASES == BOX_CASES - 1:
            self.end()
            self.begin()
        rng = self.rng
        chance = rng.random()
        if chance < 0.15:
            self._order()
        elif chance < 0.25:
            self._command()
        else:
            self._list(KINDS[case % len(KINDS)])
        if rng.random() < 0.05:
            self._nothing_is_left()
        if not case & 0xFF:
            nothing_piles_up(self.box, self.held_by_a_new_one)

    def end(self) -> None:
        """What the channel met is counted; the link goes, and every chain with it."""
        self.disturbed, self.fetched = self.disturbed + self.channel.disturbed, self.fetched + self.channel.fetched
        assert self.box.link is not None
        self.box.link.connection_lost(self.box.time)
        assert all(device.active_path is None for device in self.box.subsystem.devices.values())

    def _list(self, kind: Kind) -> None:
        data = draw(self.rng, kind)
        if kind.code == 0x27 and data[:1] and data[0] in PPRC:
            data = b"\x18" + data[1:]
        if not data:
            return          # a command without data has no parameters to be wrong
        self.sent = data
        before: list[tuple[int, bytes | int]] = []
        if kind.code in (0x47, 0x4B):
            mask = self.rng.choice(MASKS)
            before = [(0x63, bytes((mask, 0xC0)) + bytes(6) + bytes((0, 1, 0, 0, 0, 2, 0, 1)))]
            extent = Extent(mask, first=(1, 0), last=(2, 1))
            right = self.judge.locate(data, extent) if kind.code == 0x47 else self.judge.locate_extended(data, extent)
        elif kind.code == 0x63:
            right = self.judge.define_extent(data)[0]
        else:
            right = self.judge.prefix(data) if kind.code == 0xE7 else self.judge.subsystem_function(data)
        ended = self.channel.run(DEVICE, [*before, (kind.code, data)], goes_on=kind.code != 0x27)
        self._compare(ended, right, f"command {kind.code:02X}", len(before))

    def _command(self) -> None:
        """Any command code, first in its chain, with a count to move or none."""
        code = self.rng.choice([code for code in range(1, 256) if code & 0x0F != 0x08 and code not in COMMANDS])
        self.sent = bytes((code,))
        takes = code & 1
        ended = self.channel.run(DEVICE, [(code, bytes(16) if takes else READ_COUNT)])
        self._compare(ended, {reject(1)}, f"command {code:02X}", 0)

    def _order(self) -> None:
        """A PPRC order of a host that breaks a header rule."""
        rng = self.rng
        data = mutate(rng, (rng.choice(order_examples()),), order_fuzz.FIELDS)
        if not data or data[0] not in order_fuzz.RULES:
            data = bytes((rng.choice(tuple(order_fuzz.RULES)),)) + data[1:]
        self.sent = data
        right = order_fuzz.judge(data)
        if right is None:
            return          # for the state of things to answer; order_fuzz has it
        ended = self.channel.run(DEVICE, [(0x27, data)])
        assert ended.sense is not None, f"order accepted; right would be message {right[0]} at {right[1]}"
        found = ended.sense[7], ended.sense[9]
        assert found[0] == right[0] and right[1] in (-1, found[1]), f"order answered {found}, right would be {right}"

    def _compare(self, ended: Ended, right: set[Answer], what: str, before: int) -> None:
        sense = ended.sense
        answer = OK if sense is None else (sense[0], sense[1], sense[7], sense[8])
        self.answers[answer] = self.answers.get(answer, 0) + 1
        assert answer in right, f"{what} answered {answer}, right would be {sorted(right)}"
        assert ended.status == (NORMAL_END if sense is None else NORMAL_END | UNIT_CHECK), f"status {ended.status:02X}"
        assert ended.completed == before + (sense is None), f"{ended.completed} commands came to their end"
        if sense is not None:
            assert sense[4] == DEVICE and sense[27] & 0x80, f"not this device's, or no 24-byte form: {sense.hex()}"

    def _nothing_is_left(self) -> None:
        """Sense behind everything: taken once, it is gone. (A check whose sense was solicited leaves it to be read.)"""
        self.channel.run(DEVICE, [(0x22, 1)])
        ended = self.channel.run(DEVICE, [(SENSE, SENSE_LENGTH)])
        assert ended.status == NORMAL_END and not any(ended.data[:3]) and not ended.data[7], ended.data.hex()


def run(seed: int, cases: int, directed: bool = False) -> ProgramFuzz:
    """Run chains. Raises Failure."""
    fuzz = ProgramFuzz(seed, directed)
    with watched() as alive:
        for case in range(cases):
            if not case & 0x3F:
                alive()
            try:
                fuzz.step(case)
            except Exception as error:
                raise Failure(fuzz.name, seed, case, fuzz.sent, f"{type(error).__name__}: {error}") from error
        fuzz.end()
    return fuzz


def run_directed(seed: int, cases: int) -> ProgramFuzz:
    """The same through a director."""
    return run(seed, cases, directed=True)
