"""Fast codecs against construct, batches against single frames: 10^5 buffers here, 10^7 in `make soak`.

Every test is named by its seed; a failure repeats with `pytest "...[seed]"`. The simplest way to see that the checks
can fail: change a bit in layout.py, frames.py or batch.py.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import random
import sys
from typing import Any

import numpy as np
import pytest
from construct import Struct

from ccw import batch, frames_spec
from ccw.eckd import DEFINE_EXTENT
from ccw.errors import FormatError
from ccw.frames import decode_device, decode_frame
from ccw.records import RawFrame, RecordReader, SequenceRecord
from tests.helpers.equivalence import (
    HOT,
    PAIRS,
    check,
    mutated,
    outcome,
    quick_pairs,
    refusals,
    run,
    run_quick,
    wrong_fields,
)
from tests.helpers.quick_construct import QuickLayout, crc_by_bytes

SEEDS, BUFFERS = 10, 10_000
BATCH_BUFFERS = 20_000
SOAK_SEEDS = 1_000
FRAME, DEVICE = HOT[0], HOT[1]


def test_there_is_a_pair_for_every_layout() -> None:
    assert len(PAIRS) >= 90 and len({pair.name for pair in PAIRS}) > 85
    assert sum(pair.rebuilds for pair in PAIRS) > 75


@pytest.mark.parametrize("seed", range(SEEDS))
def test_fast_codecs_equal_construct(seed: int) -> None:
    """Even seeds against the definitions as they stand, odd ones against their quick form."""
    taken, refused = run_quick(seed, BUFFERS) if seed % 2 else run(seed, BUFFERS)
    assert taken > BUFFERS // 3 and refused > BUFFERS // 10, "too one-sided to prove anything"


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_each_pair_takes_and_refuses(pair: Any) -> None:
    source = random.Random(pair.name)
    found = [check(pair, mutated(pair, source), source) for _ in range(40)]
    assert any(found) and not check(pair, b"", source)


@pytest.mark.parametrize("number", range(len(PAIRS)), ids=[pair.name for pair in PAIRS])
def test_each_field_that_does_not_fit_is_refused_alike(number: int) -> None:
    """Too large, below zero, too short, too long: field by field, by the codec, its definition and the quick form."""
    pair, quick_pair = PAIRS[number], quick_pairs()[number]
    value = pair.decode(pair.refine(bytearray(pair.samples[0])))
    if not pair.rebuilds or not dataclasses.is_dataclass(value):
        return      # a number, a tuple, or the head of a longer format: nothing to replace
    for wrong in wrong_fields(value):
        answers = [outcome(way.encode, wrong) for way in (pair, quick_pair)]
        answers += [outcome(way.specified_encode, wrong) for way in (pair, quick_pair)]
        assert answers[1:] == answers[:-1], (pair.name, wrong)


@pytest.mark.soak
def test_fast_codecs_equal_construct_long() -> None:
    """10^7 buffers on all processors, against the quick form of the definitions. One line on stderr every 10^5."""
    seeds = range(SOAK_SEEDS, 2 * SOAK_SEEDS)
    taken = refused = 0
    with multiprocessing.get_context("spawn").Pool() as pool:
        for done, (both_take, both_refuse) in enumerate(pool.imap_unordered(_one_seed, seeds), start=1):
            taken, refused = taken + both_take, refused + both_refuse
            if done % 10 == 0:
                print(f"{done * BUFFERS:,} buffers: {taken:,} taken, {refused:,} refused",
                      file=sys.__stderr__, flush=True)
    assert taken + refused == SOAK_SEEDS * BUFFERS == 10**7


def _one_seed(seed: int) -> tuple[int, int]:
    return run_quick(seed, BUFFERS)


# --- the quick form of the definitions, which the long run uses -------------------------------------------------------


@pytest.mark.parametrize("number", range(len(PAIRS)), ids=[pair.name for pair in PAIRS])
def test_quick_definitions_equal_the_definitions(number: int) -> None:
    source = random.Random(f"quick/{number}")
    refused = sum(refusals(PAIRS[number], quick_pairs()[number], source) for _ in range(60))
    assert refused < 60


def test_crc_by_bytes_equals_the_definition() -> None:
    source = random.Random(16)
    for length in (*range(20), 100, 1033):
        data = source.randbytes(length)
        assert crc_by_bytes(data) == frames_spec.crc_by_definition(data)


def test_a_quick_definition_that_errs_is_seen() -> None:
    """One wrong answer in the table of the file mask, all of whose values the samples reach."""
    number = next(number for number, pair in enumerate(PAIRS) if pair.name == "define extent")
    wrong = QuickLayout(DEFINE_EXTENT)
    wrong.builder.subcons[0].subcon.built[0xC0] = b"\xc1", None
    pair = quick_pairs()[number]._replace(specified_encode=wrong.encode)
    source = random.Random(1)
    with pytest.raises(AssertionError, match="define extent"):
        for _ in range(2_000):
            refusals(PAIRS[number], pair, source)


# --- batches ----------------------------------------------------------------------------------------------------------


def _joined(pieces: list[bytes]) -> tuple[bytes, Any, Any]:
    length = np.array([len(piece) for piece in pieces])
    return b"".join(pieces), np.cumsum(length) - length, length


def _where(decode: Any, data: bytes) -> str:
    try:
        decode(data)
    except FormatError as error:
        return error.where
    return ""


@pytest.mark.parametrize("seed", range(2))
def test_batch_of_frames_equals_single_frames(seed: int) -> None:
    source = random.Random(seed)
    pieces = [mutated(FRAME, source) for _ in range(BATCH_BUFFERS // 4)]
    pieces += [FRAME.refine(bytearray(source.randbytes(size))) for size in range(60, 1040, 7)]
    buffer, start, length = _joined(pieces)
    found = batch.decode_frames(buffer, start, length)
    assert [batch.FRAME_ERRORS[error] for error in found.error] == [_where(decode_frame, piece) for piece in pieces]
    for number in np.flatnonzero(found.valid).tolist():
        frame = decode_frame(pieces[number])
        assert (found.destination[number], found.source[number], found.link_control[number]) == (
            frame.destination, frame.source, frame.link_control)
        assert buffer[found.start[number] :][: found.length[number]] == frame.information
    unchecked = batch.decode_frames(buffer, start, length, check_crc=False)
    assert not np.any(unchecked.error == batch.BAD_CRC) and np.all(unchecked.valid >= found.valid)


@pytest.mark.parametrize("seed", range(2))
def test_batch_of_device_frames_equals_single_ones(seed: int) -> None:
    source = random.Random(seed)
    pieces = [mutated(DEVICE, source) for _ in range(BATCH_BUFFERS // 4)]
    buffer, start, length = _joined(pieces)
    found = batch.decode_devices(buffer, start, length)
    assert found.valid.tolist() == [_where(decode_device, piece) == "" for piece in pieces]
    assert 0.2 < found.valid.mean() < 0.9
    for number in np.flatnonzero(found.valid).tolist():
        assert found.unit_address[number] == decode_device(pieces[number]).unit_address
        assert (found.ifi[number], found.dhf[number]) == (pieces[number][0], pieces[number][3])


def test_batch_refuses_what_lies_outside_and_takes_nothing_at_all() -> None:
    for start, length in (([0], [8]), ([-1], [7]), ([3], [-1])):
        with pytest.raises(ValueError, match="outside"):
            batch.decode_frames(bytes(7), np.array(start), np.array(length))
    none = np.empty(0, np.int64)
    assert len(batch.decode_frames(b"", none, none).valid) == len(batch.decode_devices(b"", none, none).valid) == 0
    assert batch.scan_records(b"").consumed == 0


@pytest.mark.parametrize("name", ["COMMAND", "STATUS", "DATA_REQUEST", "CONTROL"])
def test_dtypes_are_the_layouts_of_the_specification(name: str) -> None:
    specified: Struct = getattr(frames_spec, name)
    expected, offset = {}, 0
    for part in specified.subcons:
        if part.name in ("sense", None):
            break
        expected[{"address_high": "address", "unit_address": "address + 1"}.get(part.name, part.name)] = offset
        offset += part.sizeof()
    fields = {field: place[1] for field, place in (getattr(batch, name).fields or {}).items()}
    assert fields == {field: place for field, place in expected.items() if field != "address + 1"}


def _stream(source: random.Random) -> bytes:
    pieces = []
    for _ in range(source.randrange(12)):
        if source.random() < 0.3:
            pieces.append(bytes((2, source.choice((1, 2, 3, 4, 5, 5, 6, 0)), 0, source.choice((0, 0, 0, 1)))))
        else:
            payload = source.randbytes(source.choice((0, 7, 11, 19, 1035, 1036)))
            flags = source.choice((0, 1, 2, 3, 4, 5, 6, 8))
            pieces.append(bytes((source.choice((1, 1, 1, 1, 1, 3)), flags)) + len(payload).to_bytes(2, "big") + payload)
    stream = b"".join(pieces)
    return stream[: source.randrange(len(stream) + 1)] if source.random() < 0.5 else stream


@pytest.mark.parametrize("seed", range(4))
def test_scanned_records_equal_those_of_the_reader(seed: int) -> None:
    source = random.Random(seed)
    for _ in range(500):
        stream = _stream(source)
        reader, expected = RecordReader(), []
        try:
            expected = reader.feed(stream)
        except FormatError as error:
            assert reader.failed is error
        found = batch.scan_records(stream)
        records: list[RawFrame | SequenceRecord] = []
        for kind, flags, start, length in zip(*found[:4], strict=True):
            payload = stream[start : start + length]
            records.append(SequenceRecord(int(flags)) if kind == 2 else
                           RawFrame(payload, bool(flags & 1), bool(flags & 2), bool(flags & 4)))
        assert records == expected, stream.hex()
        failed = (found.failed and (found.failed.where, found.failed.offset),
                  reader.failed and (reader.failed.where, reader.failed.offset))
        assert failed[0] == failed[1], stream.hex()
        assert found.failed or len(stream) - found.consumed == len(reader._buffer)
