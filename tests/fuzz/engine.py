"""Runs cases: makes bytes, judges what a decoder does with them, and says how to see a failure again.

Everything follows from (target, seed): the n-th case of a run is the same in every run. A `Failure` carries the bytes
and the command that replays it. What every decoder must do with any bytes:

F1. give a value or raise FormatError, nothing else;
F2. a FormatError names the format and the field, in one line, and an offset within or right behind the bytes, counted
    from their beginning also where a part of them is at fault;
F3. a value encodes to exactly the bytes it was decoded from;
F4. the same bytes give the same value, whether a stream comes whole or in pieces;
F5. in time and memory that do not grow beyond `CASE_SECONDS` and `MEMORY_BYTES`.
"""

from __future__ import annotations

import resource
import signal
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from ccw.errors import FormatError
from tests.fuzz.decoders import READERS, Decoder, feed
from tests.fuzz.mutation import Fields, Mend, mutate

CASE_SECONDS = 20.0         # a stuck case, not a slow machine
MEMORY_BYTES = 256 << 20    # growth of the largest resident size over one run
POOL_MAX = 96               # examples kept; accepted mutants take the place of older ones


class Failure(AssertionError):
    """A rule is broken. The text says which, by which bytes, and how to run the case again."""

    def __init__(self, target: str, seed: int, case: int, data: bytes, why: str) -> None:
        self.target, self.seed, self.case, self.data, self.why = target, seed, case, data, why
        super().__init__(
            f"{target}: {why}\n"
            f"  seed {seed} case {case} bytes {data[:256].hex().upper()}{'...' if len(data) > 256 else ''}\n"
            f"  again: python -m tests.fuzz.replay {target} --seed {seed} --case {case}"
        )


class Stuck(Exception):
    """One case took too long."""


@dataclass
class Target:
    """A decoder with what is needed to fuzz it."""

    decoder: Decoder
    pool: list[bytes]
    mend: Mend | None = None
    fields: Fields = ()


@dataclass
class Tally:
    """What a run did."""

    cases: int = 0
    accepted: int = 0
    places: set[str] = field(default_factory=set)   # (where) of the errors: how far the fuzzer reaches


@contextmanager
def watched(seconds: float = CASE_SECONDS) -> Iterator[Callable[[], None]]:
    """Raise Stuck when the function given is not called for `seconds`."""

    def stuck(number: int, frame: Any) -> None:
        raise Stuck(f"nothing happened for {seconds} s")

    def alive() -> None:
        signal.setitimer(signal.ITIMER_REAL, seconds)

    before = signal.signal(signal.SIGALRM, stuck)
    alive()
    try:
        yield alive
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def resident_bytes() -> int:
    """The largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def error_fault(error: FormatError, data: bytes, stream: bool = False, placeless: bool = False) -> str | None:
    """What is wrong with a FormatError (F2), or None."""
    text = str(error)
    if not error.what or not error.where or "\n" in text:
        return f"an error that does not say what and where: {text!r}"
    if error.offset is None:
        return None if placeless else f"an error without an offset: {text}"
    if not 0 <= error.offset <= len(data):
        return f"an offset outside the bytes: {text}"
    if not stream and not data.startswith(error.data):
        return f"an offset that counts in other bytes: {text}"
    return None


def judge(decoder: Decoder, data: bytes) -> tuple[str | None, str | None]:
    """(what is wrong or None, where the bytes were refused or None)."""
    try:
        value = decoder.decode(data)
    except FormatError as error:
        return error_fault(error, data, decoder.cuts, decoder.placeless), error.where
    if decoder.stream:
        return _judge_stream(decoder, data, value)
    if decoder.encode is not None:
        built = decoder.encode(value)
        if built != data:
            return f"encodes to other bytes: {built[:256].hex().upper()}", None
    return None, None


def _judge_stream(decoder: Decoder, data: bytes, whole: list[Any]) -> tuple[str | None, str | None]:
    cuts = Random(zlib.crc32(data))
    pieces, start = [], 0
    while start < len(data):
        stop = start + 1 + int(cuts.random() * 40)
        pieces.append(data[start:stop])
        start = stop
    parts = feed(READERS[decoder.name](), pieces)
    lasting = decoder.name != "sequences.SequenceDetector"      # its errors are of one call, and it goes on after them
    if _comparable(whole, lasting) != _comparable(parts, lasting):
        return f"pieces give another result: {parts[-3:]} instead of {whole[-3:]}", None
    if len(whole) > len(data) + 1:
        return f"{len(whole)} items of {len(data)} bytes", None
    if whole and isinstance(whole[-1], FormatError):
        return error_fault(whole[-1], data, stream=True), whole[-1].where
    return None, None


def _comparable(items: list[Any], errors: bool) -> list[Any]:
    return [
        (item.where, item.offset) if isinstance(item, FormatError) else item
        for item in items
        if errors or not isinstance(item, FormatError)
    ]


def cases_of(target: Target, seed: int) -> Iterator[bytes]:
    """The cases of a target, for ever. What `run` adds to the pool takes part from then on."""
    rng = Random(f"{target.decoder.name}/{seed}")
    while True:
        data = mutate(rng, target.pool, target.fields)
        if target.mend is not None and rng.random() < 0.75:
            data = target.mend(data)
        yield data


def run(target: Target, seed: int, cases: int, patience: float = CASE_SECONDS) -> Tally:
    """Run `cases` cases. Raises Failure at the first that breaks a rule."""
    tally = Tally()
    before = resident_bytes()
    stream = cases_of(target, seed)
    pool, originals = target.pool, len(target.pool)
    room = max(POOL_MAX - originals, 32)
    data, number = b"", 0
    with watched(patience) as alive:
        for number in range(cases):
            data = next(stream)
            if not number & 0x3FF:
                alive()
            try:
                fault, refused = judge(target.decoder, data)
            except Exception as error:
                raise Failure(target.decoder.name, seed, number, data, f"{type(error).__name__}: {error}") from error
            if fault is not None:
                raise Failure(target.decoder.name, seed, number, data, fault)
            if refused is None:
                tally.accepted += 1
                if not number & 7:      # accepted: worth changing further
                    if len(pool) < originals + room:
                        pool.append(data)
                    else:
                        pool[originals + number // 8 % room] = data
            elif len(tally.places) < 1000:
                tally.places.add(refused)
    tally.cases = cases
    if resident_bytes() - before > MEMORY_BYTES:
        raise Failure(target.decoder.name, seed, number, data, f"{resident_bytes() - before} bytes of memory")
    return tally
