"""The array as the pure rooms see it: its errors become theirs, reads are cached and never wrong.

The cache holds plain track images under the array sequence of their record, so a track that changed underneath
(redirected by remote copy, snapped) is never served from it.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ccw.geometry import Geometry
from ccw.stored_track import StoredTrack
from ccw.tracks import null_track
from controller.array import CorruptionError, DiskFullError, StoreError, VirtualArrayStore
from controller.commands.outcome import UnitCheck
from controller.remote_copy.ports import ArrayFault, ArrayFull

CACHED_TRACKS_MAX = 1024  # at most about 58 MB of 3390 tracks
DATA_CHECK = UnitCheck(0x08, 0x80, 0x43)
EQUIPMENT_CHECK = UnitCheck(0x10, 0x00, 0x10)

Value = TypeVar("Value")


class ArrayAdapter:
    """`TrackStorage` and `TrackSource` over a `VirtualArrayStore`.

    The rooms inside know a volume by its unit address; `numbers` says which volume of the store that is, where it is
    another number. say_full: called with the reason when the array is found full, with None when it takes writes again.
    """

    def __init__(
        self,
        store: VirtualArrayStore,
        geometries: dict[int, Geometry],
        say_full: Callable[[str | None], None] = lambda why: None,
        numbers: Mapping[int, int] | None = None,
    ) -> None:
        self._store = store
        self._numbers = {address: address for address in geometries} | dict(numbers or {})
        self._say = say_full
        self._full = False
        self._geometries = geometries
        self._cache: OrderedDict[tuple[int, int], tuple[int, bytes]] = OrderedDict()
        self._by_pointer: Counter[int] = Counter()

    def add(self, volume: int, geometry: Geometry, number: int) -> None:
        """A volume that the store has by now."""
        self._geometries[volume] = geometry
        self._numbers[volume] = number

    def remove(self, volume: int) -> None:
        """The volume is to be deleted."""
        del self._geometries[volume], self._numbers[volume]
        for key in [key for key in self._cache if key[0] == volume]:
            del self._cache[key]

    def tracks_replaced(self, volume: int) -> None:
        """The volume got the tracks of another, past this adapter: a restore."""
        self._by_pointer[volume] += 1

    # TrackSource

    def read(self, volume: int, track: int) -> bytes:
        """The image of a track; a standard empty one where nothing was ever written. Raises UnitCheck."""
        try:
            number = self._numbers[volume]
            sequence = self._store.sequence_of(number, track)
            cached = self._cache.get((volume, track))
            if cached is not None and cached[0] == sequence:
                self._cache.move_to_end((volume, track))
                return cached[1]
            image = self._store.read(number, track)
        except CorruptionError as error:
            raise DATA_CHECK from error
        except StoreError as error:
            raise EQUIPMENT_CHECK from error
        if image is None:
            image = null_track(*self._geometries[volume].address_of(track))
        self._cache[volume, track] = (sequence, image)
        if len(self._cache) > CACHED_TRACKS_MAX:
            self._cache.popitem(last=False)
        return image

    # TrackStorage

    @property
    def appended(self) -> int:
        return self._store.appended

    def _guarded(self, action: Callable[..., Value], *arguments: Any) -> Value:
        try:
            result = action(*arguments)
        except DiskFullError as error:
            passing = self._store.short_of_room
            if not passing:
                self._tell_full(str(error))
            raise ArrayFull(str(error), passing=passing) from error
        except StoreError as error:
            raise ArrayFault(str(error)) from error
        return result

    def _tell_full(self, why: str | None) -> None:
        """Tell once that writes are refused, and once that they are taken again (None)."""
        if self._full != (why is not None):
            self._full = why is not None
            self._say(why)

    def write(self, volume: int, track: int, image: bytes) -> int:
        sequence = self._guarded(self._store.write, self._numbers[volume], track, image)
        self._tell_full(None)
        self._cache[volume, track] = (sequence, image)
        return sequence

    def changes_by_pointer(self, volume: int) -> int:
        return self._by_pointer[volume]

    def write_stored(self, volume: int, track: int, stored: StoredTrack) -> int:
        self._by_pointer[volume] += 1
        return self._guarded(self._store.write_stored, self._numbers[volume], track, stored)

    def move(self, source_volume: int, source_track: int, target_volume: int, target_track: int) -> int:
        self._by_pointer[target_volume] += 1
        source, target = self._numbers[source_volume], self._numbers[target_volume]
        return self._guarded(self._store.move, source, source_track, target, target_track)

    def write_redirected(
        self, source_volume: int, source_track: int, stored: StoredTrack, target_volume: int, target_track: int
    ) -> int:
        self._by_pointer[target_volume] += 1
        source, target = self._numbers[source_volume], self._numbers[target_volume]
        return self._guarded(self._store.write_redirected, source, source_track, stored, target, target_track)

    def snapshot(self, source_volume: int, target_volume: int) -> int:
        self._by_pointer[target_volume] += 1
        return self._guarded(self._store.snapshot, self._numbers[source_volume], self._numbers[target_volume])

    def release_space(self, volume: int, first: int, stop: int) -> int:
        self._by_pointer[volume] += 1
        return self._guarded(self._store.release_space, self._numbers[volume], first, stop)

    def put(self, key: str, value: bytes) -> int:
        return self._guarded(self._store.put, key, value)

    def read_stored(self, volume: int, track: int) -> StoredTrack | None:
        return self._guarded(self._store.read_stored, self._numbers[volume], track)

    def written_since(self, volume: int, sequence: int) -> Any:
        return self._store.written_since(self._numbers[volume], sequence)

    def items(self, prefix: str) -> list[tuple[str, bytes]]:
        return self._store.items(prefix)
