"""Every decoder of `ccw`, found in the code: what is added there is fuzzed from then on without being named here.

A decoder is a public function, class method or static method of a module of `ccw` whose only required argument is
bytes; a `Layout`; or a reader, a class with `feed`. Its counterpart is found by the names that the package uses: the
value's own `encode`, `encode_x` for `decode_x`, `pack` for `unpack`. What has another form stands in `ADAPTED`, what
gives back less than it took in `NO_WAY_BACK` with the reason.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

import ccw
from ccw import (
    ccws,
    dissect,
    frames,
    frames_spec,
    link_control,
    link_control_fields,
    pcap,
    pcapng,
    plain_images,
    records,
    sequences,
    stored_track,
    streamed,
)
from ccw.delimited import delimited, record_of
from ccw.errors import FormatError
from ccw.formats import FORMATS
from ccw.layout import FixedFormat, Layout

Decode = Callable[[bytes], Any]
Encode = Callable[[Any], bytes]

# Names of things that read bytes; one with several required arguments must stand in ADAPTED.
READS = ("decode", "parse", "split", "scan", "expand", "unpack", "specified_decode", "view", "dissect")


@dataclass(frozen=True)
class Decoder:
    """One thing to fuzz. `encode` None: nothing to compare, any value will do."""

    name: str
    decode: Decode
    encode: Encode | None
    layout: Layout[Any] | None = None
    stream: bool = False        # a reader, fed in pieces
    cuts: bool = False          # the bytes are cut up before they are decoded: offsets count in a part of them
    placeless: bool = False     # construct says the field, not the offset


def modules() -> list[ModuleType]:
    """All modules of the package."""
    return [importlib.import_module(f"ccw.{module.name}") for module in pkgutil.iter_modules(ccw.__path__)]


def _own_encode(value: Any) -> bytes:
    return bytes(value.encode())


def _stored(data: bytes) -> stored_track.StoredTrack:
    """Codec, raw length (4 bytes), payload."""
    return stored_track.StoredTrack(*data[:1], int.from_bytes(data[1:5], "big"), data[5:])


def _link_control(data: bytes) -> Any:
    return link_control.decode_link_control(frames.Frame(0x6002, 0x4001, data[0] if data else 0x41, data[1:]))


def _image_file(data: bytes) -> Any:
    header, images = plain_images.split_image_file(data)
    return header, list(images)


def _array(*values: int) -> Any:
    return np.array(values, dtype=np.int64)


def _batch(name: str) -> Decode:
    def decode(data: bytes) -> Any:
        module = importlib.import_module("ccw.batch")
        return getattr(module, name)(data, _array(0), _array(len(data)))

    return decode


def _fed(make: Callable[[], Any]) -> Decode:
    def decode(data: bytes) -> Any:
        return feed(make(), [data])

    return decode


def feed(reader: Any, pieces: list[bytes]) -> list[Any]:
    """Everything that a reader makes of a stream; the error that ends it is the last item."""
    items: list[Any] = []
    for piece in pieces:
        try:
            items += reader.feed(piece)
        except FormatError as error:
            items.append(error)
            if hasattr(reader, "finish"):       # else it goes on behind the error
                return items
    try:
        if hasattr(reader, "finish"):
            reader.finish()
    except FormatError as error:
        items.append(error)
    return items


# Decoders whose form is another one: name -> (decode, encode).
ADAPTED: dict[str, tuple[Decode, Encode | None]] = {
    "ccws.decode_ccw": (lambda data: ccws.decode_ccw(data, 1), lambda ccw: ccws.encode_ccw(ccw, 1)),
    "ccws.decode_ccw.0": (lambda data: ccws.decode_ccw(data, 0), lambda ccw: ccws.encode_ccw(ccw, 0)),
    "batch.decode_frames": (_batch("decode_frames"), None),
    "batch.decode_devices": (_batch("decode_devices"), None),
    "dissect.parse_hex": (lambda data: dissect.parse_hex(data.decode("latin-1")), None),
    "link_control.decode_link_control": (_link_control, None),
    "link_control_fields.decode_link_control_field": (
        lambda data: link_control_fields.decode_link_control_field(data[0] if data else 0x41, data[1:]), None),
    "stored_track.expand_track": (lambda data: stored_track.expand_track(_stored(data or b"\0")), None),
    "stored_track.expand_payload": (
        lambda data: stored_track.expand_payload(int.from_bytes(data[:4], "big"), data[4:]), None),
    "plain_images.split_image_file": (_image_file, None),
    "delimited.record_of": (record_of, delimited),
    "records.decode_record": (records.decode_record, records.encode_raw),
    "frames_spec.specified_decode_frame": (frames_spec.specified_decode_frame, frames_spec.specified_encode_frame),
}
# Functions of bytes that decode nothing, each with the reason.
NOT_DECODERS: dict[str, str] = {
    "fc_sb3.longitudinal_check": "computes a check word of exactly seven words",
    "stored_track.compress_track": "makes the stored form",
    "crc.crc16": "computes",
    "frames_spec.crc_by_definition": "computes",
    "tracks.track_digest": "computes",
    "sense.is_compatible": "asks one bit of sense that is whole, by its contract",
}
_CUTS = frozenset({"stored_track.expand_track", "stored_track.expand_payload", "dissect.parse_hex",
                   "link_control_fields.decode_link_control_field"})
# Decoders that keep less than they are given, or give a number or a text, each with the reason.
NO_WAY_BACK: dict[str, str] = {
    "fc_sb3_fields.view_unit": "a view for people",
    "dissect.dissect": "a view for people",
    "dissect.decode_delimited": "delimiters and CRC are checked and dropped; frames.decode_frame is compared",
    "tracks.parse_track": "the home address is not part of the records; compared by tests/properties",
    "link_control.decode_path_bitmap": "the length of the bitmap is not kept",
    "batch.scan_records": "offsets of records, not their content",
}
READERS: dict[str, Callable[[], Any]] = {
    "records.RecordReader": records.RecordReader,
    "pcap.PcapReader": pcap.PcapReader,
    "pcapng.PcapngReader": pcapng.PcapngReader,
    "streamed.StreamedReader": streamed.StreamedReader,
    "sequences.SequenceDetector": sequences.SequenceDetector,
}


def required(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The arguments without which a function cannot be called."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return [item for item in parameters if item.default is item.empty and item.kind not in kinds]


def takes_bytes(function: Callable[..., Any]) -> bool:
    """Whether a function can be called with bytes alone."""
    needed = required(function)
    if len(needed) != 1:
        return False
    kind = needed[0].annotation
    return (kind if isinstance(kind, str) else getattr(kind, "__name__", "")) == "bytes"


def callables(module: ModuleType) -> Iterator[tuple[str, Callable[..., Any], Any]]:
    """(name, function, the class it belongs to or None) of everything public that a module defines."""
    short = module.__name__.removeprefix("ccw.")
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", "") != module.__name__:
            continue
        if inspect.isfunction(thing):
            yield f"{short}.{name}", thing, None
        elif inspect.isclass(thing) and thing is not FixedFormat:      # its subclasses have layouts
            for member in sorted(set(dir(thing))):
                found = inspect.getattr_static(thing, member)
                if not member.startswith("_") and isinstance(found, classmethod | staticmethod):
                    yield f"{short}.{name}.{member}", getattr(thing, member), thing


def _counterpart(name: str, module: ModuleType, function: Any, owner: Any) -> Encode | None:
    last = name.rsplit(".", 1)[1]
    if name in NO_WAY_BACK:
        return None
    if owner is not None:
        back = {"decode": "encode", "unpack": "pack", "unpack_classic": "pack_classic"}.get(last)
        return getattr(owner, back) if back else None
    if last.startswith(("decode_", "specified_decode_")):
        return getattr(module, last.replace("decode_", "encode_", 1), _own_encode)
    return None


def _readers(module: ModuleType) -> Iterator[str]:
    for name, thing in vars(module).items():
        if inspect.isclass(thing) and thing.__module__ == module.__name__ and hasattr(thing, "feed"):
            yield f"{module.__name__.removeprefix('ccw.')}.{name}"


def _heads() -> set[int]:
    """Layouts that begin a longer format: their counts speak of what follows, so only the whole is rebuilt."""
    return {id(part) for entry in FORMATS for part in entry.parts if entry.tail and isinstance(part, Layout)}


def find_decoders() -> dict[str, Decoder]:
    """All decoders by name."""
    found: dict[str, Decoder] = {}
    layouts: set[int] = set()
    heads = _heads()
    present: set[str] = set()
    for module in modules():
        for name, function, owner in callables(module):
            present.add(name)
            layout = getattr(owner, "LAYOUT", None)
            if name not in ADAPTED and name not in NOT_DECODERS and takes_bytes(function):
                encode = _counterpart(name, module, function, owner)
                spec = module.__name__ == "ccw.frames_spec"
                found[name] = Decoder(name, function, encode, layout, placeless=spec)
        for name, thing in vars(module).items():
            if isinstance(thing, Layout) and id(thing) not in layouts:
                layouts.add(id(thing))
                encode = None if id(thing) in heads else thing.encode
                label = f"{module.__name__.removeprefix('ccw.')}.{name}"
                found[label] = Decoder(label, thing.decode, encode, thing)
        for name in _readers(module):
            found[name] = Decoder(name, _fed(READERS[name]), None, stream=True)
    for name, (decode, encode) in ADAPTED.items():
        if name in present or name.removesuffix(".0") in present:
            spec = name.startswith("frames_spec.")
            found[name] = Decoder(name, decode, encode, cuts=name in _CUTS, placeless=spec or name in _CUTS)
    return found


def left_out() -> list[str]:
    """Readers of bytes by their name that `find_decoders` cannot call: they need a place in ADAPTED."""
    known = {*find_decoders(), *NOT_DECODERS}
    readers = (item for module in modules() for item in callables(module))
    return [
        name
        for name, function, _ in readers
        if name not in known and name.rsplit(".", 1)[1].startswith(READS) and required(function)
    ]
