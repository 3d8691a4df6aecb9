"""Which packets of a page a filter may want, decided for all of them at once by columns (ccw.batch).

A packet is dropped only when its bytes cannot be what is wanted, whatever else is wrong with them; what is kept is
looked at one by one as without this module (frame_views), so a filter's result is the same, errors included. A page is
what one read of the file completes: a capture that comes through a pipe is shown as it comes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ccw import batch
from ccw.batch import Array
from ccw.escon import (
    DEVICE_FRAME,
    LINK_HEADER_LENGTH,
    RECORD_FRAME,
    RECORD_HEADER_LENGTH,
    RECORD_SEQUENCE,
    WAN_INFORMATION_LENGTH_MAX,
    FrameType,
)
from ccw.pcapng import LINKTYPE_USER0, Packet
from tools.frame_views import Filter

_TYPES = {
    "data": FrameType.DATA, "command": FrameType.COMMAND, "status": FrameType.STATUS, "control": FrameType.CONTROL,
}
_TYPE_BITS = 0x07       # of the information-field identifier
_BEHIND = 32            # bytes behind the last record, so that headers of a record cut short can be read, as zero
_FEWEST = 16            # packets for which columns are worth their while


def candidates(page: list[Packet], wanted: Filter) -> Iterator[Packet]:
    """The packets of a page that may be wanted, in order; those whose view would raise FormatError among them."""
    chosen = [packet for packet in page if wanted.wants_packet(packet)]
    if not wanted.looks_inside or len(chosen) < _FEWEST:
        yield from chosen
        return
    ours = np.array([packet.interface.link_type == LINKTYPE_USER0 for packet in chosen])
    keep = ~ours
    keep[ours] = _may_be([packet.data for packet, own in zip(chosen, ours.tolist(), strict=True) if own], wanted)
    for number in np.flatnonzero(keep).tolist():
        yield chosen[number]


def _may_be(records: list[bytes], wanted: Filter) -> Array:
    """Mask of the records that may be wanted, and of those that are none."""
    buffer = b"".join(records) + bytes(_BEHIND)
    size = np.array([len(record) for record in records], np.int64)
    start = np.cumsum(size) - size
    head = batch.rows(buffer, start, batch.RECORD_HEADER)
    whole = size == head["length"].astype(np.int64) + RECORD_HEADER_LENGTH
    frame, sequence = whole & (head["kind"] == RECORD_FRAME), whole & (head["kind"] == RECORD_SEQUENCE)
    first, length = start + RECORD_HEADER_LENGTH, np.maximum(size - RECORD_HEADER_LENGTH, 0)
    fits: Array
    none: NDArray[np.bool_] = ~(frame | sequence)
    if wanted.kind == "damaged":
        fits = frame & ~_good(buffer, first, length)
        return none | fits
    device_frame = frame & (batch.rows(buffer, first, batch.FRAME_HEADER)["link_control"] == DEVICE_FRAME)
    if wanted.kind in ("sequence", "link-control"):
        fits = sequence if wanted.kind == "sequence" else frame & ~device_frame
        return none if wanted.device is not None or wanted.command is not None else none | fits
    row = batch.rows(buffer, first + LINK_HEADER_LENGTH, batch.COMMAND)
    fits = device_frame
    if wanted.kind:
        fits = fits & (row["ifi"] & _TYPE_BITS == _TYPES[wanted.kind])
    if wanted.device is not None:
        fits = fits & (row["address"] & 0xFF == wanted.device)
    if wanted.command is not None:
        fits = fits & (row["ifi"] & _TYPE_BITS == FrameType.COMMAND) & (row["command"] == wanted.command)
    return none | fits


def _good(buffer: bytes, first: Array, length: Array) -> Array:
    """Mask of the device frames that are surely in order."""
    frames = batch.decode_frames(buffer, first, length, information_limit=WAN_INFORMATION_LENGTH_MAX)
    devices = batch.decode_devices(buffer, frames.start, np.maximum(frames.length, 0))
    good: Array = frames.valid & (frames.link_control == DEVICE_FRAME) & devices.valid
    return good
