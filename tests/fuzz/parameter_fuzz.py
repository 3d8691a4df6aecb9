"""Parameter lists of Define Extent, Locate Record (Extended), Prefix and Perform Subsystem Function at a device.

Every answer is compared with the judge. The lists start from what recorded hosts sent and from generated ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from controller.commands.outcome import Command, Outcome
from tests.fuzz.engine import Failure, watched
from tests.fuzz.judge import OK, Answer, Extent, Judge
from tests.fuzz.mutation import mutate, random_bytes
from tests.fuzz.seeds import recorded_parameters
from tests.helpers.devices import CC, SLI, Bench

CYLINDERS = 3
MASKS = (0x00, 0x40, 0x80, 0xC0, 0xC0)
PPRC = frozenset({0xD0, 0xD1, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xDA})
Fields = list[tuple[int, int]]
EXTENT_FIELDS: Fields = [(n, 1) for n in (0, 1, 6, 7)] + [(2, 2), (4, 2), (8, 4), (12, 4), (10, 2), (14, 2), (24, 1)]
LOCATE_FIELDS: Fields = [(n, 1) for n in (0, 1, 2, 3, 12, 13, 16, 17)] + [(4, 4), (8, 4), (14, 2), (18, 2), (20, 1)]
ORDER_FIELDS: Fields = [(n, 1) for n in range(12)] + [(2, 2), (8, 4)]


def make_bench() -> Bench:
    """A 2107 with Prefix and a few formatted tracks."""
    bench = Bench("2107", CYLINDERS, features=frozenset({"prefix"}))
    for head in range(3):
        bench.format(1, head, [(n, b"K%d" % n if head == 1 else b"", bytes((n,)) * 16) for n in (1, 2, 3)])
    return bench


def make_judge(bench: Bench) -> Judge:
    """Who knows what is on it."""
    settings = bench.device.settings
    records = {(1, head): [bytes((0, 1, 0, head, n)) for n in range(4)] for head in range(3)}
    return Judge(CYLINDERS, settings.unit_address, settings.identity.interface_id, records)


def _cchh(rng: Random) -> bytes:
    return bytes((0, rng.choice((0, 1, 1, 1, 2, 3)), 0, rng.choice((0, 0, 1, 2, 14, 15))))


def make_extent(rng: Random, mask: int | None = None) -> bytes:
    """Sixteen or thirty-two bytes, most of them right."""
    mask = rng.choice(MASKS) if mask is None else mask
    block = rng.choice((0, 0, 0, 4096, 57_334, 57_335))
    first, last = _cchh(rng), _cchh(rng)
    if rng.random() < 0.8 and last < first:
        first, last = last, first
    more = rng.random() < 0.2
    head = bytes((mask, rng.choice((0xC0, 0xC0, 0xC0, 0xE0, 0xC4, 0xD8)))) + block.to_bytes(2, "big") + bytes(3)
    return head + bytes((0x02 if more else rng.choice((0, 0, 0x44)),)) + first + last + bytes(16 if more else 0)


def make_locate(rng: Random, extended: bool = False) -> bytes:
    """Sixteen bytes, or twenty and parameters."""
    code = rng.choice((0x00, 0x01, 0x81, 0x03, 0x43, 0xC3, 0x06, 0x46, 0x86, 0x0B, 0x0C, 0x4C, 0x16, 0x56, 0x96, 0xD6))
    further, parameters = 0, b""
    if extended and rng.random() < 0.5:
        code = rng.choice((0x3F, 0x3F, 0x7F, 0xBF))
        further = rng.choice((0x09, 0x0A, 0x0E, 0x10, 0x11, 0x13, 0x23))
        parameters = b"\x01" if further < 0x0B else rng.choice((b"\x80", b"\xc0", b"\xa0\x01", b"\x40"))
    ones = sum(byte.bit_count() for byte in parameters)
    count = 0 if not code & 0x3F else ones if further > 0x0A else rng.randint(1, 4)
    length = rng.choice((0, 0, 16, 4096))
    at = bytes((0, 1, 0, rng.choice((0, 1, 2, 3))))
    head = bytes((code, 0x80 if length else 0, 0, count)) + at + at + bytes((rng.randint(0, 4), 0xFF))
    head += length.to_bytes(2, "big")
    return head + bytes((0, further)) + len(parameters).to_bytes(2, "big") + parameters if extended else head


def make_prefix(rng: Random) -> bytes:
    """Sixty-four bytes and parameters."""
    form = rng.choice((0, 1, 1, 1, 2))
    head = bytes((form, rng.choice((0x80, 0x80, 0x80, 0x00, 0xA0)), rng.choice((0x20, 0x20, 0x21)))) + bytes(9)
    return head + make_extent(rng).ljust(32, b"\0") + make_locate(rng, extended=True)


def make_order(rng: Random) -> bytes:
    """An order of Perform Subsystem Function, long enough or nearly."""
    known = (0x10, 0x11, 0x12, 0x18, 0x18, 0x18, 0x18, 0x1A, 0x1B, 0x1D, 0xB0, 0xB0, 0x81)
    order = rng.choice((*known, rng.getrandbits(8)))
    if order == 0x18:
        suborder = rng.choice((0, 1, 3, 0x0E, 0x1C, 0x41, 0x50, 0x52))
        scope = rng.randrange(7) if suborder == 0x50 else 0
        return bytes((order, 0, 0, 0, 0, 0, suborder, scope)) + bytes(4)
    return bytes((order, rng.choice((0, 0, 0, 1)))) + random_bytes(rng, 2) + bytes(rng.choice((0, 8, 10, 20, 62)))


@dataclass(frozen=True)
class Kind:
    """One command whose parameters are fuzzed."""

    code: int
    make: Callable[[Random], bytes]
    fields: Fields


KINDS = (
    Kind(0x63, make_extent, EXTENT_FIELDS),
    Kind(0x47, make_locate, LOCATE_FIELDS),
    Kind(0x4B, lambda rng: make_locate(rng, extended=True), LOCATE_FIELDS),
    Kind(0xE7, make_prefix, [(0, 1), (1, 1), (2, 1), *((12 + o, n) for o, n in EXTENT_FIELDS),
                             *((44 + o, n) for o, n in LOCATE_FIELDS)]),
    Kind(0x27, make_order, ORDER_FIELDS),
)


def draw(rng: Random, kind: Kind) -> bytes:
    """A list: generated, recorded, or one of them changed."""
    chance = rng.random()
    recorded = recorded_parameters().get(kind.code, ())
    data = rng.choice(recorded) if recorded and chance < 0.1 else kind.make(rng)
    return mutate(rng, (data,), kind.fields) if chance > 0.25 else data


@dataclass
class ParameterFuzz:
    """A device, its judge and what to send. `answers` counts what came back."""

    seed: int
    bench: Bench = field(default_factory=make_bench)
    answers: dict[Answer, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = Random(f"parameters/{self.seed}")
        self.judge = make_judge(self.bench)

    def send(self, kind: Kind, data: bytes) -> tuple[Outcome, set[Answer]]:
        """The device's answer and the right ones."""
        judge, rng = self.judge, self.rng
        if kind.code in (0x47, 0x4B):
            mask = rng.choice(MASKS)
            before = bytes((mask, 0xC0)) + bytes(6) + bytes((0, 1, 0, 0, 0, 2, 0, 1))
            extent = Extent(mask, first=(1, 0), last=(2, 1))
            self.execute(0x63, before, CC, False)
            right = judge.locate(data, extent) if kind.code == 0x47 else judge.locate_extended(data, extent)
            return self.execute(kind.code, data, SLI | CC, True), right
        if kind.code == 0x63:
            right = judge.define_extent(data)[0]
        elif kind.code == 0xE7:
            right = judge.prefix(data)
        else:
            right = judge.subsystem_function(data)
        return self.execute(kind.code, data, SLI if kind.code == 0x27 else SLI | CC, False), right

    def execute(self, code: int, data: bytes, flags: int, chained: bool) -> Outcome:
        return self.bench.device.execute("A", Command(code, flags, len(data), data, chained))

    def step(self, case: int) -> None:
        """One case. Raises Failure."""
        kind = KINDS[case % len(KINDS)]
        data = draw(self.rng, kind)
        if kind.code == 0x27 and data[:1] and data[0] in PPRC:
            data = b"\x18" + data[1:]
        try:
            outcome, right = self.send(kind, data)
            self.bench.device.end_chain("A")
        except Exception as error:
            raise Failure("parameters", self.seed, case, data, f"{kind.code:02X}: {error!r}") from error
        answer = answer_of(outcome)
        self.answers[answer] = self.answers.get(answer, 0) + 1
        if answer not in right:
            why = f"command {kind.code:02X} answered {answer}, right would be {sorted(right)}"
            raise Failure("parameters", self.seed, case, data, why)
        if not 0 <= outcome.residual <= len(data) or (outcome.sense is not None and len(outcome.sense) != 32):
            raise Failure("parameters", self.seed, case, data, f"residual or sense: {outcome}")


def answer_of(outcome: Outcome) -> Answer:
    """What the judge speaks of. A unit check has sense and only it."""
    assert (outcome.sense is not None) == bool(outcome.status & 0x02), outcome
    if outcome.sense is None:
        assert outcome.status == 0x0C, outcome
        return OK
    sense = outcome.sense
    return sense[0], sense[1], sense[7], sense[8]


def run(seed: int, cases: int, bench: Bench | None = None) -> dict[Answer, int]:
    """Run cases; how often each answer was given. Raises Failure."""
    fuzz = ParameterFuzz(seed, bench or make_bench())
    with watched() as alive:
        for case in range(cases):
            if not case & 0xFF:
                alive()
            fuzz.step(case)
    return fuzz.answers
