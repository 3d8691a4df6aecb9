"""The volume label: record 3 of track 0, whose data begins VOL1 and holds the volume serial in bytes 4-9 (EBCDIC)."""

from ccw.errors import FormatError
from ccw.stored_track import expand_track
from ccw.tracks import Record, parse_track
from controller.remote_copy.ports import ArrayFault, ArrayPort

LABEL_TRACK = 0
LABEL_RECORD = 3
LABEL_ID = "VOL1".encode("cp037")
SERIAL = slice(4, 10)


def labelled_track(array: ArrayPort, volume: int) -> tuple[bytes, list[Record]] | None:
    """Image and records of the label track, None when there is no label. Raises ArrayFault."""
    stored = array.read_stored(volume, LABEL_TRACK)
    try:
        image = expand_track(stored) if stored is not None else b""
        records = parse_track(image) if image else []
    except FormatError:
        return None
    if len(records) <= LABEL_RECORD or not records[LABEL_RECORD].data.startswith(LABEL_ID):
        return None
    return image, records


def volume_serial(array: ArrayPort, volume: int) -> str:
    """As messages name it; empty when there is no label, or it cannot be read."""
    try:
        found = labelled_track(array, volume)
    except ArrayFault:
        return ""
    return found[1][LABEL_RECORD].data[SERIAL].decode("cp037").rstrip() if found is not None else ""
