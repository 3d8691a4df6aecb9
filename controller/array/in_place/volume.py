"""A volume of the store whose tracks lie in an image file: which do, how they get there, what must hold.

The log is the file's journal. A write to the volume is a record of the log, durable and acknowledged as any other;
a background step, **destage**, writes it into its slot of the file, syncs the file, and replaces the record with a stub
of 20 bytes (image_stub.py). Who reads a stub's track reads the file, and the stub's checksum judges what comes.

    volume V   track map: records of the log | stubs          what hosts see
    shadow I   track map: stubs only                           what the file holds. V + 40000000, never a device
    others     may share V's stubs through snapshots

A track is *clean* when V and I have it by the same change (the same sequence, or both never wrote it): it lies in the
file. All others are pending: that is the whole state, and it is in the log. A crash leaves nothing to repair but slots
that may be torn, and those are pending.

Invariants (tests cite these numbers)
-------------------------------------
 V1  A slot is written only when the log durably holds what goes there, and when nobody but I points at what lay there:
     a snapshot that does gets a record of its own first, durable (copy before write).
 V2  A stub names the slot of its own track number. Pointers leave a track number (move, extent copied elsewhere) only
     after the stub was replaced by a record.
 V3  A record is replaced with a stub only after the file was synced, and only where V has not changed since.
 V4  What the file returns is compared with the stub's checksum: a slot that another program wrote, that is torn or
     lost, is ImageFileError, never data.
 V5  After an error of write or sync the file is not written any more until it is opened again. Nothing is lost: the log
     keeps every track that was on its way.
 V6  A volume that was closed in order lies in the file, every byte; a stamp in the log (length, time, inode) proves at
     the next opening that nobody else has changed it meanwhile.

An image that does not fit its slot, or is no track (it cannot come from a device), stays in the log.
Destaging gives a clean track a later sequence: who asks what was written since may be told of a track too many, never
of one too few.
"""

import json
from typing import Any

from ccw.tracks import null_track
from controller.array.errors import DiskError
from controller.array.image_stub import ImageFileError, make_stub, shadow_of
from controller.array.in_place.image_file import ImageFile
from controller.array.store import VirtualArrayStore

BATCH_TRACKS = 64
"""So many tracks are read, and later replaced with stubs, at once: some milliseconds in which no host is served."""
_ADOPT_BATCH = 1024


class Destage:
    """Tracks on their way into the file. `write` is for a worker thread, when the log is durable up to `needs`."""

    def __init__(self, file: ImageFile, needs: int, tracks: list[tuple[int, int, bytes | None]]) -> None:
        self.needs = needs
        self.tracks = tracks  # number; sequence; image, None for one that was never written
        self._file = file

    def write(self) -> None:
        """Write the slots and sync the file. Raises DiskError."""
        for track, _, image in self.tracks:
            self._file.write(track, image if image is not None else empty_track(self._file, track))
        self._file.sync()


