"""The log: the format of the array on its medium, the rules of a valid log, and how it is read back.

The array is a log in **segments**: preallocated files of fixed length that are only ever appended to. One log, in one
order of sequence numbers, carries the tracks and everything that says where they belong. All numbers are big-endian.
What lies behind the last record of a segment is zeros, or what a segment that was removed had there: files are used
again, segment numbers never.

Segment header, 80 bytes, at offset 0; the first record follows at 80
---------------------------------------------------------------------
    off len  field
      0   8  magic "TBARRAY" and a zero byte
      8   2  format version, 2
     10   2  header length, 80
     12   4  segment number, from 1; never given twice
     16   8  store identity, the same in every segment of a store
     24   8  segment length: the size of the file, a multiple of 4096, at most 2 GiB
     32   8  previous sequence: that of the last record of the segment before; 0 in segment 1
     40   4  previous epoch: that of the same record; 0 in segment 1
     44   4  reserved, zero
     48   8  location of the end of the newest checkpoint that ends in an earlier segment; 0: none
     56   8  location of the end of the checkpoint before that; 0: none
     64   8  reserved, zero
     72   8  XXH3-64 of bytes 0-71, seed 0

Record, 72 bytes and the payload; zeros up to a multiple of 8; the next record follows at once
----------------------------------------------------------------------------------------------
    off len  field
      0   4  magic "TBLR"
      4   1  format version, 2
      5   1  kind, see below
      6   1  codec of the payload of a track: 0 none, 1 zlib (compression.py); otherwise 0
      7   1  reserved, zero
      8   4  epoch: how many times the store had been opened for writing
     12   4  volume          functional address; with MOVE, SNAPSHOT and EXTENT the target
     16   4  track
     20   4  other volume    MOVE, SNAPSHOT, EXTENT: the source; RELOCATE: high half of the old location
     24   4  other track     MOVE, EXTENT: the source; RELEASE: the first track after the range; RELOCATE: low half
     28   4  raw length in bytes of the track image; EXTENT: how many tracks; otherwise 0
     32   4  payload length in bytes
     36   4  reserved, zero
     40   8  sequence
     48   8  durable: the highest sequence known to be durable when the record was made; less than `sequence`
     56   8  XXH3-64 of the payload, seed 0
     64   8  XXH3-64 of bytes 0-63, seed = store identity XOR place(segment, offset)

The seed ties a record to the place it was written to: bytes of another store, of another place, of a removed segment
whose file is used again (it had another number), or a record that somebody keeps as data inside a track never pass for
a record. XXH3-64 because it costs 1 us for 56 KB and finds
every error burst that matters with probability 1 - 2**-64; it is a guard against damage, not against an enemy.

    kind         what it does (volume, track = v, t; other = s, u)           payload
      1 TRACK    track t of v is this payload                                the stored track
      2 MOVE     t of v takes the pointer of u of s, u of s becomes unwritten  -
      3 SNAPSHOT v takes all pointers of s                                   -
     14 EXTENT   n tracks of v from t on take the pointers of s from u on     -
      4 RELEASE  tracks t..u-1 of v become unwritten                         -
      5 DEFINE   v exists, with these attributes                             JSON object, UTF-8
      6 DELETE   v and its tracks are gone                                   -
      7 PUT      key has this value; an empty value removes the key          2-byte key length, key (UTF-8), value
      8 OPEN     the first record of an epoch                                -
      9 CLOSE    the last record of an epoch that ended in order             -
     10 CHECKPOINT  track 0: a checkpoint begins; 1, 2, ...: a part of      stream (checkpoint.py); where all of it is
                    it; FFFFFFFF: its end
     11 RELOCATE what the record at the old location held is here now: who  the stored track
                 points there is to point here. v, t: as in the old record
     12 FREE     segment t has no record in use and may be removed          -
     13 PARITY   kept. A reader that does not know a kind refuses the log.

Invariants (tests cite these numbers)
-------------------------------------
 I1  Acknowledged means recoverable: a record whose sequence is at most `durable` is found by every later recovery.
 I2  A read returns the last write; a snapshot returns the write that was last when it was taken, for ever.
 I3  Bytes that do not match their checksum are never returned: CorruptionError.
 I4  A record is in use if and only if some page of some volume points at it: no counters that could go wrong
     (directory.py).
 I5  Recovery is idempotent: a log that is only read is not changed, and reading it again gives the same state.
 I6  Nothing behind the end of the log comes back: stale bytes there never become records again. Those of this
     segment number have an older epoch or a sequence that is not due; those of another have another seed.
 I7  Segment n+1 is created, from a fresh file or a used one, only when every record of segment n is durable. Creation
     is atomic (disk.py). So only the last segment can have a torn tail; anything else that is missing is damage.
 I8  The OPEN record of an epoch is durable, and so is everything before it, before another record of that epoch is
     made.
 I9  A sequence number, once handed out, never names another write: after a crash an epoch starts SEQUENCE_GAP above
     the last sequence found, after a CLOSE one above it. At most SEQUENCE_GAP - 1 records are under way between
     append and commit.
 I10 After a failed commit nothing is written any more (what an fdatasync left behind is unknown): FencedError.
 I11 Each change is one record, so recovery finds it done or not done, never half.
 I12 FREE of a segment is appended only when no pointer goes there, and a checkpoint is durable that was begun after
     that was so; and the segment lies before the begin of the checkpoint before. So recovery can start at either of
     the two newest checkpoints. The segment is removed only when FREE is durable.
 I13 A checkpoint holds no pointer that a RELOCATE before its begin has turned. RELOCATE changes no contents: a record
     has one location or two, and locations are never used again, so it does not matter when a pointer is turned, as
     long as all are before the old segment goes.
 I14 A record is appended only if the medium holds room for it: no commit meets a full medium. A change that is refused
     for lack of room has changed nothing, and fences nothing.

A record is *next* in the log if its checksum is right, it lies inside the segment, and either its epoch is that of
the record before and its sequence one more; or it is an OPEN, its epoch one more and its sequence greater.

Reading back (recovery.py)
--------------------------
 1. The checkpoints that can be found: by their end in the last segment, the last one there first; then the two that
    its header names. Ends in the last segment are found by following its record headers.
 2. The first one that is whole (begin, all parts, end: kinds, numbers and every checksum) gives the directory and the
    segments as they were at its begin; reading goes on behind that. If none is whole, the whole log is read, which is
    possible while no segment was removed; otherwise CorruptionError. What is not used is told (`notices`).
 3. Segments are read in order, record headers only. In every segment but the last the records must lead exactly to
    `previous sequence` and `previous epoch` of the next header, or the log is damaged at that place: CorruptionError.
 4. A record at or below some record's `durable`, or in a segment that has a successor (I7), was acknowledged or
    could have been: it is applied without reading the payload of a TRACK, RELOCATE or CHECKPOINT. Payloads of other
    kinds are always checked.
 5. In the last segment the headers end at the first place X that has no next record. The rest is searched for
    records of this store; one whose `durable` reaches the sequence that is missing at X proves that acknowledged
    data is gone: CorruptionError at X. If there is none, X is the torn tail of a batch that nobody was told of. The
    records before X not covered by rule 4 had headers that arrived; now their payloads are checked, in order. The
    first bad one ends the log.
 6. All pointers are turned by the RELOCATE records that were applied, at once, at the end (I13). Every segment that the
    checkpoint lists or that was read must be there with its length, but for those with a FREE; else CorruptionError. A
    segment that is there beside them has a FREE: it is removed.
 7. What was found is synced (it may have been in the page cache only), then OPEN is appended and synced (I8). A
    reader that only looks stops after 6, and removes nothing.

Damage to the very last batch of a store that was not closed cannot be told from a torn write; everything before it can.
Damage before the checkpoint is found when it is read, and by scrubbing.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

import xxhash

from ccw.errors import FormatError
from controller.array.errors import CorruptionError

FORMAT_VERSION = 2
SEGMENT_MAGIC = b"TBARRAY\0"
RECORD_MAGIC = b"TBLR"
SEGMENT_HEADER_BYTES = 80
RECORD_HEADER_BYTES = 72
ALIGNMENT_BYTES = 8
SEGMENT_BYTES_UNIT = 4096
SEGMENT_BYTES_MAX = 1 << 31
SEQUENCE_GAP = 1 << 20

_SEGMENT = struct.Struct(">8sHHIQQQIIQQQQ")
_SEGMENT_CHECKED = struct.Struct(">8sHHIQQQIIQQQ")
_RECORD = struct.Struct(">4sBBBB8I3QQ")
_RECORD_CHECKED = struct.Struct(">4sBBBB8I3Q")
_CHECKSUM = struct.Struct(">Q")
assert _SEGMENT.size == SEGMENT_HEADER_BYTES
assert _RECORD.size == RECORD_HEADER_BYTES

_PEEKED = struct.Struct(">QI4xI12xIIQ16xQ").unpack_from
_CODEC_MASK = 0xFF00

digest = xxhash.xxh3_64_intdigest


class Kind(IntEnum):
    """What a record does."""

    TRACK = 1
    MOVE = 2
    SNAPSHOT = 3
    RELEASE = 4
    DEFINE = 5
    DELETE = 6
    PUT = 7
    OPEN = 8
    CLOSE = 9
    CHECKPOINT = 10
    RELOCATE = 11
    FREE = 12
    PARITY = 13
    EXTENT = 14


KINDS_READ = frozenset(Kind) - {Kind.PARITY}
"""The kinds this version understands."""
_KIND_OF_WORD = {int.from_bytes(RECORD_MAGIC + bytes((FORMAT_VERSION, kind, 0, 0))): int(kind) for kind in KINDS_READ}
"""Kind by the first eight bytes of a record, the codec's left out."""


