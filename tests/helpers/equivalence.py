"""Holds the fast codecs to their construct definitions on random and mutated bytes, both ways, refusals included."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

from construct import Construct, ConstructError

from ccw.ccws import CCW_FORMAT_0, CCW_FORMAT_1, Ccw, decode_ccw, encode_ccw
from ccw.crc import crc16
from ccw.errors import FormatError
from ccw.formats import FORMATS
from ccw.frames import decode_device, decode_frame, encode_device, encode_frame
from ccw.frames_spec import (
    specified_decode_device,
    specified_decode_frame,
    specified_encode_device,
    specified_encode_frame,
)
from ccw.geometry import CCHH
from ccw.layout import Layout
from ccw.tracks import TRACK, Record, build_image, parse_track
from tests.helpers.formats import vectors_by_format
from tests.helpers.quick_construct import (
    QuickLayout,
    quick,
    quick_decode_device,
    quick_decode_frame,
    quick_encode_device,
    quick_encode_frame,
)

VECTORS = vectors_by_format()
INTEGERS = (-1, 0, 1, 0xF, 0x10, 0xFF, 0x100, 0xFFFF, 0x10000, 0xFFFFFF, 1 << 31, 1 << 32, 1 << 64)


class Pair(NamedTuple):
    """A fast codec and what specifies it; `refine` makes the most of a mutated sample acceptable."""

    name: str
    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]
    specified_decode: Callable[[bytes], Any]
    specified_encode: Callable[[Any], bytes]
    samples: tuple[bytes, ...]
    refine: Callable[[bytearray], bytes] = bytes
    rebuilds: bool = True  # False: the head of a longer format, which carries counts of what follows


def outcome(function: Callable[[Any], Any], argument: Any) -> Any:
    """The value, or FormatError itself: any other error goes through."""
    try:
        return function(argument)
    except FormatError as error:
        assert error.offset is None or 0 <= error.offset <= len(error.data)
        return FormatError


def layouts() -> list[Layout[Any]]:
    """Every layout of the table of formats, each once."""
    parts = [part for entry in FORMATS for part in entry.parts if isinstance(part, Layout)]
    return list({id(part): part for part in parts}.values())


def with_constants(layout: Layout[Any], data: bytearray) -> bytes:
    """`data` with the constants of the layout in place."""
    for field in layout.fields:
        if field.constant is not None and len(data) >= field.offset + field.length:
            data[field.offset : field.offset + field.length] = field.constant
    return bytes(data)


def _layout_pair(layout: Layout[Any]) -> Pair:
    known = [
        vector.data[: layout.size]
        for name, vectors in VECTORS.items()
        for vector in vectors
        if any(part is layout for entry in FORMATS if entry.name == name for part in entry.parts[:1])
    ]
    return Pair(
        layout.what,
        layout.decode,
        layout.encode,
        layout.specified_decode,
        layout.specified_encode,
        tuple(known) or (bytes(layout.size),),
        lambda data: with_constants(layout, data),
        _is_whole(layout),
    )


def _is_whole(layout: Layout[Any]) -> bool:
    sample = with_constants(layout, bytearray(number % 251 + 1 for number in range(layout.size)))
    try:
        return layout.encode(layout.decode(sample)) == sample
    except (FormatError, AttributeError):
        return False


def _with_crc(data: bytearray) -> bytes:
    return bytes(data[:-2]) + crc16(bytes(data[:-2])).to_bytes(2, "big") if len(data) > 2 else bytes(data)


def _ccw_pair(number: int, layout: Construct) -> Pair:
    def decode(data: bytes) -> Ccw:
        if len(data) != 8:
            raise FormatError("CCW", "length", data)
        fields = layout.parse(data)
        return Ccw(fields.command, fields.flags, fields.count, fields.address, fields.get("ignored_05", 0))

    def encode(ccw: Ccw) -> bytes:
        if number and ccw.ignored_05:
            raise FormatError("CCW", "ignored byte", b"")
        try:
            return bytes(layout.build(dataclasses.asdict(ccw)))
        except ConstructError as error:
            raise FormatError("CCW", "value", b"") from error

    samples = tuple(vector.data for vector in VECTORS[f"CCW, format {number}"])
    return Pair(
        f"CCW, format {number}",
        lambda data: decode_ccw(data, number),
        lambda ccw: encode_ccw(ccw, number),
        decode,
        encode,
        samples,
    )


def _specified_track(image: bytes) -> Any:
    try:
        parsed = TRACK.parse(image)
    except ConstructError as error:
        raise FormatError("track image", "construct", image) from error
    return image[:5], [Record(record.count, record.key, record.data) for record in parsed.records]


def _build_specified_track(value: Any) -> bytes:
    home, records = value
    return bytes(
        TRACK.build(
            {
                "home_address_flag": home[0],
                "home_address": CCHH.decode(home[1:]),
                "end_mark": None,
                "records": [record._asdict() for record in records],
            }
        )
    )


_IMAGE = build_image(
    bytes(5),
    [
        Record(b"\0\0\0\0\0\0\0\x08", b"", bytes(8)),
        Record(b"\0\0\0\0\1\2\0\x03", b"ab", b"cde"),
        Record(b"\0\0\0\0\2\0\0\0", b"", b""),
    ],
)
_DEVICE = tuple(
    vector.data
    for name in ("command frame", "data frame", "data request", "status frame", "control frame")
    for vector in VECTORS[name]
)
HOT = [
    Pair(
        "frame",
        decode_frame,
        encode_frame,
        specified_decode_frame,
        specified_encode_frame,
        tuple(vector.data for vector in VECTORS["frame"])
        + tuple(b"\x60\x02\x40\x01\0" + data + b"\0\0" for data in _DEVICE),
        _with_crc,
    ),
    Pair("device frame", decode_device, encode_device, specified_decode_device, specified_encode_device, _DEVICE),
    _ccw_pair(0, CCW_FORMAT_0),
    _ccw_pair(1, CCW_FORMAT_1),
    Pair(
        "track image",
        lambda image: (image[:5], parse_track(image)),
        lambda value: build_image(*value),
        _specified_track,
        _build_specified_track,
        (_IMAGE,),
    ),
]
PAIRS = [*HOT, *map(_layout_pair, layouts())]


def _quick_layout_pair(pair: Pair, layout: Layout[Any]) -> Pair:
    quick_layout = QuickLayout(layout)
    return pair._replace(specified_decode=quick_layout.decode, specified_encode=quick_layout.encode)


@cache
def quick_pairs() -> list[Pair]:
    """PAIRS with their specifications made quicker (quick_construct.py), in the same order."""
    return [
        HOT[0]._replace(specified_decode=quick_decode_frame, specified_encode=quick_encode_frame),
        HOT[1]._replace(specified_decode=quick_decode_device, specified_encode=quick_encode_device),
        _ccw_pair(0, quick(CCW_FORMAT_0)),
        _ccw_pair(1, quick(CCW_FORMAT_1)),
        HOT[4],
        *map(_quick_layout_pair, PAIRS[len(HOT) :], layouts()),
    ]


def mutated(pair: Pair, source: random.Random) -> bytes:
    """Random bytes, or a sample with up to three bytes changed; one in eight of another length."""
    sample = source.choice(pair.samples)
    data = bytearray(source.randbytes(len(sample)) if source.random() < 0.3 else sample)
    for _ in range(source.randrange(4) if data else 0):
        data[source.randrange(len(data))] = source.choice((0, 1, 0x7F, 0x80, 0xFF, source.randrange(256)))
    if source.random() < 0.125:
        data = data[: source.randrange(len(data) + 1)] + source.randbytes(source.randrange(4))
    return pair.refine(data) if source.random() < 0.8 else bytes(data)


def check(pair: Pair, data: bytes, source: random.Random) -> bool:
    """One buffer against both; True when both take it. Every fourth value is also tried with a field that is wrong."""
    fast = outcome(pair.decode, data)
    assert fast == outcome(pair.specified_decode, data), (pair.name, data.hex())
    if fast is FormatError:
        return False
    if pair.rebuilds:
        assert pair.encode(fast) == data == pair.specified_encode(fast), (pair.name, data.hex())
        if source.random() < 0.25 and dataclasses.is_dataclass(fast):
            changed = _with_a_wrong_field(fast, source)
            assert outcome(pair.encode, changed) == outcome(pair.specified_encode, changed), (pair.name, changed)
    return True


def _with_a_wrong_field(value: Any, source: random.Random) -> Any:
    field = source.choice(dataclasses.fields(value))
    old = getattr(value, field.name)
    if isinstance(old, bool) or not isinstance(old, int | bytes):
        return value
    new: Any = source.choice(INTEGERS) if isinstance(old, int) else old[:-1] if source.random() < 0.5 else old + b"\1"
    return dataclasses.replace(value, **{field.name: new})


def wrong_fields(value: Any) -> Iterator[Any]:
    """`value` with one field after the other replaced by each integer of INTEGERS, or by bytes cut or lengthened."""
    for field in dataclasses.fields(value):
        old = getattr(value, field.name)
        if isinstance(old, bytes):
            news: tuple[Any, ...] = (old[:-1], old + b"\1")
        else:
            news = INTEGERS if isinstance(old, int) and not isinstance(old, bool) else ()
        yield from (dataclasses.replace(value, **{field.name: new}) for new in news)


def run(seed: int, buffers: int, pairs: list[Pair] = PAIRS) -> tuple[int, int]:
    """`buffers` buffers, half of them for the hot formats. Returns how many both take and how many both refuse."""
    source = random.Random(seed)
    hot = pairs[: len(HOT)]
    taken = 0
    for number in range(buffers):
        pair = source.choice(hot) if number % 2 else pairs[number // 2 % len(pairs)]
        taken += check(pair, mutated(pair, source), source)
    return taken, buffers - taken


def run_quick(seed: int, buffers: int) -> tuple[int, int]:
    """As `run`, against the quick form of the specifications."""
    return run(seed, buffers, quick_pairs())


def refusals(pair: Pair, quick_pair: Pair, source: random.Random) -> int:
    """One buffer, and a value with a wrong field, by the specification and by its quick form: 1 when it is refused."""
    data = mutated(pair, source)
    value = outcome(pair.specified_decode, data)
    assert value == outcome(quick_pair.specified_decode, data), (pair.name, data.hex())
    if value is FormatError:
        return 1
    if pair.rebuilds:
        assert pair.specified_encode(value) == quick_pair.specified_encode(value) == data, (pair.name, data.hex())
        if dataclasses.is_dataclass(value):
            wrong = _with_a_wrong_field(value, source)
            assert outcome(pair.specified_encode, wrong) == outcome(quick_pair.specified_encode, wrong), wrong
    return 0
