"""A program that writes to a store in files until it is killed, and says on standard output what it did.

    python -m tests.helpers.load_writer DIRECTORY FIRST

Operation n is the same in every run. `did n sequence` is said before anything is made durable, `safe sequence` after:
so whoever reads it knows every change that can be found, and which must be.
"""

import sys
from random import Random
from typing import Any

from controller.array import FileDisk, StoredTrack, VirtualArrayStore

SEGMENT_BYTES = 1 << 16
CHECKPOINT_BYTES = 1 << 18
VOLUMES = (1, 2, 3)
TRACKS = 600


def operate(store: Any, number: int) -> int:
    """Operation `number`: one change. Its sequence."""
    chance = Random(number)
    if number < len(VOLUMES):
        sequence: int = store.define_volume(VOLUMES[number], {"number": number})
        return sequence
    volume, other = chance.sample(VOLUMES, 2)
    choice = chance.randrange(40)
    track = chance.randrange(TRACKS)
    if choice == 0:
        return int(store.snapshot(volume, other))
    if choice == 1:
        return int(store.snapshot_extent(volume, track, 100, other, chance.randrange(TRACKS)))
    if choice == 2:
        return int(store.release_space(volume, track, track + 30))
    if choice == 3:
        return int(store.put(f"key/{track % 5}", chance.randbytes(chance.randrange(100))))
    length = chance.choice((100, 900, 4000))
    return int(store.write_stored(volume, track, StoredTrack(0, length, chance.randbytes(length))))


def main() -> None:
    disk = FileDisk(sys.argv[1])
    store = VirtualArrayStore.open(disk, segment_bytes=SEGMENT_BYTES, checkpoint_bytes=CHECKPOINT_BYTES)
    number = int(sys.argv[2])
    chance = Random(number)
    while True:
        for _ in range(chance.randrange(1, 12)):
            print("did", number, operate(store, number))
            number += 1
            store.housekeep(chance.choice((1, 3000)))
        sys.stdout.flush()
        store.sync()
        print("safe", store.durable, flush=True)


if __name__ == "__main__":
    main()