class SegmentHeader(NamedTuple):
    """The header of a segment; `length` in bytes."""

    number: int
    identity: int
    length: int
    previous_sequence: int
    previous_epoch: int
    checkpoint: int = 0
    previous_checkpoint: int = 0


class RecordHeader(NamedTuple):
    """The header of a record, without what is the same in all. Fields as in the table above."""

    kind: int
    codec: int
    epoch: int
    volume: int
    track: int
    other_volume: int
    other_track: int
    raw_length: int
    payload_length: int
    sequence: int
    durable: int
    payload_digest: int


# A location is one 64-bit number, the pointer of the track directory. 0 points at nothing.
#   bits 63-37  segment number (27 bits)
#   bits 36-9   offset in the segment / 8 (28 bits: segments up to 2 GiB)
#   bits  8-0   record size in units of 256 bytes, rounded up, at most 511: how much to read at once; a hint
SEGMENT_SHIFT = 37
_OFFSET_SHIFT = 9
_OFFSET_MASK = (1 << (SEGMENT_SHIFT - _OFFSET_SHIFT)) - 1
SIZE_MASK = (1 << _OFFSET_SHIFT) - 1
SIZE_UNIT_BYTES = 256
SEGMENTS_MAX = (1 << 27) - 1


def place(segment: int, offset: int) -> int:
    """The location of a record without its size hint."""
    return segment << SEGMENT_SHIFT | offset // ALIGNMENT_BYTES << _OFFSET_SHIFT


