"""Fills an array with tracks that cannot be compressed, as a running system would, until it is killed.

python -m tests.helpers.log_filler DIRECTORY BYTES      says "full" when that much log is there, and goes on
"""

import sys
from itertools import count
from random import Random

from ccw.stored_track import StoredTrack
from controller.array import FileDisk, VirtualArrayStore

GROUP = 64


def fill(directory: str, log_bytes: int) -> None:
    """Write for ever; each group is durable before the next, and housekeeping goes on between two."""
    random = Random(1)
    tracks = [StoredTrack(0, length, random.randbytes(length)) for length in random.choices(range(8000, 12_500), k=100)]
    store = VirtualArrayStore.open(FileDisk(directory))
    store.define_volume(1, {})
    written = 0
    told = False
    for number in count():
        track = tracks[number % len(tracks)]
        store.write_stored(1, number, track)
        written += len(track.payload)
        if number % GROUP == GROUP - 1:
            store.sync()
            store.housekeep(store.housekeeping_budget(GROUP * 10_300) or 1)
            if written >= log_bytes and not told:
                print("full", flush=True)
                told = True


if __name__ == "__main__":
    fill(sys.argv[1], int(sys.argv[2]))