class InPlaceVolume:
    """A volume over its image file; made by `attach`, on the store's thread like every verb of the store."""

    def __init__(self, store: VirtualArrayStore, volume: int, file: ImageFile, identity: int) -> None:
        self.volume = volume
        self.file = file
        self.fault: str | None = None
        self.kept: set[int] = set()  # tracks that the file cannot take
        self._store = store
        self._shadow = shadow_of(volume)
        self._identity = identity
        self._stamp = _stamp_key(volume)
        self._under_way = False
        store.images[identity] = file
        store.closing.append(self.close)

    @classmethod
    def attach(cls, store: VirtualArrayStore, volume: int, file: ImageFile) -> "InPlaceVolume":
        """Tie a volume to its file; the first time, take the file's tracks over, which reads all of it.

        Raises ImageFileError when a track of the file is damaged, when the file was changed since the store closed
        it, or when the volume has its tracks in the store.
        """
        known = store.volumes()
        shadow = known.get(shadow_of(volume), {})
        if shadow.get("adopted") and "cylinders" in known.get(volume, {}):
            _check_stamp(store, volume, file)
            return cls(store, volume, file, int(shadow["identity"]))
        if "cylinders" in known.get(volume, {}):
            raise ImageFileError(f"volume {volume:02X} has its tracks in the store: it cannot lie in {file.path} too")
        return cls._adopt(store, volume, file, known)

    @classmethod
    def _adopt(
        cls, store: VirtualArrayStore, volume: int, file: ImageFile, known: dict[int, dict[str, Any]]
    ) -> "InPlaceVolume":
        shadow = shadow_of(volume)
        for number in (volume, shadow):
            if number in known:
                store.delete_volume(number)
        identity = store.appended + 1
        attributes = {"image_of": volume, "identity": identity, "image": file.path.name}
        store.define_volume(shadow, {**attributes, "adopted": False})
        for track in range(file.geometry.tracks):
            image = file.read(track)
            if image != empty_track(file, track):
                store.write_in_image(shadow, track, make_stub(identity, track, image))
            if track % _ADOPT_BATCH == _ADOPT_BATCH - 1:
                store.sync()
        store.define_volume(volume, {})
        store.snapshot(shadow, volume)
        store.define_volume(shadow, {**attributes, "adopted": True})
        store.sync()
        return cls(store, volume, file, identity)

    # Destage

    def pending(self) -> list[int]:
        """The tracks that do not lie in the file as hosts see them."""
        differing = self._store.differing_tracks(self.volume, self._shadow)
        return [track for track in differing if track not in self.kept]

    def begin(self, limit: int = BATCH_TRACKS) -> Destage | None:
        """Choose tracks and copy before write what others share (V1); None if nothing is to be done.

        One destage at a time: `finish`, `failed` or `abandon` ends it.
        """
        if self.fault is not None or self._under_way or self._store.fenced:
            return None
        tracks: list[tuple[int, int, bytes | None]] = []
        for track in self._store.differing_tracks(self.volume, self._shadow):
            if len(tracks) >= limit:
                break
            image = self._store.read(self.volume, track)
            if image is not None and not self.file.takes(track, image):
                self.kept.add(track)
                continue
            self.kept.discard(track)
            self._copy_before_write(track)
            tracks.append((track, self._store.sequence_of(self.volume, track), image))
        if not tracks:
            return None
        if self._store.get(self._stamp) is not None:
            self._store.put(self._stamp, b"")
        self._under_way = True
        return Destage(self.file, self._store.appended, tracks)

    def _copy_before_write(self, track: int) -> None:
        """Give the volumes that share what lies in the slot a record of their own; the first gets it, the rest share
        it."""
        sharers = self._store.sharers(self._shadow, track)
        first, *rest = sharers or [0]
        if sharers:
            stored = self._store.read_stored(first, track)
            assert stored is not None
            self._store.write_stored(first, track, stored)
            for other in rest:
                self._store.snapshot_extent(first, track, 1, other, track)

    def finish(self, destage: Destage) -> None:
        """Replace what was written with stubs (V3)."""
        self._under_way = False
        for track, sequence, image in destage.tracks:
            if image is None:
                self._store.release_space(self._shadow, track, track + 1)
                continue
            self._store.write_in_image(self._shadow, track, make_stub(self._identity, track, image))
            if self._store.sequence_of(self.volume, track) == sequence:
                self._store.snapshot_extent(self._shadow, track, 1, self.volume, track)

    def abandon(self) -> None:
        """Forget a destage of which nothing was written; its tracks are still pending."""
        self._under_way = False

    def failed(self, error: DiskError) -> None:
        """Give the file up until it is opened again (V5)."""
        self._under_way = False
        self.fault = f"{self.file.path} is not written any more: {error}"

    def settle(self) -> None:
        """Bring everything into the file; commits as it goes. Not beside a worker thread. Raises StoreError."""
        while (destage := self.begin()) is not None:
            self._store.sync()
            try:
                destage.write()
            except DiskError as error:
                self.failed(error)
                raise
            self.finish(destage)
            self._store.sync()

    def close(self) -> None:
        """Bring everything into the file, stamp it and let it go (V6), whatever StoreError that raises."""
        try:
            if self.fault is None and not self._under_way and self._store.quiet:
                self.settle()
                if not self.kept:
                    self._store.put(self._stamp, json.dumps(self.file.stamp()).encode())
                    self._store.sync()
        finally:
            self._store.images.pop(self._identity, None)
            self._store.closing.remove(self.close)
            self.file.close()


def _stamp_key(volume: int) -> str:
    return f"image/{volume:08X}"


def _check_stamp(store: VirtualArrayStore, volume: int, file: ImageFile) -> None:
    """Before the volume is one of the store's, which would stamp the file again when it closes."""
    stamp = store.get(_stamp_key(volume))
    if stamp is not None and json.loads(stamp) != file.stamp():
        raise ImageFileError(f"{file.path} was changed since volume {volume:02X} was last in use")


def physical_volumes(store: VirtualArrayStore) -> list[InPlaceVolume]:
    """The physical volumes of a store, as they were attached."""
    owners = [getattr(let_go, "__self__", None) for let_go in store.closing]
    return [owner for owner in owners if isinstance(owner, InPlaceVolume)]


def empty_track(file: ImageFile, track: int) -> bytes:
    """The image of a track that was never written."""
    return null_track(*file.geometry.address_of(track))
