"""Random chains through the commands and through the reference model: every answer and every track must be the same."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ccw.tracks import parse_track
from controller.commands.outcome import Command
from tests.conformance.reference_model import Item, Reference
from tests.helpers.devices import CC, SLI, VOLUME, Bench

CYLINDERS = 3
INCOMPLETE_DOMAIN = 0x01
Step = tuple[int, int, bytes]
HEADS, RECORDS = st.sampled_from([13, 14, 0]), st.integers(0, 3)


def address(cylinder: int, head: int) -> bytes:
    return bytes((0, cylinder, 0, head))


@st.composite
def seek(draw: st.DrawFn) -> Step:
    code = draw(st.sampled_from([0x07, 0x07, 0x0B, 0x1B]))
    return code, 6, bytes(2) + address(draw(st.sampled_from([1, 1, 2, 3])), draw(st.sampled_from([0, 13, 14, 15])))


@st.composite
def search(draw: st.DrawFn) -> Step:
    code = draw(st.sampled_from([0x31, 0x31, 0xB1, 0x51, 0x71, 0x29, 0xA9, 0x49, 0x69]))
    if code & 0x7F in (0x29, 0x49, 0x69):
        argument = b"K%d" % draw(RECORDS)
    else:
        argument = address(draw(st.sampled_from([1, 1, 2])), draw(HEADS)) + bytes((draw(RECORDS),))
    argument = argument[: draw(st.sampled_from([5, 5, 5, 2]))]
    return code, len(argument), argument


@st.composite
def extent(draw: st.DrawFn) -> Step:
    mask = draw(st.sampled_from([0x00, 0xC0, 0x80, 0x40, 0x18, 0xD8]))
    high = draw(st.sampled_from([address(1, 14), address(2, 0), address(2, 14), address(1, 12)]))
    return 0x63, 16, bytes((mask, 0xC0)) + bytes(6) + address(1, 13) + high


@st.composite
def locate(draw: st.DrawFn) -> Step:
    operation = draw(st.sampled_from([0x00, 0x01, 0x81, 0x03, 0x06, 0x46, 0x86, 0x0C, 0x4C, 0x16, 0x96, 0xD6, 0x41]))
    length = draw(st.sampled_from([0, 16, 16, 8]))
    at = address(*draw(st.sampled_from([(1, 13), (1, 13), (1, 14), (2, 0)])))
    count = 0 if operation & 0x3F == 0 else draw(st.integers(1, 5))
    data = bytes((operation, 0x80 if length else 0, 0, count)) + at + at + bytes((draw(RECORDS), 0xFF))
    return 0x47, 16, data + length.to_bytes(2, "big")


@st.composite
def write(draw: st.DrawFn) -> Step:
    code = draw(st.sampled_from([0x05, 0x85, 0x85, 0x1D, 0x1D]))
    if code == 0x1D:
        key, size = draw(st.sampled_from([(0, 16), (2, 16), (0, 0), (0, 30_000)]))
        data = address(1, 13) + bytes((draw(RECORDS), key)) + size.to_bytes(2, "big") + b"K3" + b"new data"
    else:
        data = draw(st.sampled_from([b"w" * 16, b"w" * 5, b"w" * 20]))
    return code, len(data), data


READS = st.tuples(
    st.sampled_from([0x06, 0x86, 0x86, 0x0E, 0x8E, 0x12, 0x92, 0x1E, 0x9E, 0x5E, 0xDE, 0xDE]),
    st.sampled_from([8, 16, 18, 60_000]),
    st.just(b""),
)
MASKS = st.tuples(st.just(0x1F), st.just(1), st.sampled_from([b"\x00", b"\xc0", b"\x80", b"\x40", b"\x20", b"\x18"]))
UNKNOWN = st.just((0x33, 0, b""))
ANY = st.one_of(seek(), search(), search(), extent(), locate(), READS, READS, write(), write(), MASKS, UNKNOWN)


@st.composite
def chain(draw: st.DrawFn) -> list[Step]:
    """Mostly sensible beginnings, then anything."""
    begin = draw(st.sampled_from(["seek", "extent", "hit", "counts", "loop", "any"]))
    first: list[Step] = []
    if begin == "seek":
        first = [draw(seek()), draw(search())]
    elif begin == "extent":
        first = [draw(extent()), draw(locate())]
    elif begin == "hit":  # R0 is found at once: what follows may write, or something comes between
        head = draw(HEADS)
        first = [(0x07, 6, bytes(2) + address(1, head)), (0x31, 5, address(1, head) + b"\0")]
        first += [*draw(st.lists(READS, max_size=1)), draw(write())]
    elif begin == "counts":  # past the end of the track, once or twice
        first = [(0x07, 6, bytes(2) + address(1, 13)), *[(0x12, 8, b"")] * draw(st.integers(3, 7))]
    elif begin == "loop":  # a search that finds nothing on three tracks
        code = draw(st.sampled_from([0xB1, 0xA9, 0x31]))
        first = [(0x07, 6, bytes(2) + address(1, 12)), *[(code, 5, b"\x0f" * 5)] * draw(st.integers(4, 10))]
    steps = first + draw(st.lists(ANY, min_size=1, max_size=8))
    extents = [index for index, step in enumerate(steps) if step[0] == 0x63]
    return [step for index, step in enumerate(steps) if index not in extents[1:]]  # the model has no second one


def prepared() -> tuple[Bench, Reference]:
    bench, reference = Bench("3990-3", CYLINDERS), Reference(CYLINDERS)
    for cylinder, head in ((1, 13), (1, 14), (2, 0)):
        records = [(n, b"K%d" % n if head == 14 else b"", bytes((0x10 * head + n,)) * 16) for n in (1, 2, 3)]
        bench.format(cylinder, head, records)
        reference.tracks[cylinder, head] = [Item(*record) for record in bench.records(cylinder, head)]
    return bench, reference


def run(bench: Bench, reference: Reference, steps: list[Step]) -> None:
    for index, (code, count, data) in enumerate(steps):
        flags = SLI | (CC if index + 1 < len(steps) else 0)
        outcome = bench.device.execute("A", Command(code, flags, count, data, index > 0))
        status, out, residual, wrong, sense = reference.execute(code, data, count, index > 0)
        for item in outcome.writes:
            bench.tracks.write(item.track, item.image)
        if outcome.sense is not None and outcome.sense[0] == INCOMPLETE_DOMAIN:
            assert status == 0x0C and reference.n, "the reference does not report incomplete domains"
            break
        assert outcome.status == status
        assert (outcome.data, outcome.residual) == (out, residual)
        if outcome.sense is not None:
            assert (outcome.sense[0], outcome.sense[1], outcome.sense[7]) == sense
        else:
            assert (outcome.residual != 0 or outcome.long_record) == wrong
        if status & 0xBF != 0x0C:
            break
    for item in bench.device.end_chain("A"):
        bench.tracks.write(item.track, item.image)


@settings(deadline=None, max_examples=600)
@given(chains=st.lists(chain(), min_size=1, max_size=4))
def test_same_answers_and_same_tracks(chains: list[list[Step]]) -> None:
    bench, reference = prepared()
    for steps in chains:
        run(bench, reference, steps)
        for (cylinder, head), items in reference.tracks.items():
            image = bench.tracks.read(VOLUME, cylinder * 15 + head)
            assert [tuple(record) for record in parse_track(image)] == [tuple(item) for item in items]
