"""Every format of ccw/formats.py by examples: whole, every truncation, trailing data, and byte by byte over a link.

The examples are the worked ones of the sources (tests/vectors) and all parameter lists and replies of a recording.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ccw.errors import FormatError
from ccw.escon import ORDERED_SETS_TO_RECOGNISE, Sequence
from ccw.formats import FORMATS, STREAMED, Format, format_named
from ccw.frames import Frame
from ccw.records import RawFrame, RecordReader, SequenceRecord, encode_record, encode_sequence
from ccw.sequences import ORDERED_SETS, SequenceDetector, encode_ordered_sets
from ccw.tracks import build_image, parse_track
from controller.channel import LinkSettings
from controller.commands.outcome import Outcome
from host_emulator.channel import Response
from tests.helpers.formats import SHORTER_FORMS, vectors_by_format
from tests.helpers.vectors import Vector, check_exact, check_fields, expect_format_error, feed_by_bytes
from tests.helpers.wire import EXAMPLE_HOST, ScriptedServer, joined, perform, read, write
from tools.recording import load_recording
from traces import recording_folder

VECTORS = vectors_by_format()
CASES = [(format_named(name), vector) for name, vectors in VECTORS.items() for vector in vectors]


def test_every_format_has_a_vector() -> None:
    assert set(VECTORS) == {entry.name for entry in FORMATS}


def check_three_ways(entry: Format, data: bytes) -> Any:
    """Whole, every truncation, trailing data, every byte changed. Returns the value."""
    allowed = SHORTER_FORMS.get(entry.name)
    if allowed is None:
        return check_exact(entry.decode, entry.encode, data)
    value = entry.decode(data)
    assert entry.encode(value) == data
    others = [data[:length] for length in range(len(data))] + [data + extra for extra in (b"\0", b"\xff", data)]
    for other in others:
        if not allowed(len(other)):
            expect_format_error(entry.decode, other)
            continue
        try:
            found = entry.decode(other)
        except FormatError:
            continue
        assert entry.encode(found) == other
    for position in range(len(data)):
        for change in (0x01, 0x80, 0xFF):
            changed = bytearray(data)
            changed[position] ^= change
            try:
                found = entry.decode(bytes(changed))
            except FormatError:
                continue
            assert entry.encode(found) == changed, f"byte {position} is not kept"
    return value


@pytest.mark.parametrize(("entry", "vector"), CASES, ids=lambda item: item.name if isinstance(item, Vector) else None)
def test_vector_three_ways(entry: Format, vector: Vector) -> None:
    check_fields(check_three_ways(entry, vector.data), vector.fields)


# --- streams ----------------------------------------------------------------------------------------------------------


def test_streamed_formats_are_those_tested_here() -> None:
    assert set(STREAMED) == {"frame record", "sequence record", "ordered set", "track record"}


@pytest.mark.parametrize("kind", list(Sequence))
def test_ordered_sets_byte_by_byte_whole_and_cut(kind: Sequence) -> None:
    line = encode_ordered_sets(kind, ORDERED_SETS_TO_RECOGNISE + 1)
    assert SequenceDetector().feed(line) == feed_by_bytes(SequenceDetector().feed, line) == [kind]
    needed = ORDERED_SETS_TO_RECOGNISE * len(ORDERED_SETS[kind]) + (kind is Sequence.IDLE)
    for length in range(len(line) + 1):
        assert SequenceDetector().feed(line[:length]) == ([kind] if length >= needed else [])


def test_a_sequence_is_believed_once_and_again_after_another() -> None:
    line = b"".join(encode_ordered_sets(kind, 20) for kind in (Sequence.NOS, Sequence.OLS, Sequence.NOS))
    assert SequenceDetector().feed(line) == [Sequence.NOS, Sequence.OLS, Sequence.NOS]
    broken = encode_ordered_sets(Sequence.NOS, 7) + encode_ordered_sets(Sequence.UD, 1)
    assert SequenceDetector().feed(broken * 3) == []


@pytest.mark.parametrize(("line", "offset"), [("BC41", 1), ("40", 0), ("BC4040", 2), ("BC40BC40FF", 4)])
def test_a_character_of_no_ordered_set(line: str, offset: int) -> None:
    detector = SequenceDetector()
    assert expect_format_error(detector.feed, bytes.fromhex(line)).offset == offset
    assert detector.feed(encode_ordered_sets(Sequence.OLS)) == [Sequence.OLS]
    with pytest.raises(FormatError):
        encode_ordered_sets(6)


@pytest.mark.parametrize("vector", VECTORS["frame"], ids=lambda vector: vector.name)
def test_records_whole_byte_by_byte_and_cut(vector: Vector) -> None:
    frame: Frame = format_named("frame").decode(vector.data)
    stream = encode_record(frame) + encode_sequence(Sequence.UD)
    expected = [RawFrame(vector.data), SequenceRecord(Sequence.UD)]
    assert RecordReader().feed(stream) == feed_by_bytes(RecordReader().feed, stream) == expected
    for length in range(len(stream)):
        reader = RecordReader()
        assert reader.feed(stream[:length]) == expected[: int(length >= len(stream) - 4)]
        if length in (0, len(stream) - 4):
            reader.finish()
        else:
            with pytest.raises(FormatError):
                reader.finish()


@pytest.mark.parametrize(("entry", "vector"), CASES, ids=lambda item: item.name if isinstance(item, Vector) else None)
def test_carried_byte_by_byte(entry: Format, vector: Vector) -> None:
    """Asked for, sent and received one byte at a time, to a device and from it, every example arrives as it was."""
    server = ScriptedServer(outcomes=[Outcome(0x0C), Outcome(0x0C, data=vector.data)])
    host, settings = replace(EXAMPLE_HOST, request_bytes=1), LinkSettings(request_bytes=1)
    wire, channel, _, _ = joined(server, host, settings, piece=1)
    perform(wire, channel.command(0x10, write(vector.data)))
    response = perform(wire, channel.command(0x10, read(len(vector.data))))
    assert isinstance(response, Response)
    assert server.commands[0].data == response.data == vector.data
    check_fields(entry.decode(server.commands[0].data), vector.fields)


# --- a recording ------------------------------------------------------------------------------------------------------

# Command -> format of what it sends or returns. 27 and 3E go by their orders, below.
SENT = {0x63: "define extent", 0x47: "locate record", 0xAF: "set path group ID", 0x07: "seek address"}
RETURNED = {0x12: "count area", 0x34: "sense path group ID", 0x64: "device characteristics", 0xB4: "sense",
            0x94: "sense", 0xE4: "sense ID", 0xFA: "node records"}
PREPARED = {0x00: "storage path status", 0x01: "statistics record", 0x0E: "unit address configuration",
            0x41: "feature codes"}
CHECKED_THREE_WAYS = 20             # different examples of one format; every other one is decoded and built again


def recorded_examples() -> dict[str, set[bytes]]:
    """Format name -> every different parameter list and reply of the recording."""
    found: dict[str, set[bytes]] = {}
    for program in load_recording(recording_folder("linux-cdl-2107")).programs():
        suborder = -1
        for command in program.commands:
            if command.sense:
                found.setdefault("sense", set()).add(command.sense)
            name = SENT.get(command.code)
            if name and command.data_out:
                found.setdefault(name, set()).add(command.data_out)
            elif command.code == 0x27 and command.data_out[:1] == b"\x18":
                found.setdefault("prepare for read subsystem data", set()).add(command.data_out[:12])
                suborder = command.data_out[6]
            elif command.code == 0x27 and command.data_out[:1] == b"\x1d":
                found.setdefault("set system characteristics", set()).add(command.data_out)
            elif command.code == 0x3E and suborder in PREPARED and command.data_in:
                found.setdefault(PREPARED[suborder], set()).add(command.data_in)
            elif command.code in (0x1D, 0x9D) and len(command.data_out) >= 8:
                found.setdefault("count area", set()).add(command.data_out[:8])
            elif command.data_in and command.code in RETURNED:
                found.setdefault(RETURNED[command.code], set()).add(command.data_in)
    return found


def test_every_parameter_list_and_reply_of_the_recording() -> None:
    found = recorded_examples()
    assert {name: len(examples) for name, examples in found.items() if len(examples) > 80} == {
        "define extent": 85, "locate record": 179, "count area": 9001}
    assert len(found) >= 12, sorted(found)
    for name, examples in found.items():
        entry = format_named(name)
        for number, data in enumerate(sorted(examples)):
            if number < CHECKED_THREE_WAYS:
                check_three_ways(entry, data)
            assert entry.encode(entry.decode(data)) == data


def test_every_track_of_the_recorded_volume() -> None:
    recording = load_recording(recording_folder("linux-cdl-2107"))
    images = [image for device in recording.devices.values() for _, image in recording.initial_tracks(device)]
    check: Callable[[bytes], None] = _check_track
    for image in images:
        check(image)
    assert len(images) == 750


def _check_track(image: bytes) -> None:
    assert build_image(image[:5], parse_track(image)) == image
    for wrong in (image[:-1], image[:12], image + b"\0"):
        expect_format_error(parse_track, wrong)