def pack_location(segment: int, offset: int, record_bytes: int) -> int:
    """The location of a record of `record_bytes` bytes, header and padding included."""
    return place(segment, offset) | min(-(-record_bytes // SIZE_UNIT_BYTES), SIZE_MASK)


def unpack_location(location: int) -> tuple[int, int, int]:
    """Segment number, offset, and how many bytes to read at once."""
    offset = (location >> _OFFSET_SHIFT & _OFFSET_MASK) * ALIGNMENT_BYTES
    return location >> SEGMENT_SHIFT, offset, (location & SIZE_MASK) * SIZE_UNIT_BYTES


def record_bytes(payload_length: int) -> int:
    """Bytes that a record takes in its segment: header, payload, padding."""
    return RECORD_HEADER_BYTES + (payload_length + ALIGNMENT_BYTES - 1) // ALIGNMENT_BYTES * ALIGNMENT_BYTES


def check_segment_bytes(length: int) -> None:
    """Raise ValueError unless `length` can be the length of a segment."""
    if length % SEGMENT_BYTES_UNIT or not 0 < length <= SEGMENT_BYTES_MAX:
        raise ValueError(f"segment length {length} is not a multiple of {SEGMENT_BYTES_UNIT} up to {SEGMENT_BYTES_MAX}")


def encode_segment_header(header: SegmentHeader) -> bytes:
    """The 80 bytes of a segment header."""
    number, identity, length, previous_sequence, previous_epoch, checkpoint, previous_checkpoint = header
    checked = _SEGMENT_CHECKED.pack(
        SEGMENT_MAGIC,
        FORMAT_VERSION,
        SEGMENT_HEADER_BYTES,
        number,
        identity,
        length,
        previous_sequence,
        previous_epoch,
        0,
        checkpoint,
        previous_checkpoint,
        0,
    )
    return checked + _CHECKSUM.pack(digest(checked))


def decode_segment_header(data: bytes, number: int) -> SegmentHeader:
    """Decode the header of segment `number`.

    Raises FormatError when the bytes are not a segment of this version, CorruptionError when they are a damaged one.
    """
    what = f"segment {number}"
    if len(data) != SEGMENT_HEADER_BYTES:
        raise FormatError(what, "header length", data, len(data))
    magic, version, header_length, found, identity, length, sequence, epoch, *rest, check = _SEGMENT.unpack(data)
    _, checkpoint, previous_checkpoint, _ = rest
    if magic != SEGMENT_MAGIC:
        raise FormatError(what, "not a segment of a track store: magic", data, 0)
    if check != digest(data[: _SEGMENT_CHECKED.size]):
        if version != FORMAT_VERSION:
            raise FormatError(what, f"format version {version}, this program reads {FORMAT_VERSION}: version", data, 8)
        raise CorruptionError(number, 0, "the segment header does not match its checksum")
    if version != FORMAT_VERSION or header_length != SEGMENT_HEADER_BYTES:
        raise FormatError(what, f"format version {version}, this program reads {FORMAT_VERSION}: version", data, 8)
    if found != number:
        raise CorruptionError(number, 12, f"the header is that of segment {found}")
    return SegmentHeader(found, identity, length, sequence, epoch, checkpoint, previous_checkpoint)


def encode_record_header(header: RecordHeader, seed: int) -> bytes:
    """The 72 bytes of a record header; `seed` is store identity XOR place of the record."""
    kind, codec, epoch, volume, track, other_volume, other_track, raw, length, sequence, durable, check = header
    checked = _RECORD_CHECKED.pack(
        RECORD_MAGIC,
        FORMAT_VERSION,
        kind,
        codec,
        0,
        epoch,
        volume,
        track,
        other_volume,
        other_track,
        raw,
        length,
        0,
        sequence,
        durable,
        check,
    )
    return checked + digest(checked, seed).to_bytes(8)


def peek_record_header(data: bytes, seed: int, at: int) -> tuple[int, int, int, int, int] | None:
    """As decode_record_header, in a fifth of the time: kind, track, payload length, sequence, epoch."""
    if len(data) - at < RECORD_HEADER_BYTES:
        return None
    word, epoch, track, length, reserved, sequence, check = _PEEKED(data, at)
    kind = _KIND_OF_WORD.get(word & ~_CODEC_MASK)
    if kind is None or reserved:
        header = decode_record_header(data, seed, at)
        return header and (header.kind, header.track, header.payload_length, header.sequence, header.epoch)
    if check != digest(data[at : at + _RECORD_CHECKED.size], seed):
        return None
    return kind, track, length, sequence, epoch


def decode_record_header(data: bytes | memoryview, seed: int, at: int = 0) -> RecordHeader | None:
    """The record header in the 72 bytes of `data` from `at` on, or None if they are no record of this place.

    Raises FormatError for a good record that only a later version can understand.
    """
    if len(data) - at < RECORD_HEADER_BYTES:
        return None
    fields = _RECORD.unpack_from(data, at)
    if fields[0] != RECORD_MAGIC or fields[16] != digest(data[at : at + _RECORD_CHECKED.size], seed):
        return None
    _, version, kind, codec, flags, epoch, volume, track, other_volume, other_track, raw, length, reserved = fields[:13]
    if version != FORMAT_VERSION or kind not in KINDS_READ or flags or reserved:
        what = f"version {version}, kind {kind}, flags {flags:02X} need a later program"
        raise FormatError("log record", what, bytes(data[at : at + 8]))
    return RecordHeader(
        kind, codec, epoch, volume, track, other_volume, other_track, raw, length, fields[13], fields[14], fields[15]
    )
