"""Valid bytes to start from: the vectors of every format, the worked examples, the recorded channel programs."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from ccw import device_control, eckd, subsystem_orders
from ccw.fc_sb3_converter import Converter
from ccw.formats import FORMATS
from ccw.frames import decode_frame
from ccw.layout import Layout
from ccw.pcapng import LINKTYPE_FC_2, LINKTYPE_USER0, Direction, encode_interface, encode_packet, encode_section
from ccw.records import RawFrame, encode_raw, encode_sequence
from ccw.stored_track import compress_track
from ccw.tracks import Record, build_track, standard_record_zero
from host_emulator import orders
from host_emulator.orders import System
from tests.fuzz.decoders import Decoder, find_decoders, modules
from tests.fuzz.engine import Target
from tests.fuzz.mutation import Mend, fields_of, mend_constants, mend_crc32, mend_frame
from tests.helpers.formats import vectors_by_format
from tests.helpers.vectors import load_vectors
from tools.recording import load_recording

TRACES = Path(__file__).parent.parent.parent / "traces"
RECORDINGS = ("linux-cdl-2107",)
DATA_MAX = 600      # of a recorded command, so that cases stay quick
ORDER_LENGTHS = {0xD0: 48, 0xD1: 48, 0xD2: 64, 0xD3: 48, 0xD4: 56, 0xD5: 56, 0xD6: 48, 0xD7: 72, 0xD8: 48, 0xDA: 64}
_BY_COMMAND: dict[int, tuple[type, ...]] = {
    0x07: (device_control.SeekAddress,),
    0x63: (eckd.DefineExtent,),
    0x47: (eckd.LocateRecord,),
    0x4B: (eckd.LocateRecordExtended,),
    0xE7: (eckd.Prefix,),
    0x27: (eckd.PrepareForReadSubsystemData, subsystem_orders.OpaqueOrder),
}


@cache
def recorded_parameters() -> dict[int, tuple[bytes, ...]]:
    """Command code -> the different data that recorded hosts sent with it, at most 64 each."""
    found: dict[int, dict[bytes, None]] = {}
    for name in RECORDINGS:
        for program in load_recording(TRACES / name).programs():
            for command in program.commands:
                if 0 < len(command.data_out) <= DATA_MAX and len(found.setdefault(command.code, {})) < 64:
                    found[command.code][command.data_out] = None
    return {code: tuple(data) for code, data in found.items()}


@cache
def worked_frames() -> tuple[bytes, ...]:
    """Frames E1-E7 with their delimiters."""
    return tuple(vector.data for vector in load_vectors("escon_frames"))


def records_stream() -> bytes:
    """The worked examples as records of a byte stream, a sequence between them."""
    frames = [RawFrame(data[2:-3], data[0] == 0x3C, data[-2] == 0x3C) for data in worked_frames()]
    return encode_sequence(2) + b"".join(encode_raw(frame) for frame in frames)


def capture() -> bytes:
    """A small capture of them, with both directions, a comment and a second interface."""
    packets = [encode_raw(RawFrame(data[2:-3], True)) for data in worked_frames()[:4]]
    return b"".join((
        encode_section("fuzz"),
        encode_interface(LINKTYPE_USER0, "A 0001/1", "SAID 0001"),
        *(encode_packet(0, 1_700_000_000_000_000_000 + n, data, Direction.SENT) for n, data in enumerate(packets)),
        encode_interface(LINKTYPE_FC_2),
        encode_packet(1, 5, bytes(56), Direction.RECEIVED, "why"),
    ))


def old_capture() -> bytes:
    """A pcap file of two packets."""
    head = bytes.fromhex("D4C3B2A1 0200 0400 00000000 00000000 00000400 93000000")
    packet = encode_sequence(1)
    return head + 2 * (bytes(8) + len(packet).to_bytes(4, "little") * 2 + packet)


def image() -> bytes:
    """One track image with three records."""
    cchh = bytes((0, 1, 0, 2))
    made = [Record(cchh + bytes((n, 2, 0, 20)), b"K%d" % n, bytes(20)) for n in (1, 2, 3)]
    return build_track(1, 2, [standard_record_zero(1, 2), *made])


def _units() -> list[bytes]:
    """The worked examples as FC-SB-3 packets, those that have such a form."""
    converter = Converter()
    frames = [
        decode_frame(data[2:-3], connect=data[0] == 0x3C, disconnect=data[-2] == 0x3C) for data in worked_frames()
    ]
    return [unit for unit in map(converter.convert, frames) if isinstance(unit, bytes)]


def _special() -> dict[str, list[bytes]]:
    frames = [data[2:-3] for data in worked_frames()]
    stored = compress_track(image() + bytes(200))
    payload = stored.raw_length.to_bytes(4, "big") + stored.payload
    file = b"CKD_P370" + (1).to_bytes(4, "little") + (1024).to_bytes(4, "little") + b"\x90" + bytes(495)
    return {
        "dissect.dissect": [*worked_frames(), *frames],
        "dissect.decode_delimited": list(worked_frames()),
        "delimited.record_of": list(worked_frames()),
        "frames.decode_frame": frames,
        "frames_spec.specified_decode_frame": frames,
        "frames_spec.specified_decode_device": [data[5:-2] for data in frames],
        "frames.decode_device": [data[5:-2] for data in frames],
        "batch.scan_records": [records_stream()],
        "batch.decode_frames": frames,
        "batch.decode_devices": [data[5:-2] for data in frames],
        "records.RecordReader": [records_stream()],
        "streamed.StreamedReader": [records_stream()],
        "records.decode_record": [encode_raw(RawFrame(data, True)) for data in frames] + [encode_sequence(3)],
        "pcapng.PcapngReader": [capture()],
        "pcap.PcapReader": [old_capture()],
        "pcap.reader_for": [capture()[:32], old_capture()[:32]],
        "sequences.SequenceDetector": [bytes.fromhex("BC58" * 20 + "BC4F" * 9 + "BC" * 9)],
        "tracks.parse_track": [image()],
        "tracks.count_records": [image()],
        "tracks.track_image_length": [image()],
        "fc_sb3_fields.view_unit": _units(),
        "image_files.DeviceHeader.decode": [form + file[8:512] for form in (b"CKD_P370", b"CKD_C370", b"CKD_S064")],
        "plain_images.split_image_file": [file, file + image().ljust(1024, b"\0")],
        "stored_track.expand_payload": [payload],
        "stored_track.expand_track": [b"\1" + payload],
        "dissect.parse_hex": [b"3CFC 6002 | 4001\n00", b"0g", b"123"],
        "link_control.decode_link_control": [data[4:-2] for data in frames],
        "link_control_fields.decode_link_control_field": [data[4:-2] for data in frames],
    }


def _mends() -> dict[str, Mend]:
    track_check, status_check = mend_crc32(60), mend_crc32(28)
    delimited_frame: Mend = lambda data: data[:2] + mend_frame(data[2:-3]) + data[-3:] if len(data) > 7 else data  # noqa: E731
    record: Mend = lambda data: data[:4] + mend_frame(data[4:]) if len(data) > 7 else data  # noqa: E731
    return {
        "frames.decode_frame": mend_frame,
        "frames_spec.specified_decode_frame": mend_frame,
        "dissect.decode_delimited": delimited_frame,
        "dissect.dissect": delimited_frame,
        "delimited.record_of": delimited_frame,
        "records.decode_record": record,
        "batch.decode_frames": mend_frame,
        "bridge.BridgeHeader.decode": track_check,
        "bridge.StatusPacket.decode": status_check,
    }


@cache
def _by_decode() -> dict[Any, list[bytes]]:
    vectors = vectors_by_format()
    found: dict[Any, list[bytes]] = {}
    for entry in FORMATS:
        found.setdefault(entry.decode, []).extend(vector.data for vector in vectors.get(entry.name, ()))
    for code, kinds in _BY_COMMAND.items():
        for kind in kinds:
            found.setdefault(kind.decode, []).extend(recorded_parameters().get(code, ()))  # type: ignore[attr-defined]
    return found


@cache
def _by_described() -> dict[Any, list[bytes]]:
    """Class -> examples of the layout that describes it; of a format that is read by its layout alone."""
    found: dict[Any, list[bytes]] = {}
    for module in modules():
        for layout in vars(module).values():
            if isinstance(layout, Layout) and layout.describes is not None:
                mend = mend_constants(layout)
                found.setdefault(layout.describes, [mend(bytes(layout.size))])
                found[layout.describes] += _by_decode().get(layout.decode, ())
    return found


def _examples(page: str) -> list[bytes]:
    return [data for entry in FORMATS if entry.page == page for data in _by_decode().get(entry.decode, ())]


# Decoders of a whole family: pages of the table of formats whose examples they get.
_FAMILIES = {
    "pprc.decode_order": ("pprc",),
    "pprc.order_length": ("pprc",),
    "pprc.reserved_error": ("pprc",),
    "subsystem_orders.decode_subsystem_order": ("subsystem", "eckd"),
    "subsystem_orders.subsystem_order_length": ("subsystem",),
}


def target(decoder: Decoder) -> Target:
    """A decoder with examples, mending and fields."""
    pool = [*_special().get(decoder.name, ()), *_by_decode().get(decoder.decode, ())]
    pool += _by_described().get(getattr(decoder.decode, "__self__", None), ())
    pool += [data for name in _FAMILIES.get(decoder.name, ()) for data in _examples(name)]
    if decoder.layout is not None:
        pool += [bytes(decoder.layout.size), b"\xff" * decoder.layout.size]
    pool = pool or [bytes(length) for length in (4, 8, 16, 32)]
    mend = _mends().get(decoder.name)
    if mend is None and decoder.layout is not None and any(item.constant for item in decoder.layout.fields):
        mend = mend_constants(decoder.layout)
        pool = [mend(data) for data in pool]
    return Target(decoder, list(dict.fromkeys(pool)), mend, fields_of(decoder.layout))


def targets() -> dict[str, Target]:
    """Every decoder, ready to be fuzzed."""
    return {name: target(decoder) for name, decoder in find_decoders().items()}


@cache
def order_examples() -> tuple[bytes, ...]:
    """One and more of each PPRC order, named for system A of the rig."""
    system_a, system_b = System(0x0100, 0, "000000012345"), System(0x0200, 0, "000000067890")
    found = [vector.data for vector in load_vectors("pprc") if vector.kind in ("D0", "D2", "D7")]
    for order, length in ORDER_LENGTHS.items():
        data = orders.order_header(order, length, system_a, system_b, 0, 0, 0).encode().ljust(length, b"\0")
        found.append(data[:5] + (b"\1" if order == 0xD6 else b"\0") + data[6:])
    found.append(orders.establish_path(system_a, system_b, (0x10, 0x11)).encode())
    found += [orders.define_bridge(system_a, 0xF0, role, 1).encode() for role in range(5)]
    return tuple(found)
