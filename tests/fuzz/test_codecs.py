"""Any bytes at every decoder of `ccw`: a value that encodes to the same bytes, or a FormatError that says where."""

from __future__ import annotations

import pytest

from ccw.errors import FormatError
from tests.fuzz import ledger
from tests.fuzz.decoders import ADAPTED, NO_WAY_BACK, NOT_DECODERS, Decoder, find_decoders, left_out
from tests.fuzz.engine import Failure, Target, run
from tests.fuzz.plan import SEED, SLOW, codec_cases
from tests.fuzz.seeds import target, targets

DECODERS = find_decoders()
CASES = codec_cases(list(DECODERS))
# Targets of which hardly anything random can be accepted; all others must accept a tenth, else the fuzzer is blind.
SELDOM_ACCEPTED = {"stored_track.expand_track", "stored_track.expand_payload"}


@pytest.mark.parametrize("name", sorted(DECODERS))
def test_any_bytes(name: str) -> None:
    cases = CASES[name]
    tally = run(target(DECODERS[name]), SEED, cases)
    ledger.note(f"codec {name}", cases)
    assert name in SELDOM_ACCEPTED or tally.accepted > cases // 20, "the fuzzer does not get past the door"
    assert name not in SELDOM_ACCEPTED or tally.accepted > 0


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(SEED + 1, SEED + 11))
def test_any_bytes_with_more_seeds(seed: int) -> None:
    for name, chosen in targets().items():
        run(chosen, seed, CASES[name])


def test_every_reader_of_bytes_is_fuzzed() -> None:
    """A new function that reads bytes is found by itself, or must be adapted; no name in the tables is stale."""
    assert left_out() == []
    assert len(DECODERS) > 150
    for name in (*ADAPTED, *NO_WAY_BACK, *NOT_DECODERS, *SLOW):
        assert name in DECODERS or name in NOT_DECODERS, f"{name} does not exist any more"
    one_way = [name for name, decoder in DECODERS.items() if decoder.encode is None and name.endswith(".decode")]
    assert one_way == [], "decode without encode"


def test_the_same_seed_makes_the_same_cases() -> None:
    one, other = (run(target(DECODERS["eckd.Prefix.decode"]), 7, 2_000) for _ in range(2))
    assert one == other != run(target(DECODERS["eckd.Prefix.decode"]), 8, 2_000)


# --- canaries: what the fuzzer must see -------------------------------------------------------------------------------

GOOD = DECODERS["eckd.LocateRecord.decode"]


def _crash(data: bytes) -> object:
    if len(data) == 16 and data[3] == 0xFF:
        raise IndexError("list index out of range")
    return GOOD.decode(data)


def _loses_a_bit(value: object) -> bytes:
    assert GOOD.encode is not None
    data = bytearray(GOOD.encode(value))
    data[2] &= 0x7F
    return bytes(data)


def _wrong_place(data: bytes) -> object:
    try:
        return GOOD.decode(data)
    except FormatError as error:
        raise FormatError(error.what, error.where, data, len(data) + 1) from error


def _hoards(data: bytes) -> object:
    _HOARD.append(bytearray(1 << 20))
    return GOOD.decode(data)


_HOARD: list[bytearray] = []
CANARIES = {
    "crash": (Decoder("canary", _crash, GOOD.encode), "IndexError"),
    "reserved bit lost": (Decoder("canary", GOOD.decode, _loses_a_bit), "encodes to other bytes"),
    "offset outside": (Decoder("canary", _wrong_place, GOOD.encode), "offset outside"),
    "memory": (Decoder("canary", _hoards, GOOD.encode), "bytes of memory"),
}


@pytest.mark.parametrize("name", CANARIES)
def test_a_broken_decoder_is_seen(name: str) -> None:
    decoder, seen = CANARIES[name]
    try:
        with pytest.raises(Failure, match=seen) as caught:
            run(Target(decoder, [bytes(16)]), SEED, 500 if name == "memory" else 20_000)
    finally:
        _HOARD.clear()
    assert f"--seed {SEED} --case {caught.value.case}" in str(caught.value)


def test_a_stuck_decoder_is_seen() -> None:
    def stuck(data: bytes) -> object:
        while True:
            pass

    with pytest.raises(Failure, match="Stuck"):
        run(Target(Decoder("canary", stuck, None), [bytes(16)]), SEED, 10, patience=0.2)
